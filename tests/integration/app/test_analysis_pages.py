"""Slices and "What changed" on the pages, drawn from rows that went all the way through."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import streamlit as st
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from backend import clock
from backend.database.engine import use_database
from backend.database.session import reading, writing
from backend.identity.actor import Actor
from backend.identity.roles import Role
from backend.monitoring.analysis_service import request_analysis
from backend.monitoring.tables import MetricPoint
from backend.queue import JobRun
from jobs.analyse_window import analyse_due, analyse_one
from tests.integration.app.test_pages import MAIN, text_of
from tests.integration.identity.conftest import TestClient
from tests.integration.monitoring.conftest import Monitored, ago, make_monitored, sample
from tests.integration.monitoring.test_analysis import worse_in
from tests.watched import cookie_of
from tests.worlds import person

Open = Callable[..., AppTest]


@pytest.fixture
def fallen(migrated_home: Path, tmp_path: Path) -> Iterator[Monitored]:
    """The day before yesterday was quiet; yesterday's labels say nothing where shop is north. On SQLite."""
    st.cache_data.clear()
    shopper = make_monitored(tmp_path / "files", reference_rows=3000)
    for rows in (sample(ago(2), 900, seed=2), worse_in(sample(ago(1), 1500, seed=3), "north")):
        shopper.predict(rows)
        shopper.label(rows)
    shopper.compute()
    yield shopper
    use_database(None)


@pytest.fixture
def on_call(fallen: Monitored) -> Actor:
    with writing() as session:
        return person(session, "oncall", Role.ON_CALL)


@pytest.fixture
def open_page(fallen: Monitored, monkeypatch: pytest.MonkeyPatch) -> Open:
    def opened(who: Actor, page: str, **query: str) -> AppTest:
        token = cookie_of(who)
        monkeypatch.setattr(type(st.context), "cookies", property(lambda _: {"warrant_session": token}))
        test = AppTest.from_file(str(MAIN), default_timeout=60).run()
        for name, value in query.items():
            test.query_params[name] = value
        return test.switch_page(f"../pages/{page}.py").run()

    return opened


def test_the_worst_slice_is_the_headline_and_its_column_leads_to_drift(
    on_call: Actor, open_page: Open
) -> None:
    analyse_due("shopper")
    test = open_page(on_call, "slices")
    assert not test.exception
    said = text_of(test)
    assert re.search(r"shop = north: AUC 0\.[45]\d+ against 0\.[78]\d+ elsewhere", said)
    assert "Looked at " in said
    assert "multiplied by the number of slices looked at" in said
    link = f"/drift?{urlencode({'model': 'shopper', 'size': '1d', 'window': ago(1).isoformat(), 'column': 'shop'})}"
    assert link in said.replace("&amp;", "&")
    assert "&lt;0.001" in said
    assert "Segments side by side" in said
    assert "/export/slices.csv?" in said


def test_a_window_that_was_not_analysed_is_asked_for_by_a_button(on_call: Actor, open_page: Open) -> None:
    quiet = ago(2).isoformat()
    test = open_page(on_call, "slices", window=quiet)
    said = text_of(test)
    assert "The worst slices of this window are not known" in said
    assert "w-headline w-unknown" in said
    test.button(key=f"analyse:shopper:1d:{quiet}").click().run()
    assert not test.exception
    with reading() as session:
        run = session.scalars(select(JobRun).where(JobRun.name == "analyse_window")).one()
        assert (run.state, run.subject, run.arguments["start"]) == (
            "queued",
            "shopper",
            clock.to_iso(ago(2)),
        )
        arguments = dict(run.arguments)
    assert "w-job" in text_of(test)  # how far it is, in place of the button
    analyse_one("shopper", arguments)
    with writing() as session:
        session.get_one(JobRun, run.id).state = "succeeded"
    said = text_of(open_page(on_call, "slices", window=quiet))
    assert "No slice stands out from chance: looked at" in said


def test_a_viewer_reads_and_cannot_ask(open_page: Open, fallen: Monitored) -> None:
    with writing() as session:
        viewer = person(session, "eve", Role.VIEWER)
    test = open_page(viewer, "slices", window=ago(2).isoformat())
    assert test.button(key=f"analyse:shopper:1d:{ago(2).isoformat()}").disabled


def test_slices_need_labels_and_say_so(fallen: Monitored, on_call: Actor, open_page: Open) -> None:
    fallen.predict(sample(ago(3), 300, seed=9))
    fallen.compute()
    start = ago(3)
    assert "No label has come for it yet" in text_of(open_page(on_call, "slices", window=start.isoformat()))
    analyse_one("shopper", {"environment": "production", "size": "1d", "start": start.isoformat()})
    said = text_of(open_page(on_call, "slices", window=start.isoformat()))
    assert "Slices cannot be searched: the window has no rows with output and label" in said
    assert "w-headline w-unknown" in said


def test_an_incident_says_what_changed_in_the_window_that_fell(
    fallen: Monitored, on_call: Actor, open_page: Open
) -> None:
    before = text_of(open_page(on_call, "incident", id="1"))
    assert "This window has not been analysed" in before
    analyse_due("shopper")
    test = open_page(on_call, "incident", id="1")
    assert not test.exception
    said = text_of(test)
    assert "AUC fell by " in said
    assert "from behaviour in shop = north" in said
    assert "behaviour within segments" in said
    assert "a split is no proof of cause" in said


def test_both_baselines_are_named_where_the_limit_is_held_against_another(
    fallen: Monitored, on_call: Actor, open_page: Open
) -> None:
    analyse_due("shopper")
    with writing() as session:
        for point in session.scalars(select(MetricPoint).where(MetricPoint.kind == "realised")):
            point.reference_value = 0.9
    for page in ("slices", "performance"):
        said = text_of(open_page(on_call, page, model="shopper", window=ago(1).isoformat()))
        assert "the limit is held against 0.900" in said
        assert "from which AUC fell by " in said


def test_slices_leave_as_csv(fallen: Monitored, on_call: Actor) -> None:
    from starlette.applications import Starlette

    from app.analysis_downloads import routes
    from backend.api.security import COOKIE

    analyse_due("shopper")
    client = TestClient(Starlette(routes=routes()), cookies={COOKIE: cookie_of(on_call)})
    start = ago(1).isoformat()
    answer = client.get("/export/slices.csv", params={"model": "shopper", "size": "1d", "start": start})
    assert answer.status_code == 200, answer.text
    assert f"slices-became_worse-shopper-1d-{ago(1):%Y%m%dT%H%MZ}" in answer.headers["Content-Disposition"]
    lines = answer.text.splitlines()
    assert lines[0].startswith("slice,rows,share,inside,outside,reference_inside")
    assert lines[1].startswith("shop = north,")
    assert (
        client.get("/export/slices.csv", params={"model": "shopper", "start": "yesterday"}).status_code == 422
    )


@pytest.mark.parametrize("page", ["performance", "slices"])
def test_the_analysis_of_another_window_does_not_take_the_place_of_this_ones_button(
    fallen: Monitored, on_call: Actor, open_page: Open, page: str
) -> None:
    with writing() as session:
        request_analysis(session, on_call, model="shopper", start=ago(2), size="1d")
    wanted = {"model": "shopper", "window": ago(1).isoformat()}
    test = open_page(on_call, page, **wanted)
    assert not test.exception
    buttons = [one.label for one in test.button]
    assert "Analyse this window" in buttons
    said = text_of(test)
    assert "Analyse the window from" not in said
    assert any("takes its turn" in one.value for one in test.caption)
    next(one for one in test.button if one.label == "Analyse this window").click().run()
    assert "Analyse the window from" in text_of(test)
    assert "Analyse this window" not in [one.label for one in test.button]
