"""TEAM and USER on a command line."""

from __future__ import annotations

import click

from app.domain.events import key_named


def key_of(text: str) -> str:
    """The key of the records of ``42``, ``team:42`` or ``user:7``.

    Raises:
        UsageError: It is none of them.
    """
    found = key_named(text)
    if found is None:
        raise click.UsageError(f"{text!r} is no team: give its id, such as 42, or user:7 for a user's own stream")
    return found


def user_id_of(text: str) -> int:
    """A user's id.

    Raises:
        UsageError: It is none.
    """
    found = key_named(text if ":" in text else f"user:{text}")
    if found is None or not found.startswith("user:"):
        raise click.UsageError(f"{text!r} is no user: give an id, such as 7")
    return int(found.removeprefix("user:"))
