"""What somebody wrote into the tables, or took out of them, past Warrant stands in the packs that it is about."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text, update

from backend import clock
from backend.audit.change_entries import ASKED, told_of
from backend.audit.checkpoints import sign_head
from backend.audit.erasure import erase_payloads
from backend.audit.proofs import LogDamaged
from backend.audit.reconciliation import reconcile
from backend.audit.tables import AuditFinding
from backend.cards.tables import CardVersion
from backend.controls.assessment import assess
from backend.controls.evidence import State
from backend.database.session import reading, writing
from backend.governance.digests import digest_of
from backend.governance.tables import Change, Decision, Snapshot
from backend.holds.tables import Hold
from backend.monitoring.tables import MetricPoint, WindowState
from backend.packs import monitoring_files
from backend.packs.card_files import add_cards
from backend.packs.change_files import add_changes
from backend.packs.control_files import add_controls
from backend.packs.draft import Draft
from backend.packs.log_extract import ENTRIES, add_log
from backend.packs.monitoring_files import add_monitoring
from backend.packs.scope import Subject, scope_of, subject_of
from tests.integration.audit.tampering import tampering
from tests.integration.packs.conftest import WORKER, House
from tests.worlds import add_model

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # the same rows, the same code


def subject(house: House, session: Any, *, as_of: Any = None, **scope: Any) -> Subject:
    who, moment = house.world.compliance, as_of or clock.now()
    found = scope_of(session, who, **scope)
    return subject_of(session, who, found, as_of=moment, is_now=as_of is None, environment="production")


def drafted(house: House, **scope: Any) -> Draft:
    """The parts of a pack that the log and the changes make."""
    sign_head()
    draft, who = Draft(), house.world.compliance
    with reading() as session:
        about = subject(house, session, **scope)
        add_log(draft, session, who, about)
        add_changes(draft, session, who, about)
    return draft


def grave(draft: Draft) -> list[str]:
    return [one.text for one in draft.gaps if one.level == "high"]


def scopes(house: House, change: int) -> list[dict[str, Any]]:
    year = f"{clock.now():%Y}"
    return [
        {"kind": "change", "change": change}, {"kind": "model", "model": "toy"},
        {"kind": "period", "period": year, "model": "toy"}, {"kind": "period", "period": year},
    ]  # fmt: skip


def forge_approval(house: House) -> None:
    """A decision and the state that it would bring about, as who owns the database writes them."""
    with writing() as session:
        change = session.get_one(Change, house.waiting)
        given = session.scalars(select(Decision).where(Decision.change_id == house.change)).one()
        session.add(
            Decision(change_id=change.id, revision=change.revision, person_id=given.person_id, verdict="approve",
                     comment="agreed", seen_digest=change.digest, accepted=[], role="ml_lead", decided_at=clock.now())
        )  # fmt: skip
        change.state = "approved"


def test_a_forged_approval_is_a_grave_gap_of_every_pack_about_it(house: House) -> None:
    assert not [one for scope in scopes(house, house.waiting) for one in grave(drafted(house, **scope)) if "CHG-" in one
                and "disagree" in one]  # fmt: skip
    forge_approval(house)
    for scope in scopes(house, house.waiting):
        told = grave(drafted(house, **scope))
        assert any(
            f"a decision on CHG-{house.waiting} (approve) that no entry records" in one for one in told
        ), scope
        assert any(f"CHG-{house.waiting} is approved, and no entry approves it" in one for one in told), scope
    assert not [one for one in grave(drafted(house, kind="change", change=house.change)) if "disagree" in one]


@pytest.mark.slow
def test_a_finding_that_somebody_closed_stays_a_gap_with_their_reason(house: House) -> None:
    forge_approval(house)
    with writing() as session:
        reconcile(session, WORKER)
        session.execute(update(AuditFinding).values(state="closed", closed_because="a typing error"))
    told = [one for one in drafted(house, kind="model", model="toy").gaps if "no entry records" in one.text]
    assert [(one.level, "closed: a typing error" in one.text) for one in told] == [("medium", True)]


@pytest.mark.parametrize("how", ["deleted", "turned to another model"])
def test_a_change_whose_row_was_taken_away_is_named_and_its_entries_are_there(house: House, how: str) -> None:
    scope = {"kind": "model", "model": "toy"}
    before = entries_of(drafted(house, **scope), house.waiting)
    assert before
    if how == "deleted":
        with tampering() as connection:
            connection.execute(text("DELETE FROM changes WHERE id = :id"), {"id": house.waiting})
    else:
        add_model(house.world, "other", versions=1)
        with writing() as session:
            session.get_one(Change, house.waiting).model = "other"
    for scope in (*scopes(house, house.change)[1:], {"kind": "version", "model": "toy", "version": 2}):
        draft = drafted(house, **scope)
        if how == "deleted" or scope.get("model"):
            assert any(f"CHG-{house.waiting} here" in one for one in grave(draft)), scope
        assert entries_of(draft, house.waiting) >= before, scope


def entries_of(draft: Draft, change: int) -> set[int]:
    leaves = [json.loads(json.loads(line)["leaf"]) for line in draft.files[ENTRIES].decode().splitlines()]
    return {one["seq"] for one in leaves if (one["object_kind"], one["object_id"]) == ("change", str(change))}


def test_what_a_decider_saw_cannot_be_rewritten_in_any_part(house: House) -> None:
    with reading() as session:
        kept = session.scalars(select(Snapshot).where(Snapshot.change_id == house.change)).one()
    assert not [one for one in grave(drafted(house, kind="model", model="toy")) if "What was shown" in one]
    bound = {**kept.document["bound"], "x": "forged"}
    for forged in (
        {"reason": "FORGED"}, {"summary": "FORGED"}, {"to_version": 9}, {"policy": {"roles": {}}}, {"bound": bound},
        {"bound": bound, "request_digest": digest_of({**{one: kept.document[one] for one in
         ("kind", "model", "environment")}, "bound": bound})},
    ):  # fmt: skip
        with writing() as session:
            session.execute(
                update(Snapshot)
                .where(Snapshot.digest == kept.digest)
                .values(document={**kept.document, **forged})
            )
        draft = drafted(house, kind="change", change=house.change)
        assert any(f"What was shown of CHG-{house.change}" in one for one in grave(draft)), forged
        assert b"ALTERED SINCE" in draft.files[f"changes/CHG-{house.change}/as-seen.html"], forged


def test_what_was_shown_of_a_change_with_an_erased_payload_is_held_against_what_is_left(house: House) -> None:
    """Entries beside the erased one still speak: a forged reason is found, and what nobody can tell is named."""
    with writing() as session:
        session.execute(update(Hold).values(released_at=clock.now()))
        kept = session.scalars(select(Snapshot).where(Snapshot.change_id == house.change)).one()
        told = told_of(session, [house.change])[house.change]
        asked = next(one.seq for one in told if one.action in ASKED)
        naming = [one.seq for one in told if (one.said or {}).get("shown") and one.seq != asked]
        erase_payloads(session, WORKER, naming, why="it names somebody", subject="erq_2")

    def said(**forged: object) -> list[tuple[str, str]]:
        with writing() as session:
            session.execute(
                update(Snapshot)
                .where(Snapshot.digest == kept.digest)
                .values(document={**kept.document, **forged})
            )
        gaps = drafted(house, kind="change", change=house.change).gaps
        return [(one.level, one.text) for one in gaps if "What was shown" in one.text]

    assert said() == []
    assert [level for level, _ in said(reason="FORGED")] == ["high"]
    with writing() as session:
        erase_payloads(session, WORKER, [asked], why="it names somebody", subject="erq_3")
    ((level, text_of_gap),) = said()
    assert level == "low"
    assert "whether summary, reason, from version and to version stood there" in text_of_gap
    assert f"({', '.join(str(one) for one in sorted([asked, *naming]))})" in text_of_gap
    seen = drafted(house, kind="change", change=house.change).files[
        f"changes/CHG-{house.change}/as-seen.html"
    ]
    assert b"Not all of this can be told" in seen


def test_approvals_are_counted_by_role_and_those_of_barred_people_do_not_count(house: House) -> None:
    def shown() -> State:
        with reading() as session:
            found = assess(
                session, house.world.compliance, catalogue="eu-ai-act-articles", model="toy", version=1
            )
        return next(
            one.evidence.state
            for row in found.controls
            for one in row.answers
            if one.query == "approved_change"
        )

    assert shown() == "present"
    with writing() as session:
        change = session.get_one(Change, house.change)
        given = session.scalars(select(Decision).where(Decision.change_id == house.change)).one()
        change.policy = {**change.policy, "roles": {"ml_lead": 1, "compliance": 1}}
        session.add(
            Decision(change_id=change.id, revision=1, person_id=house.world.other_lead.person_id, verdict="approve",
                     comment="", seen_digest=given.seen_digest, accepted=[], role="ml_lead",
                     decided_at=given.decided_at)
        )  # fmt: skip
    told = grave(drafted(house, kind="change", change=house.change))
    assert f"CHG-{house.change} was executed with fewer approvals than its rule asks for" in told
    assert shown() == "contradicted"
    with writing() as session:
        change = session.get_one(Change, house.change)
        change.policy = {**change.policy, "roles": {"ml_lead": 1}}
        given = session.scalars(
            select(Decision).where(Decision.person_id == house.world.lead.person_id)
        ).one()
        given.on_behalf_of = change.requested_by
    assert shown() == "contradicted"


def test_no_pack_is_made_over_an_altered_payload(house: House) -> None:
    with tampering() as connection:
        connection.execute(
            text("UPDATE audit_payloads SET payload = replace(payload, '{', '{ ') WHERE seq = (SELECT max(seq) FROM "
                 "audit_entries WHERE object_kind = 'change')")
        )  # fmt: skip
    with pytest.raises(LogDamaged, match="is not the one that the log is bound to"):
        drafted(house, kind="model", model="toy")


@pytest.mark.slow
def test_the_card_of_a_moment_before_it_was_approved_is_the_file(house: House) -> None:
    with reading() as session:
        approved = session.scalars(select(CardVersion)).one().approved_at
        assert approved is not None
        draft = Draft()
        about = subject(
            house, session, kind="version", model="toy", version=2, as_of=approved - timedelta(microseconds=1)
        )
        (told,) = add_cards(draft, session, house.world.compliance, about)
    assert (told["state"], told["number"]) == ("file", None)
    assert any("is approved by nobody" in one.text for one in draft.gaps)


@pytest.mark.slow
def test_windows_beyond_those_of_a_pack_are_counted_with_their_alarms(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def watched() -> tuple[Any, list[str]]:
        draft = Draft()
        with reading() as session:
            about = subject(house, session, kind="model", model="toy")
            (found,) = add_monitoring(draft, session, house.world.compliance, about)
        return found, draft.left_out

    whole, left_out = watched()
    assert not any("windows of toy" in one for one in left_out)
    with writing() as session:  # an old alarm
        old = session.scalars(select(WindowState).order_by(WindowState.start).limit(1)).one()
        session.execute(
            update(MetricPoint)
            .where(MetricPoint.window_id == old.id, MetricPoint.segment == "")
            .values(verdict="alarm")
        )
    whole, _ = watched()
    assert whole.alarms
    monkeypatch.setattr(monitoring_files, "MOST_WINDOWS", 2)
    cut, left_out = watched()
    assert (cut.windows, cut.alarms, cut.start) == (whole.windows, whole.alarms, whole.start)
    assert any(f"{whole.windows - 2:,} windows of toy before" in one for one in left_out)


@pytest.mark.slow
def test_a_model_named_as_a_folder_of_the_pack_has_its_own(house: House) -> None:
    add_model(house.world, "house", versions=1)
    draft = Draft()
    with reading() as session:
        about = subject(house, session, kind="period", period=f"{clock.now():%Y}")
        add_controls(draft, session, house.world.compliance, about)
    assert {"controls/house/gdpr.csv", "controls/models/house/gdpr.csv"} <= draft.files.keys()
