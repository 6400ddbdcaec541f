"""Deciding acts on what the person looked at, whatever happens between the drawing of a page and the click."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import func, select

from backend.audit.actions import Action
from backend.database.session import reading, writing
from backend.governance.asking import cancel_change
from backend.governance.tables import Change
from backend.queue import JobRun
from tests.browser.conftest import Visit
from tests.browser.house import LATER, SOON, House

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]


def open_inbox(page: Page, console: str, *expected: int) -> None:
    """The inbox, with these changes in this order. A page may be seconds behind and does not move by itself."""
    links = page.get_by_role("table", name="my inbox").get_by_role("link")
    wanted = [f"CHG-{number}" for number in expected]
    for _ in range(5):
        page.goto(f"{console}/approvals")
        try:
            expect(links).to_have_text(wanted, timeout=4_000)
        except AssertionError:
            continue
        break
    expect(links).to_have_text(wanted)
    # A first visit is drawn twice, the second time in the zone of the browser: let nothing move under the hand.
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def open_change(page: Page, console: str, number: int) -> None:
    page.goto(f"{console}/change?id={number}")
    expect(page.get_by_role("button", name=f"Approve CHG-{number}")).to_be_enabled()


def test_a_click_after_the_inbox_has_re_sorted_decides_on_what_was_selected(
    house: House, visit: Visit
) -> None:
    selected, other = house.ask(LATER), house.ask(LATER)
    lead = visit(house.console)
    page = lead.open("/approvals")
    lead.sign_in("lead")
    open_inbox(page, house.console, selected, other)
    page.get_by_role("link", name=f"CHG-{selected}").click()
    page.get_by_label("Comment to approve").fill("read and agreed")
    urgent = house.ask(SOON)
    # The first row is another change now, in every window of this person that is drawn again.
    beside = lead.context.new_page()
    open_inbox(beside, house.console, urgent, selected, other)
    page.get_by_role("button", name=f"Approve CHG-{selected}").click()
    expect(page.get_by_text(f"You decided to approve CHG-{selected}.")).to_be_visible()
    (decision,) = house.change(selected).decisions
    assert (decision.person_id, decision.verdict, decision.comment) == (
        house.world.lead.person_id, "approve", "read and agreed",
    )  # fmt: skip
    house.assert_undecided(urgent, other)
    open_inbox(beside, house.console, urgent, other)


def test_a_click_at_the_place_of_a_row_that_moved_opens_what_is_there_and_decides_nothing(
    house: House, visit: Visit
) -> None:
    first, second = house.ask(LATER), house.ask(LATER)
    lead = visit(house.console)
    page = lead.open("/approvals")
    lead.sign_in("lead")
    open_inbox(page, house.console, first, second)
    place = page.get_by_role("link", name=f"CHG-{first}").bounding_box()
    assert place is not None
    urgent = house.ask(SOON)
    open_inbox(page, house.console, urgent, first, second)
    moved = page.get_by_role("link", name=f"CHG-{urgent}").bounding_box()
    assert moved == place  # the urgent one is where the hand was going
    page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    # The hand was one row too late. The page says which change this is, and so does each of its buttons.
    expect(page.get_by_role("heading", name=re.compile(rf"^CHG-{urgent}: "), level=1)).to_be_visible()
    expect(page.get_by_role("button", name=f"Approve CHG-{urgent}")).to_be_visible()
    expect(page.get_by_role("button", name=f"Approve CHG-{first}")).to_have_count(0)
    house.assert_undecided(urgent, first, second)


def test_going_from_one_change_to_another_takes_no_comment_and_no_click_along(
    house: House, visit: Visit
) -> None:
    first, second = house.ask(LATER), house.ask(LATER)
    lead = visit(house.console)
    page = lead.open(f"/change?id={first}")
    lead.sign_in("lead")
    page.get_by_label("Comment to approve").fill("meant for the first")
    page.get_by_role("link", name=re.compile(r"^Approvals \(\d+\)")).click()
    page.get_by_role("table", name="my inbox").get_by_role("link", name=f"CHG-{second}").click()
    expect(page.get_by_role("heading", name=re.compile(rf"^CHG-{second}: "), level=1)).to_be_visible()
    expect(page.get_by_label("Comment to approve")).to_have_value("")
    house.assert_undecided(first, second)


def test_a_change_that_moved_since_it_was_drawn_is_not_decided(house: House, visit: Visit) -> None:
    number = house.ask(LATER)
    lead = visit(house.console)
    page = lead.open(f"/change?id={number}")
    lead.sign_in("lead")
    open_change(page, house.console, number)
    with writing() as session:
        session.get_one(Change, number).digest = "sha256:" + "f" * 64
    page.get_by_role("button", name=f"Approve CHG-{number}").click()
    expect(page.get_by_text("changed since you looked")).to_be_visible()
    expect(page.get_by_text("Nothing was sent.")).to_be_visible()
    house.assert_undecided(number)


def test_a_change_that_was_withdrawn_since_it_was_drawn_is_not_decided(house: House, visit: Visit) -> None:
    number = house.ask(LATER)
    lead = visit(house.console)
    page = lead.open(f"/change?id={number}")
    lead.sign_in("lead")
    open_change(page, house.console, number)
    with writing() as session:
        cancel_change(session, house.world.on_call, number, reason="not needed any more")
    page.get_by_role("button", name=f"Approve CHG-{number}").click()
    expect(page.get_by_text("Nothing was decided")).to_be_visible()
    expect(page.get_by_text("This change is cancelled; nothing is left to decide.")).to_be_visible()
    change = house.change(number)
    assert (change.state, change.decisions) == ("cancelled", [])


def test_a_request_whose_card_was_edited_since_it_was_drawn_is_not_sent(house: House, visit: Visit) -> None:
    model = house.new_model()
    on_call = visit(house.console)
    page = on_call.open(f"/request_change?kind=rollback&model={model}")
    on_call.sign_in("oncall")
    page.get_by_role("textbox", name="Why").fill("the last weeks were better")
    card = house.world.card(1)
    before = card.read_text()
    try:
        card.write_text(f"{before}\nMust not be used for night flights.\n")
        page.get_by_role("button", name="Ask for the return to v1").click()
        expect(page.get_by_text("changed since you looked")).to_be_visible()
        expect(page.get_by_text("+Must not be used for night flights.")).to_be_visible()
    finally:
        card.write_text(before)
    with reading() as session:
        assert session.scalar(select(func.count()).where(Change.model == model)) == 0


def test_a_double_click_is_one_decision(house: House, visit: Visit) -> None:
    number = house.ask(LATER)
    lead = visit(house.console)
    page = lead.open(f"/change?id={number}")
    lead.sign_in("lead")
    page.get_by_role("button", name=f"Approve CHG-{number}").dblclick()
    # What was done is said once; the run of the second click may have taken it away again.
    decided = page.get_by_role("table", name="decisions").get_by_role("row").filter(has_text="Lead")
    expect(decided).to_have_count(1)
    expect(page.get_by_text("1 of 1 approvals").first).to_be_visible()
    expect(page.get_by_role("alert").filter(has_text="Nothing")).to_have_count(0)
    assert len(house.change(number).decisions) == 1
    assert house.entries(Action.CHANGE_APPROVED, number) == 1
    with reading() as session:
        assert session.scalar(select(func.count()).where(JobRun.subject == f"CHG-{number}")) == 1


def test_rejecting_without_a_comment_sends_nothing(house: House, visit: Visit) -> None:
    number = house.ask(LATER)
    lead = visit(house.console)
    page = lead.open(f"/change?id={number}")
    lead.sign_in("lead")
    page.get_by_role("tab", name="Reject").click()
    page.get_by_role("button", name=f"Reject CHG-{number}").click()
    expect(page.get_by_text("Nothing was sent. Still needed: Comment to reject")).to_be_visible()
    house.assert_undecided(number)
    page.get_by_label("Comment to reject").fill("the evidence is a week old")
    page.get_by_role("button", name=f"Reject CHG-{number}").click()
    expect(page.get_by_text(f"You decided to reject CHG-{number}.")).to_be_visible()
    assert house.change(number).state == "rejected"


def test_a_lead_cannot_decide_on_what_they_asked_for(house: House, visit: Visit) -> None:
    number = house.ask(SOON, by=house.world.lead)
    lead = visit(house.console)
    page = lead.open("/approvals")
    lead.sign_in("lead")
    expect(page.get_by_role("heading", name="Nothing waits for your decision")).to_be_visible()
    page.get_by_role("link", name=f"CHG-{number}").click()
    expect(page.get_by_text(f"You cannot decide: you asked for CHG-{number}")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^(Approve|Reject)"))).to_have_count(0)
    with lead.api() as api:
        body = {"verdict": "approve", "comment": "", "digest": house.change(number).digest}
        refused = api.post(f"/changes/{number}/decisions", json=body)
    assert refused.status_code == 403
    assert "somebody else has to decide" in refused.json()["detail"]
    house.assert_undecided(number)
