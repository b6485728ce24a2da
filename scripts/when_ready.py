"""Wait until the worker is ready, then become another command: ``python scripts/when_ready.py COMMAND...``."""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request

LIMIT_SECONDS = 180.0


def address() -> str:
    """Where the worker of this environment answers, without a trailing slash."""
    return f"http://127.0.0.1:{os.environ.get('PORT') or 8086}"


def ready(base: str) -> bool:
    """Whether the worker there says that it is ready; never raises."""
    try:
        with urllib.request.urlopen(f"{base}/readyz", timeout=2) as answer:  # noqa: S310  (always http to this machine)  # nosec B310
            return bool(answer.status == 200)
    except (OSError, ValueError, urllib.error.URLError):
        return False


def main() -> None:
    """Poll, then exec."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not ready(address()):
        if time.monotonic() > deadline:
            sys.exit(f"the worker at {address()} was not ready within {LIMIT_SECONDS:.0f} s")
        time.sleep(0.25)
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606  (the command line of the Procfile)  # nosec B606


if __name__ == "__main__":
    main()
