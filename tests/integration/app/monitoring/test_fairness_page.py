"""The fairness page: one sentence, panels by group, gaps with verdicts, and what to do where nothing is known."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from app.ranges import Range, Span
from backend.database.session import writing
from backend.monitoring.columns import parse_spec
from backend.monitoring.fairness.points import fairness_points
from backend.monitoring.label_lag import Hearing
from backend.monitoring.tables import MetricPoint, WindowState
from backend.registry.tables import Model
from tests.integration.app.monitoring.opened import Open, chart, text_of
from tests.monitored import store_point
from tests.unit.monitoring.test_fairness import people

DECLARED = {"protected": ["sex", "age"], "favourable": "positive"}


def declare(**more: Any) -> None:
    with writing() as session:
        model = session.get_one(Model, "toy")
        model.spec = {**model.spec, **more}


def compare(less: float, *, labelled: int = 3, **more: Any) -> None:
    """Store fairness of every window; the newest `labelled` windows have no labels yet."""
    declare(**DECLARED, **more)
    with writing() as session:
        spec = parse_spec(session.get_one(Model, "toy").spec)
        windows = list(
            session.scalars(select(WindowState).where(WindowState.rows > 0).order_by(WindowState.start))
        )
        for place, window in enumerate(windows):
            speaks = place < len(windows) - labelled
            window.labelled_at = window.end if speaks else None
            frame = people(900, seed=place, less=less, few=9)
            if not speaks:
                frame["label"] = None
            rows = pa.Table.from_pandas(frame, preserve_index=False)
            hearing = Hearing(speaks, speaks, None, None if speaks else "no label has come")
            for point in fairness_points(spec, rows, {}, hearing):
                store_point(session, window, point, segment=point.segment)


def test_the_answer_is_on_top_and_drawn_below(starts: list[datetime], open_page: Open) -> None:
    compare(0.5)
    page = open_page("fairness")
    text = text_of(page)
    assert "<h1>sex=f gets a favourable decision 0." in text and "times as often as sex=m" in text
    assert "more gap beyond bounds" in text
    drawn = chart(page, "groups")
    for title in ("Selection rate", "True positive rate", "False positive rate", "Precision", "Calibration"):
        assert title in drawn
    assert "sex=f" in drawn and '"dash"' in drawn
    assert "Demographic parity ratio" in chart(page, "gaps")
    assert "beyond its bound" in text and "at least 0.8" in text
    links = [one.proto.label for one in page.main if one.type == "page_link"]
    assert "Worst slices of this window" in links and "Watch a gap with a monitor of your own" in links


def test_small_groups_are_told_with_their_rows_and_never_judged(
    starts: list[datetime], open_page: Open
) -> None:
    compare(0.0, fairness={"intersections": []})
    page = open_page("fairness", attribute="age")
    text = text_of(page)
    assert "age=rare" in text and "fewer than 30: never judged" in text
    assert "All 2 gaps between groups with a bound within it" in text or "Not known of" in text
    assert "age=old" in chart(page, "groups") and "age=rare" not in chart(page, "groups")


def test_what_waits_for_labels_is_said(starts: list[datetime], open_page: Open) -> None:
    compare(0.0, labelled=99, fairness={"limits": {"equalized_odds_difference": 0.1}, "intersections": []})
    text = text_of(open_page("fairness"))
    assert "Not known of 2 of 2 gaps" in text
    assert "no label has come that counts for it" in text and "<h1>All" not in text


@pytest.mark.parametrize("size", ["1d", "1h"])
def test_windows_of_another_size_lead_to_those_that_are_counted(
    size: str, starts: list[datetime], open_page: Open
) -> None:
    declare(live_window="1h")
    compare(0.5)
    text = text_of(open_page("fairness", size=size))
    assert ("windows this short" in text) == (size == "1h")


def test_where_nothing_is_declared_the_page_says_what_to_write(
    starts: list[datetime], open_page: Open
) -> None:
    text = text_of(open_page("fairness"))
    assert "Nobody has said by which groups to compare" in text
    assert "<code>protected: [SEX]</code>" in text and "register it again" in text


def test_where_nothing_has_been_counted_the_page_says_so(starts: list[datetime], open_page: Open) -> None:
    declare(**DECLARED)
    page = open_page("fairness")
    assert "Fairness is not known" in text_of(page) and "Compute metrics now" in text_of(page)
    assert not page.get("plotly_chart")


def test_other_tasks_are_sent_to_their_segments(starts: list[datetime], open_page: Open) -> None:
    declare(task="regression", favourable=None)
    assert "decide between two classes" in text_of(open_page("fairness"))


def test_a_window_can_be_read_as_it_was_first_seen(starts: list[datetime], open_page: Open) -> None:
    compare(0.5)
    with writing() as session:
        for point in session.scalars(select(MetricPoint).where(MetricPoint.kind == "fairness")):
            point.first_value = 0.123
    page: AppTest = open_page("fairness", seen="first")
    assert "computed for its window first" in text_of(page)
    assert "0.123" in text_of(page) and "0.123" in chart(page, "gaps")


def test_a_range_cuts_its_figures_and_leaves_the_answer_of_now(
    starts: list[datetime], open_page: Open
) -> None:
    compare(0.5)
    now = text_of(open_page("fairness"))
    page = open_page("fairness", **Range(span=Span(starts[2], starts[6])).address())
    figure = json.loads(chart(page, "gaps"))
    assert [str(one)[:10] for one in figure["layout"]["xaxis"]["range"]] == [
        f"{one:%Y-%m-%d}" for one in (starts[2], starts[6])
    ]
    drawn = {str(at)[:10] for one in figure["data"] for at in one.get("x") or () if at is not None}
    assert drawn
    assert drawn <= {f"{one:%Y-%m-%d}" for one in starts[2:6]}
    (answer,) = (one for one in now.split("<h1>")[1:2])
    assert answer.split("</h1>")[0] in text_of(page)
    assert "this sentence and alerts are of now" in text_of(page)
    links = {one.proto.page: one.proto.query_string for one in page.get("page_link")}
    assert "from=" in links["slices"]
    assert "from=" not in links["monitors"], "it shows no range"
