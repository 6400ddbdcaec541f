"""The password of an address outside: in no outcome, payload, alert or telling of a change."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from backend import clock
from backend.alerting.service import Firing, fire
from backend.alerting.tables import Alert
from backend.audit.tables import AuditPayload
from backend.database.session import reading, writing
from backend.deployment.tables import Telling
from backend.governance import execution
from backend.governance.kinds import Asked
from tests.integration.governance.conftest import ask, now, say
from tests.worlds import SYSTEM, World

AWAY = "API request to http://user:secret@127.0.0.1:1/api?token=secret failed"


@pytest.mark.parametrize("ends", ["executed", "failed"])
def test_what_a_change_says_of_a_failure_names_no_password(world: World, ends: str) -> None:
    change = ask(world.engineer, Asked("promote", "production", "toy", to_version=2))
    say(world.lead, change)
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is not None
        opened = execution.write_deployment(session, SYSTEM, change.id)
        execution.record_mirrored(session, SYSTEM, opened, error=AWAY)
        if ends == "executed":
            execution.finish(session, SYSTEM, change.id, opened, outcome=f"served; {AWAY}")
        else:
            execution.restore(session, SYSTEM, change.id, why=AWAY)
        fire(session, SYSTEM, Firing(
            model="toy", environment="production", version=None, kind="registry", level="ticket", title=AWAY,
            subject="x", since=clock.now(), details={"why": AWAY},
        ))  # fmt: skip
    found = now(change)
    assert found.state == ends
    with reading() as session:
        told = session.get_one(Telling, (change.id, "mlflow"))
        alert = session.scalars(select(Alert)).one()
        kept = [*session.scalars(select(AuditPayload.payload))]
        texts = [found.outcome, told.problem, alert.title, str(alert.details), *map(str, kept)]
    assert "API request to http://127.0.0.1:1/api" in found.outcome
    assert [text for text in texts if "secret" in text] == []
