"""The tables in the documentation, made from the code: ``python scripts/docs.py`` rewrites them, ``--check`` only compares.

A table stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``; what is around it is written by hand. The links and the
``make`` targets that the pages name are checked too.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BeforeValidator, SecretStr
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app import metrics  # noqa: E402
from app.commands import command  # noqa: E402
from app.domain.errors import Code  # noqa: E402
from app.errors import BrokersAway  # noqa: E402
from app.kafka import embedded_errors, topics, watchdog  # noqa: E402
from app.settings import Settings  # noqa: E402
from app.worker import EXIT_LATE  # noqa: E402
from notifications.settings import MailSettings  # noqa: E402
from web.sockets.close_codes import CloseCode  # noqa: E402

#: Where settings are read from: one that none of these names has no effect yet.
PACKAGES = ("app", "agents", "delivery", "notifications", "tables", "web")

DEAD_LETTERS = {
    Code.NULL_VALUE: "The record has no value (a tombstone).",
    Code.TOO_LARGE: "The value has more than 512 KiB.",
    Code.NOT_UTF8: "The value is not UTF-8.",
    Code.NOT_JSON: "The value is not JSON: empty, cut off, a byte order mark, NaN, Infinity.",
    Code.NOT_AN_OBJECT: "The value is JSON, but a list, a text or a number; or the `data` of a CloudEvent is.",
    Code.TOO_DEEP: "Objects and lists stand in each other more than 32 levels deep.",
    Code.MISSING_FIELD: "A field that the topic needs is absent, null or 0.",
    Code.WRONG_TYPE: "A field has the wrong type: an id that is a text, a bad `eventId`, e-mail or role, too many unknown members.",
    Code.OUT_OF_RANGE: "An id is not between 1 and 2^53-1.",
    Code.TYPE_MISMATCH: "`eventType`, or the CloudEvent's `type`, is not the topic's. In `team.events`: the key is not the event's.",
    Code.BAD_TIMESTAMP: "`timestamp` is no RFC 3339 time.",
    Code.BAD_CLOUDEVENT: "A CloudEvent that is not taken: a batch, `data_base64`, another `specversion`, an attribute missing.",
    Code.UNENCODABLE: "Half of a surrogate pair, a number beyond a finite double, or an integer beyond 64 bits.",
}

Row = tuple[str, ...]


def table(heading: Row, rows: Iterable[Row]) -> str:
    """A Markdown table."""
    lines = [heading, tuple("---" for _ in heading), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def settings_table() -> str:
    """Every setting: its name, default and meaning."""
    code = "".join(path.read_text(encoding="utf-8") for path in sources() if path.name != "settings.py")
    rows = []
    for name, found in Settings.model_fields.items():
        read = name in INDIRECT or re.search(rf"\.{name}\b", code)
        meaning = found.description or ""
        rows.append((f"`{name.upper()}`", default_of(found), meaning if read else f"{meaning} *No effect yet.*"))
    return table(("Setting", "Default", "Meaning"), rows)


def mail_settings_table() -> str:
    """Every setting that the notification service has beside those, or with another default."""
    common = Settings.model_fields
    rows = []
    for name, found in MailSettings.model_fields.items():
        if name not in common or found.default != common[name].default:
            rows.append((f"`{name.upper()}`", default_of(found), found.description or ""))
    return table(("Setting", "Default", "Meaning"), rows)


#: Read by properties of the settings themselves.
INDIRECT = frozenset({"host", "data_dir", "canonical_url"})


def sources() -> Iterator[Path]:
    """The modules of the service."""
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def default_of(found: FieldInfo) -> str:
    """A default as one would write it into .env."""
    value: Any = found.default
    if value is None or value == ():
        return ""
    units = {part.func.__name__ for part in found.metadata if isinstance(part, BeforeValidator)}
    if "_seconds" in units:
        return f"`{duration(value)}`"
    if "_bytes" in units:
        return f"`{size(value)}`"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    if isinstance(value, SecretStr):
        return f"`{value.get_secret_value()}`"  # a default is no secret
    return f"`{value}`"


def duration(seconds: float) -> str:
    """Seconds in their largest whole unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


def size(count: int) -> str:
    """Bytes in their largest whole unit."""
    for unit, length in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= length and count % length == 0:
            return f"{count // length}{unit}"
    return str(count)


def close_code_table() -> str:
    """Every close code: its meaning, and whether a client comes back."""
    meanings = member_docs(CloseCode)
    rows = []
    for code in CloseCode:
        whole = meanings[code.name].rstrip(".")
        meaning, _, duty = whole.rpartition(": ")
        rows.append((str(code.value), meaning, duty) if duty.startswith(("reconnect", "refresh", "stop")) else (str(code.value), whole, ""))
    return table(("Code", "Meaning", "The client"), rows)


def member_docs(catalogue: type) -> dict[str, str]:
    """The text under each member of a class."""
    [definition] = ast.parse(inspect.getsource(catalogue)).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101  (it is the source of one)  # nosec B101
    found = {}
    for statement, following in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(statement, ast.Assign) and isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    found[target.id] = str(following.value.value)
    return found


def metric_table() -> str:
    """Every metric as it is scraped: its name, labels, type and meaning."""
    rows = []
    for found in vars(metrics).values():
        if not hasattr(found, "_labelnames"):
            continue
        [family] = found.describe()
        labels = "{" + ",".join(found._labelnames) + "}" if found._labelnames else ""
        name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "") + labels
        rows.append((f"`{name}`", family.type, family.documentation))
    return table(("Metric", "Type", "Meaning"), rows)


def dead_letter_table() -> str:
    """Every code of a dead letter."""
    return table(("`error-code`", "The record is none because"), [(f"`{code}`", DEAD_LETTERS[code]) for code in Code])


def exit_code_table() -> str:
    """Every exit code of every program."""
    rows = [
        ("every program", str(command.OK), "All is well; or, for the worker and `make run`, a signal asked it to stop."),
        ("`faust -A app` commands", str(command.FAILED), "It failed; one line says how."),
        ("worker, commands, `make run`", str(command.USAGE), "A bad setting or argument, or the start was refused; one line says why."),
        ("commands", "128 + N", "Ended by signal N."),
        ("worker", "1", "It met something that it must not paper over (a failed send, say); a restart reads again from the last commit."),
        ("worker", str(watchdog.EXIT_CODE), f"Stood still for {watchdog.STUCK_SECONDS:g} s while the brokers answered."),
        ("worker", str(BrokersAway.exit_code), "No broker answered when it started; `scripts/supervise.py` tries again."),
        ("worker", str(EXIT_LATE), "Asked to stop, and something hung. What was not committed is read again."),
    ]
    for error in embedded_errors.BrokerError.__subclasses__():
        meaning = (error.__doc__ or "").partition(" (EX_")[0].rstrip(".")
        rows.append(("`make run`, the embedded broker and its tools", str(error.exit_code), meaning + "."))
    return table(("Program", "Code", "Meaning"), rows)


def topic_table() -> str:
    """Every topic as it is made."""
    defaults = Settings.model_construct()
    rows = []
    for spec in topics.catalogue(defaults):
        config = dict(spec.config)
        rows.append(
            (
                f"`{spec.name}`",
                str(spec.partitions(defaults.partitions, defaults.partitions)),
                config.pop("cleanup.policy"),
                ", ".join(f"{name}={value}" for name, value in sorted(config.items())),
            )
        )
    return table(("Topic", "Partitions", "Cleanup", "Further configuration"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "settings": settings_table,
    "mail settings": mail_settings_table,
    "close codes": close_code_table,
    "metrics": metric_table,
    "dead letters": dead_letter_table,
    "exit codes": exit_code_table,
    "topics": topic_table,
}

_PLACE = re.compile(r"(<!-- generated: ([a-z ]+) -->).*?(<!-- end -->)", re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_TARGET = re.compile(r"\bmake ([a-z]+)\b(?=[ `\"\n]|$)", re.MULTILINE)
_COMMANDS = re.compile(r"```(?:sh|console)\n(.*?)```|`([^`\n]+)`", re.DOTALL)


def pages() -> list[Path]:
    """Every page of the documentation."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def rewritten(text: str) -> str:
    """A page with its tables as the code has them now.

    Raises:
        KeyError: it names a table that there is none of.
    """
    return _PLACE.sub(lambda place: f"{place[1]}\n{TABLES[place[2]]()}\n{place[3]}", text)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def faults(page: Path) -> list[str]:
    """What is wrong with a page: tables out of date, links that lead nowhere, make targets that there are none of."""
    text = page.read_text(encoding="utf-8")
    found = []
    if rewritten(text) != text:
        found.append("a table is out of date: run python scripts/docs.py")
    for link in _LINK.findall(text):
        address, _, anchor = link.partition("#")
        if "://" in address or address.startswith("mailto:"):
            continue
        target = (page.parent / address).resolve() if address else page
        if not target.exists():
            found.append(f"{link} leads nowhere")
        elif anchor and anchor not in anchors(target.read_text(encoding="utf-8")):
            found.append(f"{link} names no heading")
    made = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {name for block, inline in _COMMANDS.findall(text) for name in _TARGET.findall(block or inline)}
    found += [f"there is no make {name}" for name in sorted(named - made)]
    return found


def main(arguments: list[str]) -> int:
    """Rewrite every page, or check them; the exit code."""
    if "--check" not in arguments:
        for page in pages():
            text = page.read_text(encoding="utf-8")
            new = rewritten(text)
            if new != text:
                page.write_text(new, encoding="utf-8")
                print(f"{page.relative_to(ROOT)} rewritten")
    found = [f"{page.relative_to(ROOT)}: {fault}" for page in pages() for fault in faults(page)]
    print("\n".join(found), end="\n" if found else "", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
