"""The page of controls: what is missing first, why, and who may sign what; and taking it away."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import timedelta

import httpx
import pytest
import streamlit as st
from starlette.applications import Starlette

from app.components.control_parts import address_of
from app.control_downloads import routes
from backend import clock
from backend.controls.evidence import Link
from backend.database.session import writing
from backend.identity.actor import Actor
from backend.registry.tables import Model
from tests.integration.app.test_pages import Open, open_page, text_of, world
from tests.integration.controls.conftest import judge
from tests.watched import cookie_of
from tests.worlds import World

__all__ = ["open_page", "world"]


def test_what_is_missing_stands_first_with_its_reason(world: World, open_page: Open) -> None:
    page = open_page(world.compliance, "controls", catalogue="eu-ai-act-annex-iv", model="toy")
    said = text_of(page)
    assert "controls have a gap for toy" in said
    assert "nobody has validated toy version 2" in said
    assert "never that it is right or enough" in said
    labels = [one.label for one in page.expander]
    assert any(label.startswith("▲ **missing** · Annex IV, point 1") for label in labels)
    assert labels[-1].startswith(("○", "●"))
    assert [one.value for one in page.header] == ["What is missing", "Every control"]
    assert said.index("nobody has validated") < said.index("With a gap (")
    assert said.index("With a gap (") < said.index("Waiting for a person's judgement (")


def test_compliance_signs_on_the_page_and_it_shows(world: World, open_page: Open) -> None:
    where = {"catalogue": "eu-ai-act-annex-iv", "model": "toy", "control": "annex-iv.7"}
    page = open_page(world.compliance, "controls", **where)
    form = "judge:eu-ai-act-annex-iv/annex-iv.7/toy"
    page.selectbox(key=f"{form}:outcome").set_value("met")
    page.text_area(key=f"{form}:text").set_value("the list of standards is in the file")
    page.text_input(key=f"{form}:username").set_value("compliance")
    next(one for one in page.button if one.label == "Sign the judgement on Annex IV, point 7").click()
    page.run()
    assert not page.exception
    said = text_of(page)
    assert "The judgement is signed and on the record." in said
    assert "the list of standards is in the file" in said
    assert any("judged: met" in one.label for one in page.expander)


def test_another_name_signs_nothing(world: World, open_page: Open) -> None:
    where = {"catalogue": "eu-ai-act-annex-iv", "model": "toy", "control": "annex-iv.7"}
    page = open_page(world.compliance, "controls", **where)
    form = "judge:eu-ai-act-annex-iv/annex-iv.7/toy"
    page.selectbox(key=f"{form}:outcome").set_value("met")
    page.text_area(key=f"{form}:text").set_value("so")
    page.text_input(key=f"{form}:username").set_value("lead")
    next(one for one in page.button if one.label.startswith("Sign the judgement")).click()
    page.run()
    assert "own user name" in " ".join(one.value for one in page.error)
    assert not any("judged" in one.label for one in page.expander)


@pytest.mark.parametrize("who", ["engineer", "lead", "on_call"])
def test_others_see_it_and_are_told_who_signs(world: World, open_page: Open, who: str) -> None:
    page = open_page(getattr(world, who), "controls", catalogue="gdpr", model="toy", control="art-17")
    assert "Judgements are signed by compliance." in text_of(page)
    assert next(one for one in page.button if one.label.startswith("Sign the judgement")).disabled


def test_the_owner_is_told_why_not(world: World, open_page: Open) -> None:
    with writing() as session:
        session.get_one(Model, "toy").owner_id = world.compliance.person_id
    page = open_page(world.compliance, "controls", catalogue="gdpr", model="toy", control="art-17")
    assert "you are who owns toy" in text_of(page)


def test_a_day_that_is_over_says_what_it_cannot_tell(world: World, open_page: Open) -> None:
    page = open_page(world.compliance, "controls", catalogue="eu-ai-act-annex-iv", model="toy")
    page.date_input(key="controls-as-of").set_value(clock.now().date() - timedelta(days=1)).run()
    said = text_of(page)
    assert "as it was at" in said
    assert "Told of the present only" in said
    assert "Judge it" not in said


def test_the_house_alone_and_a_filter(world: World, open_page: Open) -> None:
    page = open_page(world.compliance, "controls", catalogue="sr-26-2", model="the house as a whole")
    assert len(page.expander) == 3
    page = open_page(world.compliance, "controls", catalogue="gdpr", model="the house as a whole")
    assert "gap for the house" in text_of(page)
    page = open_page(world.compliance, "controls", catalogue="eu-ai-act-annex-iv", model="toy")
    page.multiselect[0].set_value(["not_shown"]).run()
    labels = [one.label for one in page.expander if not one.label.endswith(" more")]
    assert labels
    assert all("not shown here" in label for label in labels)


def test_hostile_text_of_a_judgement_is_shown_as_text(world: World, open_page: Open) -> None:
    judge(world.compliance, text="<img src=x onerror=alert(1)> **bold** [x](javascript:1)")
    st.cache_data.clear()
    page = open_page(world.compliance, "controls", catalogue="eu-ai-act-annex-iv", model="toy")
    said = text_of(page)
    assert "<img src=x" not in said
    assert "&lt;img src=x onerror=alert(1)&gt;" in said


@pytest.mark.parametrize(
    ("kind", "id_", "page"),
    [("version", "toy/2", "/registry"), ("card", "toy/2/1", "/card"), ("change", "7", "/change"),
     ("validation", "1", "/inventory_model"), ("audit_finding", "1", "/audit"), ("window", "toy/2026", "/quality")],
)  # fmt: skip
def test_what_evidence_rests_on_is_linked(kind: str, id_: str, page: str) -> None:
    found = address_of(Link(kind, id_, "so"), "toy")
    assert found is not None
    assert found.startswith(page)
    assert address_of(Link("unheard", "1", "so"), "toy") is None


def fetch(who: Actor, address: str) -> httpx.Response:
    """A download as somebody's browser asks for it."""

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=routes()))
        cookies = {"warrant_session": cookie_of(who)}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", cookies=cookies) as client:
            return await client.get(address)

    return asyncio.run(asked())


def test_it_can_be_taken_away(world: World) -> None:
    judge(world.compliance, text="=cmd()")
    where = "catalogue=eu-ai-act-annex-iv&model=toy"
    answer = fetch(world.compliance, f"/export/controls.csv?{where}")
    assert answer.status_code == 200
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 16
    assert next(one for one in rows if one["control"] == "annex-iv.7")["judgement_text"] == "'=cmd()"
    answer = fetch(world.compliance, f"/export/controls.json?{where}")
    assert answer.json()[0]["controls"][0]["evidence"]
    assert fetch(world.compliance, "/export/controls.csv?catalogue=none").status_code == 404
    assert fetch(world.compliance, f"/export/controls.csv?{where}&as_of=soon").status_code == 422
    assert fetch(world.viewer, f"/export/controls.csv?{where}").status_code == 403
