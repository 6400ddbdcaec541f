"""kill -9 around a target that is told over HTTP: one effect for each state, and the state before when it fails."""

from __future__ import annotations

import pytest

from tests.chaos.stage import MODEL, Stage
from tests.integration.deployment.receiver import SECRET, Receiver, receiver

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

POINTS = [
    f"execute_change:{step}:{moment}"
    for step in ("write_deployment", "await_gateways")
    for moment in ("before", "after", "commit")
]


def told_by(made: Receiver) -> dict[str, str]:
    return {
        "WARRANT_TARGET": "webhook",
        "WARRANT_WEBHOOK_URL": made.url,
        "WARRANT_WEBHOOK_SECRET": SECRET,
    }


def test_workers_killed_at_every_point_around_a_webhook_leave_one_effect(on_stage: Stage) -> None:
    with receiver() as made:
        made.busy = 3
        change_id = on_stage.ask_and_approve(on_stage.other_good())
        on_stage.kill_at_each(f"w{change_id}", POINTS, **told_by(made))
        on_stage.start_worker(f"x{change_id}", **told_by(made))
        on_stage.assert_executed_once(change_id)
        (deployment,) = on_stage.deployments_of(change_id)
        assert made.effects == [f"change-{change_id}-{deployment.id}"]
        assert made.serves is not None
        assert [(one["version"], one["role"]) for one in made.serves["parts"]] == [
            (deployment.version, "champion")
        ]


def test_a_webhook_that_fails_is_told_what_served_before(on_stage: Stage) -> None:
    before = on_stage.serving()
    with receiver() as made:
        made.failing = "no room on any node"
        change_id = on_stage.ask_and_approve(on_stage.other_good())
        on_stage.start_worker(f"w{change_id}", **told_by(made))
        change = on_stage.wait_settled(change_id)
        assert (change.state, "no room on any node" in change.outcome) == ("failed", True)
        assert [one["action"] for one in made.told] == ["ensure", "restore"]
        assert made.serves is not None and made.serves["parts"][0]["version"] == before
    assert on_stage.serving() == before
    on_stage.wait_for(
        lambda: on_stage.gateway.model(MODEL)["version"] == before,
        20,
        "the gateway, which follows the record",
    )


def test_a_webhook_that_is_away_for_a_while_is_waited_for(on_stage: Stage) -> None:
    with receiver() as made:
        made.answers = [503, 503, 503]
        change_id = on_stage.ask_and_approve(on_stage.other_good())
        on_stage.start_worker(f"w{change_id}", **told_by(made))
        on_stage.assert_executed_once(change_id)
        assert len(made.effects) == 1
