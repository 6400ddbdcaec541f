"""A model is never fine by its primary metric alone: other metrics, and labels of a newer window, are said as well."""

from __future__ import annotations

from datetime import timedelta

import pytest
import streamlit as st
from sqlalchemy import delete, select

from app import data
from app.components.incident_parts import situation
from backend.alerting.tables import Alert
from backend.database.session import writing
from backend.monitoring.tables import MetricPoint, WindowState
from tests.integration.app.test_pages import Open, open_page, text_of, world
from tests.watched import Watched, watch
from tests.worlds import World

__all__ = ["open_page", "world"]


@pytest.fixture
def calm(world: World) -> Watched:
    """`toy` with an AUC within its limit in every window, and nothing that fires."""
    watched = watch(world)
    with writing() as session:
        session.execute(delete(Alert))
        for point in session.scalars(select(MetricPoint).where(MetricPoint.statistic == "roc_auc")):
            point.value, point.verdict = 0.72, "ok"
    st.cache_data.clear()
    return watched


def add_point(watched: Watched, statistic: str, value: float, limit: float, verdict: str) -> None:
    with writing() as session:
        window = session.scalars(
            select(WindowState).where(WindowState.start == watched.last_window, WindowState.size == "1d")
        ).one()
        session.add(
            MetricPoint(
                window_id=window.id, model="toy", environment="production", size="1d", window_start=window.start,
                kind="realised", column="", statistic=statistic, value=value, threshold=limit, verdict=verdict,
                level="ticket" if verdict == "alarm" else None, reference_value=0.44, rows=300, rows_reference=300,
                completeness=0.9, first_value=value, first_computed_at=window.end, computed_at=window.end,
            )
        )  # fmt: skip
    st.cache_data.clear()


def test_a_metric_beyond_its_limit_is_named_beside_a_primary_one_that_holds(
    world: World, calm: Watched, open_page: Open
) -> None:
    (health,) = data.overview(data.scope_of(world.viewer))
    assert health.level == "ok"
    add_point(calm, "recall", 0.018, 0.355, "alarm")
    (health,) = data.overview(data.scope_of(world.viewer))
    assert (health.level, health.because) == (
        "attention",
        "recall of the last judged window beyond the limit",
    )
    for page in ("overview", "model", "performance"):
        said = text_of(open_page(world.viewer, page, model="toy"))
        assert "recall 0.018 (limit 0.355) beyond its limit" in said, page
        assert "w-headline w-attention" in said, page


def test_labels_of_a_newer_window_are_told_before_they_are_judged(
    world: World, calm: Watched, open_page: Open
) -> None:
    add_point(calm, "accuracy", 0.451, 0.707, "inconclusive")
    with writing() as session:
        point = session.scalars(
            select(MetricPoint).where(
                MetricPoint.statistic == "roc_auc", MetricPoint.kind == "realised",
                MetricPoint.window_start == calm.last_window,
            )
        ).one()  # fmt: skip
        point.value, point.verdict = 0.699, "inconclusive"
    st.cache_data.clear()
    scope = data.scope_of(world.viewer)
    health = data.health_of(scope, "toy")
    assert (health.level, health.word) == ("unknown", "not judged")
    assert health.window_start == calm.last_window - timedelta(days=1)
    told = "270 of 300 labels, not judged yet: AUC 0.699; accuracy 0.451 (limit 0.707) beyond its limit"
    incident = {"alerts": [], "opened_at": calm.last_window}
    assert told in situation(incident, data.model(scope, "toy"), health, "1d")["performance"]
    for page in ("overview", "model"):
        assert told in text_of(open_page(world.viewer, page, model="toy")), page
    said = text_of(open_page(world.viewer, "performance", model="toy"))
    assert "270 of 300 labels say 0.699" in said
    assert "accuracy 0.451 (limit 0.707) beyond its limit" in said
    assert "w-headline w-unknown" in said


def test_a_few_labels_say_nothing(world: World, calm: Watched) -> None:
    add_point(calm, "accuracy", 0.451, 0.707, "inconclusive")
    with writing() as session:
        window = session.scalars(select(WindowState).where(WindowState.start == calm.last_window)).one()
        window.labels_known = 20
        for point in session.scalars(
            select(MetricPoint).where(
                MetricPoint.statistic == "roc_auc", MetricPoint.kind == "realised",
                MetricPoint.window_start == calm.last_window,
            )
        ):  # fmt: skip
            point.verdict = "inconclusive"
    st.cache_data.clear()
    assert data.health_of(data.scope_of(world.viewer), "toy").level == "ok"


def test_old_labels_and_estimates_that_none_has_checked_are_no_good_news(
    world: World, calm: Watched, open_page: Open
) -> None:
    with writing() as session:
        first = min(session.scalars(select(MetricPoint.window_start)))
        session.execute(
            delete(MetricPoint).where(MetricPoint.kind == "realised", MetricPoint.window_start > first)
        )
    st.cache_data.clear()
    assert "w-headline w-unknown" in text_of(open_page(world.viewer, "performance", model="toy"))
    said = text_of(open_page(world.viewer, "performance", model="toy", range="1y"))
    assert "by estimate since, within its limit, which no label has checked" in said
    assert "w-headline w-unknown" in said
    add_point(calm, "recall", 0.018, 0.355, "alarm")
    with writing() as session:
        for point in session.scalars(select(MetricPoint).where(MetricPoint.statistic == "recall")):
            point.window_start = first
    st.cache_data.clear()
    said = text_of(open_page(world.viewer, "performance", model="toy", range="1y"))
    assert "w-headline w-attention" in said, "an alarm is louder than what is not known"
