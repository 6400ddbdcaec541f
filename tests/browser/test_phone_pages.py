"""A phone without scripts: over sign-in to a decided return, and a session that ends in between."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from backend import clock
from backend.alerting.service import Firing, fire
from backend.alerting.tables import Incident
from backend.database.session import reading, writing
from backend.identity.sessions import revoke_all
from tests.browser.house import House
from tests.browser.people import PASSWORD
from tests.worlds import SYSTEM

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]


def page_of(house: House) -> int:
    """A page about a model of its own; the number of the incident."""
    model = house.new_model()
    with writing() as session:
        alert = fire(
            session, SYSTEM,
            Firing(model, "production", 2, "realised", "page", "AUC fell", "auc", clock.now(), {}),
        )  # fmt: skip
        assert alert.incident_id is not None
        return alert.incident_id


def test_without_scripts_one_acknowledges_asks_to_return_and_decides(house: House, chromium: Browser) -> None:
    number = page_of(house)
    address = f"{house.console}/i/{number}"
    phone = {"java_script_enabled": False, "viewport": {"width": 390, "height": 800}}
    context = chromium.new_context(**phone)
    page = context.new_page()
    asked_for: list[str] = []
    page.on("request", lambda request: asked_for.append(request.url))

    def sign_in(who: str) -> None:
        page.get_by_label("User name").fill(who)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()

    page.goto(address)
    sign_in("oncall")
    expect(page).to_have_url(address)
    asked_for.clear()
    page.reload()
    assert asked_for == [address], "the page is one request"
    wide = page.locator("html").bounding_box()
    assert wide is not None
    assert wide["width"] <= 390, "nothing is scrolled sideways"
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_role("status")).to_contain_text("You are on it")

    with writing() as session:
        assert revoke_all(session, house.world.on_call, house.world.on_call.person_id) >= 1
    page.get_by_label("Why it may be silent").fill("it is known")
    page.get_by_role("button", name="Silence until worse").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in("oncall")
    expect(page).to_have_url(address)
    expect(page.get_by_text("muted by silence")).to_have_count(0)

    page.get_by_label("Why", exact=True).fill("AUC fell")
    page.get_by_role("button", name="Ask to return").click()
    expect(page.get_by_role("heading", name="CHG-")).to_be_visible()
    change = page.url.split("?")[0]
    context.close()

    context = chromium.new_context(**phone)
    page = context.new_page()
    page.goto(change)
    sign_in("lead")
    page.get_by_role("button", name="Approve CHG-").click()
    expect(page.get_by_role("status")).to_contain_text("You approved")
    context.close()
    with reading() as session:
        assert session.get_one(Incident, number).acknowledged_by == house.world.on_call.person_id
    assert house.change(int(change.rsplit("/", 1)[1])).incident_id == number
