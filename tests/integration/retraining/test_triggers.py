"""What sets a retraining off by itself: one change for one cause, held back by cool-down and budget."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from backend import clock
from backend.alerting.service import Firing, fire
from backend.audit.verification import verify
from backend.database.session import reading, writing
from backend.errors import BadInput
from backend.governance.tables import Change
from backend.identity.tables import Person
from backend.monitoring.columns import parse_spec
from backend.monitoring.tables import WindowState
from backend.registry.tables import Model, Version
from backend.retraining.steps import begin_step
from backend.retraining.tables import RetrainingCause, RetrainingStep
from backend.retraining.triggers import causes_now
from backend.retraining.views import run_view
from jobs.open_retraining import close_lost, open_due
from tests.integration.retraining.conftest import Here, ask, begin, close, describe, plan
from tests.worlds import SPEC, SYSTEM, World, set_tier

DRIFT: dict[str, Any] = {
    "trainer": "sklearn_boosting", "window": "60d", "limits": {"hours": 0.5}, "cooldown": "3d",
    "triggers": [{"on": "drift"}],
}  # fmt: skip


def set_off(column: str = "distance", *, kind: str = "drift", level: str = "ticket") -> int:
    with writing() as session:
        return fire(
            session, SYSTEM,
            Firing("toy", "production", 2, kind, level, f"{column} drifts", column, clock.now(), {"column": column}),
        ).id  # fmt: skip


def look() -> list[int]:
    return open_due(Here())  # type: ignore[arg-type]


def causes() -> list[RetrainingCause]:
    with reading() as session:
        return list(session.scalars(select(RetrainingCause).order_by(RetrainingCause.cause)))


def changes() -> list[Change]:
    with reading() as session:
        return list(session.scalars(select(Change).where(Change.kind == "retrain").order_by(Change.id)))


def test_one_cause_that_fires_twice_opens_one_change(world: World) -> None:
    describe(world, retraining=DRIFT)
    alert = set_off("distance")
    set_off("carrier")
    (opened,) = look()
    set_off("distance")
    assert look() == []
    (change,) = changes()
    assert (change.id, change.alert_id, change.requested_by) == (opened, alert, world.engineer.person_id)
    assert (change.state, change.within_envelope) == ("approved", True)
    assert "distance drifts and 1 more" in change.reason
    assert change.subject["trigger"]["on"] == "drift"
    (cause,) = causes()
    assert (cause.cause, cause.change_id) == (f"alert {alert}", opened)
    assert verify().ok


def test_another_cause_waits_until_the_model_has_cooled_down(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe(world, retraining={**DRIFT, "triggers": [{"on": "drift"}, {"on": "schedule", "every": "1h"}]})
    set_off()
    look()
    close(begin(changes()[0]).id)
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + timedelta(hours=2))
    assert look() == []
    held = [one for one in causes() if one.trigger == "schedule"]
    assert held[0].held_because.startswith(f"it cools down after CHG-{changes()[0].id} until ")
    monkeypatch.setattr(clock, "now", lambda: now + timedelta(days=3, hours=1))
    assert len(look()) == 1


def test_the_budget_of_the_week_holds_triggers_back(world: World) -> None:
    describe(
        world, retraining={**DRIFT, "cooldown": "1min", "budget": {"runs_per_week": 1, "hours_per_week": 9}}
    )
    close(begin(ask(world.engineer, plan(wall_s=60))).id)
    with writing() as session:
        session.get_one(Change, changes()[0].id).requested_at = clock.now() - timedelta(hours=1)
    set_off()
    assert look() == []
    assert causes()[0].held_because == "1 of 1 runs of this week are used"


def test_outside_the_envelope_a_trigger_waits_for_a_decision_and_without_an_owner_nobody_asks(
    world: World,
) -> None:
    describe(world, retraining=DRIFT)
    with writing() as session:
        set_tier(session, "toy", "high")
        session.get_one(Model, "toy").owner_id = None
    set_off()
    assert look() == []
    assert causes()[0].held_because == "nobody owns the model: a trigger asks in the name of its owner"
    with writing() as session:
        session.get_one(Model, "toy").owner_id = world.engineer.person_id
    assert len(look()) == 1
    (change,) = changes()
    assert (change.state, change.within_envelope) == ("waiting", False)


def test_no_trigger_asks_in_the_name_of_a_closed_account(world: World) -> None:
    describe(world, retraining=DRIFT)
    set_off()
    with writing() as session:
        session.get_one(Person, world.engineer.person_id).disabled_at = clock.now()
    assert look() == []
    assert causes()[0].held_because.startswith(
        "the account of the model's owner is closed: name another owner"
    )
    with writing() as session:
        person = session.get_one(Person, world.engineer.person_id)
        person.disabled_at, person.expires_at = None, clock.now()
    assert look() == []
    with writing() as session:
        session.get_one(Model, "toy").owner_id = world.on_call.person_id
    assert len(look()) == 1
    assert changes()[0].requested_by == world.on_call.person_id


def test_realised_performance_and_new_labels_are_causes_and_what_is_unknown_is_none(world: World) -> None:
    triggers = [{"on": "realised"}, {"on": "labels", "new": 5000}]
    describe(world, retraining={**DRIFT, "triggers": triggers})
    with reading() as session:
        assert causes_now(session, clock.now()) == []
    set_off("roc_auc", kind="realised", level="page")
    with reading() as session:
        (found,) = causes_now(session, clock.now())
    assert (found.cause.on, found.model) == ("realised", "toy")


def test_new_labels_open_one_change_and_as_many_again_another_where_that_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = {**DRIFT, "cooldown": "1min", "triggers": [{"on": "labels", "new": 50}]}
    describe(world, retraining=rule)
    now = clock.now()
    with writing() as session:
        session.get_one(Version, ("toy", 2)).trained_at = now - timedelta(hours=3)
    _label(now - timedelta(hours=2), 50)
    (first,) = look()
    assert look() == []
    close(begin(changes()[0]).id, "failed")
    monkeypatch.setattr(clock, "now", lambda: now + timedelta(hours=5))
    _label(now + timedelta(hours=1), 49)
    assert look() == []
    _label(now + timedelta(hours=2), 1)
    assert len(look()) == 1
    assert [one.cause for one in causes()] == [f"labels after CHG-{first}", "labels after v2"]
    assert "50 labels are known of what came since the rows of CHG-" in changes()[1].reason


def _label(start: datetime, known: int) -> None:
    with writing() as session:
        session.add(
            WindowState(model="toy", environment="production", size=parse_spec(SPEC).window, start=start,
                        end=start + timedelta(hours=1), version=2, rows=known, labels_known=known, state="complete")
        )  # fmt: skip


def test_a_run_whose_workers_were_given_up_is_closed(world: World) -> None:
    from backend.queue import JobRun
    from tests.integration.retraining.conftest import run_of

    run = begin(ask(world.engineer))
    with writing() as session:
        session.get_one(JobRun, run.id).state = "failed"
        begin_step(session, run.id, "train")
        step = session.get_one(RetrainingStep, (run.id, "train"))
        step.seconds, step.started_at = 60.0, clock.now() - timedelta(days=3)
    assert close_lost(Here()) == 1  # type: ignore[arg-type]
    assert run_of(run.id).state == "failed"
    with reading() as session:
        shown = run_view(session, world.engineer, run.id)
    assert (shown["step"], shown["cost"]["seconds"]) == ("", 60.0), "nothing goes on, and nothing is added"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"triggers": []}, "retraining.trainer"),
        ({"trainer": "x", "triggers": [{"on": "moon"}]}, r"retraining.triggers\[0\].on: 'moon'"),
        ({"trainer": "x", "triggers": [{"on": "schedule"}]}, r"retraining.triggers\[0\].every"),
        ({"trainer": "x", "triggers": [{"on": "labels"}]}, r"retraining.triggers\[0\].new"),
        ({"trainer": "x", "budget": {"runs": 2}}, "retraining.budget: runs is not one of"),
        ({"trainer": "x", "cooldown": "soon"}, "retraining.cooldown: 'soon' is not a duration"),
    ],
)
def test_a_spec_says_what_is_wrong_with_its_triggers(value: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parse_spec({**SPEC, "retraining": value})
