"""TEAM and USER on a command line."""

from __future__ import annotations

import re

import click

from app.domain.events import MAX_ID, team_key

_KEY = re.compile(r"(?:(team|user):)?([1-9][0-9]{0,15})")


def key_of(text: str) -> str:
    """The key of the records of ``42``, ``team:42`` or ``user:7``.

    Raises:
        UsageError: It is none of them.
    """
    found = _KEY.fullmatch(text)
    if found is None or int(found[2]) > MAX_ID:
        raise click.UsageError(f"{text!r} is no team: give its id, such as 42, or user:7 for a user's own stream")
    return f"user:{found[2]}" if found[1] == "user" else team_key(int(found[2]))


def user_id_of(text: str) -> int:
    """A user's id.

    Raises:
        UsageError: It is none.
    """
    found = _KEY.fullmatch(text)
    if found is None or found[1] == "team" or int(found[2]) > MAX_ID:
        raise click.UsageError(f"{text!r} is no user: give an id, such as 7")
    return int(found[2])
