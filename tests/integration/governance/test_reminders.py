"""Those who can still decide are reminded once, when a change has waited for a part of its lifetime."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import streamlit as st
from sqlalchemy import select, update

from backend import clock
from backend.audit.tables import AuditEntry
from backend.database.session import ReadSession, reading, writing
from backend.errors import BadInput
from backend.governance.asking import reopen
from backend.governance.authority import who_can_decide_on_each
from backend.governance.delegations import delegate
from backend.governance.kinds import Asked
from backend.governance.policy_document import read_policy
from backend.governance.reminders import changes_to_remind, remind_at, remind_deciders
from backend.governance.tables import Change
from backend.governance.views import change_summary
from jobs.schedules import deciders_to_remind
from tests.integration.app.test_pages import Open, open_page, text_of
from tests.integration.governance.conftest import ask, now, put_in_force, say
from tests.worlds import SYSTEM, World

__all__ = ["open_page"]
PROMOTE = Asked("promote", "production", "toy", 1)


def waited(change: Change, hours: float) -> None:
    """As if it had been asked for so long ago."""
    with writing() as session:
        session.execute(
            update(Change)
            .where(Change.id == change.id)
            .values(
                requested_at=change.requested_at - timedelta(hours=hours),
                expires_at=change.expires_at - timedelta(hours=hours),
            )
        )


def due(at: datetime | None = None) -> list[int]:
    with reading() as session:
        return changes_to_remind(session, at or clock.now())


def remind(change: Change) -> list[str]:
    with writing() as session:
        return remind_deciders(session, SYSTEM, change.id)


def reminders() -> list[AuditEntry]:
    with reading() as session:
        return list(
            session.scalars(select(AuditEntry).where(AuditEntry.action == "governance:change:remind"))
        )


def test_after_half_of_its_lifetime_the_leads_are_reminded_once(world: World) -> None:
    change = ask(world.engineer, PROMOTE)
    waited(change, 35.9)
    assert due() == [] and remind(change) == []
    waited(now(change), 0.2)
    assert due() == [change.id]
    with reading() as session:
        assert len(deciders_to_remind(session, clock.now())) == 1
    assert set(remind(change)) == {world.lead.person_id, world.other_lead.person_id}
    assert due() == [] and remind(change) == []
    assert [one.object_id for one in reminders()] == [str(change.id)]
    with reading() as session:
        assert change_summary(session, now(change))["reminded_at"] is not None


def test_a_policy_says_after_which_part(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, "rules: [{name: all, rule: {lifetime_h: 10, remind_after: 0.9}}]")
    change = ask(world.engineer, PROMOTE)
    assert remind_at(change) - change.requested_at == timedelta(hours=9)
    waited(change, 8.9)
    assert due() == []
    waited(now(change), 0.2)
    assert due() == [change.id]
    with pytest.raises(BadInput):
        read_policy("rules: [{name: all, rule: {remind_after: 1.5}}]")


def test_who_decided_already_or_is_excluded_is_not_reminded(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, "rules: [{name: all, rule: {roles: {ml_lead: 2}}}]")
    change = ask(world.engineer, PROMOTE)
    say(world.lead, change)
    waited(change, 40)
    assert remind(change) == [world.other_lead.person_id]


def test_a_change_that_waits_for_nobody_or_is_over_is_not_reminded_of(world: World) -> None:
    change = ask(world.engineer, PROMOTE)
    waited(change, 72)
    assert due() == [] and remind(change) == [], "it has expired"
    with writing() as session:
        session.execute(update(Change).values(expires_at=clock.now() + timedelta(hours=1)))
    assert due() == [change.id]
    say(world.lead, change)
    assert due() == [] and remind(change) == [], "it is approved"


def who_can_still_decide(session: ReadSession, change: Change) -> list[str]:
    shown = session.get_one(Change, change.id)
    return [one["name"] for one in who_can_decide_on_each(session, [shown])[change.id]]


def test_a_list_names_who_can_still_decide_also_by_a_right_that_is_lent(world: World) -> None:
    change = ask(world.engineer, PROMOTE)
    with reading() as session:
        assert who_can_still_decide(session, change) == ["Lead", "Lead2"]
    with writing() as session:
        delegate(
            session, world.lead, to_person=world.on_call.person_id, starts_at=clock.now(),
            ends_at=clock.now() + timedelta(days=1), reason="on leave",
        )  # fmt: skip
    with reading() as session:
        assert who_can_still_decide(session, change) == ["Lead", "Lead2", "Oncall"]


def test_the_inbox_shows_the_reminder_and_whom_to_ask(world: World, open_page: Open) -> None:
    change = ask(world.engineer, PROMOTE)
    page = text_of(open_page(world.lead, "approvals"))
    assert "can decide: Lead, Lead2" in page and "reminded" not in page
    waited(change, 66)
    remind(change)
    st.cache_data.clear()
    page = text_of(open_page(world.lead, "approvals"))
    assert "reminded" in page and "expires in" in page


def test_where_decisions_became_void_those_who_gave_them_are_reminded_again() -> None:
    change = Change(id=1, state="waiting", reminded_at=clock.now())
    reopen(change, "recheck")
    assert change.reminded_at is None
    kept = Change(id=2, state="approved", reminded_at=clock.now())
    reopen(kept, "retract")
    assert kept.reminded_at is not None, "one approval fewer, and the others stand"
