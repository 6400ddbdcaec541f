"""What a rollout leaves behind is kept for a while, and as long as something open may ask for it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import func, select, update

from backend import clock
from backend.database.session import reading, writing
from backend.deployment.service import end_beside, open_beside
from backend.deployment.tables import Deployment, ServingTally
from backend.governance.kinds import Asked
from backend.governance.tables import Change
from backend.holds.service import place_hold
from backend.holds.tables import Hold
from backend.leases import WRITER, take_lease
from backend.observations import delta, reader
from backend.observations.delta import with_day
from backend.observations.schema import TIME, shadow_table
from backend.observations.validation import rows_to_table
from backend.settings import settings
from jobs import prune
from tests.integration.governance.conftest import UNGATED, ask, carry_out, put_in_force, say
from tests.worlds import SYSTEM, World, make_world

SHADOWS = shadow_table("toy")


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    found = make_world(tmp_path / "files", versions=3)
    with writing() as session:
        put_in_force(session, found, UNGATED)
    return found


def trial(world: World, *, ended_days_ago: float | None) -> Change:
    """A change that is over, under which version 1 was a shadow, with counts; None: the shadow is still open."""
    change = ask(world.engineer, Asked("promote", "production", "toy", 1))
    say(world.lead, change)
    carry_out(change)
    with writing() as session:
        shadow = open_beside(
            session, SYSTEM, model="toy", environment="production", version=2, cutoff=0.5, role="shadow", share=0.0,
            change_id=change.id, reason="tried",
        )  # fmt: skip
        session.add(
            ServingTally(
                deployment_id=shadow.id, tried=shadow.id, gateway_id="g", process="p", rows=10, failed=0, scored=10,
                score_sum=4.0, buckets={}, updated_at=clock.now(),
            )
        )  # fmt: skip
        if ended_days_ago is not None:
            end_beside(session, SYSTEM, change_id=change.id, reason="over")
            session.execute(
                update(Deployment)
                .where(Deployment.id == shadow.id)
                .values(ended_at=clock.now() - timedelta(days=ended_days_ago))
            )
    return change


def score(days_ago: float) -> None:
    """What a shadow scored on a day."""
    moment = clock.now() - timedelta(days=days_ago)
    rows: list[dict[str, Any]] = [
        {"prediction_id": f"p-{days_ago}-{number}", "ts": moment, "version": 2, "environment": "production",
         "role": "shadow", "score": 0.5, "prediction": "1", "features": {"distance": 1.0, "carrier": "UA"}}
        for number in range(3)
    ]  # fmt: skip
    stored = {"row_digest": pa.string(), "source": pa.string(), "ingested_at": TIME}
    made = rows_to_table(
        "predictions",
        [
            row | {"row_digest": row["prediction_id"], "source": "gateway", "ingested_at": moment}
            for row in rows
        ],
        stored,
    )
    delta.append(settings().observations, SHADOWS, "predictions", with_day(made, "predictions"), ["s"])


def kept() -> tuple[int, int]:
    """Rows of counts, rows that shadows scored."""
    with reading() as session:
        tallies = int(session.scalar(select(func.count()).select_from(ServingTally)) or 0)
    return tallies, reader.read(settings().observations, SHADOWS).num_rows


def clean() -> None:
    prune.delete_trials()
    prune.delete_shadows("a run")


def test_what_is_older_than_a_month_goes_and_the_rest_stays(world: World) -> None:
    trial(world, ended_days_ago=29)
    for days in (1, 29, 40):
        score(days)
    clean()
    assert kept() == (1, 6)
    clean()
    assert kept() == (1, 6)
    with writing() as session:
        session.execute(
            update(Deployment)
            .where(Deployment.role == "shadow")
            .values(ended_at=clock.now() - timedelta(days=31))
        )
    clean()
    assert kept() == (0, 6)


def test_the_setting_says_how_long(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    trial(world, ended_days_ago=29)
    score(29)
    monkeypatch.setenv("WARRANT_KEEP_TRIALS_DAYS", "7")
    settings.cache_clear()
    clean()
    assert kept() == (0, 0)


def test_nothing_goes_while_something_is_tried(world: World) -> None:
    trial(world, ended_days_ago=None)
    score(40)
    clean()
    assert kept() == (1, 3)


def test_nothing_goes_while_a_change_of_what_serves_is_open(world: World) -> None:
    trial(world, ended_days_ago=40)
    score(40)
    waiting = ask(world.engineer, Asked("promote", "production", "toy", 2))
    clean()
    assert kept() == (1, 3)
    say(world.lead, waiting, "reject", comment="no")
    clean()
    assert kept() == (0, 0)


def test_a_writer_that_is_busy_is_not_disturbed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    score(40)
    monkeypatch.setattr(prune, "WRITER_TRIES", 2)
    with writing() as session:
        assert take_lease(session, WRITER, holder="the writer", lasts=timedelta(minutes=1)) is not None
    assert prune.delete_shadows("a run") == 0
    assert kept()[1] == 3


@pytest.mark.parametrize(("kind", "left"), [("windows", (1, 0)), ("predictions", (0, 3)), ("person", (0, 3))])
def test_a_hold_keeps_what_a_trial_left_behind(world: World, kind: str, left: tuple[int, int]) -> None:
    trial(world, ended_days_ago=40)
    score(40)
    with writing() as session:
        thing = "*" if kind == "person" else "toy"
        place_hold(session, world.compliance, kind=kind, object_id=thing, reason="court file 7")
    clean()
    assert kept() == left
    with writing() as session:
        session.execute(update(Hold).values(released_at=clock.now()))
    clean()
    assert kept() == (0, 0)
