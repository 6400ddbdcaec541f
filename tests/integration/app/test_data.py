"""What pages read, on both databases, and that nobody is shown what was read for somebody else."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import plotly.graph_objects as go
import pytest
import streamlit as st
from starlette.requests import Request

from app import data, downloads
from app.components.audit_parts import record_words
from app.data import kept
from backend import clock
from backend.alerting.service import recent_alerts, resolve
from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.state import LogState, log_state
from backend.database.session import ReadSession, reading, writing
from backend.errors import NotAllowed, NotFound
from backend.identity.actor import Actor
from backend.monitoring.distributions import compare_column
from backend.monitoring.health import health_of
from backend.monitoring.tables import MetricPoint, WindowState
from tests.integration.audit.test_population import add_changes
from tests.watched import DAYS, watch
from tests.worlds import SYSTEM, World, make_world


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    st.cache_data.clear()
    made = make_world(tmp_path / "files")
    watch(made)
    return made


def test_a_firing_page_is_the_worst_state(world: World) -> None:
    (one,) = data.overview(data.scope_of(world.viewer))
    assert (one.level, one.word, one.version, one.alerts) == ("page", "realised alert", 2, 1)
    assert one.value == pytest.approx(0.52)
    assert one.completeness == pytest.approx(0.9)
    assert one.reference == pytest.approx(0.72)


def test_a_fall_is_seen_even_where_nobody_was_alerted(world: World) -> None:
    with writing() as session:
        for alert in recent_alerts(session, world.viewer, model="toy"):
            resolve(session, SYSTEM, alert, why="test")
    with reading() as session:
        one = health_of(session, world.viewer, "toy", "production")
    assert (one.level, one.word) == ("attention", "worse")


def test_figures_that_are_too_old_are_not_known(world: World) -> None:
    with writing() as session:
        for alert in recent_alerts(session, world.viewer, model="toy"):
            resolve(session, SYSTEM, alert, why="test")
        limit = clock.now() - timedelta(days=4, hours=12)
        for window in session.query(WindowState).filter(WindowState.start > limit):
            session.query(MetricPoint).filter(MetricPoint.window_id == window.id).delete()
            window.computed_at = None
    with reading() as session:
        one = health_of(session, world.viewer, "toy", "production")
    assert (one.level, one.word) == ("unknown", "no data")


def test_labels_to_come_are_not_counted_as_fine(world: World) -> None:
    with writing() as session:
        for alert in recent_alerts(session, world.viewer, model="toy"):
            resolve(session, SYSTEM, alert, why="test")
        session.query(MetricPoint).filter(MetricPoint.kind == "realised").delete()
        session.query(MetricPoint).filter(MetricPoint.kind == "estimated").update({"verdict": "ok"})
    with reading() as session:
        one = health_of(session, world.viewer, "toy", "production")
    assert (one.level, one.word, one.estimated) == ("unknown", "waiting for labels", True)


def test_windows_say_how_complete_they_are(world: World) -> None:
    windows = data.windows(data.scope_of(world.viewer), "toy", "1d").tail(DAYS)
    assert list(windows["rows"]) == [300, 300, 0, 300, 300]
    assert windows["completeness"].iloc[-1] == pytest.approx(0.9)
    assert windows["completeness"].isna().tolist() == [False, False, True, False, False]


def test_the_shares_of_a_column_are_of_all_its_rows(world: World) -> None:
    windows = data.windows(data.scope_of(world.viewer), "toy", "1d")
    last = int(windows["id"].iloc[-1])
    with reading() as session:
        found = compare_column(session, world.viewer, last, "distance")
    shares, reference = found.shares, found.reference
    assert shares is not None
    assert reference is not None
    for side, place in (("reference", 0), ("current", 1)):
        whole = sum(shares[side]) + sum(shares[key][place] for key in ("underflow", "overflow", "null"))
        assert whole == pytest.approx(1)
    assert reference.rows == found.current.rows == 300
    assert shares["overflow"][1] > 0.9
    with pytest.raises(NotFound, match="no profile of weight"), reading() as session:
        compare_column(session, world.viewer, last, "weight")


def test_categories_are_shares_of_all_rows_too(world: World) -> None:
    windows = data.windows(data.scope_of(world.viewer), "toy", "1d")
    last = int(windows["id"].iloc[-1])
    scope = data.scope_of(world.viewer)
    compared = data.comparison(scope, "toy", last, "carrier", "rule")
    assert data.comparison(scope, "toy", last, "weight", "rule") is None
    assert compared is not None
    found = compared.shares
    assert found is not None
    assert sorted(found["labels"]) == ["AA", "B6", "UA"]
    assert sum(found["current"]) + found["other"][1] + found["null"][1] == pytest.approx(1)


def test_points_are_kept_until_some_are_stored(world: World) -> None:
    scope = data.scope_of(world.viewer)

    def read() -> float:
        points = data.points(scope, "toy", "1d", ("realised",), statistic="roc_auc", since=None)
        return float(points["value"].iloc[-1])

    def change(value: float) -> None:
        with writing() as session:
            newest = session.query(MetricPoint).filter_by(statistic="roc_auc", kind="realised")
            newest.order_by(MetricPoint.window_start.desc()).first().value = value

    before = read()
    change(0.9)
    assert read() == before
    with writing() as session:
        record(session, SYSTEM, Action.WINDOW_COMPUTED, object_kind="model", object_id="toy", payload={})
    kept._stamp.clear()  # its seconds are over
    assert read() == pytest.approx(0.9)


def test_a_figure_is_drawn_anew_only_where_its_data_differ() -> None:
    drawn = []

    def draw(values: list[float]) -> go.Figure:
        drawn.append(values)
        return go.Figure()

    ask = kept.until_changed(draw)
    first = ask([1.0])
    assert ask([1.0]) is first
    assert ask([2.0]) is not first
    assert drawn == [[1.0], [2.0]]


def test_what_one_may_not_read_is_not_taken_from_anothers_cache(world: World) -> None:
    wanted = {"who": "", "limit": 5}
    assert data.audit_entries(data.scope_of(world.compliance), **wanted)
    nobody: Actor = replace(world.viewer, roles=frozenset())
    for read in (data.overview, data.models, data.audit_state):
        with pytest.raises(NotAllowed):
            read(data.scope_of(nobody))
    with pytest.raises(NotAllowed):
        data.audit_entries(data.scope_of(world.viewer), **wanted)


def test_an_entry_that_comes_while_the_log_is_read_is_not_taken_for_a_cut(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(session: ReadSession) -> LogState:
        found = log_state(session)
        with writing() as other:
            record(other, world.compliance, Action.AUDIT_EXPORTED, object_kind="log", object_id="all")
        return found

    monkeypatch.setattr("app.data.audit.log_state", overtaken)
    state, published, _ = data.audit_state(data.scope_of(world.compliance))
    assert published["published_size"] == state.size
    assert "cut" not in record_words(state, published)[0]


def test_clear_text_of_the_log_is_for_those_who_may_read_it(world: World) -> None:
    lead = data.audit_entries(data.scope_of(world.lead), limit=50)
    compliance = data.audit_entries(data.scope_of(world.compliance), limit=50)
    assert all(entry.payload is None for entry in lead)
    assert any(entry.payload for entry in compliance)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_every_change_is_exported_however_many_there_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = add_changes(world, 5)
    monkeypatch.setattr(downloads, "AT_ONCE", 2)
    asked = Request({"type": "http", "path_params": {"form": "json"}})
    rows = json.loads(bytes(downloads.export_changes(asked, world.lead).body))
    assert [row["id"] for row in rows] == numbers[::-1]
