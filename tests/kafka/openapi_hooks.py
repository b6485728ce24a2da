"""What the OpenAPI document cannot say of a body, for the program that makes bodies from it (see test_openapi.py)."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    """The nearest body that can be said to be described."""
    body = _sayable(body)
    if isinstance(body, dict) and isinstance(body.get("role"), str):
        body["role"] = "".join(one if one.isprintable() else "-" for one in body["role"])
    return body


def _sayable(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON Schema counts 42.0 among the integers, and browsers never write it
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -(2**63) <= value < 2**64 else 0
    if isinstance(value, dict):
        return {name: _sayable(member) for name, member in value.items()}
    return [_sayable(member) for member in value] if isinstance(value, list) else value
