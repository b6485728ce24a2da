"""JSON to be kept: in as much memory as its bytes take."""

from __future__ import annotations

from typing import Any

import orjson


def dumps(value: Any, option: int | None = None) -> bytes:
    """What `orjson.dumps` gives, copied: its own result keeps the buffer in which it was written, 4 KiB for the smallest value.

    What is only sent need not come from here. Of what is kept, a ring's events or a view's rows, the buffers are most of all memory.
    """
    return bytes(memoryview(orjson.dumps(value, option=option)))
