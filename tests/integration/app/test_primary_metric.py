"""A model is told by the metric of its own task, in the unit of its label."""

from __future__ import annotations

import pytest
import streamlit as st
from sqlalchemy import update

from app import data
from app.components.overview_parts import model_row
from backend.database.session import writing
from backend.monitoring.tables import MetricPoint
from backend.registry.tables import Model
from tests.integration.app.test_pages import Open, open_page, text_of, world
from tests.watched import watch
from tests.worlds import SPEC, World

__all__ = ["open_page", "world"]


@pytest.fixture
def delays(world: World) -> World:
    """`toy` as a regression of minutes: its error rose in the last window."""
    watch(world)
    with writing() as session:
        session.execute(update(Model).values(spec={**SPEC, "task": "regression", "label_unit": "min"}))
        session.execute(
            update(MetricPoint).where(MetricPoint.statistic == "roc_auc").values(statistic="mae", value=4.1)
        )
        newest = session.query(MetricPoint).filter_by(statistic="mae", kind="realised")
        newest.order_by(MetricPoint.window_start.desc())[0].value = 5.25
    st.cache_data.clear()
    return world


def test_a_regression_is_told_by_its_error_in_the_unit_of_its_label(delays: World, open_page: Open) -> None:
    (health,) = data.overview(data.scope_of(delays.viewer))
    assert (health.metric, health.unit, health.value) == ("mae", "min", 5.25)
    assert [value for value, _ in health.history][-3:] == pytest.approx([4.1, 4.1, 5.25])
    cells = "".join(str(cell) for cell in model_row(health))
    assert "MAE 5.25\u202fmin" in cells
    for page in ("overview", "model"):
        said = text_of(open_page(delays.viewer, page, model="toy"))
        assert "MAE 5.25\u202fmin" in said
        assert "AUC 5.25" not in said
    assert "AUC of" not in text_of(open_page(delays.viewer, "overview"))


def test_a_classifier_of_several_classes_is_told_by_its_accuracy(delays: World) -> None:
    with writing() as session:
        session.execute(update(Model).values(spec={**SPEC, "task": "multiclass"}))
        session.execute(
            update(MetricPoint).where(MetricPoint.statistic == "mae").values(statistic="accuracy")
        )
    st.cache_data.clear()
    (health,) = data.overview(data.scope_of(delays.viewer))
    assert (health.metric, health.unit) == ("accuracy", "")
