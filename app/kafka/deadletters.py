"""Sending dead letters: each alone, so that one which the broker refuses does not take the others with it."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka.errors import MessageSizeTooLargeError

from app.errors import SendFailed
from app.kafka.outgoing import Outgoing
from app.kafka.sender import Sender


class DeadLetters:
    """Writes dead letters; none is ever lost, and none stops the worker for its size."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    async def send(self, letters: Sequence[Outgoing]) -> None:
        """Send dead letters; one that is too large for a foreign cluster goes without its value and says how large it was.

        Raises:
            SendFailed: A letter was refused for another reason, or not acknowledged in time.
        """
        if not letters:
            return
        try:
            await self._sender.send(letters)
        except SendFailed as failed:
            if not isinstance(failed.__cause__, MessageSizeTooLargeError):
                raise
            for letter in letters:
                await self._send_one(letter)

    async def _send_one(self, letter: Outgoing) -> None:
        try:
            await self._sender.send([letter])
        except SendFailed as failed:
            if not isinstance(failed.__cause__, MessageSizeTooLargeError):
                raise
            size = b"%d" % len(letter.value or b"")
            await self._sender.send([Outgoing(letter.topic, letter.key, None, [*letter.headers, ("original-size", size)])])
