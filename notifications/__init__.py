"""Teamcast, the notification service. ``python -m faust -A notifications worker`` finds the application here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from notifications.factory import Notifications

    app: Notifications


def __getattr__(name: str) -> Any:
    """Make the application when it is asked for, so that importing a part of this package starts nothing."""
    if name != "app":
        raise AttributeError(name)
    from notifications.factory import from_environment  # noqa: PLC0415  (not before it is asked for)

    found = globals()["app"] = from_environment()
    return found
