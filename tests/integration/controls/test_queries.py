"""Each query over real stored objects: taking the evidence away, ageing it, and contradicting it each shows.

`later` asks as if nothing had happened since; what nobody ever did is not shown, and never present.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import delete, select, text, update

from backend import clock
from backend.access.reviews import answer_item, start_review
from backend.access.tables import AccessItem, AccessReview
from backend.alerting.handling import set_severity
from backend.alerting.service import Firing, acknowledge, fire
from backend.alerting.tables import Incident
from backend.assurance.exceptions import ask_exception, decide_exception
from backend.assurance.facts import keep_facts
from backend.assurance.findings import close_finding
from backend.assurance.questionnaire import answer_questionnaire, asked_now
from backend.assurance.serious import mark_serious, meet_clock
from backend.assurance.serious_tables import SeriousClock
from backend.assurance.tables import Finding, ValidationCondition
from backend.assurance.validations import NewCondition
from backend.audit.actions import Action
from backend.audit.checkpoints import sign_head
from backend.audit.findings import NOT_INTACT, NOT_SIGNED, open_finding
from backend.audit.log import record
from backend.audit.tables import AuditCheckpoint, AuditVerification
from backend.data_rights.rules import set_rule
from backend.data_rights.tables import DataRequest, DataRule
from backend.database.session import reading, writing
from backend.explain.tables import ShapSummary
from backend.governance.tables import Change, Condition, Decision, RegistryMove, Review
from backend.identity.people import disable_person
from backend.identity.tables import Person
from backend.monitoring.tables import MetricPoint, WindowState
from backend.registry.tables import Model, Version
from backend.settings import settings
from tests.explained import store_explained
from tests.integration.assurance.conftest import find, validate
from tests.integration.cards.conftest import CARD, approve, realise
from tests.integration.controls.conftest import ask
from tests.worlds import SPEC, SYSTEM, World

YEARS = timedelta(days=1500)


def state(world: World, name: str, **more: Any) -> str:
    return ask(world, name, **more).state


def act(*statements: Any) -> None:
    with writing() as session:
        for one in statements:
            session.execute(one)


def test_a_card_that_somebody_approved(world: World) -> None:
    assert state(world, "card_approved") == "missing"
    card = approve(world)
    found = ask(world, "card_approved")
    assert (found.state, found.mark, found.links[0].id) == ("present", card.digest, "toy/2/1")
    assert state(world, "card_approved", later=YEARS) == "stale"
    assert state(world, "card_approved", at=card.made_at - timedelta(seconds=5)) == "missing"
    act(text("UPDATE card_versions SET text = text || ' more'"))
    assert state(world, "card_approved") == "contradicted"


def test_what_a_card_says_under_a_heading(world: World) -> None:
    assert state(world, "card_section", section="Direct Use") == "missing"
    approve(world)
    assert state(world, "card_section", section="Direct Use") == "present"
    assert state(world, "card_section", section="Human Oversight") == "missing"
    approve(world, CARD.replace("Sorting toys.", "[More Information Needed]"), on=1)
    found = ask(world, "card_section", section="Direct Use")
    assert (found.state, "is left" in found.reason) == ("missing", True)
    act(text("UPDATE card_versions SET text = text || ' more'"))
    assert state(world, "card_section", section="Direct Use") == "contradicted"


def test_a_card_file_that_was_edited_since_it_was_registered_contradicts_itself(world: World) -> None:
    world.card(2).write_text("# Toy\n\n### Direct Use\n\nanything\n")
    assert state(world, "card_section", section="Direct Use") == "contradicted"
    world.card(2).unlink()
    assert state(world, "card_section", section="Direct Use") == "missing"


def test_figures_of_a_card_against_what_was_measured(world: World) -> None:
    approve(world)
    assert state(world, "card_figures") == "stale"  # the only labelled window is months old
    realise(0.72)
    assert state(world, "card_figures") == "present"
    for days in range(3, 9):
        realise(0.55, days_ago=days)
    found = ask(world, "card_figures")
    assert (found.state, "live it is" in found.reason) == ("contradicted", True)
    act(delete(MetricPoint))
    assert state(world, "card_figures") == "missing"


def test_how_complete_a_card_is(world: World) -> None:
    approve(world)
    assert state(world, "card_completeness") == "missing"
    assert state(world, "card_completeness", minimum_percent=1) == "present"


@pytest.mark.parametrize("name", ["training_data", "lineage", "held_out_metrics", "parameters"])
def test_what_a_version_was_made_of(world: World, name: str) -> None:
    whole = {"digest": "sha256:1", "from": "2025-01-01", "to": "2025-12-31", "rows": 10, "git_commit": "abc"}
    act(update(Version).values(training=whole))
    assert state(world, name) == "present"
    act(update(Version).values(training={}, metrics={}, parameters={}))
    assert state(world, name) == "missing"
    assert state(world, name, version=9) == "missing"


def test_a_version_with_its_files_and_its_service(world: World) -> None:
    assert state(world, "version_registered") == "present"
    assert state(world, "reference_data") == "present"
    assert state(world, "versions_and_service") == "present"
    for name in ("version_registered", "reference_data"):
        assert state(world, name, version=None) == "missing"


def test_an_owner_whose_account_was_closed(world: World) -> None:
    assert state(world, "owner_named") == "present"
    with writing() as session:
        disable_person(session, SYSTEM, world.engineer.person_id)
    assert state(world, "owner_named") == "stale"
    act(update(Person).values(disabled_at=None, expires_at=clock.now()))
    assert "ended on" in ask(world, "owner_named").reason
    assert state(world, "owner_named") == "stale"
    act(update(Model).values(owner_id=None))
    assert state(world, "owner_named") == "missing"


def test_purpose_and_next_review(world: World) -> None:
    assert (state(world, "purpose_written"), state(world, "review_planned")) == ("missing", "missing")
    with writing() as session:
        keep_facts(session, world.compliance, model="toy", why="so", purpose="tells delays",
                   next_review_at=clock.now() + timedelta(days=9))  # fmt: skip
    assert (state(world, "purpose_written"), state(world, "review_planned")) == ("present", "present")
    assert state(world, "review_planned", later=timedelta(days=10)) == "stale"


def answer(world: World) -> None:
    with writing() as session:
        now = asked_now(session)
        chosen = {one.id: one.options[0].id for one in now.document.questions}
        row = answer_questionnaire(
            session, world.engineer, model="toy", answers=chosen, seen_digest=now.digest, note=""
        )
        session.get_one(Model, "toy").tier = row.tier


def test_a_tier_that_follows_from_answers(world: World) -> None:
    assert state(world, "tier_follows") == "missing"
    answer(world)
    assert state(world, "tier_follows") == "present"
    assert state(world, "tier_follows", later=YEARS) == "stale"
    act(update(Model).values(tier="prohibited"))
    assert state(world, "tier_follows") == "contradicted"


def test_the_inventory_of_the_house(world: World) -> None:
    assert "toy" in ask(world, "inventory_whole").reason
    answer(world)
    with writing() as session:
        keep_facts(session, world.compliance, model="toy", why="so", purpose="tells delays")
    assert state(world, "inventory_whole") == "present"
    assert state(world, "inventory_whole", max_age_days=1e-9) == "stale"


def test_a_validation(world: World) -> None:
    assert state(world, "validation") == "missing"
    row = validate(world.lead)
    found = ask(world, "validation")
    assert (found.state, found.links[0].id) == ("present", str(row.id))
    assert state(world, "validation", later=YEARS) == "stale"
    assert state(world, "validation", at=row.recorded_at - timedelta(seconds=1)) == "missing"
    soon = clock.now() + timedelta(days=5)
    validate(world.lead, outcome="fit_with_conditions", conditions=[NewCondition("recalibrate", soon)])
    assert state(world, "validation") == "present"
    act(update(ValidationCondition).values(due_at=clock.now() - timedelta(days=1)))
    assert "lapsed: recalibrate" in ask(world, "validation").reason
    assert state(world, "validation") == "contradicted"
    validate(world.lead, outcome="not_fit")
    assert state(world, "validation") == "contradicted"


def test_findings_that_are_followed_up(world: World) -> None:
    assert state(world, "findings_followed") == "not_shown"
    row = find(world.compliance, world.engineer, severity="low")
    assert state(world, "findings_followed") == "present"
    act(update(Finding).values(due_at=clock.now() - timedelta(days=1)))
    assert state(world, "findings_followed") == "stale"
    act(update(Finding).values(severity="high"))
    assert state(world, "findings_followed") == "contradicted"
    with writing() as session:
        close_finding(session, world.compliance, row.id, evidence="mended")
    assert state(world, "findings_followed") == "present"


def test_an_exception_speaks_against_its_gate(world: World) -> None:
    assert state(world, "exceptions") == "present"
    with writing() as session:
        row = ask_exception(session, world.engineer, model="toy", gate="card_complete", reason="so",
                            expires_at=clock.now() + timedelta(days=5))  # fmt: skip
    assert state(world, "exceptions") == "present"
    with writing() as session:
        decide_exception(session, world.compliance, row.id, verdict="grant", comment="so")
    assert state(world, "exceptions") == "contradicted"
    assert state(world, "exceptions", later=timedelta(days=6)) == "present"


def page(world: World) -> int:
    with writing() as session:
        alert = fire(session, SYSTEM, Firing("toy", "production", 2, "realised", "page", "AUC fell", "roc_auc",
                                             clock.now(), {}))  # fmt: skip
        return alert.incident_id or 0


def test_incidents_that_were_taken_on(world: World) -> None:
    assert state(world, "incidents_handled") == "not_shown"
    number = page(world)
    assert state(world, "incidents_handled") == "present"
    assert state(world, "incidents_handled", later=timedelta(days=2)) == "contradicted"
    with writing() as session:
        acknowledge(session, world.on_call, number)
    assert state(world, "incidents_handled", later=timedelta(days=2)) == "present"
    with writing() as session:
        set_severity(session, world.on_call, number, severity=1, why="all callers see it")
    assert state(world, "incidents_handled", later=timedelta(days=2)) == "present"  # it was taken on in time


def test_how_incidents_ended(world: World) -> None:
    assert state(world, "alerts_reach_people") == "not_shown"
    page(world)
    assert state(world, "alerts_reach_people") == "not_shown"
    act(update(Incident).values(state="closed", closed_at=clock.now()))
    assert state(world, "alerts_reach_people") == "missing"
    act(update(Incident).values(closed_because="a broken feed"))
    assert state(world, "alerts_reach_people") == "present"


def test_clocks_of_a_serious_incident(world: World) -> None:
    assert state(world, "serious_clocks") == "not_shown"
    number = page(world)
    with writing() as session:
        mark_serious(session, world.on_call, number, why="so", aware_at=clock.now(), clocks=["serious"])
    assert state(world, "serious_clocks") == "present"
    assert state(world, "serious_clocks", later=timedelta(days=20)) == "contradicted"
    with reading() as session:
        row = session.scalars(select(SeriousClock)).one()
    with writing() as session:
        meet_clock(session, world.compliance, row.id, evidence="sent")
    assert state(world, "serious_clocks", later=timedelta(days=20)) == "present"
    act(update(SeriousClock).values(met_at=SeriousClock.due_at, due_at=row.starts_at))
    assert state(world, "serious_clocks", later=timedelta(days=20)) == "contradicted"
    over = {"starts_at": "", "due_at": clock.to_iso(row.starts_at), "set_by": "per_1", "was_over": True,
            "until": clock.to_iso(clock.now()), "why": "counted wrong"}  # fmt: skip
    far = clock.now() + timedelta(days=90)
    act(update(SeriousClock).values(met_at=None, due_at=far, earlier=[over]))
    assert state(world, "serious_clocks") == "contradicted", "setting it anew does not hide that it was over"
    later = over | {"until": clock.to_iso(far), "was_over": False}
    act(update(SeriousClock).values(earlier=[later]))
    assert state(world, "serious_clocks") == "contradicted", "what is set anew later does not alter the past"
    act(delete(SeriousClock))
    assert state(world, "serious_clocks") == "missing"  # none of none is met by nobody


def changed(world: World, *, verdict: str = "pass", by: str = "", break_glass: bool = False) -> int:
    """A change that brought version 2 into service, as the record holds one."""
    now = clock.now()
    with writing() as session:
        change = Change(
            kind="promote", model="toy", environment="production", from_version=1, to_version=2, subject={},
            summary="so", state="executed", requested_by=world.engineer.person_id, requested_at=now, reason="so",
            trained_by=world.engineer.person_id, policy={"roles": {"ml_lead": 1}}, bound={},
            evidence={}, request_digest="sha256:r",
            gates=[{"gate": "artefact_scanned", "title": "Artefact scanned", "verdict": verdict, "text": "so"}],
            gates_at=now, digest="sha256:d", expires_at=now, finished_at=now, break_glass=break_glass,
        )  # fmt: skip
        session.add(change)
        session.flush()
        if not break_glass:
            session.add(Decision(
                change_id=change.id, revision=1, person_id=by or world.lead.person_id, verdict="approve", comment="",
                seen_digest="sha256:d", accepted=[], role="ml_lead", decided_at=now,
            ))  # fmt: skip
            record(session, world.lead, Action.CHANGE_APPROVED, object_kind="change", object_id=change.id,
                   payload={"role": "ml_lead"})  # fmt: skip
        session.execute(text("UPDATE deployments SET change_id = :id WHERE version = 2"), {"id": change.id})
        return change.id


def test_who_agreed_to_what_serves(world: World) -> None:
    for name in ("approved_change", "gates_passed", "changes_recorded"):
        assert state(world, name) == "missing"
    number = changed(world)
    found = ask(world, "approved_change")
    assert (found.state, found.links[0].label) == ("present", f"CHG-{number}")
    assert (state(world, "gates_passed"), state(world, "changes_recorded")) == ("present", "present")
    assert state(world, "gate", gate="artefact_scanned") == "present"
    assert state(world, "gate", gate="card_complete") == "missing"
    act(update(Decision).values(person_id=world.engineer.person_id))
    assert (state(world, "approved_change"), state(world, "decisions_apart")) == (
        "contradicted",
        "contradicted",
    )
    act(delete(Decision))
    assert (state(world, "approved_change"), state(world, "decisions_apart")) == ("missing", "missing")


@pytest.mark.parametrize(("verdict", "expected"), [("fail", "contradicted"), ("inconclusive", "missing")])
def test_a_gate_that_did_not_pass(world: World, verdict: str, expected: str) -> None:
    changed(world, verdict=verdict)
    assert state(world, "gates_passed") == expected
    assert state(world, "gate", gate="artefact_scanned") == expected


def test_nobody_decided_on_their_own(world: World) -> None:
    assert state(world, "decisions_apart") == "missing"
    changed(world)
    assert state(world, "decisions_apart") == "present"
    assert state(world, "decisions_apart", later=YEARS) == "missing"


def test_a_change_without_a_decision_is_reviewed(world: World) -> None:
    assert state(world, "urgent_reviewed") == "not_shown"
    number = changed(world, break_glass=True)
    assert state(world, "approved_change") == "missing"
    with writing() as session:
        session.add(Review(change_id=number, due_at=clock.now() + timedelta(days=1)))
    assert state(world, "urgent_reviewed") == "present"
    assert state(world, "urgent_reviewed", later=timedelta(days=2)) == "contradicted"
    act(update(Review).values(verdict="justified", reviewed_at=clock.now(), reviewed_by=world.lead.person_id))
    assert state(world, "urgent_reviewed", later=timedelta(days=2)) == "present"
    assert state(world, "approved_change") == "present"
    act(update(Review).values(verdict="not_justified"))
    assert state(world, "approved_change") == "contradicted"


def test_what_was_promised_still_holds(world: World) -> None:
    assert state(world, "conditions_hold") == "missing"
    number = changed(world)
    with writing() as session:
        opened = session.scalar(text("SELECT max(id) FROM deployments WHERE model = 'toy'"))
        session.add(Condition(change_id=number, deployment_id=opened, gate="card_complete", parameters={}))
    assert state(world, "conditions_hold") == "missing"
    act(update(Condition).values(state="holds", checked_at=clock.now()))
    assert state(world, "conditions_hold") == "present"
    assert state(world, "conditions_hold", later=timedelta(days=8)) == "stale"
    act(update(Condition).values(state="broken", text="the card lapsed", broken_at=clock.now()))
    assert state(world, "conditions_hold") == "contradicted"


def test_a_way_back(world: World) -> None:
    assert state(world, "way_back") == "present"
    act(delete(MetricPoint))
    assert state(world, "way_back") == "missing"


def test_moves_outside(world: World) -> None:
    assert state(world, "moves_outside") == "not_shown"
    act(update(Model).values(aliases_seen_at=clock.now(), aliases_looked_at=clock.now()))
    assert state(world, "moves_outside") == "present"
    assert state(world, "moves_outside", later=timedelta(days=3)) == "stale"
    with writing() as session:
        session.add(RegistryMove(model="toy", environment="production", alias="champion", found_at=clock.now(),
                                 would_be="refused", reasons=[]))  # fmt: skip
    assert state(world, "moves_outside") == "contradicted"
    act(update(RegistryMove).values(state="restored"))
    assert state(world, "moves_outside") == "present"


def test_the_policy(world: World) -> None:
    from tests.integration.governance.conftest import UNGATED, put_in_force

    assert (state(world, "policy_in_force"), state(world, "rule_for_tier")) == ("missing", "present")
    with writing() as session:
        put_in_force(session, world, UNGATED)
    assert (state(world, "policy_in_force"), state(world, "rule_for_tier")) == ("present", "missing")
    assert state(world, "policy_in_force", later=YEARS) == "stale"


def test_monitoring_up_to_now(world: World) -> None:
    assert state(world, "windows_fresh") == "stale"  # the last window is of spring
    realise(0.72)
    assert state(world, "windows_fresh") == "present"
    assert state(world, "windows_fresh", later=timedelta(days=30)) == "stale"
    act(delete(MetricPoint), delete(WindowState))
    assert state(world, "windows_fresh") == "missing"


def test_performance_on_labels(world: World) -> None:
    assert state(world, "realised_performance") == "stale"
    realise(0.72)
    assert state(world, "realised_performance") == "present"
    act(update(MetricPoint).values(verdict="alarm", level="page", text="AUC fell"))
    assert "AUC fell" in ask(world, "realised_performance").reason
    assert state(world, "realised_performance") == "contradicted"
    assert state(world, "realised_performance", later=YEARS) == "stale"
    act(delete(MetricPoint))
    assert state(world, "realised_performance") == "missing"


@pytest.mark.parametrize(("name", "kind"), [("drift", "drift"), ("data_quality", "quality")])
def test_drift_and_quality(world: World, name: str, kind: str) -> None:
    assert state(world, name) == "missing"
    realise(0.1, statistic="psi")
    act(update(MetricPoint).where(MetricPoint.statistic == "psi").values(kind=kind, column="distance"))
    assert state(world, name) == "present"
    assert state(world, name, later=timedelta(days=30)) == "stale"
    act(update(MetricPoint).where(MetricPoint.kind == kind).values(verdict="alarm", level="info"))
    assert state(world, name) == "present"
    act(update(MetricPoint).where(MetricPoint.kind == kind).values(level="ticket", text="distance moved"))
    assert state(world, name) == "contradicted"
    act(update(MetricPoint).values(verdict="inconclusive"))
    assert state(world, name) == "missing"


def test_groups_of_people(world: World) -> None:
    assert (state(world, "protected_declared"), state(world, "group_performance")) == ("missing", "missing")
    with writing() as session:
        session.get_one(Model, "toy").spec = {**SPEC, "protected": ["carrier"], "segments": ["carrier"]}
    assert (state(world, "protected_declared"), state(world, "group_performance")) == ("present", "missing")
    realise(0.72)
    realise(0.71, segment="carrier=AA")
    assert state(world, "group_performance") == "present"
    act(update(MetricPoint).where(MetricPoint.segment != "").values(verdict="alarm", level="ticket"))
    assert "carrier=AA" in ask(world, "group_performance").reason
    assert state(world, "group_performance") == "contradicted"
    assert state(world, "group_performance", later=YEARS) == "stale"


def test_a_model_that_is_not_described_has_nothing_measured(world: World) -> None:
    act(update(Model).values(spec={}))
    for name in ("windows_fresh", "drift", "realised_performance", "group_performance", "subject_declared"):
        assert "not described" in ask(world, name).reason
        assert state(world, name) == "missing"


def test_what_drives_a_version(world: World) -> None:
    assert state(world, "version_explained") == "missing"
    with writing() as session:
        session.add(ShapSummary(model="toy", version=2, computed_at=clock.now(), rows=10, method="so", base_value=0.0,
                                features=[{"column": "distance"}]))  # fmt: skip
    assert state(world, "version_explained") == "present"
    assert state(world, "version_explained", later=YEARS) == "stale"
    assert state(world, "version_explained", at=clock.now() - timedelta(days=1)) == "not_shown"


def test_the_log(world: World) -> None:
    assert (state(world, "log_verified"), state(world, "log_signed")) == ("missing", "missing")
    assert state(world, "log_anchored") == "missing"
    assert state(world, "entries_about_model") == "present"
    sign_head()
    with writing() as session:
        session.add(AuditVerification(at=clock.now(), ok=True, size=3, root="r"))
    assert (state(world, "log_verified"), state(world, "log_signed")) == ("present", "present")
    later = timedelta(days=9)
    assert (state(world, "log_verified", later=later), state(world, "log_signed", later=later)) == (
        "stale",
        "stale",
    )
    act(update(AuditVerification).values(ok=False, problem="entry 2 was altered"))
    assert "entry 2" in ask(world, "log_verified").reason
    assert state(world, "log_verified") == "contradicted"
    with writing() as session:
        open_finding(session, SYSTEM, NOT_SIGNED, subject="head", title="the head is refused")
    assert state(world, "log_signed") == "contradicted"
    with reading() as session:
        first = session.scalars(select(AuditCheckpoint.at)).one()
    assert state(world, "log_signed", at=first) == "present"


def test_the_log_against_what_happened(world: World) -> None:
    from backend.audit.reconciliation import CURSOR
    from backend.audit.tables import AuditCursor, AuditFinding

    assert state(world, "log_matches") == "missing"
    with writing() as session:
        session.add(AuditCursor(name=CURSOR, next_seq=1, moved_at=clock.now()))
    assert state(world, "log_matches") == "present"
    assert state(world, "log_matches", later=timedelta(days=9)) == "stale"
    with writing() as session:
        open_finding(session, SYSTEM, NOT_INTACT, subject="log", title="it is altered", level="page")
    assert state(world, "log_matches") == "contradicted"
    act(update(AuditFinding).values(level="ticket", kind="export"))
    assert state(world, "log_matches") == "stale"


def test_an_anchor(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.audit.tables import AuditAnchor

    sign_head()
    with writing() as session:
        others = (("witness", "there"), ("fake", "The Supreme Court"), ("git", "/srv/others"))
        for number, (kind, place) in enumerate(others, 1):
            session.add(
                AuditAnchor(id=number, checkpoint_id=1, kind=kind, place=place, at=clock.now(), proof="p")
            )
    assert state(world, "log_anchored") == "missing"  # anybody can put in a row about a place of their own
    monkeypatch.setenv("WARRANT_AUDIT_GIT", "/srv/tags")
    settings.cache_clear()
    assert "no place that the settings name" in ask(world, "log_anchored").reason
    with writing() as session:
        session.add(
            AuditAnchor(id=4, checkpoint_id=1, kind="git", place="/srv/tags", at=clock.now(), proof="p")
        )
    assert state(world, "log_anchored") == "present"
    assert state(world, "log_anchored", later=timedelta(days=9)) == "stale"


def keep(world: World, **more: Any) -> None:
    with writing() as session:
        set_rule(session, world.compliance, model="toy", why="so", **{"purposes": ["prediction"], **more})


@pytest.mark.parametrize(
    ("name", "field"), [("log_kept", "payloads_days"), ("predictions_kept", "predictions_days")]
)
def test_how_long_things_are_kept(world: World, name: str, field: str) -> None:
    assert state(world, name) == "not_shown"  # nobody has said it
    keep(world)
    assert state(world, name) == "present"
    keep(world, **{field: 365})
    assert state(world, name) == "present"
    keep(world, **{field: 30})
    assert state(world, name) == "contradicted"
    assert state(world, name, min_days=7) == "present"
    assert state(world, name, at=clock.now() - timedelta(days=1)) == "not_shown"


def test_what_the_house_removes_earlier_than_the_rule_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARRANT_AUDIT_KEEP_PAYLOADS_DAYS", "30")
    settings.cache_clear()
    assert state(world, "log_kept") == "contradicted"
    keep(world, payloads_days=365)
    found = ask(world, "log_kept")
    assert (found.state, "30 days by the settings of the house" in found.reason) == ("contradicted", True)


def test_purposes_and_retention(world: World) -> None:
    assert (state(world, "purposes_recorded"), state(world, "retention_set")) == ("missing", "missing")
    keep(world)
    assert "no ground" in ask(world, "purposes_recorded").reason
    keep(world, basis="contract", predictions_days=30)
    assert (state(world, "purposes_recorded"), state(world, "retention_set")) == ("present", "present")
    act(delete(DataRule))
    assert (state(world, "purposes_recorded"), state(world, "retention_set")) == ("missing", "missing")


def test_people_that_can_be_told_apart(world: World) -> None:
    for name in ("subject_declared", "pseudonyms", "opt_outs"):
        assert state(world, name) == "missing"
    features = {**SPEC["features"], "passenger": "id"}  # type: ignore[dict-item]
    described = {**SPEC, "features": features, "subject": "passenger"}
    act(update(Model).values(spec=described))
    assert (state(world, "subject_declared"), state(world, "pseudonyms")) == ("present", "missing")
    act(update(Model).values(spec={**described, "pseudonymise": ["passenger"]}))
    assert (state(world, "pseudonyms"), state(world, "opt_outs")) == ("present", "present")


@pytest.mark.parametrize("kind", ["erase", "access"])
def test_requests_of_people(world: World, kind: str) -> None:
    assert state(world, "requests_answered", kind=kind) == "not_shown"
    with writing() as session:
        session.add(DataRequest(kind=kind, about="rows", model="toy", how="1 prediction id", digest="sha256:0",
                                requested_by=world.compliance.person_id, requested_at=clock.now()))  # fmt: skip
    assert state(world, "requests_answered", kind=kind) == "present"
    assert state(world, "requests_answered", kind=kind, later=timedelta(days=31)) == "contradicted"
    act(update(DataRequest).values(done_at=clock.now()))
    assert state(world, "requests_answered", kind=kind, later=timedelta(days=31)) == "present"


def test_single_predictions_explained(world: World) -> None:
    assert state(world, "predictions_explained") == "missing"
    with writing() as session:
        store_explained(session, "p1")
    assert state(world, "predictions_explained") == "present"
    assert state(world, "predictions_explained", later=YEARS) == "stale"


def test_roles(world: World) -> None:
    assert state(world, "role_filled", role="on_call") == "present"
    assert state(world, "role_filled", role="ml_lead", people=3) == "missing"
    with writing() as session:
        disable_person(session, SYSTEM, world.on_call.person_id)
    assert state(world, "role_filled", role="on_call") == "missing"
    then = ask(world, "role_filled", role="on_call", at=clock.now(), by=world.lead)
    assert (then.state, "payloads" in then.reason) == ("not_shown", True)


def test_a_review_of_access(world: World) -> None:
    assert state(world, "access_reviewed") == "missing"
    with writing() as session:
        start_review(session, world.compliance, title="third quarter", due_at=clock.now() + timedelta(days=9))
    assert state(world, "access_reviewed") == "missing"
    assert state(world, "access_reviewed", later=timedelta(days=10)) == "contradicted"
    with writing() as session:
        for item in session.scalars(select(AccessItem)).all():
            by = world.compliance if item.person_id != world.compliance.person_id else SYSTEM
            answer_item(session, by, item.id, answer="keep", reason="so") if by is world.compliance else None
        session.execute(update(AccessReview).values(closed_at=clock.now()))
    assert state(world, "access_reviewed") == "present"
    assert state(world, "access_reviewed", later=YEARS) == "stale"


def test_a_rollout_in_steps(world: World) -> None:
    from backend.governance.tables import RolloutStep

    number = changed(world)
    assert state(world, "rollout_in_steps") == "missing"
    with writing() as session:
        session.add(
            RolloutStep(change_id=number, number=1, role="canary", share=0.1, verdict="success", analysis={})
        )
    assert state(world, "rollout_in_steps") == "present"
    act(update(RolloutStep).values(verdict="failure"))
    assert state(world, "rollout_in_steps") == "contradicted"
    act(update(RolloutStep).values(verdict="inconclusive"))
    assert state(world, "rollout_in_steps") == "missing"


def test_own_monitors_and_service_levels(world: World) -> None:
    from backend.monitoring.monitor_tables import MonitorVersion
    from backend.slo.objectives import Availability, Objective
    from backend.slo.objectives_service import define_objective
    from backend.slo.tables import ObjectiveState
    from backend.slo.windows import Rolling

    assert (state(world, "own_monitors"), state(world, "service_levels")) == ("missing", "missing")
    with writing() as session:
        session.add(MonitorVersion(key="m", number=1, model="toy", environment="production", name="traffic",
                                   definition={}, made_at=clock.now()))  # fmt: skip
        promised = Objective(
            name="answers", model="toy", sli=Availability(), target=Decimal("0.99"), window=Rolling(720)
        )
        key = define_objective(session, SYSTEM, objective=promised).key
    assert "of no objective anything is known" in ask(world, "service_levels").reason
    with writing() as session:
        session.add(
            ObjectiveState(
                objective=key, model="toy", environment="production", number=1, read_until_s=0, period_start_s=0,
                state="ok", since=clock.now(), judged_at=clock.now(), figures={},
            )
        )  # fmt: skip
    assert (state(world, "own_monitors"), state(world, "service_levels")) == ("present", "present")
    assert state(world, "service_levels", later=timedelta(days=2)) == "stale"
    act(update(ObjectiveState).values(state="breach"))
    assert state(world, "service_levels") == "contradicted"
    act(update(MonitorVersion).values(state="paused"))
    act(update(ObjectiveState).values(state="no_data", problem="no gateway answered"))
    assert "1 monitor paused" in ask(world, "own_monitors").reason
    assert "no gateway answered" in ask(world, "service_levels").reason
    assert (state(world, "own_monitors"), state(world, "service_levels")) == ("missing", "missing")


def test_a_day_before_anything_happened_shows_nothing(world: World) -> None:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    realise(0.72)
    validate(world.lead)
    changed(world)
    for name in ("validation", "windows_fresh", "realised_performance", "approved_change", "owner_named",
                 "purpose_written", "tier_follows", "entries_about_model"):  # fmt: skip
        assert state(world, name, at=long_ago) == "missing"
