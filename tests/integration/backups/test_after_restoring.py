"""After a restore: entries were lost, which is a finding, and nobody is signed in by a session of the past."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from backend.audit.actions import Action
from backend.audit.findings import RESTORED, open_findings
from backend.audit.reconciliation import reconcile
from backend.audit.verification import verify
from backend.backups.restoring import restore
from backend.database.session import reading, writing
from backend.identity.sessions import open_session, resolve, revoke
from backend.identity.tables import Person
from tests.integration.backups.conftest import WORKER, Here
from tests.integration.backups.test_restoring import actions


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_restore_is_a_finding_and_ends_what_was_ended_since(here: Here, tmp_path: Path) -> None:
    with writing() as session:
        person = session.scalars(select(Person).where(Person.kind == "person")).first()
        assert person is not None
        opened = open_session(session, person, address="192.0.2.7", user_agent="a browser")
    saved, made = verify().size, here.backup()
    with writing() as session:
        revoke(session, WORKER, opened.session_id, why="somebody else has it")
    here.become(tmp_path / "new")
    done = restore(made.path)
    assert any("tokens that were revoked" in one for one in done.lost)
    with reading() as session:
        assert resolve(session, opened.token) is None
    assert actions()[saved:] == [Action.BACKUP_RESTORED, Action.SESSION_REVOKED]
    assert verify().ok
    with writing() as session:
        reconcile(session, WORKER)
    with reading() as session:
        (finding,) = [one for one in open_findings(session) if one.kind == RESTORED]
    assert finding.title == f"the log was restored from a backup: what it had from entry {saved} on is lost"
    assert finding.details["backup"] == made.manifest.id
