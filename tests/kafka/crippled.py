"""The service with one agent taken out, named by CRIPPLED_AGENT: what the checks of the flow must notice."""

from __future__ import annotations

import os

from app.factory import create
from app.settings import load

app = create(load())
if agent := os.environ.get("CRIPPLED_AGENT"):
    del app.agents[agent]
