"""The job that examines the rows of finished windows: what it stores, when again, and what it raises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import select

from backend.alerting.tables import Alert
from backend.database.session import reading, writing
from backend.errors import NotFound
from backend.monitoring.examination import STATISTICS
from backend.monitoring.tables import ATTRIBUTION, MetricPoint
from jobs.compute_joint import examine_due
from jobs.schedules import models_unexamined
from tests.integration.monitoring.conftest import Monitored, ago, make_monitored, sample

pytestmark = pytest.mark.slow  # whole windows with trees and principal components, on both databases


def examined(shopper: Monitored, days: float = 2) -> dict[tuple[str, str], MetricPoint]:
    return {(p.statistic, p.column): p for p in shopper.points(ago(days)) if p.statistic in STATISTICS}


@pytest.fixture
def ruled(database: object, home: Path, tmp_path: Path) -> Monitored:
    return make_monitored(
        tmp_path / "files", reference_rows=900, rules=["x < 3.5", "shop in ('north', 'south', 'west')"]
    )


def keep_attribution(shopper: Monitored) -> int:
    """A figure that explanations gave of the window; its id."""
    with writing() as session:
        beside = shopper.points(ago(2))[0]
        point = MetricPoint(
            **{name: getattr(beside, name) for name in ("window_id", "model", "environment", "size", "window_start")},
            kind=ATTRIBUTION, column="", statistic="ndcg", segment="", value=0.97, threshold=0.9, verdict="ok",
            rows=100, computed_at=ago(0), first_computed_at=ago(0), first_value=0.97,
        )  # fmt: skip
        session.add(point)
        session.flush()
        return point.id


def due() -> list[str]:
    with reading() as session:
        return [one.subject for one in models_unexamined(session, ago(0))]


def test_finished_windows_are_examined_once_and_late_labels_leave_it_so(ruled: Monitored) -> None:
    rows = sample(ago(2), 300, seed=1)
    ruled.predict(rows)
    ruled.compute()
    assert due() == ["shopper"]
    assert examine_due("shopper") == 1
    found = examined(ruled)
    assert set(found) == {
        ("correlation_change", ""), ("pca_reconstruction", ""), ("domain_classifier", ""), ("outlier_rows", ""),
        ("rule_violations", "x < 3.5"), ("rule_violations", "shop in ('north', 'south', 'west')"),
    }  # fmt: skip
    assert {key[0]: point.kind for key, point in found.items()} == {
        "correlation_change": "drift", "pca_reconstruction": "drift", "domain_classifier": "drift",
        "outlier_rows": "quality", "rule_violations": "quality",
    }  # fmt: skip
    assert {point.verdict for point in found.values()} == {"ok", "inconclusive"}
    assert (
        found["correlation_change", ""].reason
        == "fewer than two columns have values in both the window and the reference"
    )
    assert (due(), examine_due("shopper")) == ([], 0)

    explained = keep_attribution(ruled)
    ruled.label(rows)
    assert ruled.compute() == 1
    assert [point.id for point in ruled.points(ago(2), ATTRIBUTION)] == [explained]
    after = examined(ruled)
    assert {key: point.id for key, point in after.items()} == {key: point.id for key, point in found.items()}
    assert due() == []


def test_more_rows_make_a_window_due_again_and_what_was_seen_then_stays(ruled: Monitored) -> None:
    ruled.predict(sample(ago(2), 200, seed=1))
    ruled.compute()
    examine_due("shopper")
    before = examined(ruled)["domain_classifier", ""]
    ruled.predict(sample(ago(2), 100, seed=2))
    ruled.compute()
    assert examine_due("shopper") == 1
    now = examined(ruled)["domain_classifier", ""]
    assert (before.rows, now.rows) == (200, 300)
    assert (now.first_value, now.first_computed_at) == (before.value, before.first_computed_at)


def test_a_joint_change_is_a_ticket_about_the_inputs(ruled: Monitored) -> None:
    """x is large where shop is north: x and shop are distributed as before."""
    rows = sample(ago(1), 900, seed=3)
    north = np.asarray(rows.column("shop")) == "north"
    values, random = np.sort(np.asarray(rows.column("x"))), np.random.default_rng(0)
    x = np.empty(900)
    x[north] = random.permutation(values[-north.sum() :])
    x[~north] = random.permutation(values[: -north.sum()])
    ruled.predict(rows.set_column(rows.column_names.index("x"), "x", pa.array(x)))
    ruled.compute()
    examine_due("shopper")
    assert examined(ruled, 1)["domain_classifier", ""].verdict == "alarm"
    with reading() as session:
        alerts = session.scalars(select(Alert).where(Alert.state == "firing", Alert.kind == "drift")).all()
    assert [(alert.level, alert.details["statistic"]) for alert in alerts] == [
        ("ticket", "domain_classifier")
    ]


def test_rows_against_a_rule_alarm_for_that_rule_alone(ruled: Monitored) -> None:
    rows = sample(ago(1), 400, seed=4)
    shop = np.asarray(rows.column("shop")).copy()
    shop[:20] = "east"
    ruled.predict(rows.set_column(rows.column_names.index("shop"), "shop", pa.array(shop)))
    ruled.compute()
    examine_due("shopper")
    found = examined(ruled, 1)
    assert found["rule_violations", "shop in ('north', 'south', 'west')"].verdict == "alarm"
    assert found["rule_violations", "shop in ('north', 'south', 'west')"].value == pytest.approx(0.05)
    assert found["rule_violations", "x < 3.5"].verdict == "ok"


def test_windows_of_a_version_nobody_registered_are_passed_over(ruled: Monitored) -> None:
    ruled.predict(sample(ago(2), 100, seed=5), version=7)
    ruled.compute()
    assert examine_due("shopper") == 0
    assert (examined(ruled), due()) == ({}, [])


def test_an_unknown_model_is_not_found(ruled: Monitored) -> None:
    with pytest.raises(NotFound, match="no model named 'nobody'"):
        examine_due("nobody")


def test_windows_of_rows_that_never_had_a_feature_are_examined_and_say_that_nothing_is_known(
    migrated_home: Path, tmp_path: Path
) -> None:
    bare = make_monitored(tmp_path / "files", reference_rows=300, rules=["x < 3.5"])
    rows = sample(ago(2), 100, seed=1)
    bare.predict(rows.select([name for name in rows.column_names if name not in ("x", "shop")]))
    bare.compute()
    assert examine_due("shopper") == 1
    found = examined(bare)
    assert ("outlier_rows", "") in found and ("rule_violations", "x < 3.5") in found
    told = {key: (point.verdict, point.reason) for key, point in found.items()}
    assert {verdict for verdict, _ in told.values()} <= {"no_data", "inconclusive"}, told
