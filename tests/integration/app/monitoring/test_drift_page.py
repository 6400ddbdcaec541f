"""Drift: which columns moved, one of them against any reference, and what was seen first."""

from __future__ import annotations

import json
from datetime import datetime

import streamlit as st
from sqlalchemy import select

from app.formats import format_when
from backend.database.session import writing
from backend.monitoring.tables import MetricPoint
from tests.integration.app.monitoring.opened import Open, chart, text_of


def test_drift_answers_which_columns_matter_most(open_page: Open, starts: list[datetime]) -> None:
    test = open_page("drift")
    said = text_of(test)
    assert "of 8 columns drifted: dep_delay" in said
    assert "dep_delay matters most, an estimated 2.1 ± 0.8 points of AUC worse" in said
    assert "Drift alone never pages" in said
    assert "All columns together, domain classifier" in said
    assert test.selectbox(key="pick:column").options[0] == "dep_delay"
    table = said[said.index("columns that drifted") :]
    assert table.index("dep_delay") < table.index("carrier")
    assert "41.0" in table
    assert "within chance" in table


def test_a_column_is_shown_against_any_reference_and_by_segment(
    open_page: Open, starts: list[datetime]
) -> None:
    for against, words in (
        ("fixed", "reference of v2"),
        ("previous", "the window before"),
        ("last_7", "last 7 windows"),
    ):
        said = text_of(open_page("drift", column="temperature", against=against))
        assert words in said
        assert "95th" in said
    said = text_of(open_page("drift", window=starts[0].isoformat(), against="previous"))
    assert "Nothing to compare with" in said
    assert " by segment" in said


def test_a_drifted_column_leads_to_its_quality_and_to_performance(
    open_page: Open, starts: list[datetime]
) -> None:
    said = text_of(open_page("drift"))
    window = starts[-2].isoformat().replace("+", "%2B").replace(":", "%3A")
    assert f'href="/quality?model=toy&amp;size=1d&amp;window={window}&amp;column=dep_delay"' in said
    assert f'href="/performance?model=toy&amp;size=1d&amp;window={window}"' in said


def test_an_address_holds_everything_that_is_shown(open_page: Open, starts: list[datetime]) -> None:
    test = open_page("drift")
    held = {name: test.query_params[name] for name in ("model", "size", "window", "column")}
    assert held == {"model": "toy", "size": "1d", "window": starts[-2].isoformat(), "column": "dep_delay"}
    test.selectbox(key="pick:column").set_value("carrier").run()
    test.selectbox(key="pick:column").set_value("dep_delay").run()
    assert test.query_params["column"] == "dep_delay"


def test_drift_of_one_segment_fills_the_whole_page(open_page: Open, starts: list[datetime]) -> None:
    test = open_page("drift", segment="carrier=B6", column="dep_delay")
    said = text_of(test)
    assert "segment carrier=B6" in said
    assert " by segment" not in said
    whole = text_of(open_page("drift", column="dep_delay"))
    assert "<div>400</div>" in whole
    assert "<div>400</div>" not in said
    early = text_of(open_page("drift", segment="carrier=B6", window=starts[0].isoformat()))
    assert "No drift of carrier=B6 is stored for this window" in early


def test_statistics_of_whole_windows_are_not_offered_for_columns(
    open_page: Open, starts: list[datetime]
) -> None:
    offered = open_page("drift").selectbox(key="pick:statistic").options
    assert "PSI" in offered
    assert "domain classifier" not in offered


def test_a_cell_that_late_rows_changed_is_shown_as_it_was(open_page: Open, starts: list[datetime]) -> None:
    assert "pick:seen" not in {one.key for one in open_page("drift").selectbox}
    with writing() as session:
        changed = session.scalars(
            select(MetricPoint).where(
                MetricPoint.column == "dep_delay", MetricPoint.statistic == "psi", MetricPoint.segment == "",
                MetricPoint.window_start == starts[-2],
            )
        ).one()  # fmt: skip
        now, changed.first_value = changed.value, 0.0123
    st.cache_data.clear()
    query = {"statistic": "psi", "column": "dep_delay"}
    page = open_page("drift", **query)
    assert "first seen as 0.01 on" in chart(page, "series")
    told_now = f"PSI {now:.2f} ("  # of other cells as well: two decimals
    cells_now = chart(page, "heat").count(told_now)
    page.selectbox(key="pick:seen").set_value("first").run()
    assert page.query_params["seen"] == "first"
    for key, told in (("heat", "PSI 0.01 ("), ("series", '"0.01"')):
        assert told in chart(page, key)
        assert "the verdict of then is not kept" in chart(page, key)
    assert chart(page, "heat").count(told_now) == cells_now - 1
    assert "of 8 columns drifted: dep_delay" in text_of(page)


def test_a_clicked_cell_opens_its_column_in_its_window(open_page: Open, starts: list[datetime]) -> None:
    test = open_page("drift")
    (cells,) = [one for one in json.loads(chart(test, "heat"))["data"] if one.get("name") == "cells"]
    assert {(cell[1], column) for cell, column in zip(cells["customdata"], cells["y"], strict=True)} == {
        (start.isoformat(), column)
        for start in starts
        for column in test.selectbox(key="pick:column").options
    }


def test_a_page_that_fires_on_a_column_is_said_on_drift_too(open_page: Open, starts: list[datetime]) -> None:
    said = text_of(open_page("drift", window=starts[0].isoformat()))
    assert "Firing now: origin: missing 0.5" in said


def test_a_statistic_is_drawn_for_the_columns_that_have_it(open_page: Open, starts: list[datetime]) -> None:
    (heat,) = [
        one
        for one in json.loads(chart(open_page("drift", statistic="kolmogorov_smirnov"), "heat"))["data"]
        if one["type"] == "heatmap"
    ]
    assert "dep_delay" in heat["y"]
    assert "carrier" not in heat["y"]


def test_a_window_is_compared_with_any_other_that_is_stored(open_page: Open, starts: list[datetime]) -> None:
    later = starts[6].isoformat()
    query = {"column": "dep_delay", "against": "window", "window": starts[2].isoformat()}
    test = open_page("drift", **query)
    offered = test.selectbox(key="pick:other")
    assert test.query_params["other"] == starts[1].isoformat(), "first the one before"
    assert len(offered.options) == len(starts) - 2, "itself and the one without rows are left out"
    said = text_of(open_page("drift", **query, other=later))
    assert f"window from {format_when(starts[6], 'UTC')}" in said
    assert "This pair gives" in "\n".join(one.value for one in test.caption)
