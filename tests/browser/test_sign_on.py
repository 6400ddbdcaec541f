"""Single sign-on as people do it: a real Chromium, a real OpenID provider, a console between them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from backend.api.security import COOKIE
from backend.database.session import reading
from backend.identity.tables import Person
from tests.browser.conftest import Visit, home_of_a_module
from tests.browser.house import open_house
from tests.browser.people import Visitor
from tests.integration.identity.providers import mock_provider

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]
CLIENT = "warrant-console"
DEEP = "/model?model=toy"


@dataclass(frozen=True)
class Site:
    console: str
    provider: str


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A console in whose house who signs on may look, and its provider."""
    folder = tmp_path_factory.mktemp("sign-on")
    with mock_provider() as provider, home_of_a_module(folder, migrated_sqlite):
        for subject, name in (("ada-subject", "Ada"), ("eve-subject", "Eve")):
            said = {"preferred_username": name, "name": f"{name} Lindqvist", "email": f"{name}@example.com"}
            httpx.put(f"{provider}/users/{subject}", json=said).raise_for_status()
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("WARRANT_OIDC_ISSUER", provider)
            environment.setenv("WARRANT_OIDC_CLIENT_ID", CLIENT)
            environment.setenv("WARRANT_OIDC_CLIENT_SECRET", "a secret")
            environment.setenv("WARRANT_SIGN_ON_ROLE", "viewer")
            with open_house(folder) as house:
                # Where the provider sends people back to: cookies of 127.0.0.1 are none of localhost.
                yield Site(house.console.replace("127.0.0.1", "localhost"), provider)


def agree(page: Page, subject: str) -> None:
    """At the provider: say who one is, and let the console know."""
    expect(page.get_by_role("heading", name="Authorize Client")).to_be_visible()
    page.get_by_placeholder("sub").fill(subject)
    page.get_by_role("button", name="Authorize").click()


def sign_on(visitor: Visitor, path: str, subject: str) -> Page:
    page = visitor.open(path)
    page.get_by_role("link", name=re.compile("^Continue with ")).click()
    agree(page, subject)
    return page


def test_who_signs_on_lands_where_they_wanted_to_go_with_their_own_name(site: Site, visit: Visit) -> None:
    ada = visit(site.console)
    page = sign_on(ada, DEEP, "ada-subject")
    expect(page.get_by_role("button", name="Ada Lindqvist (viewer)")).to_be_visible()
    expect(page).to_have_url(re.compile(re.escape(f"{site.console}{DEEP}")))
    with reading() as session:
        (found,) = session.scalars(select(Person).where(Person.oidc_subject == "ada-subject"))
    assert (found.username, found.password_hash) == ("ada", None)


def test_signing_out_leads_to_the_provider_and_the_way_back_asks_anew(site: Site, visit: Visit) -> None:
    ada = visit(site.console)
    page = sign_on(ada, "/", "ada-subject")
    page.get_by_role("button", name="Ada Lindqvist (viewer)").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="Sign out there, too").click()
    expect(page.get_by_role("heading", name="End Session")).to_be_visible()  # by way of a page that says so
    asked = parse_qs(urlsplit(page.url).query)
    assert page.url.startswith(site.provider) and asked["id_token_hint"][0].count(".") == 2
    ada.open(DEEP)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_who_says_no_at_the_provider_is_told_and_not_let_in(site: Site, visit: Visit) -> None:
    eve = visit(site.console)
    page = eve.open("/")
    page.get_by_role("link", name=re.compile("^Continue with ")).click()
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("heading", name="Single sign-on refused")).to_be_visible()
    assert COOKIE not in {one.get("name") for one in eve.context.cookies()}


def test_an_answer_that_another_browser_asked_for_or_that_was_used_opens_nothing(
    site: Site, visit: Visit
) -> None:
    ada, eve = visit(site.console), visit(site.console)
    answers: list[str] = []
    ada.page.on("request", lambda one: answers.append(one.url) if "/oidc/callback" in one.url else None)
    page = sign_on(ada, "/", "ada-subject")
    expect(page.get_by_role("button", name="Ada Lindqvist (viewer)")).to_be_visible()
    (answer,) = answers
    for visitor in (eve, visit(site.console)):
        visitor.page.goto(answer)
        expect(visitor.page.get_by_role("heading", name="Single sign-on refused")).to_be_visible()
        assert COOKIE not in {one.get("name") for one in visitor.context.cookies()}


def test_a_local_account_stays_beside_and_keeps_its_own_name(site: Site, visit: Visit) -> None:
    lead = visit(site.console)
    lead.open("/")
    lead.sign_in("lead")
    expect(lead.badge("lead")).to_be_visible()
