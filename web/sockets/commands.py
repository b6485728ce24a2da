"""What a client of ``teamcast.v1`` can ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal

CommandId = int | str
"""What a client calls one of its commands: its answer carries the same."""

MAX_COMMAND_ID_LENGTH = 64
"""Longest id that is a string, in Unicode code points."""


class All(Enum):
    """Stands for every team of the user, those of later included."""

    ALL = "all"


ALL: Final = All.ALL


@dataclass(slots=True, frozen=True)
class Auth:
    """Say who this is, when the handshake did not."""

    id: CommandId
    token: str = field(repr=False)


@dataclass(slots=True, frozen=True)
class Subscribe:
    """Listen to teams, to the user's own stream, or to both."""

    id: CommandId
    teams: frozenset[int] | Literal[All.ALL]
    """Empty when only the user's own stream is asked for."""
    me: bool
    """Whether the user's own stream is asked for; true with ``ALL``."""
    since: Mapping[int | Literal["me"], str]
    """Position to go on after. Never of a team that is not asked for; a position may be any text of up to 200 characters."""
    snapshot: bool
    presence: bool


@dataclass(slots=True, frozen=True)
class Unsubscribe:
    """Listen no more."""

    id: CommandId
    teams: frozenset[int] | Literal[All.ALL]
    me: bool


@dataclass(slots=True, frozen=True)
class Refresh:
    """Go on with a newer token."""

    id: CommandId
    token: str = field(repr=False)


@dataclass(slots=True, frozen=True)
class Ping:
    """Ask for a pong: browsers cannot send the ping of WebSocket itself."""

    id: CommandId


Command = Auth | Subscribe | Unsubscribe | Refresh | Ping
