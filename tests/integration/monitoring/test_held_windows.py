"""A hold on windows: rows that retention or an erasure took do not take what was measured of them along."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from backend.database.session import reading, writing
from backend.holds.service import list_holds, place_hold, release_hold
from backend.holds.views import hold_views
from backend.identity.roles import Role
from backend.monitoring.tables import WindowProfile
from backend.observations.writer import trim_model_rows
from backend.settings import settings
from tests.integration.monitoring.conftest import Monitored, ago, sample
from tests.integration.monitoring.test_metrics_job import facts, touch
from tests.worlds import person


def profiles() -> int:
    with reading() as session:
        return session.scalar(select(func.count()).select_from(WindowProfile)) or 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_window_on_hold_is_not_computed_again_from_fewer_rows(shopper: Monitored) -> None:
    rows = sample(ago(3), 120, seed=1)
    shopper.predict(rows)
    shopper.compute()
    before, kept = facts(shopper.points(ago(3))), profiles()
    with writing() as session:
        carla, other = (person(session, name, Role.COMPLIANCE) for name in ("carla", "cleo"))
        hold = place_hold(session, carla, kind="windows", object_id="shopper", reason="the court asked")
        (view,) = hold_views(session, list_holds(session, carla))
    assert view["keeps"].startswith("3 computed windows")

    shopper.label(rows)  # as many rows: late labels still come in
    shopper.compute()
    assert [one.kind for one in shopper.points(ago(3)) if one.kind == "realised"]
    before = facts(shopper.points(ago(3)))

    trim_model_rows(
        settings().observations, settings().spool, "shopper", before=ago(1).date(), keep=frozenset()
    )
    touch(3)
    shopper.compute()
    assert shopper.compute() == 0
    assert (facts(shopper.points(ago(3))), profiles()) == (before, kept)

    with writing() as session:
        release_hold(session, other, hold.id, why="settled")
    touch(3)
    shopper.compute()
    assert profiles() < kept
