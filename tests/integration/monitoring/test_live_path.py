"""The live path: rows and labels go in by the service, verdicts come out of the job, and agree with the backtest."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sqlalchemy import func, select, update

from backend.database.session import WriteSession, reading, writing
from backend.errors import NotFound
from backend.monitoring.backtest import replay
from backend.monitoring.columns import parse_spec
from backend.monitoring.history import check_history
from backend.monitoring.joint import DETECTORS
from backend.monitoring.outliers import STATISTIC as OUTLIERS
from backend.monitoring.rotas import rota_of, spec_of
from backend.monitoring.tables import (
    MetricPoint,
    ReferenceSummary,
    TrackedEstimate,
    WindowProfile,
    WindowState,
)
from backend.monitoring.track_service import read_track_record
from backend.registry.service import register_model
from backend.registry.tables import Model
from backend.settings import settings
from jobs import compute_metrics
from jobs.compute_joint import examine_due
from jobs.schedules import models_due
from tests.integration.monitoring.conftest import SPEC, Monitored, ago, make_monitored, sample
from tests.worlds import SYSTEM

TS = pa.timestamp("us", "UTC")


def guesses(
    start: datetime, rows: int, *, seed: int, task: str, hours: float = 24, wrong: float = 0.1
) -> pa.Table:
    """Rows of a regression or a three-class model; `wrong` says how far off it is."""
    random = np.random.default_rng(seed)
    x = random.normal(size=rows)
    shop = random.choice(["north", "south", "west"], size=rows)
    spacing = timedelta(hours=hours) / rows
    columns: dict[str, Any] = {
        "prediction_id": [f"p{seed}-{start:%m%d%H}-{number}" for number in range(rows)],
        "ts": pa.array([start + number * spacing for number in range(rows)], TS), "x": x, "shop": shop,
    }  # fmt: skip
    if task == "regression":
        label = 20 + 5 * x
        guess = label + random.normal(size=rows) * wrong * 10
        columns |= {"prediction": [f"{one:.6f}" for one in guess], "label": [f"{one:.6f}" for one in label]}
    else:
        names = np.array(["red", "green", "blue"])
        true = random.integers(0, 3, size=rows)
        said = np.where(random.random(rows) < wrong, (true + 1) % 3, true)
        columns |= {"prediction": names[said], "label": names[true], "score": random.uniform(0.5, 1, rows)}
    return pa.table(columns)


def rounded(value: Any) -> Any:
    """Without the last bits of a sum, which depend on the order in which rows were read."""
    return float(f"{value:.9g}") if isinstance(value, float) else value


def respec(**changes: Any) -> None:
    """Register the model again with other keys in its spec."""
    with writing() as session:
        spec = {**session.get_one(Model, "shopper").spec, **changes}
        register_model(
            session, SYSTEM, name="shopper", title="Shopper", description="", tier="medium", spec=spec
        )


@pytest.mark.parametrize("task", ["regression", "multiclass"])
def test_other_tasks_run_through_the_live_path(database: str, tmp_path: Path, task: str) -> None:
    primary = {"regression": "mae", "multiclass": "accuracy"}[task]
    reference = guesses(ago(90), 1200, seed=1, task=task, hours=24 * 30)
    shopper = make_monitored(tmp_path / "files", reference_data=reference, task=task)
    good, bad = guesses(ago(3), 300, seed=2, task=task), guesses(ago(2), 300, seed=3, task=task, wrong=0.6)
    for rows in (good, bad):
        shopper.predict(rows)
        shopper.label(rows)
    shopper.compute()
    fine, fell = (shopper.point(ago(day), "realised", primary) for day in (3, 2))
    assert (fine.verdict, fine.rows) == ("ok", 300)
    assert (fell.verdict, fell.level) == ("alarm", "page")
    assert shopper.point(ago(3), "drift", "psi", "x").verdict == "ok"
    assert {point.statistic for point in shopper.points(ago(3), "estimated")} >= {primary}


def test_probabilities_of_classes_are_stored_and_measured(database: str, tmp_path: Path) -> None:
    def with_scores(rows: pa.Table) -> pa.Table:
        for name in ("red", "green", "blue"):
            right = np.array(rows["label"].to_pylist()) == name
            rows = rows.append_column(f"score_{name}", pa.array(np.where(right, 0.6, 0.2)))
        return rows

    reference = with_scores(guesses(ago(90), 1200, seed=1, task="multiclass", hours=24 * 30))
    shopper = make_monitored(
        tmp_path / "files", reference_data=reference, task="multiclass", classes=["red", "green", "blue"]
    )
    rows = with_scores(guesses(ago(2), 300, seed=2, task="multiclass"))
    shopper.predict(rows)
    shopper.label(rows)
    shopper.compute()
    assert shopper.point(ago(2), "realised", "roc_auc").value == 1.0


def test_a_feature_that_was_never_sent_stops_nothing(shopper: Monitored) -> None:
    shopper.predict(sample(ago(2), 150, seed=1))
    respec(features={"x": "numeric", "shop": "categorical", "age": "numeric"})
    shopper.compute()
    assert shopper.point(ago(2), "drift", "psi", "x").verdict == "ok"
    assert shopper.point(ago(2), "drift", "psi", "age").verdict == "inconclusive"


def test_far_fewer_rows_than_usual_are_a_ticket_once(shopper: Monitored) -> None:
    for day in range(10, 2, -1):
        shopper.predict(sample(ago(day), 200 + day, seed=day))
    shopper.predict(sample(ago(2), 60, seed=2))
    shopper.predict(sample(ago(1), 60, seed=1))
    shopper.compute()
    usual, few = (shopper.points(ago(day), "volume")[0] for day in (3, 2))
    assert usual.verdict == "ok"
    assert (few.verdict, few.level, few.value is None) == ("alarm", "ticket", False)
    before = shopper.points(ago(2), "volume")
    shopper.compute()
    assert [point.id for point in shopper.points(ago(2), "volume")] == [point.id for point in before]


def test_a_window_is_judged_when_its_labels_speak_and_that_may_be_by_time_alone(
    database: str, tmp_path: Path
) -> None:
    shopper = make_monitored(tmp_path / "files", label_delay="30d")
    rows = sample(ago(5), 200, seed=1)
    shopper.predict(rows)
    shopper.label(rows.slice(0, 120))
    shopper.compute()
    waiting = shopper.windows()[0]
    assert (waiting.labelled_at, waiting.look_at) == (None, ago(-26))
    assert shopper.point(ago(5), "realised", "roc_auc").verdict == "inconclusive"
    assert shopper.compute(now=ago(-27)) >= 1
    spoken = shopper.windows()[0]
    assert spoken.labelled_at is not None
    assert spoken.look_at is None
    realised = shopper.point(ago(5), "realised", "roc_auc")
    assert (realised.verdict, realised.completeness) == ("ok", 0.6)


def test_few_labels_open_a_ticket_and_page_nobody(database: str, tmp_path: Path) -> None:
    shopper = make_monitored(tmp_path / "files", label_delay="1h")
    rows = sample(ago(2), 600, seed=1)
    at = rows.column_names.index("label")
    flipped = rows.set_column(at, "label", pa.array([str(1 - int(one)) for one in rows["label"].to_pylist()]))
    shopper.predict(flipped)
    shopper.label(flipped.slice(0, 300))
    shopper.compute()
    half = shopper.point(ago(2), "realised", "roc_auc")
    assert (half.verdict, half.level) == ("alarm", "ticket")
    shopper.label(flipped.slice(300))
    shopper.compute()
    assert shopper.point(ago(2), "realised", "roc_auc").level == "page"


def test_drift_is_stored_with_its_effect_and_importance(database: str, tmp_path: Path) -> None:
    shopper = make_monitored(tmp_path / "files", reference_rows=3000)
    shopper.predict(sample(ago(2), 400, seed=17, shift=2.0))
    shopper.compute()
    moved = shopper.point(ago(2), "drift", "psi", "x")
    assert moved.verdict == "alarm"
    assert moved.effect is not None
    assert moved.effect_se is not None
    assert moved.importance is not None
    shop = shopper.point(ago(2), "drift", "psi", "shop")
    assert shop.importance is not None
    assert moved.importance > shop.importance
    assert shop.effect is None
    assert moved.level in ("ticket", "info")


def test_a_reference_that_was_measured_otherwise_is_measured_again(shopper: Monitored) -> None:
    shopper.predict(sample(ago(2), 100, seed=1))
    shopper.compute()
    with writing() as session:
        summary = session.get_one(ReferenceSummary, ("shopper", 1))
        measured = summary.measured_as
        summary.measured_as, summary.trust, summary.losses = "", {"trusted": []}, {}
    shopper.predict(sample(ago(1), 100, seed=2))
    shopper.compute()
    with reading() as session:
        again = session.get_one(ReferenceSummary, ("shopper", 1))
        assert (again.measured_as, "label_looks" in again.trust) == (measured, True)
        assert set(again.losses) == {"x", "shop"}


def test_the_rota_of_a_model_are_the_models_served_beside_it(shopper: Monitored) -> None:
    with writing() as session:
        model = session.get_one(Model, "shopper")
        assert rota_of(session, spec_of(model), "production").tiers == ("medium",)
        assert rota_of(session, spec_of(model), "elsewhere").tiers == ("medium",)
        model.tier = "high"
        assert rota_of(session, spec_of(model), "production").tiers == ("high",)


def test_the_track_record_is_frozen_when_labels_come_and_survives_their_deletion(
    database: str, tmp_path: Path
) -> None:
    shopper = make_monitored(tmp_path / "files", reference_rows=6000)
    days = (4, 3, 2)
    windows = {day: sample(ago(day), 300, seed=day) for day in days}
    for rows in windows.values():
        shopper.predict(rows)
    shopper.compute()
    estimated = {day: shopper.point(ago(day), "estimated", "roc_auc").value for day in days}
    with reading() as session:
        before = read_track_record(session, SYSTEM, "shopper", "production", version=1)
        assert (before.record, before.points) == (None, ())
    for day in (4, 3):
        shopper.label(windows[day])
    shopper.compute()
    with reading() as session:
        found = read_track_record(session, SYSTEM, "shopper", "production", version=1)
    assert [(point.window.start, point.estimated) for point in found.points] == [
        (ago(day), estimated[day]) for day in (4, 3)
    ]
    assert all(point.estimated_at < point.realised_at for point in found.points)
    assert found.record is not None
    assert found.record.sentence.startswith("off by ")

    shutil.rmtree(settings().observations / "shopper" / "labels")
    with writing() as session:
        session.execute(update(WindowState).values(dirty_at=ago(0)))
    shopper.compute()
    assert shopper.point(ago(4), "realised", "roc_auc").value is None
    with reading() as session:
        after = read_track_record(session, SYSTEM, "shopper", "production", version=1)
    assert after == found


def test_labels_that_come_with_their_rows_leave_no_estimate_to_hold_them_against(
    database: str, tmp_path: Path
) -> None:
    shopper = make_monitored(tmp_path / "files", reference_rows=6000)
    rows = sample(ago(2), 300, seed=5)
    shopper.predict(rows)
    shopper.label(rows)
    shopper.compute()
    assert shopper.windows()[0].labelled_at is not None
    with reading() as session:
        assert session.scalar(select(func.count()).select_from(TrackedEstimate)) == 0


def test_segments_have_profiles_points_and_performance_and_open_tickets_at_most(
    database: str, tmp_path: Path
) -> None:
    shopper = make_monitored(tmp_path / "files", reference_rows=4000, segments=["shop"])
    rows = sample(ago(2), 1200, seed=1)
    north = np.array(rows["shop"].to_pylist()) == "north"
    x, label = rows["x"].to_numpy() + 3 * north, rows["label"].to_numpy(zero_copy_only=False)
    label = np.where(north, np.where(label == "1", "0", "1"), label)
    rows = rows.set_column(rows.column_names.index("x"), "x", pa.array(x))
    rows = rows.set_column(rows.column_names.index("label"), "label", pa.array(label.tolist()))
    shopper.predict(rows)
    shopper.label(rows)
    shopper.compute()
    with reading() as session:
        profiles = session.scalars(select(WindowProfile).where(WindowProfile.column == "x")).all()
        assert {(one.segment, one.profile["rows"]) for one in profiles} == {
            ("", 1200), *((f"shop={name}", int((np.array(rows["shop"].to_pylist()) == name).sum()))
                          for name in ("north", "south", "west")),
        }  # fmt: skip
        points = {
            (p.segment, p.kind, p.column, p.statistic): p
            for p in session.scalars(select(MetricPoint).where(MetricPoint.segment != ""))
        }
    moved = points["shop=north", "drift", "x", "psi"]
    assert (moved.verdict, moved.level) == ("alarm", "ticket")
    assert "x in shop=north" in moved.text
    assert points["shop=south", "drift", "x", "psi"].verdict == "ok"
    fell = points["shop=north", "realised", "", "roc_auc"]
    assert (fell.verdict, fell.level, fell.rows) == ("alarm", "ticket", int(north.sum()))
    assert points["shop=south", "realised", "", "roc_auc"].verdict == "ok"
    assert {point.level for point in points.values()} <= {None, "ticket", "info"}


def test_another_rule_of_reference_is_judged_from_stored_profiles_without_rows(
    shopper: Monitored, tmp_path: Path
) -> None:
    for day in range(8, 3, -1):
        shopper.predict(sample(ago(day), 200, seed=day))
    for day in (3, 2):
        shopper.predict(sample(ago(day), 200, seed=day, shift=2.0))
    shopper.compute()
    assert [shopper.point(ago(day), "drift", "psi", "x").verdict for day in (4, 3, 2)] == [
        "ok",
        "alarm",
        "alarm",
    ]
    with reading() as session:
        assert models_due(session, ago(0)) == []

    respec(reference="previous")
    settings().observations.rename(tmp_path / "away")
    with reading() as session:
        assert [due.subject for due in models_due(session, ago(0))] == ["shopper"]
    assert shopper.compute() == 0
    assert [shopper.point(ago(day), "drift", "psi", "x").verdict for day in (4, 3, 2)] == [
        "ok",
        "alarm",
        "ok",
    ]
    first = shopper.point(ago(8), "drift", "psi", "x")
    assert (first.verdict, first.value) == ("inconclusive", None)
    assert "no windows before this one" in first.reason
    with reading() as session:
        assert models_due(session, ago(0)) == []

    respec(reference={"kind": "rolling", "length": "4w"})
    shopper.compute()
    assert [shopper.point(ago(day), "drift", "psi", "x").verdict for day in (4, 3, 2)] == [
        "ok",
        "alarm",
        "alarm",
    ]
    respec(reference="fixed")
    shopper.compute()
    assert shopper.point(ago(8), "drift", "psi", "x").verdict == "ok"


def test_late_rows_judge_the_windows_that_look_back_on_them_again(database: str, tmp_path: Path) -> None:
    shopper = make_monitored(tmp_path / "files")
    respec(reference="previous")
    shopper.predict(sample(ago(3), 200, seed=1, shift=2.0))
    shopper.predict(sample(ago(2), 200, seed=2, shift=2.0))
    shopper.compute()
    assert shopper.point(ago(2), "drift", "psi", "x").verdict == "ok"
    assert shopper.point(ago(2), "drift", "psi", "x").rows_reference == 200
    late = sample(ago(3), 600, seed=3)
    shopper.predict(late)
    shopper.compute()
    again = shopper.point(ago(2), "drift", "psi", "x")
    assert (again.verdict, again.rows_reference) == ("alarm", 800)
    shopper.label(late)
    judged = {window.start: window.judged_by for window in shopper.windows()}
    kept = [(p.id, p.value) for p in shopper.points(ago(3), "drift")]
    shopper.compute()
    assert {window.start: window.judged_by for window in shopper.windows()} == judged
    assert [(p.id, p.value) for p in shopper.points(ago(3), "drift")] == kept


def test_windows_of_rows_are_cut_in_order_and_late_rows_move_those_after_them(
    database: str, tmp_path: Path
) -> None:
    shopper = make_monitored(tmp_path / "files", window="100")
    rows = sample(ago(4), 350, seed=1, hours=60)
    shopper.predict(rows)
    shopper.compute()
    found = shopper.windows("100")
    assert [(window.number, window.rows, window.state) for window in found] == [
        (1, 100, "complete"), (2, 100, "complete"), (3, 100, "complete"), (4, 50, "open"),
    ]  # fmt: skip
    times = rows["ts"].to_pylist()
    assert [(window.start, window.end) for window in found] == [
        (times[first], times[min(first + 99, 349)] + timedelta(microseconds=1))
        for first in (0, 100, 200, 300)
    ]
    assert shopper.points(times[300], size="100") == []
    with reading() as session:
        seen = {
            point.window_id: point
            for point in session.scalars(
                select(MetricPoint).where(
                    MetricPoint.kind == "drift", MetricPoint.column == "x", MetricPoint.statistic == "psi"
                )
            )
        }
    assert set(seen) == {window.id for window in found[:3]}
    assert shopper.compute() == 0

    late = sample(times[150] + timedelta(seconds=1), 10, seed=9, hours=0.01, shift=1.0)
    shopper.predict(late)
    shopper.compute()
    moved = shopper.windows("100")
    assert [(window.number, window.rows) for window in moved] == [(1, 100), (2, 100), (3, 100), (4, 60)]
    assert (moved[0].start, moved[0].computed_at) == (found[0].start, found[0].computed_at)
    assert [moved[i].start for i in (1, 2)] == [times[100], times[190]]
    with reading() as session:
        now = {
            point.window_id: point
            for point in session.scalars(
                select(MetricPoint).where(
                    MetricPoint.kind == "drift", MetricPoint.column == "x", MetricPoint.statistic == "psi"
                )
            )
        }
    second = found[1].id
    assert now[second].value != seen[second].value
    assert now[second].first_value == seen[second].value
    assert now[found[0].id].computed_at == seen[found[0].id].computed_at

    shopper.label(rows.slice(0, 100))
    shopper.compute()
    assert shopper.point(times[0], "realised", "roc_auc", size="100").verdict == "ok"
    more = sample(ago(1), 140, seed=10, hours=1)
    shopper.predict(more)
    shopper.compute()
    assert [window.rows for window in shopper.windows("100")] == [100] * 5


@pytest.mark.parametrize("window", ["100", "1d"])
def test_a_job_that_dies_anywhere_ends_as_one_that_does_not(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: str
) -> None:
    monkeypatch.setattr(compute_metrics, "BATCH_WINDOWS", 2)
    shopper = make_monitored(tmp_path / "files", window=window, segments=["shop"], reference="previous")
    rows = sample(ago(4), 350, seed=1, hours=70)
    shopper.predict(rows)
    shopper.label(rows)
    died = 0
    for last in range(1, 100):
        calls = 0

        def dies(session: WriteSession, last: int = last) -> None:
            nonlocal calls
            calls += 1
            if calls == last:
                raise NotFound("killed")

        try:
            shopper.compute(guard=dies)
            break
        except NotFound:
            died += 1
    assert died >= 4

    def stored() -> list[dict[str, Any]]:
        with reading() as session:
            found = session.scalars(
                select(MetricPoint).order_by(
                    MetricPoint.window_start, MetricPoint.segment, MetricPoint.kind, MetricPoint.column,
                    MetricPoint.statistic,
                )
            )  # fmt: skip
            return [
                {column.name: rounded(getattr(point, column.name)) for column in MetricPoint.__table__.columns
                 if column.name not in ("id", "computed_at")}
                for point in found
            ]  # fmt: skip

    once = stored()
    assert {point["kind"] for point in once} >= {"drift", "prediction", "quality", "realised"}
    with writing() as session:
        session.execute(update(WindowState).values(dirty_at=ago(0), judged_by=None))
    shopper.compute()
    assert stored() == once


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param(
            {
                "reference": {"kind": "rolling", "length": "2d"}, "segments": ["shop"],
                "rules": ["x < 1.5", "score > 0"],
            },
            marks=pytest.mark.slow,
        ),
        pytest.param({"reference": "previous"}, marks=pytest.mark.slow),
    ],
    ids=["fixed", "rolling with segments and rules", "previous"],
)  # fmt: skip
def test_the_live_path_says_what_the_backtest_says(
    database: str, tmp_path: Path, changes: dict[str, Any]
) -> None:
    reference = sample(ago(90), 3000, seed=1001, hours=24 * 30)
    shopper = make_monitored(tmp_path / "files", reference_data=reference, **changes)
    shifts = {5: 0.0, 4: 0.0, 3: 1.5, 2: 0.2}
    days = {day: sample(ago(day), 300, seed=day, shift=shift) for day, shift in shifts.items()}
    frames = []
    for split, table in [("reference", reference), *(("live", rows) for rows in days.values())]:
        frame = table.to_pandas()
        frames.append(frame.assign(split=split, label_ts=frame["ts"] + timedelta(hours=1)))
    spec = parse_spec({**SPEC, **changes})
    told = replay(spec, check_history(pd.concat(frames), spec))
    for rows in days.values():
        shopper.predict(rows)
        shopper.compute()
    for rows in days.values():
        shopper.label(rows)
    shopper.compute()
    if spec.rules:
        examine_due("shopper")
    wanted = {
        (window.start, point.segment, point.family, point.column or "", point.statistic): (
            point.verdict, point.level
        )
        for window in told.windows
        for point in window.points
        if point.family
        != "volume"  # the reference is a sample of rows: live, earlier windows say what is usual
    }  # fmt: skip
    found = {
        (
            point.window_start, point.segment, "drift" if point.kind == "prediction" else point.kind, point.column,
            point.statistic,
        ): (point.verdict, point.level)
        for day in days
        for point in shopper.points(ago(day))
        if point.statistic not in (*DETECTORS, OUTLIERS)  # these are not part of a backtest
    }  # fmt: skip
    assert found == wanted
    assert ("alarm", "ticket") in found.values()
