"""``deadletters``: looks at the mails that were given up, and has them sent after all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click
import orjson
from faust.cli import argument, option

from app.domain.timestamps import from_millis
from app.domain.topics import MAIL_DEAD_LETTERS, REQUESTS
from app.kafka.record import Record
from app.settings import Settings
from notifications.commands.command import MailCommand, as_json, producer, read, show
from notifications.letters import REPLAY, replayed

OPTIONS = (
    argument("verb", type=click.Choice(["list", "replay"])),
    option("--user", type=int, help="Only mails to this user."),
    option("--error-code", metavar="CODE", help="Only mails that were given up for this: smtp-550, no-address, unreachable, …"),
    option("--since", metavar="TIME", help="Only mails that were given up at this time or later: 2026-11-23T10:00:00Z."),
    option("--json", "in_json", is_flag=True, default=False, help="Print JSON in place of a table."),
)


@dataclass(slots=True, frozen=True)
class Letter:
    """A dead letter."""

    name: str
    """``<partition>-<offset>``."""
    record: Record
    headers: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """What people see of it."""
        try:
            event = orjson.loads(self.record.value or b"null")
        except ValueError:
            event = None
        body = event if isinstance(event, dict) else {}
        told = ("recipient", "error-code", "error", "attempts", "failed-at")
        return {"letter": self.name, "eventId": body.get("eventId"), "type": body.get("type")} | {
            name: self.headers.get(name) for name in told
        }


async def run(  # noqa: PLR0917  (arguments as Faust gives them)
    self: MailCommand, verb: str, user: int | None, error_code: str | None, since: str | None, in_json: bool
) -> None:
    """List the mails that were given up, or replay them: each is sent once more, whatever its age, with the Message-ID that it had.

    A letter that has been replayed is not sent again by another replay within a day.
    """
    letters = await matching(self.settings, user, error_code, since)
    if verb == "list":
        told = [letter.as_json() for letter in letters]
        if in_json or self.json:
            as_json(told)
            return
        show(("Letter", *("Event", "Type", "User", "Code", "Error", "Attempts", "Given up")), [list(one.values()) for one in told])
        return
    done = await replay(self.settings, letters)
    if in_json or self.json:
        as_json({"replayed": done, "skipped": len(letters) - done})
    else:
        click.echo(f"{done} mails are sent again." + (f" {len(letters) - done} letters are no mails." if done < len(letters) else ""))


async def matching(settings: Settings, user: int | None, error_code: str | None, since: str | None) -> list[Letter]:
    """The dead letters that are asked for, oldest first."""
    found = []
    async for record in read(settings, MAIL_DEAD_LETTERS):
        headers = {name: value.decode(errors="replace") for name, value in record.headers if value is not None}
        failed = headers.get("failed-at") or from_millis(record.timestamp)
        if user is not None and headers.get("recipient") != str(user):
            continue
        if (error_code is not None and headers.get("error-code") != error_code) or (since is not None and failed < since):
            continue
        found.append(Letter(f"{record.partition}-{record.offset}", record, headers))
    found.sort(key=lambda letter: (letter.record.timestamp, letter.record.partition, letter.record.offset))
    return found


async def replay(settings: Settings, letters: list[Letter]) -> int:
    """Ask for the mails again; how many there were among the letters."""
    done = 0
    async with producer(settings) as sends:
        for letter in letters:
            made = replayed(letter.record.headers, letter.record.value or b"")
            if made is not None:
                key, value = made
                await sends.send_and_wait(REQUESTS, value, key=key, headers=[(REPLAY, letter.name.encode())])
                done += 1
    return done
