"""``offsets``: where the service begins to read, when it cannot know by itself."""

from __future__ import annotations

import click
from faust.cli import option

from app.commands.command import Command
from app.kafka.offsets import accept_loss, ensure_started, parse_start
from app.kafka.topics import GROUP, ensure


def _start(ctx: click.Context, param: click.Parameter, text: str | None) -> str | int | None:
    try:
        return None if text is None else parse_start(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}; give earliest, end, or a time such as 2026-11-23T10:00:00Z") from None


OPTIONS = (
    option("--from", "start", callback=_start, metavar="earliest|end|TIME", help="Begin here, whatever was read before."),
    option("--accept-loss", "accept", is_flag=True, default=False, help="Go on behind records that expired before they were read."),
)


async def run(self: Command, start: str | int | None, accept: bool) -> None:
    """Set where the service begins to read. Stop its workers first."""
    if (start is None) == (not accept):
        raise click.UsageError("give either --from or --accept-loss")
    partitions = await ensure(self.settings)
    if start is not None:
        await ensure_started(self.settings, partitions, start)
        click.echo(f"Group {GROUP} begins at {start}.")
        return
    lost = await accept_loss(self.settings, partitions)
    for tp, count in sorted(lost.items()):
        click.echo(f"{tp.topic}-{tp.partition}: {count} records skipped")
    click.echo(f"Group {GROUP} goes on without {sum(lost.values())} records." if lost else f"Group {GROUP} lost nothing.")
