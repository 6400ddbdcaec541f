"""Who is signed in decides, at every click and not only when a page was opened."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import expect

from backend.api.security import COOKIE
from backend.database.session import writing
from backend.identity.sessions import revoke_all
from tests.browser.conftest import Visit
from tests.browser.house import LATER, House

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_next_click_of_a_revoked_session_shows_sign_in_and_changes_nothing(
    house: House, visit: Visit
) -> None:
    number = house.ask(LATER)
    lead = visit(house.console)
    page = lead.open(f"/change?id={number}")
    lead.sign_in("lead")
    page.get_by_label("Comment to approve").fill("written before the session ended")
    with writing() as session:
        assert revoke_all(session, house.world.lead, house.world.lead.person_id) >= 1
    page.get_by_role("button", name=f"Approve CHG-{number}").click()
    expect(page.get_by_text("Your session has ended")).to_be_visible()
    expect(page.get_by_role("heading", name=re.compile("^CHG-"))).to_have_count(0)
    expect(page.get_by_text(f"about {house.change(number).model}")).to_have_count(0)
    house.assert_undecided(number)
    page.get_by_role("link", name="Sign in again").click()
    lead.sign_in("lead")
    expect(page).to_have_url(f"{house.console}/change?id={number}")
    expect(page.get_by_role("button", name=f"Approve CHG-{number}")).to_be_enabled()


def test_signing_out_ends_the_session_everywhere_in_this_browser(house: House, visit: Visit) -> None:
    lead = visit(house.console)
    page = lead.open("/")
    lead.sign_in("lead")
    (token,) = [one["value"] for one in lead.context.cookies() if one.get("name") == COOKIE]
    lead.badge("lead").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("Your session has ended")).to_be_visible()
    answer = httpx.get(f"{house.console}/api/v1/models", cookies={COOKIE: token})
    assert answer.status_code == 401, "the cookie itself opens nothing any more"


def test_a_deep_link_of_a_signed_out_person_is_opened_after_sign_in(house: House, visit: Visit) -> None:
    number = house.ask(LATER)
    compliance = visit(house.console)
    address = f"/audit?kind=change&object={number}"
    page = compliance.open(address)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    compliance.sign_in("compliance")
    expect(page).to_have_url(f"{house.console}{address}")
    rows = page.get_by_role("table", name="audit entries").get_by_role("row")
    expect(rows.filter(has_text="request change")).to_have_count(1)


def test_a_wrong_password_opens_nothing_and_says_no_more(house: House, visit: Visit) -> None:
    stranger = visit(house.console)
    page = stranger.open("/model?model=toy")
    page.get_by_label("User name").fill("lead")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("The user name or the password is not right")
    expect(page.get_by_text("Toy")).to_have_count(0)
    assert not [one for one in stranger.context.cookies() if one.get("name") == COOKIE]


def test_a_viewer_is_offered_nothing_and_the_api_refuses_the_same(house: House, visit: Visit) -> None:
    number = house.ask(LATER)
    model = house.change(number).model
    viewer = visit(house.console)
    page = viewer.open(f"/change?id={number}")
    viewer.sign_in("viewer")
    expect(page.get_by_text(re.compile("^You cannot decide:"))).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^(Approve|Reject|Withdraw)"))).to_have_count(0)
    page.goto(f"{house.console}/request_change?kind=rollback&model=toy")
    expect(page.get_by_text("Your role cannot ask for changes")).to_be_visible()
    expect(page.get_by_role("button", name="Ask for the return to v1")).to_have_count(0)
    page.goto(f"{house.console}/model?model=toy")
    expect(page.get_by_role("button", name="Compute metrics now")).to_be_disabled()
    with viewer.api() as api:
        assert api.get("/changes/preview", params={"kind": "rollback", "model": "toy"}).status_code == 403
        asked = {
            "kind": "rollback",
            "model": "toy",
            "to_version": 1,
            "reason": "x",
            "digest": "sha256:any",
        }
        decided = {"verdict": "approve", "comment": "", "digest": house.change(number).digest}
        sent = {
            "/changes": asked,
            f"/changes/{number}/decisions": decided,
            f"/changes/{number}/cancellation": {"reason": ""},
            f"/models/{model}/metrics": {},
        }
        assert {path: api.post(path, json=body).status_code for path, body in sent.items()} == dict.fromkeys(
            sent, 403
        )
    house.assert_undecided(number)


def test_a_cookie_alone_changes_nothing(house: House, visit: Visit) -> None:
    """What another site's form could send: the browser adds the cookie, and nobody the session's token."""
    number = house.ask(LATER)
    lead = visit(house.console)
    lead.open("/")
    lead.sign_in("lead")
    body = {"verdict": "approve", "comment": "", "digest": house.change(number).digest}
    with lead.api() as api:
        del api.headers["X-CSRF-Token"]
        refused = api.post(f"/changes/{number}/decisions", json=body)
    assert refused.status_code == 403
    assert refused.json()["title"] == "The form is out of date"
    house.assert_undecided(number)
