"""aiokafka's connection, made to notice a reset under uvloop.

asyncio's transport ignores a write after the peer has reset the connection; uvloop raises RuntimeError. aiokafka expects
OSError alone, so the error ends whatever task was sending (its metadata task among them), the connection still counts
as open, and commits and heartbeats wait for it for ever.
"""

from __future__ import annotations

from typing import Any

import aiokafka.conn
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError


class Connection(AIOKafkaConnection):
    """A connection whose failed writes close it, whatever the event loop raises."""

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """Send a request.

        Raises:
            KafkaConnectionError: The connection is broken, and now closed.
        """
        try:
            return super().send(request, expect_response)
        except RuntimeError as error:
            raise self._broken(error) from error

    def _send_sasl_token(self, payload: bytes, expect_response: bool = True) -> Any:
        try:
            return super()._send_sasl_token(payload, expect_response)
        except RuntimeError as error:
            raise self._broken(error) from error

    def _broken(self, error: RuntimeError) -> KafkaConnectionError:
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        return KafkaConnectionError(f"Connection at {self._host}:{self._port} broken: {error}")


def install() -> None:
    """Let every aiokafka client of this process use it; aiokafka looks the class up when it connects."""
    aiokafka.conn.AIOKafkaConnection = Connection
