"""Drift of attributions is a stored figure of a window: judged, alerted, and looked at by monitors like any other."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, select, update

from backend import clock
from backend.alerting.service import Firing, fire
from backend.alerting.tables import Alert
from backend.database.session import reading, writing
from backend.errors import BadInput
from backend.explain.attribution_drift import store_attribution_points
from backend.explain.figures import MOVED, ndcg_interval
from backend.explain.tables import AttributionWindow
from backend.explain.views import leaning_view
from backend.explain.windows import list_leanings, windows_to_explain
from backend.monitoring.analysis_tables import WindowAnalysis
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.monitoring.judgement import judge
from backend.monitoring.monitor_history import read_history
from backend.monitoring.monitor_replay import replay
from backend.monitoring.monitors import parse_monitor
from backend.monitoring.tables import ATTRIBUTION, MetricPoint, WindowState
from backend.registry.tables import Model
from tests.explained import WEIGHTS, store_windows
from tests.worlds import SPEC, SYSTEM, World, make_world

COLUMNS = ("distance", "carrier", "month", "hour")


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> World:
    """Six explained windows of version 2, which serves; in the newest one the order of the columns is turned round."""
    made = make_world(tmp_path / "files")
    with writing() as session:
        store_windows(session)
        session.get_one(Model, "toy").created_at = clock.now() - timedelta(days=30)
        for one in session.scalars(select(AttributionWindow)):
            session.add(
                WindowState(
                    model="toy", environment="production", size=spec().window, start=one.start, end=one.end, version=2,
                    rows=1200, state="complete", computed_at=clock.now(),
                )
            )  # fmt: skip
    return made


def spec() -> ModelSpec:
    return parse_spec(SPEC)


def tell() -> int:
    """As the job that explains samples does."""
    with writing() as session:
        stored = store_attribution_points(session, SYSTEM, model="toy", environment="production", spec=spec())
        judge(
            session,
            SYSTEM,
            model=session.get_one(Model, "toy"),
            environment="production",
            spec=spec(),
        )
    return stored


def alert() -> Alert:
    with reading() as session:
        return session.scalars(select(Alert).where(Alert.kind == ATTRIBUTION)).one()


def test_the_stored_figures_are_those_of_the_page_with_an_interval_and_are_stored_once(world: World) -> None:
    assert tell() == 6
    assert tell() == 0
    with reading() as session:
        points = session.scalars(select(MetricPoint).where(MetricPoint.kind == ATTRIBUTION)).all()
        shown = leaning_view(session, session.scalars(select(AttributionWindow)).all())
    of_all = {clock.to_iso(one.window_start): one for one in points if one.statistic == "ndcg"}
    assert {start: one.value for start, one in of_all.items()} == {one["start"]: one["ndcg"] for one in shown}
    newest = max(of_all)
    verdicts = {one.verdict for start, one in of_all.items() if start != newest}
    assert (verdicts, of_all[newest].verdict, of_all[newest].level) == ({"ok"}, "alarm", "ticket")
    assert all(
        one.low <= one.value <= one.high for one in of_all.values() if one.low and one.value and one.high
    )
    moved = {one["column"]: abs(one["moved"]) for one in shown[-1]["ranks"]}
    assert moved == {one.column: one.value for one in points
                     if one.statistic == "rank_change" and clock.to_iso(one.window_start) == newest}  # fmt: skip


def test_a_moved_order_is_one_ticket_that_ends_when_the_order_is_back(world: World) -> None:
    tell()
    fired = alert()
    assert (fired.state, fired.level, fired.details["statistic"]) == ("firing", "ticket", "ndcg")
    assert "what version 2 leans on: hour went from place 4 to 1 (NDCG 0." in fired.title
    turned = [
        {"column": name, "mean_abs": size, "se": 0.01} for name, size in zip(COLUMNS, WEIGHTS, strict=True)
    ]
    with writing() as session:
        newest = session.scalars(select(AttributionWindow).order_by(AttributionWindow.start.desc())).first()
        assert newest is not None
        session.execute(
            update(AttributionWindow)
            .where(AttributionWindow.start == newest.start)
            .values(columns=turned, computed_at=clock.now())
        )
    assert tell() == 1
    assert alert().state == "resolved"


def test_a_monitor_looks_at_how_far_a_column_moved_and_drift_of_attributions_alone_never_pages(
    world: World,
) -> None:
    tell()
    definition = {
        "name": "hour comes to lead", "level": "ticket",
        "when": {"kind": "attribution", "column": "hour", "statistic": "rank_change",
                 "threshold": {"kind": "constant", "value": 2}},
    }  # fmt: skip
    monitor = parse_monitor(definition, sizes=[spec().window], min_rows=500, columns=COLUMNS)
    with reading() as session:
        history = read_history(
            session,
            "toy",
            "production",
            size=spec().window,
            figures=tuple(monitor.figures),
            limit=100,
        )
    assert replay(monitor, history).fires_now
    with pytest.raises(BadInput, match="never pages"):
        parse_monitor({**definition, "level": "page"}, sizes=[spec().window], min_rows=500, columns=COLUMNS)


def test_a_few_explained_rows_leave_it_open() -> None:
    """The same two orders, known well and hardly."""
    reference = [
        {"column": name, "mean_abs": size, "se": 0.001} for name, size in zip("ab", (1.0, 0.5), strict=True)
    ]
    turned = [
        {"column": name, "mean_abs": size, "se": 0.01} for name, size in zip("ab", (0.5, 1.0), strict=True)
    ]
    low, high = ndcg_interval(reference, turned)
    assert low <= high < MOVED
    low, high = ndcg_interval(reference, [{**one, "se": 0.6} for one in turned])
    assert low < MOVED < high


def test_the_newest_windows_alone_are_read_where_so_many_are_asked_for(world: World) -> None:
    """Windows stay for ever; pages and jobs look at few of them."""
    with reading() as session:
        every = list_leanings(session, world.viewer, "toy", "production", version=2)
        newest = list_leanings(session, world.viewer, "toy", "production", version=2, most=2)
        assert not list_leanings(session, world.viewer, "toy", "production", version=1, most=2)
    starts = sorted({one.start for one in every})
    assert len(starts) == 6
    assert [one.start for one in newest] == [one.start for one in every if one.start in starts[-2:]]
    loaded: list[AttributionWindow] = []

    def note(one: AttributionWindow, _context: object) -> None:
        loaded.append(one)

    event.listen(AttributionWindow, "load", note)
    try:
        with reading() as session:
            asked = parse_spec({**SPEC, "explanations": {"sample": 40}})
            windows_to_explain(session, model="toy", environment="production", spec=asked)
    finally:
        event.remove(AttributionWindow, "load", note)
    assert not loaded, "no figure is read to know which windows are due"


def test_a_window_that_gets_an_alert_or_worst_slices_after_its_rows_is_explained_again(world: World) -> None:
    """Labels come late: what their alerts and slices are about is always explained, whenever they come."""
    asked = parse_spec({**SPEC, "explanations": {"sample": 40, "always": 10}})

    def due() -> list[WindowState]:
        with reading() as session:
            return windows_to_explain(session, model="toy", environment="production", spec=asked)

    with writing() as session:
        explained = {one.start: one for one in session.scalars(select(AttributionWindow))}
        every = session.scalars(select(WindowState).order_by(WindowState.start)).all()
        windows = [one for one in every if one.start in explained]
        for one in every:
            if one.start in explained:
                explained[one.start].window_rows = one.rows
            else:
                one.state = "open"  # no part of this
    assert due() == []
    with writing() as session:
        session.add(
            WindowAnalysis(
                window_id=windows[2].id, model="toy", environment="production", size="1d",
                window_start=windows[2].start, version=2, digest="d", metric="roc_auc", rows=1200, completeness=1.0,
                document={}, happened=[], computed_at=clock.now(),
            )
        )  # fmt: skip
    assert [one.start for one in due()] == [windows[2].start]
    with writing() as session:
        fire(session, SYSTEM, Firing("toy", "production", 2, "realised", "page", "AUC fell", "roc_auc",
                                     windows[4].start, {}))  # fmt: skip
    assert [one.start for one in due()] == [windows[place].start for place in (5, 4, 2)]
    with writing() as session:
        for one in session.scalars(select(AttributionWindow)):
            one.computed_at = clock.now()
    assert due() == []
    with writing() as session:
        one = session.scalars(
            select(AttributionWindow).where(AttributionWindow.start == windows[0].start)
        ).first()
        assert one is not None
        one.reason, one.computed_at = "its files are not there", clock.now() - timedelta(hours=7)
    assert [one.start for one in due()] == [windows[0].start]
