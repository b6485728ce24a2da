"""Times as texts: RFC 3339 of any shape in, UTC with ``Z`` and exactly six fraction digits out."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import datetime, timedelta
from functools import lru_cache

FUTURE_MS = 5 * 60 * 1000
"""How far an event may be ahead of its record, in milliseconds; clocks of producers differ by less."""

_DIGITS, _MAX_DIGITS = 6, 9
"""Fraction digits that go out, and that may come in."""

_LENGTH = len("2026-11-23T10:00:00.123456Z")

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - everything here is UTC, and texts without an offset are written and read faster
_LAST_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z, the last millisecond that four year digits can say."""

# Years of more than four digits, which RFC 3339 lacks and ECMAScript writes with a sign, are times before 1970 or after 9999, no mistakes.
_RFC3339 = re.compile(
    r"([0-9]{4}|[0-9]{5,9}|[+-][0-9]{6})-([0-9]{2}-[0-9]{2})[Tt ]((?:[01][0-9]|2[0-3]):[0-5][0-9]):([0-5][0-9]|60)"
    r"(?:\.([0-9]{1,9}))?(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
_SECOND = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]")


def from_millis(ms: int) -> str:
    """The text of ``ms`` milliseconds since the epoch.

    A record without a time of its own says -1: what is negative is the epoch, what is after 9999 its last millisecond.
    """
    second, millis = divmod(min(max(ms, 0), _LAST_MS), 1000)
    return f"{_second_text(second)}.{millis:03d}000Z"


@lru_cache(maxsize=4096)
def _second_text(second: int) -> str:
    """``2026-11-23T10:00:00``, from seconds since the epoch."""
    return (_EPOCH + timedelta(seconds=second)).isoformat()


def time_text(ms: int | None) -> str | None:
    """Milliseconds since the epoch to the millisecond, for people; ``None`` where there is none."""
    return None if ms is None or ms < 0 else from_millis(ms)[:-4] + "Z"


def normalise(text: str, record_ms: int) -> tuple[str, bool]:
    """The time of an event, from the producer's ``text`` and the record's own time in milliseconds since the epoch.

    Returns:
        The canonical text; and whether ``text`` was more than ``FUTURE_MS`` after the record, and was replaced for it. Times before 1970
        and after 9999 (in UTC) are replaced as well, but that is not told.

    Raises:
        ValueError: ``text`` is no RFC 3339 time.
    """
    if text[19:20] == "." and text[-1] == "Z" and text.isascii() and (fraction := text[20:-1]).isdigit() and len(fraction) <= _MAX_DIGITS:
        # What nearly every producer writes.
        second = _usual_second(text[:19])
        if second is not None:
            if len(fraction) != _DIGITS:
                fraction = f"{fraction[:_DIGITS]:0<6}"
                text = f"{text[:19]}.{fraction}Z"
            # Only of what may be too new the fraction counts.
            if second * 1000 < record_ms + FUTURE_MS - 1000 or not _too_new(second, fraction, record_ms):
                return text, False
            return from_millis(record_ms), True
    return _normalise(text, record_ms)


@lru_cache(maxsize=4096)
def _usual_second(text: str) -> int | None:
    """Seconds since the epoch of ``2026-11-23T10:00:00``; None for what is anything else, or outside 1970 to 9999.

    Events of one second come together, and days are slow to count.
    """
    if not _SECOND.fullmatch(text):
        return None
    try:
        since = datetime.fromisoformat(text) - _EPOCH
    except ValueError:
        return None
    return since.days * 86_400 + since.seconds if since.days >= 0 else None


def _normalise(text: str, record_ms: int) -> tuple[str, bool]:
    """Give what ``normalise`` gives, for any text."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("no RFC 3339 time such as 2026-11-23T10:00:00.123456Z")
    year, day, clock, second, fraction, sign, hours, minutes = match.groups()
    beyond = len(year) != len("2026") or year == "0000"
    if beyond:
        # The Gregorian calendar repeats after 400 years: the date must exist even where its year cannot be said.
        year = str(2000 + int(year) % 400)
    leap = second == "60"
    moment = datetime.fromisoformat(f"{year}-{day}T{clock}:{'59' if leap else second}")
    if beyond:
        return from_millis(record_ms), False
    if sign is not None:
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        try:
            moment = moment - offset if sign == "+" else moment + offset
        except OverflowError:
            return from_millis(record_ms), False
    micros = fraction[:_DIGITS].ljust(_DIGITS, "0") if fraction else "000000"
    if leap:
        if not _ends_month(moment):
            raise ValueError("a leap second only ends a month, at 23:59:60 UTC")
        micros = "999999"
    since = moment - _EPOCH
    if since.days < 0:
        return from_millis(record_ms), False
    if _too_new(since.days * 86_400 + since.seconds, micros, record_ms):
        return from_millis(record_ms), True
    return f"{moment.isoformat()}.{micros}Z", False


def _too_new(second: int, micros: str, record_ms: int) -> bool:
    """Whether a time is more than `FUTURE_MS` after its record's."""
    # Integers throughout: a float of this size cannot hold every microsecond.
    return second * 1_000_000 + int(micros) > (max(record_ms, 0) + FUTURE_MS) * 1000


def is_canonical(text: str) -> bool:
    """Whether ``text`` is a time from 1970 on in the one form that compares as time."""
    usual = len(text) == _LENGTH and text[19] == "." and text[26] == "Z" and text.isascii() and text[20:26].isdigit()
    return usual and _usual_second(text[:19]) is not None


def _ends_month(moment: datetime) -> bool:
    # Not by adding a second: there is none after 9999.
    last_day = monthrange(moment.year, moment.month)[1]
    return (moment.day, moment.hour, moment.minute, moment.second) == (last_day, 23, 59, 59)
