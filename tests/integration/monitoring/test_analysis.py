"""Analysing windows end to end: rows and labels in, metrics computed, a planted cause and slice found and stored."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import select, update

from backend import clock
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed, NotFound
from backend.identity.roles import Role
from backend.monitoring import analysis_service
from backend.monitoring.analysis_service import find_analysis, models_to_analyse, request_analysis
from backend.monitoring.analysis_tables import WindowAnalysis
from backend.monitoring.columns import parse_spec
from backend.monitoring.tables import MetricPoint, WindowState
from backend.registry.tables import Model
from jobs.analyse_window import analyse_due, analyse_one
from tests.integration.monitoring.conftest import Monitored, ago, make_monitored, sample
from tests.worlds import SYSTEM, person


def worse_in(rows: pa.Table, shop: str, *, seed: int = 0) -> pa.Table:
    """The same rows with labels that say nothing in one shop."""
    here = np.asarray(rows.column("shop")) == shop
    label = np.asarray(rows.column("label")).copy()
    label[here] = np.random.default_rng(seed).integers(0, 2, here.sum()).astype(str)
    return rows.set_column(rows.column_names.index("label"), "label", pa.array(label))


def analyses() -> list[WindowAnalysis]:
    with reading() as session:
        return list(session.scalars(select(WindowAnalysis).order_by(WindowAnalysis.id)))


def due() -> list[str]:
    with reading() as session:
        return models_to_analyse(session, clock.now())


@pytest.fixture
def fallen(database: object, home: Path, tmp_path: Path) -> Monitored:
    """Yesterday's labels say nothing where shop is north; half an hour's pause between analyses is over at once."""
    shopper = make_monitored(tmp_path / "files", reference_rows=3000)
    rows = worse_in(sample(ago(1), 1500, seed=3), "north")
    shopper.predict(rows)
    shopper.label(rows)
    shopper.compute()
    return shopper


def test_a_planted_slice_is_found_from_ingest_to_analysis(fallen: Monitored) -> None:
    assert fallen.point(ago(1), "realised", "roc_auc").verdict == "alarm"
    assert due() == ["shopper"]
    said: list[tuple[float, str]] = []
    assert analyse_due("shopper", progress=lambda share, doing: said.append((share, doing))) == 1
    (found,) = analyses()
    split = found.document["split"]
    assert sum(part["value"] for part in split["parts"]) == pytest.approx(split["worse"], abs=0.001)
    assert split["window"] == pytest.approx(fallen.point(ago(1), "realised", "roc_auc").value, abs=1e-9)
    behaviour = next(part for part in split["parts"] if part["kind"] == "behaviour")
    assert behaviour["value"] >= 0.8 * split["worse"]
    worst = found.document["became_worse"]["slices"][0]
    assert [one["text"] for one in worst["conditions"]] == ["shop = north"]
    assert worst["p_corrected"] < 0.001
    assert worst["inside"] < worst["outside"] < worst["reference_inside"] + 0.2
    assert found.document["became_worse"]["looked_at"] > 20
    assert found.document["says"].startswith("roc_auc fell by ")
    assert "from behaviour in shop = north" in found.document["says"]
    compared = {one["value"]: one for one in found.document["segments"][0]["cells"]}
    assert compared["north"]["metric"] < compared["south"]["metric"]
    assert compared["north"]["reference_metric"] > compared["north"]["metric"] + 0.1
    assert (found.reason, found.rows, found.completeness, found.version) == ("", 1500, 1.0, 1)
    assert [share for share, _ in said] == sorted(share for share, _ in said)
    assert "searching slices" in said[-1][1]


def test_the_same_inputs_are_analysed_once_and_more_labels_anew(
    fallen: Monitored, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyse_due("shopper")
    assert (due(), analyse_due("shopper"), len(analyses())) == ([], 0, 1)
    more = worse_in(sample(ago(1), 300, seed=4), "north")
    fallen.predict(more)
    fallen.label(more)
    fallen.compute()
    assert due() == []  # it was analysed within the last half hour
    with reading() as session:
        stale = find_analysis(session, SYSTEM, model="shopper", start=ago(1))
    assert stale is not None
    assert stale.stale
    monkeypatch.setattr(analysis_service, "PAUSE", timedelta(0))
    assert due() == ["shopper"]
    assert analyse_due("shopper") == 1
    first, second = analyses()
    assert (first.rows, second.rows) == (1500, 1800)
    assert first.digest != second.digest
    with reading() as session:
        newest = find_analysis(session, SYSTEM, model="shopper", start=ago(1))
    assert newest is not None
    assert (newest.row.id, newest.stale) == (second.id, False)


def test_quiet_windows_are_analysed_only_when_asked_for(database: object, home: Path, tmp_path: Path) -> None:
    shopper = make_monitored(tmp_path / "files", reference_rows=3000)
    rows = sample(ago(1), 800, seed=5)
    shopper.predict(rows)
    shopper.label(rows)
    shopper.compute()
    assert due() == []
    with writing() as session:
        run = request_analysis(
            session, person(session, "oncall", Role.ON_CALL), model="shopper", start=ago(1)
        )
        arguments = dict(run.arguments)
    assert analyse_one("shopper", arguments) == 1
    (found,) = analyses()
    assert found.document["became_worse"]["slices"] == []
    assert found.document["became_worse"]["looked_at"] > 20
    assert "within what chance gives" in found.document["says"] or not found.document["split"]["significant"]
    assert analyse_one("shopper", arguments) == 1  # by hand also again: its row is replaced
    assert len(analyses()) == 1


def test_asking_needs_the_right_a_window_and_rows(fallen: Monitored) -> None:
    with writing() as session:
        viewer, on_call = person(session, "eve", Role.VIEWER), person(session, "bob", Role.ON_CALL)
        with pytest.raises(NotAllowed):
            request_analysis(session, viewer, model="shopper", start=ago(1))
        with pytest.raises(NotFound, match="no window of 1d in production that starts at"):
            request_analysis(session, on_call, model="shopper", start=ago(40))
    with reading() as session:
        assert find_analysis(session, viewer, model="shopper", start=ago(1)) is None
    fallen.predict(sample(ago(4), 60, seed=9))
    fallen.compute()
    with writing() as session, pytest.raises(BadInput, match="has no rows to analyse"):
        request_analysis(session, on_call, model="shopper", start=ago(3))


def test_what_cannot_be_analysed_is_stored_with_the_reason(fallen: Monitored, tmp_path: Path) -> None:
    (tmp_path / "files" / "reference-1.parquet").write_bytes(b"another file")
    assert analyse_due("shopper") == 1
    (found,) = analyses()
    assert "the reference data at" in found.reason
    assert found.document["says"].startswith("What changed cannot be told: the reference data")
    assert due() == []


def test_a_window_without_labels_says_how_many_are_needed(shopper: Monitored, home: Path) -> None:
    shopper.predict(sample(ago(1), 300, seed=6))
    shopper.compute()
    arguments = {"environment": "production", "size": "1d", "start": clock.to_iso(ago(1))}
    assert analyse_one("shopper", arguments) == 1
    (found,) = analyses()
    assert found.reason == "the window has no rows with output and label"
    assert found.document["always_hard"]["reason"] == "0 labelled rows; 100 are needed"
    assert found.completeness == 0


def test_what_happened_before_is_kept_beside_it(fallen: Monitored) -> None:
    gone = sample(ago(2), 400, seed=7)
    gone = gone.set_column(gone.column_names.index("x"), "x", pa.nulls(400, pa.float64()))
    fallen.predict(sample(ago(3), 400, seed=8))
    fallen.predict(gone)
    fallen.compute()
    with writing() as session:
        from backend.deployment.service import mark_serving, start_deployment

        opened = start_deployment(
            session, SYSTEM, model="shopper", environment="production", version=1, change_id=None,
            reason="again", at=ago(2) + timedelta(hours=3),
        )  # fmt: skip
        mark_serving(session, SYSTEM, opened, at=ago(2) + timedelta(hours=3))
    analyse_due("shopper")
    happened = analyses()[-1].happened
    assert [one["at"] for one in happened] == sorted(one["at"] for one in happened)
    told = {(one["kind"], one["text"]) for one in happened}
    assert ("schema", "x vanished: no row has a value") in told
    assert ("schema", "x appeared: it has values again") in told
    assert ("deployment", "version 1 as champion") in told
    assert any(kind == "quality" and "x" in text for kind, text in told)


def test_an_unknown_model_is_not_found(database: object, home: Path) -> None:
    with pytest.raises(NotFound, match="no model named 'nobody'"):
        analyse_due("nobody")


def test_at_most_three_windows_a_run_newest_first(fallen: Monitored) -> None:
    for age in (2, 3, 4, 5):
        rows = worse_in(sample(ago(age), 900, seed=20 + age), "south")
        fallen.predict(rows)
        fallen.label(rows)
    fallen.compute()
    with writing() as session:  # whatever the limits made of these windows
        session.execute(
            update(MetricPoint)
            .where(MetricPoint.kind == "realised", MetricPoint.statistic == "roc_auc")
            .values(verdict="alarm")
        )
    assert analyse_due("shopper") == 3
    assert [row.window_start for row in analyses()] == [ago(1), ago(2), ago(3)]
    assert analyse_due("shopper") == 2
    assert due() == []


def test_a_worker_that_loses_its_run_keeps_what_is_stored_and_the_next_goes_on(fallen: Monitored) -> None:
    rows = worse_in(sample(ago(2), 900, seed=22), "south")
    fallen.predict(rows)
    fallen.label(rows)
    fallen.compute()
    asked = 0

    def guard(_session: object) -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise RuntimeError("the run was given to another worker")

    with reading() as session:
        spec = parse_spec(session.get_one(Model, "shopper").spec)
        both = session.scalars(select(WindowState).order_by(WindowState.start.desc())).all()
        due = analysis_service.inputs_of(session, both, spec)
    from jobs.analyse_window import _analyse_all, _silent

    with pytest.raises(RuntimeError, match="another worker"):
        _analyse_all("shopper", "production", spec, due, _silent, guard)
    assert [row.window_start for row in analyses()] == [ago(1)]
    _analyse_all("shopper", "production", spec, due, _silent, lambda _session: None)
    assert [row.window_start for row in analyses()] == [ago(1), ago(2)]


def test_of_very_many_rows_a_share_is_drawn_and_both_numbers_are_kept(
    fallen: Monitored, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs import analyse_window

    monkeypatch.setattr(analyse_window, "MOST_ROWS", 1000)
    assert analyse_due("shopper") == 1
    document = analyses()[0].document
    assert document["rows_read"] == {"reference": 3000, "window": 1500}
    assert document["rows_used"]["reference"] == 1000
    assert 850 < document["rows_used"]["window"] < 1150
