"""What the suite leaves to be looked at: pictures and measurements, in test-artifacts/ of the project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ARTIFACTS = Path(__file__).resolve().parents[2] / "test-artifacts"


def keep(name: str, measured: dict[str, Any]) -> None:
    """Write measurements as <name>.json, and say them (`pytest -s` or a failure shows it)."""
    ARTIFACTS.mkdir(exist_ok=True)
    text = json.dumps(measured, indent=2)
    (ARTIFACTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(f"{name}: {text}")
