"""What this worker tells of itself and its group when it is asked: for /metrics, and for the lists of the API."""

from __future__ import annotations

from web.measures.service import Measures

__all__ = ["Measures"]
