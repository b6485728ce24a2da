"""JSON to be kept: in as much memory as its bytes take."""

from __future__ import annotations

from typing import Any

import orjson


def dumps(value: Any, option: int | None = None) -> bytes:
    """What `orjson.dumps` gives, copied: its own result keeps the buffer in which it was written, 4 KiB for the smallest value.

    What is only sent need not come from here. Of what is kept, a ring's events or a view's rows, the buffers are most of all memory.
    """
    # Two parts are put together in a new object of their size, where a copy of one alone would be the same object again.
    return b"".join((orjson.dumps(value, option=option), b""))
