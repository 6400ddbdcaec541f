"""The pages of data rights and of one prediction, and the documents that they link to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import streamlit as st
from sqlalchemy import select

from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.reading import search_entries
from backend.data_rights.requests import request_rows
from backend.data_rights.rules import set_rule
from backend.data_rights.tables import DataRequest, DataRule
from backend.data_rights.views import due_at
from backend.database.session import reading, writing
from backend.holds.tables import Hold
from backend.identity.roles import Role
from tests.explained import store_explained
from tests.integration.app.test_pages import Open, open_page, text_of, world
from tests.integration.cards.conftest import write
from tests.integration.data_rights.conftest import (
    SUBJECT_SPEC,
    approve,
    carry_out,
    change_of,
    describe,
    move_spool,
    send,
)
from tests.integration.governance.conftest import say
from tests.watched import watch
from tests.worlds import World, person

__all__ = ["open_page", "world"]


def test_the_page_says_what_to_do_while_nobody_has_asked(world: World, open_page: Open) -> None:
    said = text_of(open_page(world.compliance, "data_rights"))
    assert "No request is open" in said
    assert "Nobody has asked yet" in said
    assert "no training data can be extracted" in said


def test_requests_show_their_change_and_what_came_of_them(world: World, open_page: Open) -> None:
    describe(SUBJECT_SPEC)
    send({"p1": "Ada <b>L</b>"})
    with writing() as session:
        asked = {
            kind: request_rows(
                session, world.compliance, kind=kind, model="toy", value="Ada <b>L</b>", reason="she wrote"
            )
            for kind in ("access", "erase")
        }
        set_rule(session, world.compliance, model="toy", purposes=["retraining"], basis="consent", why="so",
                 predictions_days=365)  # fmt: skip
    said = text_of(open_page(world.lead, "data_rights"))
    assert "2 requests open" in said
    assert "by the column passenger" in said
    assert "Ada" not in said
    approve(world, asked["access"])
    carry_out(asked["access"].change_id or 0)
    st.cache_data.clear()
    said = text_of(open_page(world.compliance, "data_rights"))
    assert "1 request open" in said
    assert f"/export/data-request/html?id={asked['access'].id}" in said
    for part in ("1 predictions in the spool", "365 days", "consent", "passenger"):
        assert part in said, part


def test_a_request_is_asked_for_on_the_page(world: World, open_page: Open) -> None:
    page = open_page(world.compliance, "data_rights")
    page.selectbox(key="rows:rows:kind").select("erase")
    page.selectbox(key="rows:rows:model").select("toy")
    page.text_area(key="rows:rows:ids").set_value("p1\np2")
    page.text_area(key="rows:rows:reason").set_value("she wrote")
    next(one for one in page.button if one.label == "Ask for it").click().run()
    with reading() as session:
        made = session.scalars(select(DataRequest)).one()
    assert (made.how, made.kind, made.requested_by) == (
        "2 prediction ids",
        "erase",
        world.compliance.person_id,
    )


def test_texts_of_the_log_are_asked_to_be_erased_on_the_page(world: World, open_page: Open) -> None:
    with writing() as session:
        for _ in range(2):
            record(session, world.compliance, Action.METRICS_REQUESTED, object_kind="model", object_id="toy",
                   why="Zacharias Quill complained")  # fmt: skip
    with reading() as session:
        named = [one.seq for one in search_entries(session, world.compliance, text="zacharias")]
    page = open_page(world.compliance, "data_rights")
    page.text_input(key="entries:entries:entries").set_value("0, one")
    page.text_area(key="entries:entries:reason").set_value("it names somebody")
    next(one for one in page.button if one.label == "Ask to erase them").click().run()
    assert "An entry of the log is a number, not 'one'" in text_of(page)
    page.text_input(key="entries:entries:entries").set_value(", ".join(map(str, named)))
    next(one for one in page.button if one.label == "Ask to erase them").click().run()
    with reading() as session:
        request = session.query(DataRequest).one()
    first, second = sorted(named)
    assert (request.about, request.how, request.selector) == (
        "entries", f"2 entries of the log: {first}, {second}", {"entries": [first, second]},
    )  # fmt: skip


def test_a_request_that_was_sent_back_is_sent_again_or_rejected_on_its_page(
    world: World, open_page: Open
) -> None:
    def sent_back() -> int:
        with writing() as session:
            made = request_rows(
                session, world.compliance, kind="erase", model="toy", prediction_ids=["p1"], reason="wrote"
            )
        say(world.lead, change_of(made.change_id or 0), "ask", comment="which letter?")
        return made.change_id or 0

    first, second = sent_back(), sent_back()
    page = open_page(world.compliance, "change", id=str(first))
    next(one for one in page.button if one.label == f"Send CHG-{first} again").click().run()
    assert change_of(first).state == "waiting"
    page = open_page(world.lead, "change", id=str(second))
    assert "Who decides on it can reject it now." in text_of(page)
    page.text_area(key=f"reject:{second}:comment").set_value("no letter came")
    next(one for one in page.button if one.label == f"Reject CHG-{second}").click().run()
    assert change_of(second).state == "rejected"


def test_a_hold_is_placed_and_released_on_the_page(world: World, open_page: Open) -> None:
    page = open_page(world.compliance, "data_rights")
    assert "Nothing is on hold" in text_of(page)
    page.selectbox(key="hold:hold:kind").select("predictions")
    page.text_input(key="hold:hold:thing").set_value("toy")
    page.text_area(key="hold:hold:reason").set_value("court file 7")
    next(one for one in page.button if one.label == "Hold it").click().run()
    with writing() as session:
        made = session.scalars(select(Hold)).one()
        assert (made.kind, made.object_id, made.model) == ("predictions", "toy", "toy")
        other = person(session, "legal", Role.COMPLIANCE)
    st.cache_data.clear()
    page = open_page(other, "data_rights")
    assert "court file 7" in text_of(page)
    page.selectbox(key="release:release:hold").select(str(made.id))
    page.text_area(key="release:release:why").set_value("settled")
    next(one for one in page.button if one.label == "Release it").click().run()
    with reading() as session:
        assert session.get_one(Hold, made.id).released_because == "settled"


def test_who_only_decides_cannot_ask(world: World, open_page: Open) -> None:
    page = open_page(world.lead, "data_rights")
    with reading() as session:
        assert session.scalar(select(DataRule.model)) is None
    assert all(one.disabled for one in page.button if one.label in ("Ask for it", "Keep this for toy"))


@pytest.mark.parametrize("computed", [False, True])
def test_one_prediction_is_explained(world: World, open_page: Open, computed: bool) -> None:
    describe(SUBJECT_SPEC)
    send({"p1": "Ada"})
    move_spool()
    if computed:
        with writing() as session:
            store_explained(session, "p1")
    said = text_of(open_page(world.compliance, "prediction", model="toy", prediction="p1"))
    assert "at or above the cut-off 0.5" in said
    assert "psn_" in said
    assert ("−2.5" in said or "-2.5" in said) if computed else "Not computed for this prediction" in said
    assert "This prediction is not stored" in text_of(
        open_page(world.compliance, "prediction", model="toy", prediction="p9")
    )
    assert "Which prediction?" in text_of(open_page(world.compliance, "prediction"))


def test_links_of_a_prediction_are_links(world: World, open_page: Open) -> None:
    describe(SUBJECT_SPEC)
    send({"p1": "Ada"})
    move_spool()
    write(world.engineer)
    said = text_of(open_page(world.compliance, "prediction", model="toy", prediction="p1"))
    assert '<dd><a href="/card?model=toy&amp;version=2" target="_self">' in said
    assert "&lt;a href" not in said
    assert "Engineer" in said
    assert "None" not in said


def test_a_request_that_is_about_no_version_names_none_and_is_dated_in_utc(
    world: World, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(st.context), "timezone", property(lambda _: "Europe/Berlin"))
    describe(SUBJECT_SPEC)
    watch(world)
    with writing() as session:
        made = request_rows(
            session, world.compliance, kind="erase", model="toy", value="Ada", reason="she wrote"
        )
        at = made.requested_at
    front = open_page(world.lead, "overview")
    assert [
        one.proto.label for one in front.main if one.type == "page_link" and "erase waits" in one.proto.label
    ]
    incident = text_of(open_page(world.lead, "incident", id="1"))
    assert ">erase<" in incident
    assert "vNone" not in incident + str([one.proto for one in front.main])
    said = text_of(open_page(world.compliance, "data_rights"))
    assert f"{at:%Y-%m-%d %H:%M:%S} UTC" in said
    assert "w-headline w-attention" in said
    assert f"the first is to be answered by {due_at(at):%-d %b %Y}" in said
    with writing() as session:
        session.get_one(DataRequest, made.id).requested_at = at - timedelta(days=40)
    st.cache_data.clear()
    said = text_of(open_page(world.compliance, "data_rights"))
    assert "w-headline w-page" in said
    assert "1 request should have been answered by now" in said


@pytest.mark.parametrize(
    ("asked", "due"),
    [((2026, 1, 31), (2026, 2, 28)), ((2026, 12, 5), (2027, 1, 5)), ((2026, 11, 30), (2026, 12, 30))],
)
def test_a_request_is_due_a_month_later(asked: tuple[int, int, int], due: tuple[int, int, int]) -> None:
    assert due_at(datetime(*asked, tzinfo=UTC)) == datetime(*due, tzinfo=UTC)
