"""What does not fit becomes a finding, once; people take findings on and close them with a reason."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from backend import clock
from backend.alerting.service import fingerprint
from backend.alerting.tables import Alert
from backend.audit.actions import Action
from backend.audit.erasure import erase_payloads
from backend.audit.export import begin_export
from backend.audit.finding_hands import close_by_hand, list_findings, own_finding
from backend.audit.findings import (
    CLOCK_JUMPED,
    EXPORTED,
    GAP,
    MOVED_OUTSIDE,
    NO_CHANGE,
    NOT_INTACT,
    NOT_RECORDED,
    open_finding,
    open_findings,
)
from backend.audit.log import record
from backend.audit.reconciliation import AT_ONCE, reconcile
from backend.audit.searching import Search
from backend.audit.tables import AuditCheckpoint, AuditEntry, AuditFinding
from backend.database.session import WriteSession, reading, writing
from backend.deployment.tables import Deployment
from backend.errors import BadInput, Conflict, NotAllowed, NotFound
from backend.governance.asking import preview_change, request_change
from backend.governance.deciding import decide
from backend.governance.kinds import Asked
from backend.governance.tables import Change, Decision
from backend.identity.actor import Actor, system_actor
from backend.identity.people import create_person
from backend.identity.roles import Role
from backend.identity.tables import PersonRole
from backend.registry.tables import Model
from backend.settings import settings
from tests.integration.audit.conftest import append
from tests.integration.audit.tampering import tampering
from tests.integration.audit.test_population import add_change
from tests.worlds import World, make_world

WORKER = system_actor("worker")


def look() -> list[AuditFinding]:
    """Reconcile until nothing is left; everything that is open."""
    more = True
    while more:
        with writing() as session:
            _, more = reconcile(session, WORKER)
    with reading() as session:
        return open_findings(session)


def people(*names: str, role: Role = Role.COMPLIANCE) -> list[Actor]:
    with writing() as session:
        rows = [
            create_person(session, WORKER, username=name, display_name=name.title(), roles={role})
            for name in names
        ]
    return [Actor(one.id, "person", frozenset({role}), display_name=one.display_name) for one in rows]


def shift(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    real = clock.now
    monkeypatch.setattr(clock, "now", lambda: real() + by)


def test_a_log_that_fits_has_no_findings(database: str) -> None:
    append(5)
    assert look() == []


def test_missing_numbers_are_a_finding_each(database: str) -> None:
    append(9)
    with tampering() as connection:
        for seq in (0, 3, 4, 6):
            connection.execute(text(f"DELETE FROM audit_payloads WHERE seq = {seq}"))
            connection.execute(text(f"DELETE FROM audit_entries WHERE seq = {seq}"))
    found = [one for one in look() if one.kind == GAP]
    assert [(one.subject, one.level) for one in found] == [("0", "page"), ("3 to 4", "page"), ("6", "page")]
    assert len([one for one in look() if one.kind == GAP]) == 3


@pytest.mark.parametrize("way", ["planted closed", "planted open", "closed by hand", "turned to it"])
def test_a_finding_that_the_log_does_not_have_silences_nothing(
    database: str, tmp_path: Path, way: str
) -> None:
    """Somebody who is about to alter a row writes its finding first, as if it had been told and closed."""
    make_world(tmp_path / "files")
    look()
    name, subject = "toy", "model toy tier low"
    row = AuditFinding(
        kind=NOT_RECORDED, subject=subject, level="page", title="old", details={}, opened_at=clock.now(),
        last_seen_at=clock.now(), state="closed" if way == "planted closed" else "open",
    )  # fmt: skip
    if way in ("planted closed", "planted open"):
        with writing() as session:
            session.add(row)
    elif way == "turned to it":
        (closer,) = people("closer")
        with writing() as session:
            other = open_finding(
                session, WORKER, NOT_RECORDED, subject="model gone tier low", title="another"
            )
            close_by_hand(session, closer, other.id, why="settled")
        with writing() as session:
            session.get_one(AuditFinding, other.id).subject = subject
    with writing() as session:
        session.get_one(Model, name).tier = "low"
    if way == "closed by hand":
        (found,) = [one for one in look() if one.subject == subject]
        with writing() as session:
            session.get_one(AuditFinding, found.id).state = "closed"
    (told,) = [one for one in look() if one.subject == subject]
    assert told.title.startswith("toy is of tier low, and entry ")
    with reading() as session:
        fired = session.scalars(
            select(Alert).where(Alert.fingerprint == fingerprint("", settings().environment, "audit",
                                                                 f"{NOT_RECORDED}/{subject}"))
        ).all()  # fmt: skip
        assert [one.state for one in fired] == ["firing"]
    before = entries()
    look()
    assert entries() == before  # told once


def entries() -> int:
    with reading() as session:
        return session.query(AuditEntry).count()


def test_a_finding_that_was_told_and_closed_is_not_told_again(database: str, tmp_path: Path) -> None:
    make_world(tmp_path / "files")
    look()
    with writing() as session:
        session.get_one(Model, "toy").tier = "low"
    (found,) = [one for one in look() if one.subject == "model toy tier low"]
    (closer,) = people("closer")
    with writing() as session:
        close_by_hand(session, closer, found.id, why="we know")
    assert [one for one in look() if one.subject == "model toy tier low"] == []


def test_a_clock_that_is_set_back_is_a_finding(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as ahead:
        shift(ahead, timedelta(seconds=40))
        append(1)
    append(1, start=1)
    (finding,) = look()
    assert (finding.kind, finding.subject) == (CLOCK_JUMPED, "entry 1")
    assert "seconds before entry 0" in finding.title


def test_an_entry_of_tomorrow_is_a_finding(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as ahead:
        shift(ahead, timedelta(days=1))
        append(1)
    (finding,) = [one for one in look() if one.subject.endswith("ahead")]
    assert "which has not come yet" in finding.title


def test_a_long_pause_between_signed_heads_is_told(database: str) -> None:
    append(1)
    now = clock.now().replace(microsecond=0)
    with writing() as session:
        for number, minutes in enumerate((60, 55, 10, 5), start=1):
            at = now - timedelta(minutes=minutes)
            session.add(AuditCheckpoint(id=number, size=1, root="x", at=at, note="x"))
    (finding,) = look()
    assert (finding.kind, finding.level) == (CLOCK_JUMPED, "info")
    assert "no head was signed" in finding.title


def test_each_export_and_each_move_outside_is_a_finding_once(database: str) -> None:
    ada, ben = people("ada", "ben")
    with writing() as session:
        begin_export(session, ada, Search(), form="csv")
        record(session, WORKER, Action.ALIAS_MOVED_ELSEWHERE, object_kind="model", object_id="toy")
    found = look()
    assert [one.kind for one in found] == [MOVED_OUTSIDE, EXPORTED]
    assert found[1].details["actor"] == ada.person_id
    assert "ada" not in found[1].title.lower()
    with writing() as session:
        close_by_hand(session, ben, found[1].id, why="the yearly audit")
    assert [one.kind for one in look()] == [MOVED_OUTSIDE]
    with writing() as session:
        begin_export(session, ada, Search(), form="csv")
    assert [one.kind for one in look()] == [MOVED_OUTSIDE, EXPORTED]


def test_many_entries_are_looked_at_in_steps(database: str) -> None:
    if database != "sqlite":
        pytest.skip("the steps are the same on both")
    with writing() as session:
        for number in range(AT_ONCE + 3):
            action = Action.AUDIT_EXPORTED if number == AT_ONCE + 1 else Action.CHANGE_APPROVED
            record(session, WORKER, action, object_kind="log", object_id=number)
        assert reconcile(session, WORKER) == (0, True)
        assert reconcile(session, WORKER) == (1, False)


def test_a_version_that_serves_without_a_change_is_a_finding(database: str, tmp_path: Path) -> None:
    make_world(tmp_path / "files", versions=2)
    found = [one for one in look() if one.kind == NO_CHANGE]
    assert [one.details["version"] for one in found] == [1, 2]
    assert "version 2 of toy served in production" in found[1].title
    with writing() as session:
        first, second = session.scalars(select(Deployment).order_by(Deployment.id))
        assert [one.subject for one in found] == [f"deployment {first.id}", f"deployment {second.id}"]
    assert len([one for one in look() if one.kind == NO_CHANGE]) == 2


def forged(session: WriteSession, world: World, *, change: int | None, **other: Any) -> Deployment:
    """A row as somebody writes it who has a connection to the database."""
    row = Deployment(
        **{"model": "toy", "environment": "production", "version": 1, "cutoff": 0.5, "state": "ended",
           "role": "canary", "started_at": clock.now(), "ended_at": clock.now(), "change_id": change} | other
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row


def test_a_deployment_under_a_change_that_does_not_explain_it_is_a_finding(
    database: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path / "files", versions=2)
    with writing() as session:
        waiting, executed = (add_change(session, world.lead) for _ in range(2))
        row = session.get_one(Change, executed)
        row.from_version, row.to_version, row.state = 2, 1, "executed"
        session.get_one(Change, waiting).to_version = 1
        record(session, WORKER, Action.EXECUTION_STARTED, object_kind="change", object_id=executed)
    look()
    with writing() as session:
        wrong = [
            forged(session, world, change=waiting).id,
            forged(session, world, change=executed, environment="staging").id,
        ]
        sound = forged(session, world, change=executed)
        payload = {"model": "toy", "version": 1, "environment": "production", "change": executed}
        record(
            session,
            WORKER,
            Action.DEPLOYMENT_STARTED,
            object_kind="deployment",
            object_id=sound.id,
            payload=payload,
        )
    told = {one.subject: one.title for one in look() if one.kind == NO_CHANGE}
    assert f"under CHG-{waiting}, which was never executed" in told[f"deployment {wrong[0]} not executed"]
    assert "which is about the environment production" in told[f"deployment {wrong[1]} of another"]
    assert "no entry records that it began" in told[f"deployment {wrong[0]} unrecorded"]
    assert not any(subject.startswith(f"deployment {sound.id}") for subject in told)
    with writing() as session:
        session.get_one(Deployment, sound.id).version = 2
    told = {one.subject: one.title for one in look() if one.kind == NO_CHANGE}
    assert told[f"deployment {sound.id} altered"].endswith("which began it, says version 1")


def test_a_decision_and_a_state_that_no_entry_records_are_findings_that_page(
    database: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path / "files", versions=2)
    with writing() as session:
        forged_one, sound, withdrawn = (add_change(session, world.engineer) for _ in range(3))
        rows = {}
        for change in (forged_one, sound):
            rows[change] = Decision(
                change_id=change, revision=1, person_id=world.compliance.person_id, verdict="approve", comment="",
                seen_digest="", accepted=[], role="compliance", decided_at=clock.now(),
            )  # fmt: skip
            session.add(rows[change])
            session.get_one(Change, change).state = "approved"
        session.flush()
        record(session, world.compliance, Action.CHANGE_APPROVED, object_kind="change", object_id=sound,
               payload={"decision": rows[sound].id})  # fmt: skip
        record(session, world.engineer, Action.CHANGE_CANCELLED, object_kind="change", object_id=withdrawn)
    told = {one.subject: (one.title, one.level) for one in look() if one.kind == NOT_RECORDED}
    assert {level for _, level in told.values()} == {"page"}
    assert {subject: title for subject, (title, _) in told.items() if not subject.startswith("account")} == {
        f"decision {rows[forged_one].id}": f"a decision on CHG-{forged_one} (approve) that no entry records",
        f"change {forged_one} let through": f"CHG-{forged_one} is approved, and no entry approves it",
        f"change {withdrawn} waiting": f"CHG-{withdrawn} is waiting in the table, and cancelled by the log",
    }
    with writing() as session:
        session.get_one(Change, sound).state = "executed"
    told = {one.subject: (one.title, one.level) for one in look() if one.kind == NOT_RECORDED}
    assert told[f"change {sound} executed"][0].endswith(
        "executed in the table, and nothing of the kind by the log"
    )


def changed(world: World) -> tuple[int, str]:
    """A change that was asked for and approved with the product, on which log and tables agree."""
    asked = Asked("rollback", "production", "toy", 1)
    with reading() as session:
        seen = preview_change(session, world.on_call, asked).digest
    with writing() as session:
        made = request_change(session, world.on_call, asked, reason="it degraded", seen_digest=seen)
        decide(
            session, world.lead, made.id, verdict="approve", comment="seen; agreed", seen_digest=made.digest
        )
        return made.id, made.decisions[0].id


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_rows_of_changes_and_decisions_that_were_altered_or_removed_are_findings(
    database: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path / "files")
    change, decision = changed(world)

    def told() -> dict[str, str]:
        return {
            one.subject: one.title
            for one in look()
            if one.kind == NOT_RECORDED and not one.subject.startswith("account")
        }

    assert told() == {}
    with writing() as session:
        row, given = session.get_one(Change, change), session.get_one(Decision, decision)
        row.requested_by, row.policy = world.viewer.person_id, {**row.policy, "roles": {}}
        given.comment, given.accepted = "I never saw it", ["everything"]
    found = told()
    assert found[f"change {change} altered: policy, requester"] == (
        f"rule and requester of CHG-{change} differs from what its entries say"
    )
    assert found[f"decision {decision} altered"].startswith("comment and accepted of a decision")
    with writing() as session:
        session.delete(session.get_one(Decision, decision))
    assert f"decision {decision} gone" in told()
    with tampering() as connection:
        connection.execute(text("DELETE FROM changes"))
    assert told()[f"change {change} gone"] == f"CHG-{change} was asked for by the log, and its row is gone"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("erased", [False, True], ids=["said", "erased"])
def test_a_decision_that_is_dated_otherwise_is_a_finding(database: str, tmp_path: Path, erased: bool) -> None:
    """Its entry's time is in the leaf, and stays when its text goes."""
    world = make_world(tmp_path / "files", versions=2)
    asked = Asked("rollback", "production", "toy")
    with writing() as session:
        seen = preview_change(session, world.on_call, asked).digest
        change = request_change(session, world.on_call, asked, reason="AUC fell", seen_digest=seen)
    with writing() as session:
        decide(session, world.lead, change.id, verdict="reject", seen_digest=change.digest, comment="not now")
    with writing() as session:
        entry = session.scalars(
            select(AuditEntry).where(AuditEntry.action == Action.CHANGE_REJECTED.value)
        ).one()
        (given,) = session.scalars(select(Decision)).all()
        assert abs(given.decided_at - clock.from_iso(entry.at)) < timedelta(minutes=1)
        if erased:
            erase_payloads(session, WORKER, [entry.seq], why="asked for", subject="erq_1")
    assert [one for one in look() if one.subject.startswith("decision")] == []
    with writing() as session:
        session.get_one(Decision, given.id).decided_at -= timedelta(days=1)
    (told,) = [one for one in look() if one.subject == f"decision {given.id} altered"]
    assert told.title == f"time of a decision on CHG-{change.id} (reject) differs from entry {entry.seq}"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_change_that_was_let_through_with_too_few_approvals_is_a_finding(
    database: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path / "files")
    rule = {"roles": {"ml_lead": 1, "compliance": 1}}
    with writing() as session:
        number = add_change(session, world.on_call)
        row = session.get_one(Change, number)
        row.state, row.policy = "approved", rule
        record(session, world.on_call, Action.CHANGE_RESUBMITTED, object_kind="change", object_id=number,
               payload={"policy": rule}, why=row.reason)  # fmt: skip
        for who in (world.lead, world.other_lead):
            given = Decision(
                change_id=number, revision=1, person_id=who.person_id, verdict="approve", comment="", seen_digest="",
                accepted=[], role="ml_lead", decided_at=clock.now(),
            )  # fmt: skip
            session.add(given)
            session.flush()
            record(session, who, Action.CHANGE_APPROVED, object_kind="change", object_id=number,
                   payload={"decision": given.id, "digest": "", "role": "ml_lead"})  # fmt: skip
    told = {one.subject: one.title for one in look() if one.kind == NOT_RECORDED}
    assert told[f"change {number} let through"] == (
        f"CHG-{number} is approved, and the log has 0 of 1 approvals by compliance"
    )


def test_roles_and_tiers_that_no_entry_set_are_findings(database: str, tmp_path: Path) -> None:
    make_world(tmp_path / "files", versions=1)
    (ada,) = people("ada")
    assert not [one for one in look() if one.subject.startswith(("model", f"account {ada.person_id}"))]
    with writing() as session:
        session.get_one(Model, "toy").tier = "low"
        session.add(PersonRole(person_id=ada.person_id, role="admin"))
    told = {one.subject: one.title for one in look() if one.kind == NOT_RECORDED and one.level == "page"}
    assert told["model toy tier low"].startswith("toy is of tier low, and entry ")
    assert "has the roles admin, compliance" in told[f"account {ada.person_id} roles admin compliance"]


def test_findings_are_taken_on_and_closed_by_somebody_else(database: str) -> None:
    ada, ben = people("ada", "ben")
    (viewer,) = people("vic", role=Role.VIEWER)
    with writing() as session:
        begin_export(session, ada, Search(), form="csv")
    (finding,) = look()
    with writing() as session:
        own_finding(session, ben, finding.id, owner_id=ben.person_id)
        with pytest.raises(NotAllowed, match="what you did"):
            close_by_hand(session, ada, finding.id, why="mine")
        with pytest.raises(NotAllowed):
            close_by_hand(session, viewer, finding.id, why="x")
        with pytest.raises(BadInput):
            close_by_hand(session, ben, finding.id, why="  ")
        close_by_hand(session, ben, finding.id, why="for the regulator")
        with pytest.raises(Conflict, match="closed already"):
            close_by_hand(session, ben, finding.id, why="again")
        with pytest.raises(NotFound):
            close_by_hand(session, ben, 10_000, why="x")
    with reading() as session:
        (closed,) = list_findings(session, ada, closed=True)
        assert (closed.owner, closed.closed_because) == (ben.person_id, "for the regulator")
        assert list_findings(session, ada) == []
        told = set(session.scalars(select(AuditEntry.action)))
    assert {Action.AUDIT_FINDING_OWNED.value, Action.AUDIT_FINDING_CLOSED.value} <= told


def test_what_mends_itself_is_not_closed_by_hand(database: str) -> None:
    (ada,) = people("ada")
    with writing() as session:
        finding = open_finding(session, WORKER, NOT_INTACT, subject="log", title="altered", level="page")
        with pytest.raises(Conflict, match="by itself"):
            close_by_hand(session, ada, finding.id, why="looks fine")
