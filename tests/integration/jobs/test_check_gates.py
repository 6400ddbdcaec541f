"""A real worker evaluates the gates of a change that was sent, and the conditions of what serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.database.session import reading, writing
from backend.deployment.service import champion
from backend.governance.kinds import Asked
from backend.governance.tables import Change, Condition
from backend.queue import CHECK_CONDITIONS, request_job
from tests.integration.governance.conftest import ask, put_in_force
from tests.integration.jobs.conftest import Start, run_of, wait_for
from tests.worlds import SPEC, make_world

RULE = """
rules:
  - name: test
    rule:
      gates:
        - {gate: artefact_scanned}
        - {gate: signature_compatible}
        - {gate: metric_not_worse}
        - {gate: inference_not_slower, required: false}
"""


@pytest.mark.slow
def test_a_worker_settles_gates_and_flips_and_checks_conditions(
    database: str, tmp_path: Path, start_worker: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.worlds.SPEC", {**SPEC, "protected": ["carrier"], "favourable": "negative"})
    world = make_world(tmp_path / "files", trained=(1, 2))
    with writing() as session:
        put_in_force(session, world, RULE)
    change = ask(world.engineer, Asked("promote", "production", "toy", 1))
    assert change.state == "checking"
    start_worker("a", queues="changes,metrics")

    def settled() -> Change | None:
        with reading() as session:
            found = session.get_one(Change, change.id)
            return found if found.state == "waiting" else None

    found = wait_for(settled, within_s=240)
    assert [result["gate"] for result in found.gates] == [
        "artefact_scanned", "signature_compatible", "metric_not_worse", "inference_not_slower",
    ]  # fmt: skip
    assert [result["verdict"] for result in found.gates[:2]] == ["pass", "pass"]
    assert sum(found.evidence["flips"]["counts"].values()) == 600
    (carriers,) = found.evidence["groups"]["columns"]
    assert sum(group["rows"] for group in carriers["groups"]) == 600
    assert 0 < carriers["after"]["ratio"]["low"] <= carriers["after"]["ratio"]["value"] <= 1

    with writing() as session:
        serving = champion(session, "toy", "production")
        assert serving is not None
        condition = Condition(
            change_id=change.id, deployment_id=serving.id, gate="artefact_scanned", parameters={}, text=""
        )
        session.add(condition)
        session.flush()
        run_id = request_job(session, CHECK_CONDITIONS, subject="toy").id
    wait_for(lambda: run_of(run_id).state == "succeeded", within_s=60)
    with reading() as session:
        assert session.get_one(Condition, condition.id).state == "holds"
