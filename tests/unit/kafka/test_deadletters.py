"""Dead letters: none is lost, and none stops the worker for its size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from app.errors import SendFailed
from app.kafka.deadletters import DeadLetters
from app.kafka.outgoing import Outgoing


class Broker:
    """Takes records whose value is small enough; refuses the others as a foreign cluster does."""

    def __init__(self, largest: int = 10, fails: KafkaError | None = None) -> None:
        self.largest, self.fails = largest, fails
        self.held: list[Outgoing] = []
        self.asked = 0

    async def send(self, letters: Sequence[Outgoing], *_more: Any) -> None:
        self.asked += 1
        error = self.fails
        for letter in letters:
            if len(letter.value or b"") > self.largest:
                error = MessageSizeTooLargeError()
            elif error is None:
                self.held.append(letter)
        if error is not None:
            raise SendFailed("refused") from error


def letter(value: bytes | None, key: bytes = b"k") -> Outgoing:
    return Outgoing("task.created.deadletter", key, value, [("error", b"x")])


def letters_of(broker: Broker) -> DeadLetters:
    return DeadLetters(broker)  # type: ignore[arg-type]


async def test_letters_are_sent_together() -> None:
    broker = Broker()
    await letters_of(broker).send([letter(b"1"), letter(b"2")])
    assert [held.value for held in broker.held] == [b"1", b"2"]
    assert broker.asked == 1


async def test_no_letters_ask_nobody() -> None:
    broker = Broker()
    await letters_of(broker).send([])
    assert broker.asked == 0


async def test_one_that_is_too_large_goes_without_its_value_and_says_how_large_it_was() -> None:
    broker = Broker()
    await letters_of(broker).send([letter(b"x" * 11, b"large")])
    assert broker.held == [Outgoing("task.created.deadletter", b"large", None, [("error", b"x"), ("original-size", b"11")])]


async def test_the_others_go_as_they_are() -> None:
    broker = Broker()
    await letters_of(broker).send([letter(b"1", b"a"), letter(b"x" * 11, b"b"), letter(b"2", b"c"), letter(None, b"d")])
    assert {(held.key, held.value) for held in broker.held} == {(b"a", b"1"), (b"b", None), (b"c", b"2"), (b"d", None)}


@pytest.mark.parametrize("largest", [10, 0])
async def test_any_other_refusal_stops_the_worker(largest: int) -> None:
    with pytest.raises(SendFailed):
        await letters_of(Broker(largest, KafkaError())).send([letter(b"")])


async def test_a_letter_that_is_refused_for_another_reason_when_sent_alone_stops_it_too() -> None:
    class Turns(Broker):
        async def send(self, letters: Sequence[Outgoing], *more: Any) -> None:
            if self.asked:
                self.fails = KafkaError()
            await super().send(letters, *more)

    with pytest.raises(SendFailed):
        await letters_of(Turns()).send([letter(b"1"), letter(b"x" * 11)])
