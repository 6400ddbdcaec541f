"""Numbers and times read the same everywhere; an unknown never looks like a zero."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.formats import (
    UNKNOWN,
    format_age,
    format_change,
    format_count,
    format_metric,
    format_share,
    format_when,
    zone,
)

NAN = float("nan")
MOMENT = datetime(2026, 3, 2, 8, 5, 9, tzinfo=UTC)


@pytest.mark.parametrize("write", [format_share, format_metric, format_count, format_age, format_when])
def test_unknown_is_a_dash(write) -> None:
    assert write(None) == UNKNOWN


@pytest.mark.parametrize("write", [format_share, format_metric, format_count])
def test_not_a_number_is_a_dash(write) -> None:
    assert write(NAN) == UNKNOWN
    assert write(float("inf")) == UNKNOWN


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.0312, "3.1 %"),
        (0.00004, "<0.1 %"),
        (0.9999, ">99.9 %"),
        (0.9994, "99.9 %"),
        (-0.02, "\u22122.0 %"),
    ],
)
def test_share(value: float, text: str) -> None:
    assert format_share(value).replace("\u202f", " ") == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.6431, "", "0.643"),
        (-0.0622, "", "\u22120.062"),
        (12.34, "min", "12.3 min"),
        (-12.34, "min", "\u221212.3 min"),
        (1234.4, "ms", "1,234 ms"),
        (0.00012, "", "0.00012"),
        (0, "", "0"),
        (9.999, "", "10.0"),
        (999.9, "", "1,000"),
    ],
)
def test_metric(value: float, unit: str, text: str) -> None:
    assert format_metric(value, unit).replace("\u202f", " ") == text


def test_change_carries_its_sign() -> None:
    assert format_change(0.64, 0.652) == "+0.012"
    assert format_change(0.64, 0.58) == "\u22120.060"
    assert format_change(3, 3) == "no change"
    assert format_change(None, 1) == UNKNOWN
    assert format_change(NAN, 1) == UNKNOWN


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(seconds=40), "40 s"),
        (timedelta(seconds=89.7), "90 s"),
        (timedelta(minutes=23), "23 min"),
        (timedelta(hours=3), "3 h"),
        (timedelta(hours=23, minutes=50), "23 h"),
        (timedelta(days=2, hours=4), "2 d 4 h"),
        (timedelta(days=9, hours=4), "9 d"),
        (timedelta(weeks=5), "5 w"),
        (timedelta(days=730), "2.0 y"),
    ],
)
def test_age(span: timedelta, text: str) -> None:
    assert format_age(span).replace("\u202f", " ") == text
    assert format_age(MOMENT - span, now=MOMENT) == format_age(span)


def test_when_is_in_the_viewers_zone_and_names_it() -> None:
    assert format_when(MOMENT, "Europe/Berlin") == "Mon 2 Mar 2026, 09:05 CET"
    assert format_when(MOMENT, "Asia/Kolkata", seconds=True) == "Mon 2 Mar 2026, 13:35:09 IST"
    assert format_when(MOMENT, "America/Sao_Paulo") == "Mon 2 Mar 2026, 05:05 UTC-03:00"
    assert format_when(MOMENT) == "Mon 2 Mar 2026, 08:05 UTC"


def test_a_zone_that_does_not_exist_shows_utc() -> None:
    assert format_when(MOMENT, "../etc/passwd").endswith("08:05 UTC")
    assert zone("Nowhere/Atall").key == "UTC"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        format_when(datetime(2026, 3, 2))  # noqa: DTZ001
