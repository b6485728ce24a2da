from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.timestamps import FUTURE_MS, from_millis, is_canonical, normalise

RECORD_MS = 1_795_428_000_000
RECORD_TEXT = "2026-11-23T10:00:00.000000Z"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2026-11-23T09:59:59Z", "2026-11-23T09:59:59.000000Z"),
        ("2026-11-23T09:59:59.1Z", "2026-11-23T09:59:59.100000Z"),
        ("2026-11-23T09:59:59.123Z", "2026-11-23T09:59:59.123000Z"),
        ("2026-11-23T09:59:59.123456Z", "2026-11-23T09:59:59.123456Z"),
        ("2026-11-23T09:59:59.123456999Z", "2026-11-23T09:59:59.123456Z"),
        ("2026-11-23T09:59:59.999999999Z", "2026-11-23T09:59:59.999999Z"),
        ("2026-11-23t09:59:59.5z", "2026-11-23T09:59:59.500000Z"),
        ("2026-11-23 09:59:59Z", "2026-11-23T09:59:59.000000Z"),
        ("2026-11-23T10:59:59+01:00", "2026-11-23T09:59:59.000000Z"),
        ("2026-11-22T23:29:59.25-10:30", "2026-11-23T09:59:59.250000Z"),
        ("2026-11-23T09:59:59-00:00", "2026-11-23T09:59:59.000000Z"),
        ("2026-11-24T09:58:59+23:59", "2026-11-23T09:59:59.000000Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"),
        ("2024-02-29T12:00:00.0Z", "2024-02-29T12:00:00.000000Z"),
        ("2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000000Z"),
    ],
)
def test_rfc_3339_of_any_offset_and_up_to_nine_digits_comes_out_in_utc_with_six(text: str, canonical: str) -> None:
    assert normalise(text, RECORD_MS) == (canonical, False)


@pytest.mark.parametrize(
    "text",
    [
        "1969-12-31T23:59:59.999999Z",
        "1970-01-01T00:59:59+01:00",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "0000-01-01T00:00:00Z",
        "-000001-01-01T00:00:00.000Z",
        "9999-12-31T23:59:59-00:01",
        "10000-01-01T00:00:00Z",
        "+010000-01-01T00:00:00.000Z",
    ],
)
def test_before_1970_and_after_9999_the_record_says_the_time_and_that_is_not_counted(text: str) -> None:
    assert normalise(text, RECORD_MS) == (RECORD_TEXT, False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T10:04:59.999999Z", ("2026-11-23T10:04:59.999999Z", False)),
        ("2026-11-23T10:05:00Z", ("2026-11-23T10:05:00.000000Z", False)),
        ("2026-11-23T10:05:00.000000Z", ("2026-11-23T10:05:00.000000Z", False)),
        ("2026-11-23T10:05:00.000000999Z", ("2026-11-23T10:05:00.000000Z", False)),
        ("2026-11-23T10:05:00.000001Z", (RECORD_TEXT, True)),
        ("2026-11-23T10:05:01Z", (RECORD_TEXT, True)),
        ("2026-11-23T11:05:00.000001+01:00", (RECORD_TEXT, True)),
        ("9999-12-31T23:59:59.999999Z", (RECORD_TEXT, True)),
    ],
)
def test_more_than_five_minutes_after_the_record_is_replaced_and_counted(text: str, expected: tuple[str, bool]) -> None:
    assert normalise(text, RECORD_MS) == expected


def test_five_minutes_are_counted_from_the_records_millisecond() -> None:
    assert normalise("2026-11-23T10:05:00.500000Z", RECORD_MS + 500) == ("2026-11-23T10:05:00.500000Z", False)
    assert normalise("2026-11-23T10:05:00.500001Z", RECORD_MS + 500) == ("2026-11-23T10:00:00.500000Z", True)


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "1795428000",
        "2026-11-23",
        "2026-11-23T10:00:00",
        "2026-11-23T10:00Z",
        "2026-11-23T10:00:00.Z",
        "2026-11-23T10:00:00.1234567890Z",
        "2026-11-23T10:00:00,5Z",
        "2026-11-23T10:00:00+0100",
        "2026-11-23T10:00:00+01",
        "2026-11-23T10:00:00+24:00",
        "2026-11-23T10:00:00+01:60",
        "2026-11-23T24:00:00Z",
        "2026-11-23T24:00:00.000000Z",
        "2026-11-23T10:60:00Z",
        "2026-11-23T10:00:61Z",
        "2026-02-30T10:00:00Z",
        "2026-02-30T10:00:00.000000Z",
        "2025-02-29T10:00:00.000Z",
        "0001-02-29T10:00:00Z",
        "10000-02-30T10:00:00Z",
        "2026-13-01T10:00:00Z",
        "2026-00-01T10:00:00Z",
        "2026-11-00T10:00:00Z",
        "20261123T100000Z",
        "2026-W48-1T10:00:00Z",
        "2026-11-23T10:00:00Z ",
        " 2026-11-23T10:00:00Z",
        "2026-11-23T10:00:00Z\n",
        "2026-11-23T10:00:00.000000Z\n",
        "2026-11-23_10:00:00.000Z",
        "٢٠٢٦-11-23T10:00:00Z",
        "2026-11-23T10:00:00.٠٠٠Z",
        "2026-11-23T10:00:00.²Z",
        "2026-11-23T10:00:00.000000",
    ],
)
def test_what_is_no_rfc_3339_is_refused_in_one_short_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as refused:
        normalise(text, RECORD_MS)
    assert len(str(refused.value)) < 200
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["2016-12-31T23:59:60Z", "2017-01-01T00:59:60.5+01:00", "2016-06-30T23:59:60.123Z"])
def test_a_leap_second_is_the_last_microsecond_before_it(text: str) -> None:
    canonical, clamped = normalise(text, RECORD_MS)
    assert canonical.endswith("23:59:59.999999Z")
    assert not clamped


@pytest.mark.parametrize("text", ["2026-11-23T10:00:60Z", "2016-12-30T23:59:60Z", "2016-12-31T23:59:60+01:00"])
def test_a_leap_second_at_another_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="leap second"):
        normalise(text, RECORD_MS)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (-1, "1970-01-01T00:00:00.000000Z"),
        (-(2**63), "1970-01-01T00:00:00.000000Z"),
        (1, "1970-01-01T00:00:00.001000Z"),
        (RECORD_MS, RECORD_TEXT),
        (253_402_300_799_999, "9999-12-31T23:59:59.999000Z"),
        (2**63 - 1, "9999-12-31T23:59:59.999000Z"),
    ],
)
def test_milliseconds_become_the_canonical_text_whatever_they_are(ms: int, text: str) -> None:
    assert from_millis(ms) == text


@given(
    st.datetimes(datetime.fromisoformat("1970-01-03"), datetime.fromisoformat("9999-12-29")),
    st.integers(-1439, 1439),
    st.integers(-1, 253_402_300_799_999),
)
def test_times_agree_with_the_standard_library(moment: datetime, offset_minutes: int, record_ms: int) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    micros = (zoned - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    text, clamped = normalise(zoned.isoformat(), record_ms)
    assert clamped == (micros > (max(record_ms, 0) + FUTURE_MS) * 1000)
    assert text == (from_millis(record_ms) if clamped else zoned.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z")
    assert is_canonical(text)
    assert normalise(text, record_ms) == (text, False)


@given(st.text(), st.integers(-(2**63), 2**63 - 1))
def test_any_text_gives_a_canonical_time_or_a_value_error(text: str, record_ms: int) -> None:
    try:
        canonical, _ = normalise(text, record_ms)
    except ValueError:
        return
    assert is_canonical(canonical)


@pytest.mark.parametrize(
    "text", ["2026-11-23T10:00:00Z", "2026-11-23T10:00:00.000Z", "9999", "1969-12-31T23:59:59.000000Z", "2026-02-30T10:00:00.000000Z"]
)
def test_only_the_form_that_compares_as_time_is_canonical(text: str) -> None:
    assert not is_canonical(text)
