"""The roll: which users of this worker the topic names, and what is still to be written there. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice


class Roll:
    """Brings the topic to what is true, a batch at a time; who comes and goes in between costs nothing."""

    def __init__(self) -> None:
        self._here: set[int] = set()
        self._told: dict[int, int] = {}
        """Users that the topic names, and at which offset; -1 where the brokers do not say."""
        self._unsure: set[int] = set()
        """Users of which the topic may say either."""
        self._unsettled: dict[int, None] = {}

    def come(self, user_id: int) -> None:
        """A user is online here."""
        self._here.add(user_id)
        self._unsettled[user_id] = None

    def go(self, user_id: int) -> None:
        """A user is not online here any more."""
        self._here.discard(user_id)
        self._unsettled[user_id] = None

    def __contains__(self, user_id: int) -> bool:
        """Whether a user is online here."""
        return user_id in self._here

    def __len__(self) -> int:
        """Users of which the topic may not say what is true."""
        return len(self._unsettled)

    def take(self, limit: int) -> list[tuple[int, bool]]:
        """What to write next: users, and whether they are here. Either `written` or `refused` follows."""
        batch = []
        for user_id in list(islice(self._unsettled, limit)):
            del self._unsettled[user_id]
            here = user_id in self._here
            if user_id in self._unsure or here != (user_id in self._told):
                self._unsure.discard(user_id)
                batch.append((user_id, here))
        return batch

    def written(self, batch: Sequence[tuple[int, bool]], offsets: Sequence[int]) -> None:
        """The topic has a batch, at these offsets."""
        for (user_id, here), offset in zip(batch, offsets, strict=True):
            if here:
                self._told[user_id] = offset
            else:
                self._told.pop(user_id, None)

    def refused(self, batch: Sequence[tuple[int, bool]]) -> None:
        """A batch may be in the topic or not: it is written again, whatever is true by then."""
        for user_id, _here in batch:
            self._unsure.add(user_id)
            self._unsettled[user_id] = None

    def heard_removal(self, user_id: int, offset: int) -> None:
        """The topic was told that a user is not here.

        By this worker, or by one that took it for dead; the latter is put right.
        """
        told = self._told.get(user_id)
        if told is not None and offset > told:
            del self._told[user_id]
            self._unsettled[user_id] = None
