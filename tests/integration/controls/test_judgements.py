"""Judgements: who signs, what they bind, when they no longer stand, and that none is altered."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import inspect, select, text, update

from backend import clock
from backend.assurance.documents import add_document
from backend.assurance.facts import keep_facts
from backend.assurance.reading import open_document
from backend.assurance.validations import NotIndependent
from backend.audit.erasure import erase_payloads
from backend.audit.findings import open_findings
from backend.audit.reading import search_entries
from backend.audit.receipts import receipt
from backend.audit.reconciliation import reconcile
from backend.audit.retention import erase_old_payloads
from backend.audit.tables import AuditEntry, AuditHead, AuditPayload
from backend.audit.verification import verify
from backend.controls.assessment import Assessed, assess
from backend.controls.catalogues import catalogue_named
from backend.controls.judgements import list_judgements
from backend.controls.tables import ControlJudgement
from backend.database.session import reading, writing
from backend.errors import BadInput, ChangedSinceSeen, NotAllowed
from backend.governance.digests import digest_of
from backend.identity.actor import Actor, system_actor
from backend.identity.confirmation import Confirmed, NotConfirmed, confirm_account
from backend.identity.passwords import hash_password
from backend.identity.people import disable_person
from backend.identity.roles import Role
from backend.identity.tables import Person, PersonRole
from backend.identity.throttle import SignInThrottled
from backend.registry.tables import Model
from tests.integration.assurance.conftest import REPORT, hand_in
from tests.integration.controls.conftest import judge, seen, username_of
from tests.worlds import SYSTEM, World, person


def control_of(by: Actor, name: str = "annex-iv.7", **more: object) -> Assessed:
    with reading() as session:
        found = assess(session, by, catalogue="eu-ai-act-annex-iv", model="toy", only=name, **more)  # type: ignore[arg-type]
        return found.controls[0]


def test_a_signed_judgement_stands_beside_the_evidence_and_does_not_alter_it(world: World) -> None:
    before = control_of(world.compliance)
    assert (before.state, before.is_gap, before.needs_judgement) == ("not_shown", False, True)
    row = judge(world.compliance)
    after = control_of(world.compliance)
    assert after.state == "not_shown"
    assert after.judged is not None
    assert (after.judged.outcome, after.judged.standing, after.judged.by) == ("met", True, "Compliance")
    assert not after.needs_judgement
    assert (row.number, row.confirmed_by) == (1, "name")


def test_its_entry_commits_with_it_and_binds_its_digest(world: World) -> None:
    row = judge(world.compliance, attachment=hand_in(world.compliance))
    with reading() as session:
        entry = session.get_one(AuditEntry, row.entry)
        assert (entry.action, entry.object_kind, entry.object_id) == (
            "controls:judgement:sign", "judgement", str(row.id)
        )  # fmt: skip
        payload = json.loads(session.get_one(AuditPayload, row.entry).payload)
    assert payload["digest"] == row.digest
    assert payload["attachment"] == row.attachment
    assert payload["why"] == "the list is attached"
    assert verify().ok


def test_a_receipt_proves_the_entry_of_a_judgement(world: World) -> None:
    from backend.audit.checkpoints import sign_head

    row = judge(world.compliance)
    sign_head()
    with reading() as session:
        proof = receipt(session, world.compliance, row.entry or 0)
    assert proof.startswith("c2sp.org/tlog-proof@v1")


def test_nothing_is_kept_when_the_transaction_fails(world: World) -> None:
    with reading() as session:
        size = session.get_one(AuditHead, 1).size
    digest = seen(world.compliance, "annex-iv.7")
    with pytest.raises(RuntimeError, match="after it"), writing() as session:
        from backend.controls.judgements import sign_judgement

        sign_judgement(
            session, world.compliance, catalogue="eu-ai-act-annex-iv", control="annex-iv.7", model="toy",
            outcome="met", text="so", valid_until=clock.now() + timedelta(days=9), seen_digest=digest,
            confirmed=confirm_account(world.compliance, username=username_of(world.compliance))
            if session.get_bind().dialect.name != "sqlite"
            else Confirmed(world.compliance.person_id, "name", clock.now()),
        )  # fmt: skip
        raise RuntimeError("after it")
    with reading() as session:
        assert session.get_one(AuditHead, 1).size == size
        assert session.scalar(select(ControlJudgement.id)) is None


def test_only_compliance_signs(world: World) -> None:
    for by in (world.engineer, world.lead, world.on_call):
        with pytest.raises(NotAllowed, match="controls:judgement:sign"):
            judge(by)


def test_who_owns_or_built_the_model_does_not_sign_not_even_as_compliance(world: World) -> None:
    with writing() as session:
        for one in (world.engineer, world.lead):
            session.add(PersonRole(person_id=one.person_id, role=Role.COMPLIANCE.value))
        keep_facts(session, world.compliance, model="toy", why="so", owner_id=world.lead.person_id)
    for one, why in ((world.engineer, "owned|trained"), (world.lead, "owns toy")):
        by = Actor(one.person_id, "person", frozenset({Role.COMPLIANCE}), display_name=one.display_name)
        with pytest.raises(NotIndependent, match=why):
            judge(by)
    judge(world.compliance)


def test_who_owns_a_model_signs_about_the_house(world: World) -> None:
    with writing() as session:
        session.get_one(Model, "toy").owner_id = world.compliance.person_id
    row = judge(world.compliance, "art-17", catalogue="eu-ai-act-articles", model=None)
    assert (row.model, row.subject) == (None, "")
    with pytest.raises(BadInput, match="about the house"):
        judge(world.compliance, "art-17", catalogue="eu-ai-act-articles", model="toy", seen_digest="sha256:0")
    with pytest.raises(BadInput, match="about one model"):
        judge(world.compliance, "annex-iv.7", model=None, seen_digest="sha256:0")


def test_the_account_is_confirmed_again(world: World) -> None:
    with pytest.raises(NotConfirmed, match="own user name"):
        confirm_account(world.compliance, username="lead")
    service = Actor(world.compliance.person_id, "service", frozenset({Role.COMPLIANCE}))
    with pytest.raises(NotConfirmed, match="a person signs"):
        confirm_account(service, username="compliance")
    old = Confirmed(world.compliance.person_id, "name", clock.now() - timedelta(minutes=5))
    with pytest.raises(NotConfirmed, match="again"):
        judge(world.compliance, confirmed=old)
    with pytest.raises(NotConfirmed, match="again"):
        judge(world.compliance, confirmed=Confirmed(world.lead.person_id, "name", clock.now()))


def test_who_has_a_password_gives_it_and_guesses_are_slowed_down(world: World) -> None:
    with writing() as session:
        session.get_one(Person, world.compliance.person_id).password_hash = hash_password(
            "a long pass phrase"
        )
    good = confirm_account(world.compliance, username="Compliance ", password="a long pass phrase")
    assert judge(world.compliance, confirmed=good).confirmed_by == "password"
    with pytest.raises(SignInThrottled):
        for _ in range(12):
            with pytest.raises(NotConfirmed, match="password"):
                confirm_account(world.compliance, username="compliance", password="wrong")
    with reading() as session:
        refused = search_entries(session, world.compliance, action="identity:session:refuse")
    assert {one.object_id for one in refused} == {world.compliance.person_id}


def test_evidence_that_changed_since_it_was_looked_at_refuses_the_signature(world: World) -> None:
    digest = seen(world.compliance, "annex-iv.1")
    with writing() as session:
        keep_facts(session, world.compliance, model="toy", why="so", purpose="tells delays")
    with pytest.raises(ChangedSinceSeen, match="read it again"):
        judge(world.compliance, "annex-iv.1", seen_digest=digest)


def test_evidence_that_changed_since_it_was_signed_takes_its_standing(world: World) -> None:
    judge(world.compliance, "annex-iv.1")
    signed = control_of(world.compliance, "annex-iv.1")
    assert signed.judged is not None
    assert (signed.judged.changed, signed.judged.standing, signed.is_gap) == (False, True, False)
    with writing() as session:
        keep_facts(session, world.compliance, model="toy", why="so", purpose="tells delays")
    after = control_of(world.compliance, "annex-iv.1")
    assert after.judged is not None
    assert (after.judged.changed, after.judged.standing, after.is_gap) == (True, False, True)
    assert "Purpose written in the inventory: missing then, present now" in after.judged.note


def test_another_version_takes_its_standing(world: World) -> None:
    from backend.deployment.service import start_deployment

    judge(world.compliance)
    with writing() as session:
        start_deployment(
            session, SYSTEM, model="toy", environment="production", version=1, change_id=None, reason="back"
        )
    found = control_of(world.compliance).judged
    assert found is not None
    assert not found.standing
    assert "it was about version 2" in found.note


def test_it_stands_until_its_day(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    judge(world.compliance, days=9)
    later = clock.now() + timedelta(days=10)
    monkeypatch.setattr(clock, "now", lambda: later)
    found = control_of(world.compliance)
    assert found.judged is not None
    assert not found.judged.standing
    assert found.judged.note.startswith("it was valid until")
    assert found.needs_judgement


def test_not_met_is_a_gap_whatever_the_evidence(world: World) -> None:
    judge(world.compliance, outcome="not_met", text="there is no list")
    found = control_of(world.compliance)
    assert found.is_gap
    assert not found.needs_judgement


def test_the_next_judgement_is_the_next_version_and_the_one_before_stays(world: World) -> None:
    first = judge(world.compliance, text="first")
    second = judge(world.compliance, outcome="not_met", text="second")
    with reading() as session:
        rows = list_judgements(
            session, world.on_call, catalogue="eu-ai-act-annex-iv", control="annex-iv.7", model="toy"
        )
    assert [(one["number"], one["text"], one["altered"]) for one in rows] == [
        (2, "second", False),
        (1, "first", False),
    ]
    assert first.digest != second.digest
    then = control_of(world.compliance, as_of=first.signed_at).judged
    assert then is not None
    assert (then.number, then.changed, then.standing) == (1, False, True)


def test_two_who_sign_at_once_make_two_versions_or_one_is_refused(world: World) -> None:
    with ThreadPoolExecutor(4) as pool:
        told = [pool.submit(judge, world.compliance, text=f"{number}") for number in range(6)]
        refused = [one for one in told if one.exception() is not None]
    assert all(isinstance(one.exception(), ChangedSinceSeen) for one in refused)
    numbers = sorted(one.result().number for one in told if one not in refused)
    assert numbers == list(range(1, len(numbers) + 1))
    assert verify().ok


def test_a_judgement_is_not_altered_by_us_and_an_edit_of_the_database_shows(world: World) -> None:
    row = judge(world.compliance)
    with pytest.raises(RuntimeError, match="never altered"), writing() as session:
        session.get_one(ControlJudgement, row.id).outcome = "not_applicable"
        session.flush()
    with pytest.raises(RuntimeError, match="is kept"), writing() as session:
        session.delete(session.get_one(ControlJudgement, row.id))
        session.flush()
    with writing() as session:
        session.execute(text("UPDATE control_judgements SET text = 'anything'"))
    found = control_of(world.compliance).judged
    assert found is not None
    assert not found.standing
    assert "not what was signed" in found.note
    assert found.text == "the list is attached"


def forged(row: ControlJudgement, **more: object) -> None:
    """One INSERT by whoever owns the database: a row with every digest as it should be, and an entry of another."""
    columns = {one.key: getattr(row, one.key) for one in inspect(ControlJudgement).column_attrs}
    made = ControlJudgement(**(columns | {"id": 99, "number": row.number + 1} | more))
    made.digest = digest_of(made.signed)
    with writing() as session:
        session.add(made)


def found_by_reconciliation() -> list[str]:
    with writing() as session:
        reconcile(session, SYSTEM)
        return [one.title for one in open_findings(session) if "judgement" in one.title]


@pytest.mark.parametrize("outcome", ["met", "not_met"])
def test_a_row_that_no_entry_records_is_no_judgement(world: World, outcome: str) -> None:
    row = judge(world.compliance, outcome=outcome)
    forged(row, outcome="met", signed_by=world.engineer.person_id, entry=3, text="all is well")
    found = control_of(world.compliance)
    assert found.judged is not None
    assert (found.judged.number, found.judged.outcome, found.is_gap) == (1, outcome, outcome == "not_met")
    assert found_by_reconciliation() == [
        "judgement 99 on annex-iv.7 (toy) is stored, and no entry records it"
    ]


def test_a_control_that_nobody_judged_is_not_judged_by_an_insert(world: World) -> None:
    row = judge(world.compliance)
    wording = catalogue_named("eu-ai-act-annex-iv").control("annex-iv.8").digest
    forged(row, control="annex-iv.8", number=1, wording_digest=wording)
    found = control_of(world.compliance, "annex-iv.8").judged
    assert found is not None
    assert (found.standing, "no entry of the log records it" in found.note) == (False, True)


def test_a_judgement_that_was_taken_away_is_told_from_its_entry_and_the_one_before_does_not_return(
    world: World,
) -> None:
    judge(world.compliance)
    last = judge(world.compliance, outcome="not_met", text="there is no list")
    with writing() as session:
        session.execute(text("DELETE FROM control_judgements WHERE number = 2"))
    found = control_of(world.compliance)
    assert found.judged is not None
    assert (found.judged.number, found.judged.outcome, found.judged.text) == (
        2,
        "not_met",
        "there is no list",
    )
    assert (found.is_gap, "not stored any more" in found.judged.note) == (True, True)
    assert found_by_reconciliation() == [
        f"the judgement on annex-iv.7 that entry {last.entry} records is not stored any more"
    ]


def test_what_was_changed_in_the_row_and_its_digests_with_it_is_found_by_its_entry(world: World) -> None:
    row = judge(world.compliance, outcome="not_met", text="there is no list")
    row.outcome, row.valid_until = "met", row.valid_until + timedelta(days=900)
    changed = {"outcome": "met", "valid_until": row.valid_until, "digest": digest_of(row.signed)}
    with writing() as session:
        session.execute(update(ControlJudgement.__table__).values(**changed))
    found = control_of(world.compliance)
    assert found.judged is not None
    assert (found.judged.outcome, found.judged.standing, found.is_gap) == ("not_met", False, True)
    assert (
        f"judgement {row.id} on annex-iv.7 (toy) is not what entry {row.entry} recorded"
        in found_by_reconciliation()
    )


def test_the_strict_reader_never_sees_the_better_picture(world: World) -> None:
    judge(world.compliance, "annex-iv.1")
    auditor = replace(world.compliance, models=frozenset({"toy"}))
    assert control_of(auditor, "annex-iv.1").judged.standing  # type: ignore[union-attr]
    with writing() as session:
        keep_facts(session, world.compliance, model="toy", why="so", purpose="tells delays")
    for reader, more in ((world.compliance, {}), (auditor, {}), (world.compliance, {"as_of": clock.now()})):
        found = control_of(reader, "annex-iv.1", **more)
        assert found.judged is not None
        assert (found.judged.standing, found.is_gap) == (False, True), (reader, more)


def test_a_judgement_on_what_a_reader_cannot_be_told_does_not_stand_for_them(world: World) -> None:
    judge(world.compliance, "annex-iv.2e")  # asks for a role of the house
    auditor = replace(world.compliance, models=frozenset({"toy"}))
    found = control_of(auditor, "annex-iv.2e").judged
    assert found is not None
    assert (found.standing, found.changed, "cannot be told here" in found.note) == (False, None, True)


def test_what_is_told_without_the_house_is_compared_with_all_of_it(world: World) -> None:
    judge(world.compliance, "annex-iv.2e")
    told = control_of(world.compliance, "annex-iv.2e", tell_house=False)
    (role,) = (one for one in told.answers if one.query == "role_filled")
    assert (role.evidence.state, "whole house" in role.evidence.reason) == ("not_shown", True)
    assert told.judged is not None
    assert told.judged.standing
    with writing() as session:
        disable_person(session, SYSTEM, world.on_call.person_id)
    after = control_of(world.compliance, "annex-iv.2e", tell_house=False).judged
    assert after is not None
    assert (after.standing, "Open accounts" in after.note) == (False, False)


def test_a_judgement_that_is_over_and_said_not_met_holds_until_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(world.compliance, outcome="not_met", text="there is no list", days=9)
    later = clock.now() + timedelta(days=10)
    monkeypatch.setattr(clock, "now", lambda: later)
    found = control_of(world.compliance)
    assert found.judged is not None
    assert (found.judged.expired, found.is_gap) == (True, True)
    judge(world.compliance)
    assert not control_of(world.compliance).is_gap


def test_the_entry_of_a_judgement_keeps_its_text_when_payloads_go(world: World) -> None:
    row = judge(world.compliance)
    with writing() as session:
        erase_old_payloads(session, system_actor("worker"), before=clock.now() + timedelta(days=1))
    assert control_of(world.compliance).judged.standing  # type: ignore[union-attr]
    with writing() as session:
        erase_payloads(
            session, system_actor("worker"), [row.entry or 0], why="it names somebody", subject="dsr_1"
        )
    found = control_of(world.compliance).judged
    assert found is not None
    assert (found.standing, found.changed, "was erased" in found.note) == (False, None, True)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/report.pdf", "report.pdf"),
        ("C:\\temp\\report.pdf", "report.pdf"),
        (" report.pdf ", "report.pdf"),
        ("=HYPERLINK(1).csv", "=HYPERLINK(1).csv"),
        ("report.exe", None),
        ("report", None),
        (".pdf", None),
        ("..", None),
        ("report.pdf\x00.exe", None),
        ("re\u202eport.pdf", None),
        ("re\nport.pdf", None),
        ("r" * 300 + ".pdf", None),
    ],
)
def test_the_name_of_an_attachment_is_made_safe_or_refused(world: World, name: str, kept: str | None) -> None:
    if kept is None:
        with pytest.raises(BadInput, match="name of 1 to 200"):
            hand_in(world.compliance, name=name)
        return
    digest = hand_in(world.compliance, b"%PDF-1.7 report" if name.strip().endswith("pdf") else REPORT, name)
    judge(world.compliance, attachment=digest)
    found = control_of(world.compliance).judged
    assert found is not None
    assert (found.attachment, found.attachment_name) == (digest, kept)
    with reading() as session:
        document, path = open_document(session, world.viewer, digest)
    assert document.name == kept
    assert path.name == digest.removeprefix("sha256:")


def test_an_attachment_has_to_be_there_and_of_a_size_that_is_kept(world: World) -> None:
    with pytest.raises(BadInput, match="nobody handed in"):
        judge(world.compliance, attachment=f"sha256:{'0' * 64}")
    with pytest.raises(BadInput, match="bytes"), writing() as session:
        add_document(session, world.compliance, name="a.txt", data=b"")


def test_texts_and_days_are_checked(world: World) -> None:
    with pytest.raises(BadInput, match="write the judgement"):
        judge(world.compliance, text="  ")
    with pytest.raises(BadInput, match="valid_until"):
        judge(world.compliance, days=-1)
    with pytest.raises(BadInput, match="an outcome is one of"):
        judge(world.compliance, outcome="fine")


def test_an_auditor_sees_judgements_of_named_models_only(world: World) -> None:
    judge(world.compliance)
    with writing() as session:
        outside = person(session, "outside", Role.AUDITOR)
    mine = Actor(outside.person_id, "person", outside.roles, models=frozenset({"toy"}))
    none = Actor(outside.person_id, "person", outside.roles, models=frozenset({"other"}))
    found = control_of(mine).judged
    assert found is not None
    assert found.standing  # what it rests on can be told of toy, and is what was seen
    for actor, expected in ((mine, 1), (none, 0)):
        with reading() as session:
            entries = search_entries(session, actor, action="controls:judgement:sign")
        assert len(entries) == expected
    with reading() as session, pytest.raises(Exception, match="no model named 'toy'"):
        assess(session, none, catalogue="eu-ai-act-annex-iv", model="toy")
