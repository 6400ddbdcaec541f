"""What versions lean on, and what moved one prediction, as pages show them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import streamlit as st
from sqlalchemy import select
from starlette.applications import Starlette

from app.charts.attributions import versions_figure
from app.data_downloads import routes
from app.ranges import to_address
from backend import clock
from backend.api.security import COOKIE
from backend.data_rights.explanation import request_explanation
from backend.database.session import WriteSession, writing
from backend.explain.service import Contribution, Explanation, store_explanation
from backend.explain.tables import AttributionWindow
from backend.queue import JobRun
from tests.explained import store_explained, store_windows
from tests.integration.app.test_pages import Open, open_page, text_of, world
from tests.integration.data_rights.conftest import SUBJECT_SPEC, describe, move_spool, send
from tests.integration.identity.conftest import TestClient
from tests.watched import cookie_of
from tests.worlds import SYSTEM, World

__all__ = ["open_page", "world"]


OPINION: dict[str, Any] = {
    "known": True, "r2": 0.81, "held_fixed": ["carrier"],
    "weights": [{"column": "distance", "condition": "distance > 90.00", "weight": 1.75}],
    "agreement": {"columns": 1, "rank_correlation": None, "top": 1, "shared": ["distance"],
                  "same_direction": ["distance"], "same_first": True},
}  # fmt: skip


def test_nothing_explained_is_said_with_what_to_do(world: World, open_page: Open) -> None:
    for view in ("importance", "rows", "windows", "versions", "cohorts"):
        page = open_page(world.compliance, "explanations", model="toy", version="2", show=view)
        said = text_of(page)
        assert "On what version 2 leans is not known" in said
        assert "single predictions explained: none" in said
        assert any(one in said for one in ("Press “Explain”", "Declare `explanations", "is not known")), view


def test_each_view_draws_what_is_stored_and_the_sentence_says_what_moved(
    world: World, open_page: Open
) -> None:
    with writing() as session:
        store_windows(session)
    page = open_page(world.compliance, "explanations", model="toy", version="2")
    said = text_of(page)
    assert "Version 2 leans most on distance" in said
    assert "in the newest window the order has moved" in said
    assert "w-attention" in said
    assert "720 drawn into the sample of its window" in said
    assert "/export/importance.csv?model=toy&amp;version=2" in said
    assert "95 % intervals" in said
    drift = text_of(open_page(world.compliance, "explanations", model="toy", version="2", show="windows"))
    assert "place on the reference" in drift
    assert "up 3" in drift  # hour led the newest window and was fourth
    rows = open_page(world.compliance, "explanations", model="toy", version="2", show="rows")
    assert len(rows.get("plotly_chart")) == 2
    assert "720 sampled rows" in text_of(rows)
    group = open_page(world.compliance, "explanations", model="toy", version="2", show="cohorts", by="carrier",
                      group="UA")  # fmt: skip
    assert "sampled rows with carrier = UA" in text_of(group)


def test_windows_are_those_of_the_range_and_a_range_without_any_says_so(
    world: World, open_page: Open
) -> None:
    with writing() as session:
        store_windows(session)
        first = min(session.scalars(select(AttributionWindow.start)))
    one_day = {"from": to_address(first), "to": to_address(first + timedelta(hours=1))}
    long_ago = {"from": "2001-01-01T00:00Z", "to": "2001-02-01T00:00Z"}
    here = {"model": "toy", "version": "2", "show": "windows"}
    every, one = (
        open_page(world.viewer, "explanations", **here, **only).selectbox(key="pick:window").options
        for only in ({}, one_day)
    )
    assert (len(every), len(one)) == (6, 1)
    said = text_of(open_page(world.viewer, "explanations", **here, **long_ago))
    assert "is explained" in said and "Choose a longer range above." in said
    assert "Version 2 leans most on distance" in said, "the headline is of now"


def store_earlier_version(session: WriteSession) -> None:
    """What version 1 leant on: the distance alone, nearly."""
    parts = (Contribution("distance", 0.9, None, 0.02), Contribution("carrier", 0.1, None, 0.01))
    store_explanation(
        session,
        SYSTEM,
        explanation=Explanation("toy", 1, 600, "shap TreeExplainer, exact", 0.1, parts),
    )


def test_two_versions_are_drawn_side_by_side_with_what_only_one_of_them_uses(
    world: World, open_page: Open
) -> None:
    with writing() as session:
        store_windows(session, windows=2)
        store_earlier_version(session)
    page = open_page(world.viewer, "explanations", model="toy", version="2", show="versions", other="1")
    assert not page.exception
    assert len(page.get("plotly_chart")) == 1
    assert "not used" in text_of(page)
    assert "/export/explanations-apart.csv?model=toy&amp;before=1&amp;after=2" in text_of(page)
    figure = versions_figure(
        [{"column": "distance", "before": 0.9, "after": 0.5}, {"column": "hour", "before": None, "after": 0.05}],
        1, 2, limit=1,
    )  # fmt: skip
    assert [(one.name, list(one.x)) for one in figure.data] == [("version 1", [0.9]), ("version 2", [0.5])]
    assert "1 columns that differ less" not in figure.layout.xaxis.title.text
    assert "1 column that differs less not drawn" in figure.layout.xaxis.title.text


def test_values_of_single_predictions_are_for_those_who_may_see_them(world: World, open_page: Open) -> None:
    with writing() as session:
        store_windows(session, windows=2)
    page = open_page(world.viewer, "explanations", model="toy", version="2", show="rows")
    assert not page.exception
    assert "Your role lacks data:prediction:explain" in text_of(page)
    assert not page.get("plotly_chart")
    assert open_page(world.viewer, "explanations", model="toy", version="2").get("plotly_chart")


def test_a_prediction_shows_waterfall_reasons_and_how_far_a_job_is(world: World, open_page: Open) -> None:
    describe(
        {**SUBJECT_SPEC, "favourable": "negative", "reason_codes": {"distance": "The distance is short."}}
    )
    send({"p1": "Ada", "p2": "Bob"})
    move_spool()
    told = (
        {"sentence": "The distance is short.", "columns": ["distance"], "contribution": 2.0, "share": 0.8},
    )
    with writing() as session:
        store_explained(
            session, "p1", moved={"distance": 2.0, "carrier": 0.5}, reason_codes=told, because="complaint",
            second_opinion=OPINION,
        )  # fmt: skip
        run = request_explanation(session, world.compliance, model="toy", prediction_id="p2")
        row = session.get_one(JobRun, run.id)
        row.state, row.progress, row.step = "running", 0.7, "computing SHAP values"
    page = open_page(world.compliance, "prediction", model="toy", prediction="p1")
    said = text_of(page)
    assert len(page.get("plotly_chart")) == 1
    assert "Why it was declined" in said
    assert "The distance is short." in said
    assert "80" in said
    assert "They add up" in said
    assert "because of a complaint" in said
    assert "Second opinion (LIME): Its straight line explains 81% of how" in said
    assert "distance &gt; 90.00" in said
    assert "not weighed" in said, "LIME knows no gaps"
    assert "/export/contributions.csv?model=toy&amp;prediction=p1" in said
    said = text_of(open_page(world.compliance, "prediction", model="toy", prediction="p2"))
    assert "Its reasons have not been computed" in said
    assert "computing SHAP values" in said
    assert 'aria-valuenow="70"' in said
    st.cache_data.clear()
    with writing() as session:
        row = session.get_one(JobRun, run.id)
        row.state, row.error, row.finished_at = "failed", "the artefact is gone", clock.now()
    assert "the artefact is gone" in text_of(
        open_page(world.compliance, "prediction", model="toy", prediction="p2")
    )


def test_values_that_do_not_add_up_are_called_so(world: World, open_page: Open) -> None:
    describe(SUBJECT_SPEC)
    send({"p1": "Ada"})
    move_spool()
    with writing() as session:
        store_explained(session, "p1", gap=0.4)
    said = text_of(open_page(world.compliance, "prediction", model="toy", prediction="p1"))
    assert "do not add up to what the model answered" in said
    assert "+0.4 of the output" in said


def test_what_is_drawn_is_taken_as_rows_by_those_who_may_see_it(world: World) -> None:
    with writing() as session:
        store_windows(session, rows=60, windows=2)
        store_explained(session, "p1", because="asked", second_opinion=OPINION)
        store_earlier_version(session)
    version = {"model": "toy", "version": "2"}
    asked = {
        "contributions": {"model": "toy", "prediction": "p1"},
        "importance": version,
        "attributions": version,
        "shap-values": version,
        "cohort": {**version, "column": "carrier", "value": "UA"},
        "explanations-apart": {"model": "toy", "before": "1", "after": "2"},
    }
    found = {}
    for who, actor in (("compliance", world.compliance), ("viewer", world.viewer)):
        client = TestClient(Starlette(routes=routes()), cookies={COOKIE: cookie_of(actor)})
        found[who] = {name: client.get(f"/export/{name}.csv", params=given) for name, given in asked.items()}
    assert {one.status_code for one in found["compliance"].values()} == {200}
    assert "distance,100.0,-2.5,1.75" in found["compliance"]["contributions"].text
    assert len(found["compliance"]["shap-values"].text.splitlines()) == 121
    assert "distance,0.9,0.5,-0.4" in found["viewer"]["explanations-apart"].text
    assert "shap distance" in found["compliance"]["shap-values"].text
    assert {name for name, one in found["viewer"].items() if one.status_code == 403} == {
        "contributions",
        "shap-values",
    }
