"""A server that a benchmark measures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from bench.dialects import Name
from bench.scenarios import Roster


class NotThere(Exception):  # noqa: N818  (says what is not there)
    """A peer cannot be measured here; the text says how it could be."""


class Server(ABC):
    """One process between the broker and the clients, for as long as the context lasts.

    Attributes:
        port: where clients connect.
    """

    name: str
    dialect: Name
    channels_header = False
    """Whether it is told the channel of a record in a header."""
    port: int
    group: str
    """Its consumer group."""

    @property
    @abstractmethod
    def unified(self) -> str:
        """Its topic of events by team; empty where it has none."""

    @abstractmethod
    async def start(self) -> None:
        """Start it, and wait until it serves."""

    @abstractmethod
    async def stop(self) -> None:
        """End it."""

    async def prepare(self, roster: Roster) -> None:  # noqa: B027  (most know nothing of teams)
        """Let it know whatever it must about teams and members before their clients come."""

    @property
    @abstractmethod
    def pid(self) -> int:
        """Of the process that does the work."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()
