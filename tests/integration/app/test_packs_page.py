"""The page of evidence packs, and the file that it links to."""

from __future__ import annotations

import warnings
from datetime import timedelta

import streamlit as st
from starlette.applications import Starlette

from app import pack_downloads
from backend import clock
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.holds.service import place_hold
from backend.holds.tables import Hold
from backend.packs.tables import EvidencePack
from backend.queue import JobRun
from tests.integration.app.test_pages import Open, open_page, text_of, world
from tests.integration.packs.conftest import ask_pack, make_pack
from tests.watched import cookie_of
from tests.worlds import World

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

__all__ = ["open_page", "world"]


def test_the_page_says_what_to_do_while_there_is_no_pack(world: World, open_page: Open) -> None:
    said = text_of(open_page(world.lead, "packs"))
    assert "Nobody has asked for a pack yet" in said
    assert "No evidence pack is here to take away" in said


def test_a_pack_is_asked_for_on_the_page(world: World, open_page: Open) -> None:
    page = open_page(world.lead, "packs", kind="version", model="toy")
    page.text_input(key="pack-version:version:version").set_value("v2")
    page.text_area(key="pack-version:version:reason").set_value("the yearly audit")
    next(one for one in page.button if one.label == "Make the pack").click().run()
    with reading() as session:
        made = session.query(EvidencePack).one()
        run = session.get_one(JobRun, made.run_id)
    assert (made.about, made.requested_by, run.name, run.state) == (
        "version 2 of toy", world.lead.person_id, "make_pack", "queued",
    )  # fmt: skip
    said = text_of(page)
    assert "Pack about version 2 of toy" in said
    assert "queued" in said


def test_a_wrong_period_is_said_and_nothing_is_asked_for(world: World, open_page: Open) -> None:
    page = open_page(world.lead, "packs", kind="period", period="soon")
    page.text_area(key="pack-period:period:reason").set_value("so")
    next(one for one in page.button if one.label == "Make the pack").click().run()
    assert "is no period" in text_of(page)
    with reading() as session:
        assert session.query(EvidencePack).count() == 0


def test_a_made_pack_is_listed_and_taken_away_by_those_who_may(
    world: World, open_page: Open, tmp_path: object
) -> None:
    body = make_pack(world.compliance, kind="model", model="toy")
    with reading() as session:
        pack = session.query(EvidencePack).one()
    said = text_of(open_page(world.compliance, "packs"))
    assert f"/export/pack/{pack.id}.zip" in said
    assert pack.digest in said
    assert f"{pack.gaps['high']} grave" in said
    assert "which your role may not read" in text_of(open_page(world.lead, "packs"))
    with TestClient(Starlette(routes=pack_downloads.routes())) as client:
        answers = {}
        for name, who in (("compliance", world.compliance), ("lead", world.lead), ("viewer", world.viewer)):
            client.cookies.set("warrant_session", cookie_of(who))
            answers[name] = client.get(f"/export/pack/{pack.id}.zip")
    assert {name: one.status_code for name, one in answers.items()} == {
        "compliance": 200,
        "lead": 403,
        "viewer": 403,
    }
    assert answers["compliance"].content == body
    assert "attachment" in answers["compliance"].headers["content-disposition"]
    with reading() as session:
        taken = session.query(AuditEntry).filter_by(action=Action.PACK_TAKEN.value).all()
    assert [one.actor for one in taken] == [world.compliance.person_id]
    with writing() as session:
        session.get_one(JobRun, session.query(EvidencePack).one().run_id).state = "succeeded"
    waiting = ask_pack(world.compliance, kind="model", model="toy")
    with TestClient(Starlette(routes=pack_downloads.routes())) as client:
        client.cookies.set("warrant_session", cookie_of(world.compliance))
        assert client.get(f"/export/pack/{waiting}.zip").status_code == 409
        assert client.get("/export/pack/pack_none.zip").status_code == 404


def test_a_pack_says_until_when_it_is_kept_and_then_why_it_went_with_a_way_to_make_it_again(
    world: World, open_page: Open
) -> None:
    make_pack(world.lead, kind="version", model="toy", version=2)
    with reading() as session:
        pack = session.query(EvidencePack).one()
    said = text_of(open_page(world.lead, "packs"))
    assert f"kept until {pack.made_at + timedelta(days=365):%Y-%m-%d %H:%M:%S} UTC" in said
    assert "kept for 365 days: nothing else is set" in said
    with writing() as session:
        place_hold(session, world.compliance, kind="pack", object_id=pack.id, reason="the court asked")
    st.cache_data.clear()
    assert "and longer: a hold keeps it" in text_of(open_page(world.lead, "packs"))
    with writing() as session:
        session.query(Hold).one().released_at = clock.now()
        session.get_one(EvidencePack, pack.id).made_at -= timedelta(days=366)
    st.cache_data.clear()
    said = text_of(
        open_page(world.lead, "packs")
    )  # its file goes with the next run of the job; it is offered no more
    assert "not kept any more" in said
    assert "its time was over at" in said
    assert f"/export/pack/{pack.id}.zip" not in said
    assert "kind=version&amp;model=toy&amp;version=2" in said
    again = open_page(
        world.lead, "packs", kind="version", model="toy", version="2", as_of="2026-01-01T00:00:00Z"
    )
    assert again.text_input(key="pack-version:version:as_of").value == "2026-01-01T00:00:00Z"


def test_who_may_not_make_packs_sees_no_page(world: World, open_page: Open) -> None:
    said = text_of(open_page(world.viewer, "packs"))
    assert "Make the pack" not in said
