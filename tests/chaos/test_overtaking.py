"""On-call breaks the glass while a canary runs, is asleep or has just died: one change moves production."""

from __future__ import annotations

import os
import signal

import pytest

from backend.audit.actions import Action
from backend.database.session import reading, writing
from backend.governance.asking import preview_change
from backend.governance.kinds import Asked
from backend.governance.policies import active_policy
from backend.governance.policy_document import read_policy
from backend.governance.reviews import review_change
from backend.governance.urgent import break_glass
from jobs.kill_points import MOMENTS
from tests.chaos.stage import ENVIRONMENT, MODEL, Stage
from tests.chaos.test_rollout import CANARY, traffic
from tests.worlds import put_policy_in_force

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
LONG = CANARY | {"bake_s": 600}


def smash(on_stage: Stage, version: int) -> int:
    """Break the glass for a rollback to this version; gives the change."""
    glass = {"roles": ["on_call"], "kinds": ["rollback"], "review_within_h": 24}
    with writing() as session:
        policy = active_policy(session)
        rules = [{"name": "back", "for": {"kinds": ["rollback"]}, "rule": {"break_glass": glass}}]
        rules += policy.document.as_dict()["rules"]
        document = read_policy({"schema": 1, "rules": rules})
        put_policy_in_force(session, document)
    asked = Asked("rollback", ENVIRONMENT, MODEL, version)
    with reading() as session:
        seen = preview_change(session, on_stage.world.on_call, asked).digest
    with writing() as session:
        return break_glass(session, on_stage.world.on_call, asked, reason="it burns", seen_digest=seen).id


def begin(on_stage: Stage, worker: str) -> int:
    """A canary that is watched for long; gives the change."""
    change_id = on_stage.promote(on_stage.other_good(), LONG)
    on_stage.start_worker(f"{worker}{change_id}")
    on_stage.wait_for(
        lambda: on_stage.stages(change_id) and on_stage.stages(change_id)[0].bake_until, 40, "the watch"
    )
    return change_id


def assert_one_moved(on_stage: Stage, aborted: int, urgent: int) -> None:
    done = on_stage.wait_settled(urgent)
    over = on_stage.wait_settled(aborted)
    assert (done.state, over.state, over.overtaken_by) == ("executed", "failed", urgent), done.outcome
    assert over.outcome.startswith(f"aborted by CHG-{urgent}")
    (serving,) = [one for one in on_stage.deployments_of(urgent) if one.role == "champion"]
    assert [one.ended_at is None for one in on_stage.deployments_of(aborted)] == [False]
    assert on_stage.entries(Action.EXECUTION_OVERTAKEN, aborted) == 1
    assert on_stage.entries(Action.EXECUTION_FAILED, aborted) == 0
    on_stage.assert_serves(done.to_version or 0, serving.id)
    with writing() as session:
        review_change(session, on_stage.world.other_lead, urgent, verdict="justified", comment="it burned")


def test_breaking_the_glass_under_a_canary_that_is_watched(on_stage: Stage) -> None:
    """Back from the champion to the version on trial: the same version, now without the rollout's say."""
    with traffic(on_stage):
        aborted = begin(on_stage, "both")
        urgent = smash(on_stage, on_stage.change(aborted).to_version or 0)
        assert_one_moved(on_stage, aborted, urgent)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_worker_killed_while_it_waits_for_the_other_to_leave(on_stage: Stage, moment: str) -> None:
    """The run that is aborted is asleep, with a fresh beat; the one that overtakes dies waiting for it."""
    point = f"execute_change:await_earlier:{moment}"
    on_stage.forget_kill(point)
    with traffic(on_stage):
        aborted = begin(on_stage, "asleep")
        asleep = on_stage.workers[-1]
        on_stage.put_to_sleep(asleep.pid)
        urgent = smash(on_stage, on_stage.change(aborted).to_version or 0)
        killed = on_stage.start_worker(f"killed{urgent}", kill_at=point)
        assert killed.wait(60) == -signal.SIGKILL, killed.output()
        on_stage.start_worker(f"next{urgent}", kill_at=point)
        on_stage.wait_for(lambda: on_stage.change(urgent).state == "executed", 60, "the urgent change")
        os.kill(asleep.pid, signal.SIGCONT)
        assert_one_moved(on_stage, aborted, urgent)
