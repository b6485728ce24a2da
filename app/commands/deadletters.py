"""``deadletters``: look at what was no event, send it again, or put it aside."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import click
from faust.cli import argument, option

from app.commands.command import Command
from app.commands.output import JSON_OPTION, print_json, print_table, printable, say
from app.commands.since import since_option
from app.domain.errors import Code
from app.domain.timestamps import time_text
from app.domain.topics import SOURCE_TOPICS, UNIFIED, dead_letter_topic
from app.errors import TeamcastError
from app.kafka.letter_list import LETTER_TOPICS, OPEN, Found, Letters, collect, find, is_name, record_of, step_json
from app.kafka.letter_replay import Replay, discard, replay, sending
from app.kafka.letter_trail import Step
from app.kafka.letters import original_of
from app.kafka.reading import Log
from app.kafka.record import Record
from app.kafka.topics import ensure

SCAN = 100_000
SHOW_BYTES = 4096

OPTIONS = (
    argument("action", type=click.Choice(["list", "show", "replay", "discard"]), metavar="list|show|replay|discard"),
    argument("letters", nargs=-1, metavar="[LETTER]..."),
    option("--topic", "topics", multiple=True, type=click.Choice([*SOURCE_TOPICS, UNIFIED]), help="Of this source topic. Repeatable."),
    option("--code", "codes", multiple=True, type=click.Choice([code.value for code in Code]), help="With this error code. Repeatable."),
    since_option("earliest"),
    option("--open", "only_open", is_flag=True, default=False, help="Only those about which nothing was done."),
    option("--all", "everything", is_flag=True, default=False, help="Replay or discard every open one that the filters leave."),
    option("--limit", type=click.IntRange(1, 100_000), default=50, help="Letters to list, the newest. Default 50."),
    option("--scan", type=click.IntRange(1, 10_000_000), default=SCAN, help=f"Records to read at most, the newest. Default {SCAN:,}."),
    option("--raw", is_flag=True, default=False, help="show: the bytes of the value, and nothing else."),
    option("--value", "value_file", metavar="FILE", default=None, help="replay: send this in place of the value; - is standard input."),
    option("--plain", is_flag=True, default=False, help="replay: leave out the CloudEvents headers; the value is the event itself."),
    option("--no-check", is_flag=True, default=False, help="replay: send even what would be a dead letter again."),
    option("--reason", default=None, help="discard: why, for those who read the list later."),
    JSON_OPTION,
)


async def run(  # noqa: PLR0917  (its options)
    self: Command,
    action: str,
    letters: tuple[str, ...],
    topics: tuple[str, ...],
    codes: tuple[str, ...],
    since: int | None,
    only_open: bool,
    everything: bool,
    limit: int,
    scan: int,
    raw: bool,
    value_file: str | None,
    plain: bool,
    no_check: bool,
    reason: str | None,
    as_json: bool,
) -> None:
    """List dead letters, show one, replay or discard some.

    A LETTER is the place of its source record, such as task.created-3-17; list tells it. A replay goes to the source topic, with the event
    id and time that it would have had, so that replaying it twice delivers it once. A discarded letter stays in its topic until that
    forgets it. What was done is remembered, and listed. Exit code 1 when a letter is not there or would be a dead letter again.
    """
    as_json = as_json or self.json
    _check_arguments(action, letters, everything, value_file, raw)
    chosen = [dead_letter_topic(name) for name in topics] if topics else list(LETTER_TOPICS)
    if action in ("replay", "discard"):
        await ensure(self.settings)  # the topic that remembers is there
    async with Log(self.settings) as log:
        if action == "list":
            found = await collect(log, chosen, since, scan)
            found.narrow(codes, [OPEN] if only_open else [])
            _print_list(found, limit, as_json)
            return
        if action == "show":
            [one] = await _named(log, letters, since, scan)
            _print_letter(one, await record_of(log, one), raw, as_json)
            return
        if everything:
            collected = await collect(log, chosen, since, scan)
            collected.narrow(codes, [OPEN])
            letters_found = collected.found[::-1]  # oldest first, as they were written
        else:
            letters_found = await _named(log, letters, since, scan)
        how = Replay(None if value_file is None else _read(value_file), plain, not no_check)
        async with sending(self.settings) as sender:

            async def act(one: Found) -> Step:
                if action == "discard":
                    return await discard(sender, one, reason)
                return await replay(log, sender, one, await record_of(log, one), how)

            await _each(letters_found, act, as_json)


async def _each(letters: Sequence[Found], act: Callable[[Found], Awaitable[Step]], as_json: bool) -> None:
    """Do it for one after the other; those for which it fails are told at the end, and stop no other."""
    told: list[dict[str, Any]] = []
    failed: list[str] = []
    for one in letters:
        try:
            step = await act(one)
        except TeamcastError as error:
            failed.append(str(error))
            continue
        told.append({"letter": one.letter.name, **step_json(step)})
        if not as_json:
            where = f" to {step.topic}-{step.partition}-{step.offset}, event id {step.event_id}" if step.topic else ""
            say(f"{one.letter.name} {step.action}{where}")
    if as_json:
        print_json({"done": told, "failed": failed})
    elif not letters:
        say("There is nothing open.")
    if failed:
        raise TeamcastError("\n".join(failed))


def _check_arguments(action: str, letters: tuple[str, ...], everything: bool, value_file: str | None, raw: bool) -> None:
    if action == "list" and letters:
        raise click.UsageError("list takes no LETTER; narrow it with --topic, --code and --since")
    if action == "show" and len(letters) != 1:
        raise click.UsageError("show takes one LETTER, such as task.created-3-17")
    if action in ("replay", "discard") and bool(letters) == everything:
        raise click.UsageError(f"{action} takes LETTERs, such as task.created-3-17, or --all")
    if value_file is not None and (action != "replay" or len(letters) != 1):
        raise click.UsageError("--value goes with replay and one LETTER")
    if raw and action != "show":
        raise click.UsageError("--raw goes with show")
    for letter in letters:
        if not is_name(letter):
            raise click.UsageError(f"{printable(letter)} names no dead letter; they look like task.created-3-17")


async def _named(log: Log, names: Sequence[str], since: int | None, scan: int) -> list[Found]:
    found = await find(log, names, since, scan)
    missing = [name for name, one in zip(names, found, strict=True) if one is None]
    if missing:
        raise TeamcastError(f"there is no dead letter {', '.join(missing)} among the newest {scan:,} records; --scan reads more")
    return [one for one in found if one is not None]


def _read(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


def _print_list(letters: Letters, limit: int, as_json: bool) -> None:
    shown = letters.found[:limit]
    if as_json:
        print_json(letters.as_json(limit))
        return
    if not letters.found:
        say("No dead letters.")
    else:
        headings = ("Topic", "Code", ">Letters", ">Open", ">Replayed", ">Discarded", ">Repeats", "First", "Last")
        print_table(headings, [tuple(count.values()) for count in letters.counts()])
        rows = [
            (one.letter.name, one.letter.code, one.letter.failed_at[:19] + "Z", one.count, one.letter.size, _status(one), one.letter.error)
            for one in shown
        ]
        print_table(("Letter", "Code", "Failed at", ">Times", ">Bytes", "Status", "Error"), rows)
    if len(shown) < len(letters.found):
        say(f"{len(letters.found) - len(shown):,} older ones are not listed; --limit lists more.")
    if letters.left_out:
        say(f"{letters.left_out:,} older records were not read; --scan reads more.")
    if letters.foreign:
        say(f"{letters.foreign:,} records in these topics are no dead letters of ours.")


def _status(one: Found) -> str:
    if not one.steps:
        return OPEN
    step = one.steps[-1]
    return f"{step.action} {step.at[:19]}Z"


def _print_letter(one: Found, record: Record, raw: bool, as_json: bool) -> None:
    original = original_of(record)
    if raw:
        sys.stdout.buffer.write(original.value or b"")
        sys.stdout.buffer.flush()
        return
    if as_json:
        headers = [{"name": name, "value": _text(value)} for name, value in original.headers]
        print_json({**one.as_json(), "key": _text(original.key), "headers": headers, "value": _text(original.value)})
        return
    letter = one.letter
    rows: list[tuple[str, object]] = [
        ("Letter", letter.name),
        ("Stands at", f"{letter.place}, {time_text(letter.written_ms)}"),
        ("Times", one.count),
        ("Code", letter.code),
        ("Error", letter.error),
        ("Failed at", letter.failed_at),
        ("Key", _text(original.key)),
        *((f"Header {name}", _text(value)) for name, value in original.headers),
        ("Bytes", letter.size),
        ("Status", _status(one)),
        *(("", _step_text(step_json(step))) for step in one.steps),
    ]
    print_table(("", ""), rows)
    if letter.withheld:
        say(f"The value has {letter.size:,} bytes; the cluster did not take it into the dead letter.")
    elif original.value is None:
        say("There is no value.")
    else:
        text = _text(original.value[:SHOW_BYTES]) or ""
        say(printable(text))
        if len(original.value) > SHOW_BYTES:
            say(f"… and {len(original.value) - SHOW_BYTES:,} more bytes; --raw gives all.")


def _step_text(step: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in step.items() if value is not None)


def _text(data: bytes | None) -> str | None:
    """Bytes as text; those that are no UTF-8 as their escapes."""
    return None if data is None else data.decode(errors="backslashreplace")
