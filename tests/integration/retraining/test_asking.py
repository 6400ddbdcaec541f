"""Asking for a retraining: what it binds, when it needs a decision, and how a run is stopped and begun again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from backend import clock
from backend.audit.change_checks import unrecorded_changes
from backend.audit.verification import verify
from backend.data_rights.rules import set_rule
from backend.database.session import reading, writing
from backend.deployment.service import start_deployment
from backend.errors import BadInput, ChangedSinceSeen, Conflict, NotAllowed
from backend.governance.asking import request_change
from backend.governance.deciding import decide
from backend.governance.policy_rules import Envelope
from backend.governance.standing import what_differs
from backend.governance.tables import Change
from backend.retraining.envelope import Spent, reasons_outside
from backend.retraining.running import cancel_run, resume_run
from backend.retraining.service import asked_for, preview_retraining
from backend.retraining.steps import begin_step, end_step
from backend.retraining.tables import RetrainingRun
from tests.integration.retraining.conftest import ask, begin, close, job_of, plan, run_of
from tests.worlds import SYSTEM, World, set_tier


def test_within_the_envelope_it_goes_ahead_and_the_log_covers_it(world: World) -> None:
    change = ask(world.engineer)
    assert (change.state, change.within_envelope, change.run_id) == ("approved", True, f"change-{change.id}")
    run = begin(change)
    assert (run.state, run.queue, run.parent, job_of(run.id).queue) == ("queued", "training", 2, "training")
    with reading() as session:
        assert list(unrecorded_changes(session, [change.id])) == []
        assert session.get_one(Change, change.id).outcome.startswith(f"run {run.id} is queued")
    assert verify().ok


def test_a_high_tier_model_needs_a_decision_that_the_asker_does_not_give(world: World) -> None:
    with writing() as session:
        set_tier(session, "toy", "high")
    change = ask(world.lead)
    assert (change.state, change.within_envelope) == ("waiting", False)
    with writing() as session, pytest.raises(NotAllowed):
        decide(session, world.lead, change.id, verdict="approve", comment="", seen_digest=change.digest)
    with writing() as session:
        done = decide(
            session, world.other_lead, change.id, verdict="approve", comment="", seen_digest=change.digest
        )
        assert done.state == "approved"


def test_an_approval_is_void_when_the_plan_or_what_serves_is_another_one(world: World) -> None:
    change = ask(world.engineer)
    with writing() as session:
        row = session.get_one(Change, change.id)
        assert what_differs(session, row) == []
        row.subject = {**row.subject, "wall_s": 601}
        assert "what is to be trained changed" in what_differs(session, row)[0]


def test_a_change_that_its_envelope_no_longer_covers_does_not_begin(world: World) -> None:
    """Who writes to the database cannot pass a larger plan, nor mark another one as covered."""
    change = ask(world.engineer, plan(wall_s=8000))
    assert change.state == "waiting"
    with writing() as session:
        row = session.get_one(Change, change.id)
        row.within_envelope, row.state = True, "approved"
        assert any("no entry approves it" in one for one in what_differs(session, row))


def test_a_preview_says_that_the_data_are_not_recorded_for_retraining(world: World) -> None:
    def cautions() -> str:
        with reading() as session:
            one = plan()
            return " ".join(
                preview_retraining(session, world.engineer, asked_for("toy", one), one)["evidence"][
                    "cautions"
                ]
            )

    assert "not recorded for retraining; compliance records purposes" in cautions()
    with writing() as session:
        set_rule(session, world.compliance, model="toy", purposes=["retraining"], why="agreed")
    assert "not recorded for retraining" not in cautions()


def test_an_envelope_says_each_reason_why_it_does_not_cover() -> None:
    wanted = plan(wall_s=7200, device="cpu", parameters={}, memory_mb=20_000)
    envelope = Envelope.model_validate({"devices": ["gpu"], "triggers": ["drift"], "trainers": ["command"]})
    assert [one.split()[0] for one in reasons_outside(envelope, wanted, Spent(3, 2.5))] == [
        "the", "it", "the", "it", "it", "3", "2.5",
    ]  # fmt: skip
    assert reasons_outside(Envelope(hours=2), wanted, Spent(0, 0.0)) == [
        "it may use 20,000 MB, and the envelope allows 16,384 MB"
    ]
    assert reasons_outside(Envelope(hours=2, memory_mb=20_000), wanted, Spent(0, 0.0)) == []
    assert reasons_outside(None, wanted, Spent(0, 0.0)) == ["the rule has no envelope"]


def test_what_cannot_be_carried_out_is_refused_before_anybody_is_asked(world: World) -> None:
    for wrong, said in (
        ({"device": "gpu"}, "device: sklearn_boosting runs on cpu"),
        ({"as_of": clock.now() + timedelta(days=1)}, "as_of: .* lies in the future"),
        ({"window_s": 0}, "window"),
        ({"wall_s": 1}, "wall_s"),
    ):
        with pytest.raises(BadInput, match=said):
            ask(world.engineer, plan(**wrong))
    with pytest.raises(BadInput, match="there is no 'forest'"), reading() as session:
        other = plan().model_copy(update={"trainer": "forest"})
        preview_retraining(session, world.engineer, asked_for("toy", other), other)


def test_it_is_asked_for_in_its_own_way_alone_on_what_was_seen_and_twice_is_once(world: World) -> None:
    wanted = plan()
    asked = asked_for("toy", wanted)
    with reading() as session:
        seen = preview_retraining(session, world.engineer, asked, wanted)
    assert (seen["needs_decision"], seen["evidence"]["costs"]["hours"]) == (False, wanted.hours)
    with writing() as session, pytest.raises(BadInput, match="warrant retrain"):
        request_change(session, world.engineer, asked, reason="old", seen_digest=seen["digest"])
    with pytest.raises(ChangedSinceSeen):
        ask(world.engineer, plan(seed=8), seen_digest=seen["digest"])
    first = ask(world.engineer, wanted, seen_digest=seen["digest"])
    assert ask(world.engineer, wanted, seen_digest=seen["digest"]).id == first.id
    with pytest.raises(NotAllowed):
        ask(world.viewer, plan(seed=9))


def test_one_model_is_retrained_once_at_a_time(world: World) -> None:
    run = begin(ask(world.engineer))
    with reading() as session, pytest.raises(Conflict, match=rf"is being retrained already \({run.id}\)"):
        preview_retraining(session, world.engineer, asked_for("toy", plan(seed=3)), plan(seed=3))


def test_a_run_that_waits_is_cancelled_at_once_and_a_failed_one_is_begun_again(world: World) -> None:
    run = begin(ask(world.engineer))
    with writing() as session, pytest.raises(NotAllowed):
        cancel_run(session, world.viewer, run.id, reason="")
    with writing() as session:
        assert cancel_run(session, world.on_call, run.id, reason="not now").state == "cancelled"
    with writing() as session, pytest.raises(Conflict, match="nothing to cancel"):
        cancel_run(session, world.on_call, run.id, reason="again")
    other = begin(ask(world.engineer, plan(seed=8)))
    close(other.id, "failed")
    with writing() as session:
        resume_run(session, world.on_call, other.id)
    assert (run_of(other.id).state, job_of(f"{other.id}-2").state) == ("queued", "queued")


def test_a_failed_run_is_not_begun_again_beyond_its_envelope_nor_beside_another_champion(
    world: World,
) -> None:
    run = begin(ask(world.engineer))
    with writing() as session:
        begin_step(session, run.id, "train")
        end_step(session, run.id, "train", "failed", seconds=2.9 * 3600)
    close(run.id, "failed")
    with writing() as session:
        session.get_one(RetrainingRun, run.id).requested_at = clock.now() - timedelta(days=30)
    with (
        writing() as session,
        pytest.raises(Conflict, match=r"covers it no longer: 2\.9 h of this week are used"),
    ):
        resume_run(session, world.engineer, run.id)
    with writing() as session:
        session.get_one(RetrainingRun, run.id).finished_at = clock.now() - timedelta(days=8)
    with writing() as session:
        start_deployment(
            session, SYSTEM, model="toy", environment="production", version=1, change_id=None, reason="back"
        )
    with (
        writing() as session,
        pytest.raises(Conflict, match="v1 serves by now, which retrain-1 would not be compared"),
    ):
        resume_run(session, world.engineer, run.id)
    with writing() as session:
        start_deployment(
            session, SYSTEM, model="toy", environment="production", version=2, change_id=None, reason="on"
        )
    with writing() as session:
        assert resume_run(session, world.engineer, run.id).state == "queued"
