"""Dead letters: a record that is no valid event, unchanged, with the reason in its headers."""

from __future__ import annotations

from app.domain.errors import BadRecord
from app.domain.timestamps import from_millis
from app.domain.topics import dead_letter_topic
from app.kafka.outgoing import Outgoing
from app.kafka.record import Record


def dead_letter(record: Record, why: BadRecord, now_ms: int) -> Outgoing:
    """The dead letter of a record: its key, value and headers, and why and whence appended."""
    headers = [
        *record.headers,
        ("error", why.message.encode()),
        ("error-code", why.code.value.encode()),
        ("source-topic", record.topic.encode()),
        ("source-partition", b"%d" % record.partition),
        ("source-offset", b"%d" % record.offset),
        ("failed-at", from_millis(now_ms).encode()),
    ]
    return Outgoing(dead_letter_topic(record.topic), record.key, record.value, headers)
