"""The range of time of the monitoring pages: what it cuts, where it is kept, and what it leaves as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.components import watching
from app.data import monitoring as read
from app.ranges import Range, Span, to_address
from backend import clock
from backend.monitoring import reading as monitoring
from tests.integration.app.monitoring.opened import Open, chart, text_of

CHARTS = {"drift": "heat", "quality": "heat", "performance": "performance"}


def figure_of(test: AppTest, key: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(chart(test, key))
    return found


def axis_of(figure: dict[str, Any]) -> list[datetime]:
    return [datetime.fromisoformat(str(one)[:19]) for one in figure["layout"]["xaxis"]["range"]]


def bare(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


def cells_of(test: AppTest) -> set[str]:
    (cells,) = [one for one in figure_of(test, "heat")["data"] if one.get("name") == "cells"]
    return {cell[1] for cell in cells["customdata"]}


def parameters(test: AppTest) -> dict[str, str]:
    return {
        name: value[0] if isinstance(value, list) else str(value) for name, value in test.query_params.items()
    }


def noting(asked: list[dict[str, Any]], read_points: Callable[..., Any]) -> Callable[..., Any]:
    def noted(*args: Any, **kwargs: Any) -> Any:
        asked.append(kwargs)
        return read_points(*args, **kwargs)

    return noted


@pytest.mark.parametrize("page", CHARTS)
def test_a_range_cuts_what_is_read_and_its_figure_shows_exactly_that(
    open_page: Open, starts: list[datetime], page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    for name in ("list_points", "worst_points"):
        monkeypatch.setattr(read.monitoring, name, noting(asked, getattr(monitoring, name)))
    since, until = starts[4] - timedelta(hours=3), starts[9] - timedelta(hours=1)
    test = open_page(page, **Range(span=Span(since, until)).address())
    assert not test.warning
    figure = figure_of(test, CHARTS[page])
    assert axis_of(figure) == [bare(since), bare(until)]
    drawn = {str(at)[:10] for one in figure["data"] for at in one.get("x") or () if at is not None}
    assert drawn >= {f"{start:%Y-%m-%d}" for start in starts[4:9]}
    offered = list(test.selectbox(key="pick:window").options)
    assert len(offered) == 5
    over_time = [one for one in asked if one.get("window_id") is None]
    assert over_time
    assert all(one["since"] >= starts[4] and one["until"] == starts[8] for one in over_time)
    assert "range shown: " in text_of(test)
    assert "of now" in text_of(test), "what fires is not of the range"


def test_without_a_range_the_last_28_days_are_shown_and_the_address_says_nothing(
    open_page: Open, starts: list[datetime]
) -> None:
    test = open_page("drift")
    since, until = axis_of(figure_of(test, "heat"))
    assert until - since == timedelta(days=28)
    assert cells_of(test) == {start.isoformat() for start in starts}
    assert "range shown: the last 28\u202fd" in text_of(test)
    assert not {"range", "from", "to"} & set(test.query_params)
    assert test.selectbox(key="range:preset").value == "28d"


def test_another_range_is_chosen_by_hand_and_kept_in_the_address(
    open_page: Open, starts: list[datetime]
) -> None:
    test = open_page("drift", window=starts[8].isoformat())
    test.selectbox(key="range:preset").set_value("2d").run()
    assert not test.exception
    assert parameters(test)["range"] == "2d"
    assert cells_of(test) <= {start.isoformat() for start in starts[-3:]}
    assert parameters(test)["window"] in cells_of(test), "the window before is not in this range"
    test.selectbox(key="range:preset").set_value("between").run()
    assert {"from", "to"} <= set(test.query_params)
    assert "range" not in test.query_params
    test.datetime_input(key="range:from").set_value(bare(starts[3])).run()
    assert parameters(test)["from"] == to_address(starts[3])
    assert starts[3].isoformat() in cells_of(test)
    known = parameters(test)["to"]
    test.datetime_input(key="range:from").set_value(bare(clock.now() + timedelta(days=9))).run()
    assert "ends before it begins" in test.warning[0].value
    assert parameters(test)["from"] == to_address(starts[3])
    assert parameters(test)["to"] == known


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"range": "5d"}, "which is none of"),
        ({"from": "2026-03-01", "to": "2026-03-02"}, "no time with its zone"),
        ({"range": "1w", "compare": "year"}, "neither before nor week"),
    ],
)
def test_a_bad_value_is_said_and_the_page_shows_what_it_does_of_itself(
    open_page: Open, starts: list[datetime], query: dict[str, str], why: str
) -> None:
    test = open_page("performance", **query)
    assert why in test.warning[0].value
    since, until = axis_of(figure_of(test, "performance"))
    assert until - since == (timedelta(weeks=1) if query.get("range") == "1w" else timedelta(days=28))


def test_an_empty_range_leads_to_one_that_has_windows(open_page: Open, starts: list[datetime]) -> None:
    query = {"from": "2025-01-01T00:00Z", "to": "2025-02-01T00:00Z"}
    said = text_of(open_page("quality", **query))
    assert "Data quality is not known" in said
    assert "that begins in Wed 1 Jan 2025, 00:00 UTC to Sat 1 Feb 2025, 00:00 UTC has rows" in said
    assert "/quality?model=toy&amp;size=1d&amp;range=28d" in said
    assert "Show the last 28\u202fd" in said


def test_a_model_without_new_windows_is_shown_up_to_its_newest(open_page: Open) -> None:
    from tests.monitored import monitor

    starts = monitor(days=6, ago=200)
    test = open_page("drift")
    assert cells_of(test) == {start.isoformat() for start in starts}
    assert "ends with the newest window" in "\n".join(one.value for one in test.caption)


def test_a_window_that_the_address_names_is_shown_whatever_range_it_names(
    open_page: Open, starts: list[datetime]
) -> None:
    test = open_page("drift", range="2d", window=starts[2].isoformat())
    assert not test.warning
    assert parameters(test)["window"] == starts[2].isoformat()
    assert starts[2].isoformat() in cells_of(test)
    assert "range" not in test.query_params
    assert "the one about the window" in "\n".join(one.value for one in test.caption)


def test_links_to_pages_about_time_take_the_range_along(open_page: Open, starts: list[datetime]) -> None:
    query = Range(span=Span(starts[4], starts[9])).address()
    said = text_of(open_page("quality", **query))
    links = [one for one in said.split('href="') if one.startswith("/drift?")]
    assert links
    ends = f"from={query['from'].replace(':', '%3A')}&amp;to={query['to'].replace(':', '%3A')}"
    assert all(ends in one.split('"')[0] for one in links)
    plain = text_of(open_page("quality"))
    assert "from=" not in plain
    assert "range=" not in plain, "what nobody chose is not handed on"


def test_the_menu_leads_to_the_same_range_and_other_pages_are_left_alone(
    open_page: Open, starts: list[datetime]
) -> None:
    test = open_page("drift", range="1w")
    for page, expected in (("quality", "1w"), ("models", None), ("performance", "1w")):
        test.query_params.clear()
        test = test.switch_page(f"../pages/{page}.py").run()
        assert not test.exception
        assert parameters(test).get("range") == expected


def test_an_earlier_range_is_drawn_over_this_one(open_page: Open, starts: list[datetime]) -> None:
    week = Range(span=Span(starts[7], starts[14])).address()
    test = open_page("performance", **week, compare="before")
    figure = figure_of(test, "performance")
    (earlier,) = [one for one in figure["data"] if one.get("name") == "the range before"]
    assert axis_of(figure) == [bare(starts[7]), bare(starts[14])]
    own = figure_of(
        open_page("performance", **Range(span=Span(starts[0], starts[7])).address()), "performance"
    )
    (line,) = [one for one in own["data"] if str(one.get("name")).startswith("realised")]
    known = [(at, value) for at, value in zip(line["x"], line["y"], strict=True) if value is not None]
    assert len(known) > 4
    assert earlier["y"] == [value for _, value in known]
    moved = [datetime.fromisoformat(at[:19]) + timedelta(days=7) for at, _ in known]
    assert [datetime.fromisoformat(at[:19]) for at in earlier["x"]] == moved
    far = open_page(
        "performance", **week | {"from": to_address(starts[0] - timedelta(days=9)), "compare": "before"}
    )
    assert "Nothing to compare with" in "\n".join(one.value for one in far.caption)
    assert "compare" not in {one.key for one in open_page("drift").selectbox}


def test_slices_are_looked_for_in_windows_of_the_range(open_page: Open, starts: list[datetime]) -> None:
    test = open_page("slices", **Range(span=Span(starts[2], starts[5])).address())
    assert len(test.selectbox(key="pick:window").options) == 3
    assert parameters(test)["window"] == starts[4].isoformat()
    assert "window from" in text_of(test)


def test_more_windows_than_can_be_drawn_are_cut_and_it_is_said(
    open_page: Open, starts: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MOST", 5)
    test = open_page("drift")
    assert cells_of(test) == {start.isoformat() for start in starts[-5:]}
    assert "Shown are the newest 5" in "\n".join(one.value for one in test.caption)
    since, until = axis_of(figure_of(test, "heat"))
    assert until - since == timedelta(days=28), "the rest of the range stays empty"
