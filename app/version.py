"""The version of this program."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def _installed() -> str:
    try:
        return version("teamcast")
    except PackageNotFoundError:  # run from a checkout
        return "0.1.0.dev0"


VERSION = _installed()
