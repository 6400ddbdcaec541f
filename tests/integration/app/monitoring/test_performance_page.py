"""Performance: what labels showed, what is estimated since, and what stands behind both."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import delete, select

from backend.database.session import writing
from backend.monitoring.kpi_service import store_kpis
from backend.monitoring.tables import (
    MetricPoint,
    TrackedEstimate,
    WindowState,
)
from tests.integration.app.monitoring.opened import DAYS, Open, chart, text_of
from tests.worlds import World


def test_performance_says_what_labels_showed_and_what_is_estimated_since(
    open_page: Open, starts: list[datetime]
) -> None:
    said = text_of(open_page("performance"))
    assert "against 0.720 in the reference" in said
    assert "by estimate since, beyond its limit" in said
    assert "Estimates of AUC were off by" in said
    assert "By segment, from labels" in said
    assert "no label has come" in said
    assert "Your own figures" not in said


def test_what_was_seen_then_is_drawn_when_asked_for(open_page: Open, starts: list[datetime]) -> None:
    now, then = (open_page("performance", seen=seen) for seen in ("now", "first"))
    assert chart(now, "performance") != chart(then, "performance")
    assert "first seen as" in chart(now, "performance")


def test_figures_of_the_user_stand_beside_performance(
    world: World, open_page: Open, starts: list[datetime]
) -> None:
    rows = [
        {"ts": start + timedelta(hours=hour), "name": "conversion", "value": 0.1 + hour / 100}
        for start in starts[:5]
        for hour in (1, 2, 3)
    ]
    with writing() as session:
        store_kpis(session, world.engineer, model="toy", environment="production", rows=rows)
    test = open_page("performance")
    assert "Your own figures" in text_of(test)
    assert "conversion" in chart(test, "kpi:conversion")


def test_without_any_label_the_estimate_is_not_called_fine(open_page: Open, starts: list[datetime]) -> None:
    with writing() as session:
        session.execute(delete(MetricPoint).where(MetricPoint.kind == "realised"))
        session.execute(delete(TrackedEstimate))
        for point in session.scalars(select(MetricPoint).where(MetricPoint.kind == "estimated")):
            point.verdict = "ok"
    said = text_of(open_page("performance"))
    assert "no label has come to confirm it" in said
    assert "w-headline w-unknown" in said
    assert "No estimate of AUC has been checked by labels yet" in said


def test_the_first_labels_of_a_window_are_told_and_keep_it_from_being_fine(
    open_page: Open, starts: list[datetime]
) -> None:
    chosen = starts[-2]
    with writing() as session:
        session.execute(delete(MetricPoint).where(MetricPoint.kind == "realised", MetricPoint.segment != ""))
        for point in session.scalars(select(MetricPoint).where(MetricPoint.kind == "estimated")):
            point.verdict = "ok"
        for point in session.scalars(
            select(MetricPoint).where(MetricPoint.kind == "realised", MetricPoint.statistic == "roc_auc")
        ):
            point.verdict = "inconclusive"
            if point.window_start == chosen:
                point.value, point.low, point.high, point.threshold = 0.601, 0.511, 0.691, 0.65
                point.completeness = 0.7
        window = session.scalars(select(WindowState).where(WindowState.start == chosen)).one()
        window.rows, window.labels_known = 742, 523
    said = text_of(open_page("performance", window=chosen.isoformat()))
    assert "no label has come to confirm it" not in said
    assert "523 of 742 labels say 0.601 (0.511 to 0.691), preliminary and beyond the limit 0.650" in said
    assert "not known yet" in said
    assert "w-headline w-unknown" in said


def test_the_table_of_windows_says_how_many_it_leaves_out(
    open_page: Open, starts: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.components import window_table

    monkeypatch.setattr(window_table, "SHOWN", 10)
    said = text_of(open_page("performance"))
    assert f"The latest 10 of {DAYS + 1} windows" in said
    assert "statistic=roc_auc" in said
    assert "kind=realised&amp;kind=estimated&amp;window=" in said
    assert "– to –" not in said


def test_a_regression_in_windows_of_rows_is_shown_in_its_own_words(
    open_page: Open, starts: list[datetime]
) -> None:
    from backend.registry.tables import Model

    with writing() as session:
        model = session.get_one(Model, "toy")
        model.spec = {**model.spec, "task": "regression", "window": "400"}
        for window in session.scalars(select(WindowState)):
            window.size, window.number = "400", window.id
        for point in session.scalars(select(MetricPoint)):
            point.size = "400"
            point.statistic = {"roc_auc": "mae", "accuracy": "rmse"}.get(point.statistic, point.statistic)
    said = text_of(open_page("performance"))
    assert "MAE 0." in said
    assert "RMSE" in said
    test = open_page("drift")
    assert "matters most, an estimated 0.021 ± 0.008 MAE worse" in text_of(test).replace("0.00784", "0.008")
    assert "windows of 400 rows" in test.selectbox(key="pick:size").options
    assert "checks are within their limits" in text_of(open_page("quality"))


def test_a_report_of_the_window_looked_at_is_asked_for(
    world: World, open_page: Open, starts: list[datetime]
) -> None:
    from backend.queue import JobRun

    test = open_page("performance", who=world.on_call, window=starts[0].isoformat())
    next(one for one in test.button if one.label == "Evidently report of this window").click().run()
    assert not test.exception
    with writing() as session:
        (run,) = session.scalars(select(JobRun).where(JobRun.name == "write_report")).all()
        assert str(starts[0].date()) in str(run.arguments)
    button = next(one for one in open_page("performance").button if one.label.startswith("Evidently"))
    assert button.disabled


def test_the_two_values_of_the_reference_are_told_apart_and_so_is_the_zone_of_windows(
    open_page: Open, starts: list[datetime]
) -> None:
    from backend.registry.tables import Model, Version

    with writing() as session:
        version = session.get_one(Version, ("toy", 2))
        version.metrics = {"roc_auc": {"value": 0.751}}
        model = session.get_one(Model, "toy")
        model.spec = {**model.spec, "timezone": "America/New_York"}
    said = text_of(open_page("performance"))
    assert "is 0.720 in its own windows of this size" in said
    assert "0.751 over all its rows at once" in said
    assert "windows begin by the clock of America/New_York" in said
