"""Ranges of time: read from an address, written into one, and where clocks move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.ranges import (
    PRESETS,
    WORDS,
    NoSuchRange,
    Range,
    Span,
    chosen_between,
    ending,
    from_wall,
    length_words,
    read_comparison,
    read_range,
    span_words,
    to_wall,
    widened,
)

BERLIN = "Europe/Berlin"
NOW = datetime(2026, 11, 23, 20, 35, 12, 5, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_every_preset_of_the_console_is_there_and_named() -> None:
    offered = ["15m", "1h", "4h", "1d", "2d", "1w", "28d", "1mo", "3mo"]
    assert list(PRESETS)[: len(offered)] == offered
    assert list(PRESETS.values()) == sorted(PRESETS.values())
    told = [one.replace("\u202f", " ") for one in WORDS.values()]
    assert told == ["15 min", "1 h", "4 h", "1 d", "2 d", "1 w", "28 d", "1 mo", "3 mo", "1 y", "3 y"]


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_written_into_an_address_is_read_again(name: str) -> None:
    for found in (Range(preset=name), Range(span=Range(preset=name).about(NOW))):
        assert read_range(found.address()) == found


def test_an_address_without_a_range_names_none() -> None:
    assert read_range({"model": "toy"}) is None
    assert read_comparison({"model": "toy"}) is None


def test_an_address_holds_utc_whatever_offset_it_was_written_with() -> None:
    found = read_range({"from": "2026-03-01T10:05:00+01:00", "to": "2026-03-02T00:00:30Z"})
    assert found is not None
    assert found.span == Span(at("2026-03-01T09:05:00Z"), at("2026-03-02T00:00:30Z"))
    assert found.address() == {"from": "2026-03-01T09:05Z", "to": "2026-03-02T00:00:30Z"}


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"range": "5d"}, "which is none of"),
        ({"range": ""}, "which is none of"),
        ({"range": "1d", "from": "2026-03-01T09:05Z"}, "at once"),
        ({"from": "2026-03-01T09:05Z"}, "only one end"),
        ({"to": "2026-03-01T09:05Z"}, "only one end"),
        ({"from": "2026-03-01T09:05", "to": "2026-03-02T09:05Z"}, "no time with its zone"),
        ({"from": "yesterday", "to": "2026-03-02T09:05Z"}, "“yesterday” for from"),
        ({"from": "0001-01-01T00:00+14:00", "to": "2026-03-02T09:05Z"}, "no time with its zone"),
        ({"from": "2026-03-02T09:05Z", "to": "2026-03-01T09:05Z"}, "ends before it begins"),
        ({"from": "2026-03-02T09:05Z", "to": "2026-03-02T09:05Z"}, "ends before it begins"),
        ({"from": "1950-03-02T09:05Z", "to": "1960-03-02T09:05Z"}, "before 1970"),
        ({"from": "1980-03-02T09:05Z", "to": "2090-03-02T09:05Z"}, "50 years"),
    ],
)
def test_what_is_no_range_is_said_in_words(query: dict[str, str], why: str) -> None:
    with pytest.raises(NoSuchRange, match=why):
        read_range(query)


def test_a_long_text_of_an_address_is_shortened() -> None:
    with pytest.raises(NoSuchRange) as told:
        read_range({"range": "x" * 5000})
    assert len(str(told.value)) < 200


def test_only_known_comparisons_are_made() -> None:
    assert read_comparison({"compare": "week"}) == "week"
    with pytest.raises(NoSuchRange, match="neither before nor week"):
        read_comparison({"compare": "year"})


@pytest.mark.parametrize("name", PRESETS)
def test_a_range_up_to_now_is_as_long_as_it_says_and_moves_on_in_steps(name: str) -> None:
    span = Range(preset=name).about(NOW)
    assert span.length == PRESETS[name]
    assert span.until >= NOW
    assert span.until - NOW < max(timedelta(minutes=1), span.length / 96)
    assert Range(preset=name).about(NOW + timedelta(seconds=2)) == span
    assert ending(span.until, span.length) == span


def test_a_preset_about_a_moment_has_it_in_its_middle_and_ends_by_now() -> None:
    long_ago = NOW - timedelta(days=90)
    span = Range(preset="4h").about(long_ago, up_to=NOW)
    assert abs(span.since + span.length / 2 - long_ago) <= timedelta(minutes=1)
    assert Range(preset="4h").about(NOW, up_to=NOW) == Range(preset="4h").about(NOW)


def test_the_range_before_ends_where_this_begins_and_a_week_earlier_is_a_week_earlier() -> None:
    span = Span(at("2026-03-10T00:00Z"), at("2026-03-12T00:00Z"))
    assert span.earlier("before") == Span(at("2026-03-08T00:00Z"), span.since)
    assert span.earlier("week") == Span(at("2026-03-03T00:00Z"), at("2026-03-05T00:00Z"))


def test_the_end_of_a_range_is_not_part_of_it() -> None:
    span = Span(at("2026-03-10T00:00Z"), at("2026-03-12T00:00Z"))
    assert span.holds(span.since)
    assert not span.holds(span.until)


def test_a_time_on_the_clock_is_the_moment_there() -> None:
    assert from_wall(at("2026-07-01T09:05"), BERLIN) == (at("2026-07-01T07:05Z"), "")
    assert from_wall(at("2026-01-01T09:05"), BERLIN) == (at("2026-01-01T08:05Z"), "")
    assert from_wall(at("2026-01-01T09:05"), None) == (at("2026-01-01T09:05Z"), "")


def test_an_hour_that_is_there_twice_is_within_the_range_as_a_whole() -> None:
    twice = at("2026-10-25T02:30")
    since, said = from_wall(twice, BERLIN)
    until, _ = from_wall(twice, BERLIN, end=True)
    assert (since, until) == (at("2026-10-25T00:30Z"), at("2026-10-25T01:30Z"))
    assert "there twice" in said
    assert "CEST" in said
    assert to_wall(since, BERLIN) == to_wall(until, BERLIN) == twice
    assert chosen_between(since, until).span == Span(since, until)


def test_a_time_that_clocks_leave_out_is_taken_as_if_they_had_not_moved() -> None:
    found, said = from_wall(at("2026-03-29T02:30"), BERLIN)
    assert found == at("2026-03-29T01:30Z")
    assert to_wall(found, BERLIN) == at("2026-03-29T03:30")
    assert "left out" in said
    assert "03:30 CEST" in said


def test_a_day_of_a_range_is_24_hours_where_clocks_move_too() -> None:
    after = at("2026-10-25T12:00Z")
    span = Range(preset="1d").about(after)
    assert span.length == timedelta(hours=24)
    assert to_wall(span.since, BERLIN) == at("2026-10-24T14:00")
    assert to_wall(span.until, BERLIN) == at("2026-10-25T13:00")
    assert "CEST to" in span_words(span, BERLIN)
    assert span_words(span, BERLIN).endswith("CET")


def test_a_wider_range_is_the_shortest_up_to_now_that_has_the_newest_window() -> None:
    assert widened(NOW - timedelta(days=3), NOW, "28d") == Range(preset="28d")
    assert widened(NOW - timedelta(days=3), NOW, "2d") == Range(preset="1w")
    assert widened(NOW - timedelta(days=40), NOW, "28d") == Range(preset="3mo")
    far = widened(NOW - timedelta(days=4000), NOW, "28d")
    assert far.span is not None
    assert far.span.holds(NOW - timedelta(days=4000))
    assert far.span.length == PRESETS["28d"]
    assert length_words(far).replace("\u202f", " ") == "4 w"
