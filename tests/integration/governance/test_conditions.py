"""What has to go on holding while a version serves: marked, alerted on, acted on once, approved anew."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import yaml
from sqlalchemy import delete, select, update

from backend import clock
from backend.alerting.mitigation import tend_mitigated
from backend.alerting.tables import Alert, Incident
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.deployment.service import champion
from backend.errors import BadInput
from backend.governance import execution
from backend.governance.conditions import conditions_of, evaluate_conditions, models_to_check, note_conditions
from backend.governance.kinds import Asked
from backend.governance.policy_document import read_policy
from backend.governance.tables import Change, Condition
from backend.monitoring.tables import MetricPoint, WindowState
from backend.queue import CHECK_CONDITIONS, JobRun
from backend.registry.tables import Model
from jobs.schedules import request_due
from tests.integration.governance.conftest import ask, carry_out, now, pass_hours, put_in_force, say
from tests.worlds import SYSTEM, World

PROMOTE = Asked("promote", "production", "toy", 1)


def promote(world: World, **rule: Any) -> Change:
    """Version 1 replaces version 3 under this rule."""
    with writing() as session:
        put_in_force(session, world, yaml.safe_dump({"rules": [{"name": "test", "rule": rule}]}))
    change = ask(world.engineer, PROMOTE)
    say(world.lead, change)
    done = carry_out(now(change))
    assert done.state == "executed", done.outcome
    return done


def feed(verdict: str) -> None:
    """The newest window, with one check of quality."""
    end = clock.now() - timedelta(hours=1)
    with writing() as session:
        session.execute(delete(MetricPoint))
        session.execute(delete(WindowState))
        row = WindowState(
            model="toy", environment="production", size="1d", start=end - timedelta(days=1), end=end, version=1,
            rows=500, state="complete", computed_at=clock.now(),
        )  # fmt: skip
        session.add(row)
        session.flush()
        session.add(
            MetricPoint(
                window_id=row.id, model="toy", environment="production", size="1d", window_start=row.start,
                kind="quality", column="distance", statistic="missing_rate", value=0.4, verdict=verdict,
                text="distance is missing", rows=500, first_computed_at=clock.now(), computed_at=clock.now(),
            )
        )  # fmt: skip


def check() -> list[Change]:
    """What the job does."""
    with reading() as session:
        found = evaluate_conditions(session, "toy")
    with writing() as session:
        return note_conditions(session, SYSTEM, "toy", found)


def standing(world: World) -> dict[str, str]:
    with reading() as session:
        return {row["gate"]: row["state"] for row in conditions_of(session, world.viewer, "toy")}


def alerts() -> list[tuple[str, str]]:
    with reading() as session:
        return [(alert.level, alert.state) for alert in session.scalars(select(Alert).order_by(Alert.id))]


DATA = {"conditions": [{"gate": "data_checks_passed"}]}


def test_conditions_open_with_the_deployment_and_are_unknown_until_they_are_seen_to_hold(
    world: World,
) -> None:
    done = promote(world, **DATA)
    assert standing(world) == {"data_checks_passed": "unknown"}
    with writing() as session:  # a repetition of the last step adds nothing
        serving = champion(session, "toy", "production")
        assert serving is not None
        execution.finish(session, SYSTEM, done.id, serving.id, outcome="again")
    with reading() as session:
        assert len(session.scalars(select(Condition)).all()) == 1
        assert models_to_check(session) == ["toy"]
    feed("inconclusive")
    check()
    assert standing(world) == {"data_checks_passed": "unknown"}
    feed("ok")
    check()
    assert standing(world) == {"data_checks_passed": "holds"}
    assert alerts() == []


def test_a_breach_raises_one_ticket_and_is_resolved_when_it_holds_again(world: World) -> None:
    promote(world, **DATA)
    feed("alarm")
    check()
    check()
    assert standing(world) == {"data_checks_passed": "broken"}
    assert alerts() == [("ticket", "firing")]
    feed("inconclusive")  # not known now: what was broken is not taken for mended
    check()
    assert standing(world) == {"data_checks_passed": "broken"}
    assert alerts() == [("ticket", "firing")]
    feed("ok")
    check()
    assert standing(world) == {"data_checks_passed": "holds"}
    assert alerts() == [("ticket", "resolved")]
    with reading() as session:
        actions = [entry.action for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.seq))]
    assert [one for one in actions if one.startswith("governance:condition")] == [
        "governance:condition:break", "governance:condition:hold",
    ]  # fmt: skip


def test_a_breach_pages_where_the_rule_says_so(world: World) -> None:
    promote(world, **DATA, on_breach="page")
    feed("alarm")
    check()
    assert alerts() == [("page", "firing")]
    with reading() as session:
        assert session.scalars(select(Incident)).one().state == "open"


def test_a_breach_takes_the_agreed_return_once_and_ends_its_incident(world: World) -> None:
    done = promote(world, **DATA, on_breach="return")
    feed("alarm")
    taken = check()
    assert [(one.kind, one.to_version, one.state) for one in taken] == [("rollback", 3, "approved")]
    assert taken[0].requested_by == done.requested_by
    assert "data_checks_passed" in taken[0].reason
    assert check() == []
    with reading() as session:
        runs = session.scalars(select(JobRun.id).where(JobRun.name == "execute_change")).all()
        assert f"change-{taken[0].id}" in runs
        alert = session.scalars(select(Alert)).one()
        assert alert.details["return"] == f"CHG-{taken[0].id} returns to version 3"
    assert carry_out(taken[0]).state == "executed"
    with reading() as session:
        serving = champion(session, "toy", "production")
        assert serving is not None
        assert serving.version == 3
        assert session.scalars(select(Incident)).one().phase == "mitigated"
    check()
    assert alerts() == [("page", "resolved"), ("page", "firing")], "the data are no better for version 3"
    feed("ok")
    check()
    assert alerts() == [("page", "resolved"), ("page", "resolved")]
    with writing() as session:
        assert tend_mitigated(session, SYSTEM) == 1
        assert session.scalars(select(Incident)).one().state == "closed"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_return_that_came_by_itself_to_nothing_is_not_told_as_coming(world: World) -> None:
    promote(world, **DATA, on_breach="return")
    feed("alarm")
    (taken,) = check()
    with writing() as session:
        execution.begin(session, SYSTEM, taken.id, f"change-{taken.id}")
        execution.restore(session, SYSTEM, taken.id, why="no gateway followed")
    assert check() == [], "it is tried once"
    with reading() as session:
        told = session.scalars(select(Alert).where(Alert.kind == "condition")).one().details["return"]
    assert told.startswith(
        f"CHG-{taken.id}, which was to return to version 3, is failed: somebody has to take"
    )


def test_a_return_that_is_no_longer_what_was_agreed_pages_and_moves_nothing(world: World) -> None:
    promote(world, **DATA, on_breach="return")
    world.card(3).write_text("# Rewritten\n")
    feed("alarm")
    assert check() == []
    with reading() as session:
        alert = session.scalars(select(Alert)).one()
        assert alert.level == "page"
        assert "its card changed since it was agreed" in alert.details["return"]
        serving = champion(session, "toy", "production")
        assert serving is not None
        assert serving.version == 1


def test_an_alert_ends_with_the_deployment_that_promised(world: World) -> None:
    promote(world, **DATA)
    feed("alarm")
    check()
    with writing() as session:
        serving = champion(session, "toy", "production")
        assert serving is not None
        serving.ended_at, serving.state = clock.now(), "ended"
    with reading() as session:
        assert models_to_check(session) == ["toy"]
    check()
    assert alerts() == [("ticket", "resolved")]


@pytest.mark.usefixtures("moving_clock")
def test_an_approval_that_aged_out_raises_a_ticket_and_never_a_return(world: World) -> None:
    done = promote(world, reapprove_after_days=30, on_breach="return")
    check()
    assert standing(world) == {"reapproval": "holds"}
    with writing() as session:
        session.execute(
            update(Change).where(Change.id == done.id).values(finished_at=clock.now() + timedelta(days=900))
        )
    pass_hours(31 * 24)
    assert check() == [], "when it was executed is asked of the log"
    assert alerts() == [("ticket", "firing")]


@pytest.mark.parametrize("part", ["card", "tier", "spec", "reference", "policy"])
def test_what_an_approval_rests_on_has_to_be_approved_anew_when_it_moves(world: World, part: str) -> None:
    promote(world, reapprove_on=[part])
    check()
    assert standing(world) == {"reapproval": "holds"}
    if part == "card":
        world.card(1).write_text("# Rewritten\n")
    elif part == "reference":
        world.reference(1).write_bytes(b"other")
    with writing() as session:
        model = session.get_one(Model, "toy")
        if part == "tier":
            model.tier = "high"
        elif part == "spec":
            model.spec = {**model.spec, "cutoff": 0.4}
        elif part == "policy":
            put_in_force(session, world, "rules: [{name: test, rule: {lifetime_h: 1}}]")
    check()
    assert standing(world) == {"reapproval": "broken"}
    with reading() as session:
        assert session.scalars(select(Alert)).one().title.startswith("Reapproval is due: CHG-")


def test_a_file_that_is_gone_is_unknown(world: World) -> None:
    promote(world, reapprove_on=["card"])
    world.card(1).unlink()
    check()
    assert standing(world) == {"reapproval": "unknown"}


def test_a_gate_that_is_asked_of_changes_only_is_no_condition() -> None:
    with pytest.raises(BadInput, match="asked of a change only"):
        read_policy("rules: [{name: a, rule: {conditions: [{gate: metric_not_worse}]}}]")
    with pytest.raises(BadInput, match="named twice"):
        read_policy("rules: [{name: a, rule: {gates: [{gate: external}, {gate: external}]}}]")


def test_the_schedule_asks_for_a_check_of_what_serves_under_conditions(world: World) -> None:
    promote(world, **DATA)
    moment: datetime = clock.now()
    asked = [run for run in request_due(moment) if run.startswith(CHECK_CONDITIONS.name)]
    assert len(asked) == 1
    assert not [run for run in request_due(moment) if run.startswith(CHECK_CONDITIONS.name)]


RETURNING = """
rules:
  - name: returns and cut-offs promise nothing of their own
    for: {kinds: [rollback, cutoff]}
    rule: {}
  - name: all
    rule: {conditions: [{gate: data_checks_passed}], reapprove_after_days: 30}
"""


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_version_that_returns_keeps_what_was_promised_with_its_promotion(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, RETURNING)

    def carried(actor: Any, asked: Asked) -> Change:
        change = ask(actor, asked)
        say(world.lead, change)
        return carry_out(now(change))

    first = carried(world.engineer, PROMOTE)
    carried(world.engineer, Asked("promote", "production", "toy", 2))
    for asked in (
        Asked("rollback", "production", "toy", 1),
        Asked("cutoff", "production", "toy", to_cutoff=0.4),
    ):
        carried(world.on_call if asked.kind == "rollback" else world.engineer, asked)
        with reading() as session:
            serving = champion(session, "toy", "production")
            assert serving is not None
            rows = session.scalars(select(Condition).where(Condition.deployment_id == serving.id)).all()
            assert {one.gate: (one.change_id, one.state) for one in rows} == {
                "data_checks_passed": (first.id, "unknown"), "reapproval": (first.id, "unknown"),
            }  # fmt: skip
    with reading() as session:
        assert {one["change"] for one in conditions_of(session, world.viewer, "toy")} == {f"CHG-{first.id}"}
