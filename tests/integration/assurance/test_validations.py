"""Who may vouch for a model, what is kept of it, and what a lapsed promise or an overdue finding brings about."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import update

from backend import clock
from backend.assurance.documents import add_document, path_of
from backend.assurance.findings import (
    FindingClosed,
    OwnFinding,
    answer_finding,
    close_finding,
    list_findings,
    plan_finding,
    reopen_finding,
)
from backend.assurance.reading import assurance_of, open_document
from backend.assurance.tables import Document, Finding, Validation, ValidationCondition
from backend.assurance.validations import NewCondition, NotIndependent, meet_condition
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed, NotFound
from backend.governance.gates import Asked, evaluate
from backend.governance.gates import Finding as Found
from backend.governance.kinds import Asked as Wanted
from backend.governance.policy_rules import GateRule
from backend.identity.actor import Actor
from backend.identity.people import create_person
from backend.identity.roles import Role
from backend.identity.sessions import actor_of
from backend.monitoring.columns import parse_spec
from backend.registry.artefacts import ArtefactAltered
from backend.registry.tables import Model, Version
from tests.integration.assurance.conftest import entries, find, hand_in, validate
from tests.integration.governance.conftest import ask, put_in_force
from tests.worlds import SYSTEM, World, person


def in_days(days: float) -> NewCondition:
    return NewCondition("retrain on cleaned labels", clock.now() + timedelta(days=days))


def asked_gate(version: int = 2, **parameters: object) -> Found:
    with reading() as session:
        model = session.get_one(Model, "toy")
        asked = Asked(
            session, model, parse_spec(model.spec), "production", None, None,
            session.get_one(Version, ("toy", version)), 0.5,
        )  # fmt: skip
        return evaluate(GateRule(gate="findings_settled", parameters=dict(parameters)), asked).finding


def make_late(table: type[ValidationCondition] | type[Finding]) -> None:
    """As time would: the day of everything open is over."""
    with writing() as session:
        session.execute(update(table).values(due_at=clock.now() - timedelta(hours=1)))


# --- validations


def test_a_validation_is_kept_with_its_report_and_entered_in_the_log(world: World) -> None:
    made = validate(world.lead, outcome="fit_with_conditions", conditions=[in_days(30)])
    with reading() as session:
        (shown,) = assurance_of(session, world.viewer, "toy")["validations"]
        document, path = open_document(session, world.viewer, made.report)
    assert (shown["validator"], shown["outcome"], shown["version"]) == ("Lead", "fit_with_conditions", 2)
    assert [one["state"] for one in shown["conditions"]] == ["open"]
    assert path.read_bytes().startswith(b"# What")
    assert document.name == "report.md"
    (entry,) = entries(world, "assurance:validation:record")
    assert entry.payload is not None
    assert (entry.object_id, entry.payload["report"]) == (str(made.id), made.report)


def test_who_trained_or_owns_it_does_not_vouch_for_it(world: World) -> None:
    with pytest.raises(NotIndependent, match="owns toy and trained version 2"):
        validate(world.engineer)
    with writing() as session:
        session.get_one(Model, "toy").owner_id = world.lead.person_id
    with pytest.raises(NotIndependent, match="owns toy"):
        validate(world.lead)
    with writing() as session:
        session.get_one(Version, ("toy", 2)).data_owner = world.other_lead.person_id
    with pytest.raises(NotIndependent, match="owns the data of version 2"):
        validate(world.other_lead)
    assert validate(world.compliance).validator == world.compliance.person_id


def test_neither_does_a_service_account_of_theirs_nor_one_whose_account_trained_it(world: World) -> None:
    def service(name: str, owner: Actor) -> Actor:
        with writing() as session:
            made = create_person(
                session, SYSTEM, username=name, display_name=name, roles={Role.ML_ENGINEER}, kind="service",
                owner_id=owner.person_id,
            )  # fmt: skip
            return actor_of(made, session_id=None)

    with pytest.raises(NotIndependent):
        validate(service("bot", world.engineer))
    trainer = service("trainer", world.lead)
    with writing() as session:
        session.get_one(Version, ("toy", 2)).trained_by = trainer.person_id
    with pytest.raises(NotIndependent):
        validate(world.lead)


def test_the_model_as_a_whole_is_vouched_for_by_none_who_trained_any_version(world: World) -> None:
    with writing() as session:
        session.get_one(Version, ("toy", 1)).trained_by = world.lead.person_id
    assert validate(world.lead, version=2).version == 2
    with pytest.raises(NotIndependent, match="trained version 1"):
        validate(world.lead, version=None)


@pytest.mark.parametrize("outcome", ["fit", "fit_with_conditions", "splendid"])
def test_outcome_and_conditions_belong_together(world: World, outcome: str) -> None:
    conditions = [in_days(3)] if outcome != "fit_with_conditions" else []
    with pytest.raises(BadInput):
        validate(world.lead, outcome=outcome, conditions=conditions)
    with reading() as session:
        assert session.query(Validation).count() == 0


def test_a_condition_in_the_past_and_a_report_nobody_handed_in_are_refused(world: World) -> None:
    with pytest.raises(BadInput, match="a day to come"):
        validate(world.lead, outcome="fit_with_conditions", conditions=[in_days(-1)])
    with pytest.raises(BadInput, match="handed in"), writing() as session:
        from backend.assurance.validations import record_validation

        record_validation(
            session, world.lead, model="toy", version=2, scope="x", outcome="fit", summary="x",
            report="sha256:" + "0" * 64,
        )  # fmt: skip


def test_a_condition_is_accepted_by_somebody_independent_and_stays_late(world: World) -> None:
    made = validate(world.lead, outcome="fit_with_conditions", conditions=[in_days(3)])
    make_late(ValidationCondition)
    number = made.conditions[0].id
    with pytest.raises(NotIndependent), writing() as session:
        meet_condition(session, world.engineer, number, evidence="done")
    with writing() as session:
        meet_condition(session, world.compliance, number, evidence="seen in run 12")
    with reading() as session:
        (shown,) = assurance_of(session, world.viewer, "toy")["validations"]
    assert shown["conditions"][0]["state"] == "met late"
    (entry,) = entries(world, "assurance:condition:meet")
    assert entry.payload is not None
    assert entry.payload["late"] is True


# --- papers


def test_the_same_bytes_are_one_document_and_altered_ones_are_refused(world: World) -> None:
    digest = hand_in(world.lead)
    assert hand_in(world.compliance, name="other.md") == digest
    with reading() as session:
        assert [one.name for one in session.query(Document)] == ["report.md"]
    path_of(digest).write_bytes(b"changed")
    with pytest.raises(ArtefactAltered), reading() as session:
        open_document(session, world.lead, digest)
    for _ in range(2):  # whoever has the same bytes puts them back: altered, and then gone
        assert hand_in(world.compliance) == digest
        with reading() as session:
            open_document(session, world.lead, digest)
        path_of(digest).unlink()


def test_a_paper_is_seen_by_who_handed_it_in_until_it_is_about_a_model(world: World) -> None:
    digest = hand_in(world.lead)
    with pytest.raises(NotFound), reading() as session:
        open_document(session, world.viewer, digest)
    validate(world.lead)
    with reading() as session:
        assert open_document(session, world.viewer, digest)[0].digest == digest


@pytest.mark.parametrize("name", ["report", "report.exe", "", "x" * 300 + ".md", "a\n.md"])
def test_files_of_other_kinds_are_refused(world: World, name: str) -> None:
    with pytest.raises(BadInput), writing() as session:
        add_document(session, world.lead, name=name, data=b"x")


def test_a_name_is_never_a_path(world: World) -> None:
    with writing() as session:
        assert add_document(session, world.lead, name="../../etc/passwd.txt", data=b"y").name == "passwd.txt"


# --- findings


def test_a_finding_is_closed_by_somebody_who_never_owned_it(world: World) -> None:
    made = find(world.compliance, world.lead)
    with pytest.raises(OwnFinding), writing() as session:
        close_finding(session, world.lead, made.id, evidence="trust me")
    with writing() as session:
        plan_finding(session, world.lead, made.id, why="on leave", owner_id=world.engineer.person_id)
    with pytest.raises(OwnFinding), writing() as session:
        close_finding(session, world.lead, made.id, evidence="not mine any more")
    with writing() as session:
        answer_finding(session, world.engineer, made.id, answer="the feature is gone")
    with pytest.raises(OwnFinding), writing() as session:
        close_finding(session, world.engineer, made.id, evidence="trust me")
    with writing() as session:
        closed = close_finding(session, world.compliance, made.id, evidence="seen in v3")
    assert (closed.state, closed.closed_by) == ("closed", world.compliance.person_id)
    actions = [one.action.rsplit(":", 1)[1] for one in entries(world, "assurance:finding")]
    assert actions == ["close", "answer", "plan", "open"]


def test_who_owns_it_does_not_move_its_day_or_severity(world: World) -> None:
    made = find(world.compliance, world.engineer)
    later = clock.now() + timedelta(days=300)
    for moved in ({"due_at": later}, {"severity": "low"}):
        with pytest.raises(OwnFinding), writing() as session:
            plan_finding(session, world.engineer, made.id, why="we need time", **moved)
    with writing() as session:
        plan_finding(session, world.engineer, made.id, why="how", plan="drop the feature")
        moved_on = plan_finding(session, world.lead, made.id, why="vacation", due_at=later)
    assert (moved_on.due_at, moved_on.plan) == (later, "drop the feature")


def test_a_closed_finding_changes_no_more_until_it_is_opened_again(world: World) -> None:
    made = find(world.compliance, world.engineer)
    with writing() as session:
        close_finding(session, world.lead, made.id, evidence="seen")
    with pytest.raises(FindingClosed), writing() as session:
        plan_finding(session, world.lead, made.id, why="x", plan="y")
    with pytest.raises(OwnFinding), writing() as session:
        reopen_finding(session, world.engineer, made.id, why="x", due_at=clock.now() + timedelta(days=500))
    with writing() as session:
        again = reopen_finding(
            session, world.compliance, made.id, why="it came back", due_at=clock.now() + timedelta(days=5)
        )
    assert (again.state, again.closed_by) == ("open", None)


def test_refused_steps_leave_no_entry(world: World) -> None:
    made = find(world.compliance, world.engineer)
    with reading() as session:
        before = session.query(AuditEntry).count()
    for who in (world.viewer, world.on_call, world.engineer):
        with pytest.raises(NotAllowed), writing() as session:
            close_finding(session, who, made.id, evidence="x")
    with reading() as session:
        assert session.query(AuditEntry).count() == before


def test_overdue_findings_are_listed(world: World) -> None:
    find(world.compliance, world.engineer)
    with reading() as session:
        assert list_findings(session, world.viewer, overdue=True) == []
    make_late(Finding)
    with reading() as session:
        assert len(list_findings(session, world.viewer, overdue=True)) == 1


# --- the gate, and what deciders see


def test_the_gate_cannot_tell_until_somebody_has_validated(world: World) -> None:
    assert asked_gate().verdict == "inconclusive"
    assert asked_gate(validation=False).verdict == "pass"
    validate(world.lead, version=1)
    assert asked_gate().verdict == "inconclusive"
    validate(world.lead, version=2)
    assert asked_gate().verdict == "pass"


def test_an_overdue_high_finding_fails_it_and_a_closed_one_does_not(world: World) -> None:
    validate(world.lead)
    made = find(world.compliance, world.engineer)
    find(world.compliance, world.engineer, severity="low")
    assert asked_gate().verdict == "pass"
    assert asked_gate(any_open=True).verdict == "fail"
    make_late(Finding)
    found = asked_gate()
    assert (found.verdict, found.details["overdue"]) == ("fail", [made.id])
    assert f"FND-{made.id} (high)" in found.text
    with writing() as session:
        close_finding(session, world.lead, made.id, evidence="seen")
    assert asked_gate().verdict == "pass"


def test_a_lapsed_condition_and_an_unfit_version_fail_it(world: World) -> None:
    made = validate(world.lead, outcome="fit_with_conditions", conditions=[in_days(3)])
    assert asked_gate().verdict == "pass"
    make_late(ValidationCondition)
    assert "lapsed" in asked_gate().text
    assert asked_gate(version=1).verdict == "inconclusive"
    with writing() as session:
        meet_condition(session, world.lead, made.conditions[0].id, evidence="seen")
    assert asked_gate().verdict == "pass"
    validate(world.compliance, outcome="not_fit")
    assert "not fit" in asked_gate().text
    validate(world.lead, outcome="fit")
    assert asked_gate().verdict == "pass"


def test_deciders_see_validation_and_findings_as_they_were_when_it_was_asked(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, "rules: [{name: all}]")
    validate(world.compliance, version=1)
    made = find(world.compliance, world.engineer)
    change = ask(world.on_call, Wanted("promote", "production", "toy", to_version=1))
    seen = change.evidence["assurance"]
    assert seen["validation"]["validator"] == world.compliance.person_id, "what is signed names nobody"
    assert "Compliance" not in json.dumps(change.evidence)
    assert [one["ref"] for one in seen["findings"]] == [f"FND-{made.id}"]
    with writing() as session:
        close_finding(session, world.lead, made.id, evidence="seen")
        stranger = person(session, "stranger", Role.VIEWER)
    from backend.governance.reading import get_change
    from backend.governance.views import change_detail

    with reading() as session:
        again = get_change(session, stranger, change.id)
        shown = change_detail(session, stranger, again)["assurance"]
    assert again.evidence["assurance"] == seen
    assert (shown["validation"]["validator"], shown["findings"][0]["owner"]) == ("Compliance", "Engineer")
