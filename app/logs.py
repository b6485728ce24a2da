"""Log lines: one a fact, the same shape whoever writes them, without secrets, and never a flood.

Everything that uses `logging` (Faust, mode, aiokafka, aiohttp and we) ends in the handlers of the root logger, and so is shaped here.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, MutableMapping
from time import monotonic
from typing import Any, Final

import orjson
import structlog
from pydantic import SecretStr
from structlog.typing import Processor

from app.settings import Settings

BURST = 5
"""Lines of one kind that are written within `WINDOW_SECONDS`; the next one after that tells how many were left out."""
WINDOW_SECONDS = 30.0
KINDS_MAX = 1000
LINE_MAX = 4000
"""Characters of one line's text; a list of all partitions of a large cluster is longer."""
SECRET_MIN = 6
"""A shorter secret is not looked for: it would blank out words."""

ROUTINE: Final = (
    ("tables.store", "opening partition"),
    ("faust.tables.recovery", "generation id"),
    ("mode.timers", "Timer "),
    ("faust.app.base", "Executing _on_partitions_assigned"),
    ("aiokafka", "Updating subscribed topics to"),
    ("aiokafka", "Subscribed to topic"),
    ("aiokafka", "Unsubscribed all topics"),
)
"""Lines (logger, beginning) of level INFO that tell nobody anything new: they are DEBUG here."""
_LIFE = frozenset({"Starting...", "Stopping...", "-Stopped!", "Shutdown complete!"})
"""What every one of some thirty services says; only the worker's own is news."""

_SERVICE = re.compile(r"\[\^-*(.+?)\]: (.*)", re.DOTALL)
_TOKEN = re.compile(r"\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*")
_USERINFO = re.compile(r"(?<=://)[^/@\s:]+:[^/@\s]+(?=@)")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

Event = MutableMapping[str, Any]


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose methods take fields: ``log.warning("what happened", topic=…, offset=…)``."""
    return structlog.stdlib.get_logger(name)


structlog.configure(
    processors=[structlog.stdlib.filter_by_level, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)


def shape(handlers: Iterable[logging.Handler], settings: Settings, level: int) -> None:
    """Let handlers write lines of this shape.

    Args:
        handlers: Those of the root logger.
        settings: The format, and the secrets that no line may hold.
        level: Least level that is written.
    """
    for handler in handlers:
        stream = getattr(handler, "stream", None)
        colors = settings.log_format == "console" and stream is not None and stream.isatty()
        handler.setFormatter(formatter(settings, colors=colors))
        handler.addFilter(Sieve(level))


class Formatter(structlog.stdlib.ProcessorFormatter):
    """structlog's, whose lines hold no secret, whatever brought them there."""

    def __init__(self, secrets: Iterable[str], processors: list[Processor]) -> None:
        super().__init__(processors=processors, foreign_pre_chain=[structlog.stdlib.ExtraAdder()])
        self._secrets = tuple(
            sorted({form for secret in secrets for form in (secret, orjson.dumps(secret).decode()[1:-1])}, key=len, reverse=True)
        )

    def format(self, record: logging.LogRecord) -> str:
        """One line; more only where a console shows a traceback."""
        line = super().format(record)
        for secret in self._secrets:
            line = line.replace(secret, "***")
        return _USERINFO.sub("***", _TOKEN.sub("***", line))


def formatter(settings: Settings, *, colors: bool = False) -> Formatter:
    """The formatter that ``LOG_FORMAT`` asks for."""
    last: list[Processor]
    if settings.log_format == "json":
        last = [structlog.processors.format_exc_info, _escape, structlog.processors.JSONRenderer(_json)]
    else:
        console = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0)
        last = [structlog.processors.format_exc_info, _escape, _indent_exception, console]
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    first: list[Processor] = [_add_name, structlog.stdlib.ProcessorFormatter.remove_processors_meta, stamp, _split_service]
    return Formatter(secrets_of(settings), [*first, *last])


def secrets_of(settings: Settings) -> set[str]:
    """The values that no line may hold."""
    values = (getattr(settings, name) for name in Settings.model_fields)
    found = (value.get_secret_value() for value in values if isinstance(value, SecretStr))
    return {secret for secret in found if len(secret) >= SECRET_MIN}


def _add_name(_logger: Any, _method: str, event: Event) -> Event:
    record: logging.LogRecord = event["_record"]
    event["logger"], event["level"] = record.name, record.levelname.lower()
    return event


def _split_service(_logger: Any, _method: str, event: Event) -> Event:
    """Mode writes the service's name, and how deep it stands, before each text."""
    found = _SERVICE.fullmatch(str(event.get("event", "")))
    if found:
        event["service"], event["event"] = found[1], found[2]
    return event


def escaped(text: str) -> str:
    """A text without anything that a terminal, or who reads line by line, would act upon."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _escape(_logger: Any, _method: str, event: Event) -> Event:
    for name, value in event.items():
        if name == "exception":
            event[name] = "\n".join(map(escaped, str(value).split("\n")))
        elif isinstance(value, str):
            text = escaped(value)
            event[name] = text if len(text) <= LINE_MAX else text[:LINE_MAX] + "…"
    return event


def _indent_exception(_logger: Any, _method: str, event: Event) -> Event:
    """No line of a traceback, which may quote anybody's words, can be taken for a line of the log."""
    if "exception" in event:
        event["exception"] = "\n".join("    " + line for line in event["exception"].split("\n"))
    return event


def _json(event: Any, **_options: Any) -> str:
    first = {name: event[name] for name in ("timestamp", "level", "logger", "event") if name in event}
    return orjson.dumps(first | event, default=lambda value: escaped(repr(value))).decode()


class Sieve(logging.Filter):
    """Lets through what is news."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self._level = level
        self._kinds: OrderedDict[tuple[str, int, str], list[float]] = OrderedDict()
        self._lock = threading.Lock()  # the consumer has a thread of its own

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written."""
        if record.levelno <= logging.INFO and record.levelno > logging.DEBUG and _is_routine(record):
            record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        if record.levelno < self._level:
            return False
        _compact(record)
        return self._level <= logging.DEBUG or self._is_rare(record)

    def _is_rare(self, record: logging.LogRecord) -> bool:
        now = monotonic()
        kind = (record.name, record.levelno, _text(record))
        with self._lock:
            since, count, left_out = self._kinds.pop(kind, (now, 0, 0))
            fresh = now - since >= WINDOW_SECONDS
            written = fresh or count < BURST
            self._kinds[kind] = [now, 1, 0] if fresh else [since, count + 1, left_out + (not written)]
            if len(self._kinds) > KINDS_MAX:
                self._kinds.popitem(last=False)
        if fresh and left_out:
            record.left_out = int(left_out)
            if isinstance(record.msg, dict):
                record.msg = record.msg | {"left_out": int(left_out)}
        return written


def _text(record: logging.LogRecord) -> str:
    """What a line says, without the values in it."""
    said = record.msg.get("event", "") if isinstance(record.msg, dict) else record.msg
    return re.sub(r"\d+", "0", str(said)[:200])


def _is_routine(record: logging.LogRecord) -> bool:
    if isinstance(record.msg, dict):
        return False
    said = str(record.msg)
    found = _SERVICE.fullmatch(said)
    if found and found[2] in _LIFE:
        return found[1] != "Worker"
    if any(record.name.startswith(name) and said.startswith(beginning) for name, beginning in ROUTINE):
        return True
    # A table, or a picture: nothing of ours has lines.
    return "\n" in said.strip() or any(isinstance(arg, str) and "\n" in arg for arg in _arguments(record))


def _arguments(record: logging.LogRecord) -> tuple[Any, ...]:
    return record.args if isinstance(record.args, tuple) else ()


def _compact(record: logging.LogRecord) -> None:
    """Sets of partitions as people write them."""
    if isinstance(record.args, tuple):
        record.args = tuple(_partitions(arg) if isinstance(arg, (set, frozenset, list, Mapping)) else arg for arg in record.args)


def _partitions(arg: Any) -> Any:
    by_topic: dict[str, list[int]] = {}
    for one in arg:
        if not (isinstance(one, tuple) and hasattr(one, "topic") and hasattr(one, "partition")) or isinstance(arg, Mapping):
            return arg
        by_topic.setdefault(one.topic, []).append(one.partition)
    return ", ".join(f"{topic} {_ranges(numbers)}" for topic, numbers in sorted(by_topic.items())) or "none"


def _ranges(numbers: Iterable[int]) -> str:
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)
