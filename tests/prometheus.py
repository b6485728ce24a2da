"""Prometheus and promtool: Debian's, or those that PROMETHEUS and PROMTOOL name."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

FETCHED = Path(__file__).resolve().parent.parent / ".tools" / "prometheus" / "usr" / "bin"
"""Where scripts/prometheus puts them."""


def executable(name: str) -> str:
    """The path of ``prometheus`` or ``promtool``; without it the test is skipped, which fails where CI=true."""
    found = shutil.which(os.environ.get(name.upper(), name)) or shutil.which(name, path=str(FETCHED))
    if found is None:
        pytest.skip(f"no {name}: run scripts/prometheus, install Debian's package prometheus, or set {name.upper()}")
    return found


def promtool(*arguments: str, text: str | None = None) -> None:
    """Run promtool; fail with what it says unless it is content."""
    done = subprocess.run([executable("promtool"), *arguments], check=False, input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def check_metrics(text: str) -> None:
    """What a scrape gave is well formed, by name, type and help."""
    promtool("check", "metrics", text=text)
