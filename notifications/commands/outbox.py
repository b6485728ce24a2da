"""``outbox``: looks at the mails that wait, and sends or cancels one."""

from __future__ import annotations

from typing import Any

import click
import orjson
from faust.cli import argument, option

from app.domain.events import user_key
from app.domain.topics import REQUESTS
from app.errors import TeamcastError
from app.kafka.topics import OUTBOX_CHANGELOG
from app.settings import Settings
from notifications.commands.command import MailCommand, as_json, producer, read, show
from notifications.intake import ORDER
from notifications.listing import Listed
from notifications.rows import IDENTITY, MAIL, decode_state, merge, place_of, state_key

OPTIONS = (
    argument("verb", type=click.Choice(["list", "show", "retry", "cancel"])),
    argument("identity", required=False, metavar="[ID]"),
    option("--user", type=int, help="Only mails to this user."),
    option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Mails that are listed at most."),
    option("--json", "in_json", is_flag=True, default=False, help="Print JSON in place of a table."),
)


async def run(  # noqa: PLR0917  (arguments as Faust gives them)
    self: MailCommand, verb: str, identity: str | None, user: int | None, limit: int, in_json: bool
) -> None:
    """List the mails that wait; show, retry or cancel the one with this ID.

    Reads the outbox's changelog, so it sees the mails of all workers, whether or not they run. A retry or cancellation is an order to
    the worker that has the mail: it is carried out when that worker runs. A mail that is being sent is not cancelled.
    """
    if (verb == "list") != (identity is None):
        raise click.UsageError("list takes no ID, the others need one")
    found = [one for one in await mails(self.settings) if user in (None, one.user_id) and identity in (None, one.identity)]
    if verb == "list":
        told = [one.as_json() for one in found[:limit]]
        if in_json or self.json:
            as_json(told)
            return
        show(("ID", "User", "Type", "Status", "Attempts", "Due", "Error"), [_columns(one) for one in told])
        if len(found) > limit:
            click.echo(f"and {len(found) - limit} more")
        return
    if not found:
        raise NotThere(f"no mail with the id {identity} waits")
    if verb == "show":
        as_json(found[0].as_json(whole=True))
        return
    for one in found:
        await _order(self.settings, one, verb)
        click.echo(f"{'Retrying' if verb == 'retry' else 'Cancelling'} the mail to user {one.user_id} about {one.as_json()['eventId']}.")


class NotThere(TeamcastError):  # noqa: N818  (it is no fault)
    """What was asked for is not there."""


async def mails(settings: Settings) -> list[Listed]:
    """Every mail that waits or is being sent, of all workers, in the order of users and places."""
    rows: dict[bytes, bytes] = {}
    async for record in read(settings, OUTBOX_CHANGELOG):
        if record.key is None:
            continue
        if record.value is None:
            rows.pop(record.key, None)
        elif (merged := merge(record.key, rows.get(record.key), record.value)) is not None:
            rows[record.key] = merged
    found = []
    for key in sorted(key for key in rows if key.startswith(MAIL)):
        user_id, _place = place_of(key)
        identity = rows[key][:IDENTITY].decode()
        state = rows.get(state_key(user_id, identity))
        if state is not None and not decode_state(state).ended:
            found.append(Listed(user_id, identity, decode_state(state), rows[key][IDENTITY:]))
    return found


async def _order(settings: Settings, one: Listed, verb: str) -> None:
    value = orjson.dumps({"v": 1, "recipient": one.user_id, "id": one.identity})
    async with producer(settings) as sends:
        await sends.send_and_wait(REQUESTS, value, key=user_key(one.user_id).encode(), headers=[(ORDER, verb.encode())])


def _columns(told: dict[str, Any]) -> list[object]:
    return [told["id"], told["recipient"], told["type"], told["status"], told["attempts"], told["due"][:19], told["error"] or ""]
