"""Ports for the servers of tests: free, and below the range that outgoing connections get theirs from."""

from __future__ import annotations

import random
import socket

#: Linux hands out 32768 and up to outgoing connections; a server there can find its port taken, or connect to itself.
_RANGE = range(20000, 32000)
_handed_out: set[int] = set()


def free_port(count: int = 1) -> int:
    """Return a port that nothing listens on, the first of `count` adjacent ones; never the same twice in a process.

    Runs beside each other draw at random out of 12,000, so that they hardly ever meet.
    """
    for _ in range(1000):
        first = random.choice(_RANGE)
        wanted = range(first, first + count)
        if _handed_out.isdisjoint(wanted) and all(map(_free, wanted)):
            _handed_out.update(wanted)
            return first
    raise RuntimeError("no free port below 32768")


def _free(port: int) -> bool:
    for address in ("127.0.0.1", "0.0.0.0"):
        with socket.socket() as listener:
            try:
                listener.bind((address, port))
            except OSError:
                return False
    return True
