"""The pages of the inventory, of access and of a serious incident; and what an auditor finds on any page."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import streamlit as st
from sqlalchemy import update

from app.nav import PAGES
from backend import clock
from backend.access.reviews import start_review
from backend.assurance.documents import add_document
from backend.assurance.facts import register_vendor_model
from backend.assurance.findings import open_finding
from backend.assurance.questionnaire import asked_now, replace_questionnaire
from backend.assurance.serious import clocks_of, mark_serious, set_clock
from backend.assurance.serious_tables import SeriousClock
from backend.assurance.tables import Finding
from backend.assurance.validations import record_validation
from backend.database.session import reading, writing
from backend.identity.auditors import invite_auditor
from backend.identity.roles import Role
from backend.identity.sessions import actor_of
from tests.integration.app.test_pages import QUERIES, Open, ask_rollback, open_page, text_of, world
from tests.watched import watch
from tests.worlds import World, add_model, person

__all__ = ["open_page", "world"]


def vouch(world: World) -> None:
    soon = clock.now() + timedelta(days=20)
    with writing() as session:
        report = add_document(session, world.lead, name="report.md", data=b"# so").digest
        record_validation(
            session, world.lead, model="toy", version=2, scope="all", outcome="fit", summary="it holds",
            report=report,
        )  # fmt: skip
        open_finding(
            session, world.compliance, model="toy", title="labels <b>leak</b>", detail="so", severity="high",
            owner_id=world.engineer.person_id, due_at=soon,
        )  # fmt: skip
        register_vendor_model(
            session, world.compliance, name="scores", title="Credit scores", vendor="Acme", purpose="loans",
            data="theirs " * 20, contact="a@acme.example", owner_id=world.lead.person_id,
        )  # fmt: skip


def test_the_inventory_names_what_is_overdue_and_a_vendors_model_without_health(
    world: World, open_page: Open
) -> None:
    vouch(world)
    said = text_of(open_page(world.viewer, "inventory"))
    assert "Nothing is known to be overdue of 2 models" in said
    assert "w-headline w-unknown" in said
    assert "theirs theirs…" in said  # what is cut says so, and ends with a word
    assert 'not measured</span><br><span class="w-detail">the vendor serves it' in said
    assert "<th>health</th>" in said.replace(' scope="col"', "")
    with writing() as session:
        session.execute(update(Finding).values(due_at=clock.now() - timedelta(days=2)))
    st.cache_data.clear()
    said = text_of(open_page(world.viewer, "inventory"))
    assert "1 of 2 models needs somebody" in said
    assert "a high finding is overdue" in said


def test_a_model_of_it_shows_who_vouches_and_where_it_comes_from(world: World, open_page: Open) -> None:
    vouch(world)
    said = text_of(open_page(world.viewer, "inventory_model", model="toy"))
    for part in ("VAL-1", "fit for its purpose", "FND-1", "w-lineage", "not recorded", "report.md"):
        assert part in said, part
    assert "<b>leak" not in said
    assert "No version is registered here" in text_of(
        open_page(world.viewer, "inventory_model", model="scores")
    )


def test_a_questionnaire_is_text_on_the_page(world: World, open_page: Open) -> None:
    with writing() as session:
        asked = asked_now(session).document.as_dict()
        asked["axes"]["exposure"] |= {"title": "<img src=x>", "explanation": "<a href=//spy>so</a>"}
        replace_questionnaire(session, world.compliance, text=json.dumps(asked), note="worded anew")
    said = text_of(open_page(world.lead, "inventory_model", model="toy"))
    assert "<strong>&lt;img src=x&gt;</strong>: &lt;a href=//spy&gt;so" in said
    assert "<img" not in said


def test_the_page_of_a_change_shows_validation_and_findings_as_they_were(
    world: World, open_page: Open
) -> None:
    vouch(world)
    number = ask_rollback(world)
    said = text_of(open_page(world.lead, "change", id=str(number)))
    assert "Nobody has validated this version" in said
    assert "FND-1" in said


def test_access_offers_no_answer_for_oneself(world: World, open_page: Open) -> None:
    said = text_of(open_page(world.compliance, "access"))
    assert "no review runs" in said
    with writing() as session:
        start_review(session, world.compliance, title="third quarter", due_at=clock.now() + timedelta(days=9))
    st.cache_data.clear()
    test = open_page(world.compliance, "access")
    assert "third quarter: 6 rights left to answer" in text_of(test)
    answers = [one for one in test.button if one.label == "Answer"]
    assert sorted(one.disabled for one in answers) == [False] * 5 + [True]


def test_a_serious_incident_shows_its_clocks_until_when_and_set_by_whom(
    world: World, open_page: Open
) -> None:
    watch(world)
    with writing() as session:
        mark_serious(
            session, world.on_call, 1, why="somebody was hurt", aware_at=clock.now() - timedelta(hours=1),
            clocks=["death", "widespread"],
        )  # fmt: skip
    said = text_of(open_page(world.viewer, "incident", id="1"))
    assert "set by Oncall" in said
    assert said.count("w-attention") >= 2
    assert "the death of a person" in said
    assert "report-draft" in said
    with reading() as session:
        row = clocks_of(session, world.viewer, 1)[0]
    with writing() as session:
        session.execute(update(SeriousClock).values(due_at=clock.now()))
        set_clock(session, world.compliance, row.id, starts_at=clock.now(), why="the link was shown today")
    st.cache_data.clear()
    said = text_of(open_page(world.viewer, "incident", id="1"))
    assert "was over" in said
    assert "moved because: the link was shown today" in said
    assert f"from {row.starts_at:%Y-%m-%d %H:%M:%S} UTC" in said


@pytest.mark.parametrize("page", [row.path for row in PAGES])
def test_no_page_tells_an_auditor_of_another_model(world: World, open_page: Open, page: str) -> None:
    watch(world)
    add_model(world, "hush-hush")
    with writing() as session:
        open_finding(
            session, world.compliance, model="hush-hush", title="hush-hush leaks", detail="so", severity="high",
            owner_id=world.engineer.person_id, due_at=clock.now() + timedelta(days=3),
        )  # fmt: skip
        admin = person(session, "root", Role.ADMIN)
        made = invite_auditor(
            session, admin, username="ext", display_name="Ext", password_hash="x", models=["toy"],
            expires_at=clock.now() + timedelta(days=3), why="yearly",
        )  # fmt: skip
        auditor = actor_of(made, session_id=None)
    ask_rollback(world)
    test = open_page(auditor, page, **QUERIES.get(page, {}))
    assert not test.exception
    assert "hush-hush" not in text_of(test)
    assert "hush-hush" not in str([one.options for one in test.selectbox])
    if page in ("overview", "inventory", "approvals"):
        assert "toy" in text_of(test)
