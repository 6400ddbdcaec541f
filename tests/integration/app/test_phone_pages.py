"""`/i/INCIDENT` and `/c/CHANGE`: plain pages that answer, act by the same services, and lead back after sign-in."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from app import phone_pages
from app.gate import Gate
from app.templates import render
from backend import clock
from backend.alerting import handling
from backend.alerting.silences import list_silences
from backend.alerting.tables import Alert, Incident, IncidentEntry
from backend.api.security import COOKIE
from backend.api.signin import sign_in_routes
from backend.database.session import reading, writing
from backend.governance.asking import preview_change, request_change
from backend.governance.kinds import Asked
from backend.governance.tables import Change, Decision
from backend.identity.actor import Actor
from backend.identity.sessions import csrf_of
from tests.browser.installation import policy_without_gates, put_in_force
from tests.browser.people import PASSWORD, give_passwords
from tests.integration.alerting.conftest import raised, settled
from tests.integration.identity.conftest import TestClient
from tests.watched import cookie_of, watch
from tests.worlds import World, make_world

MOST_BYTES = 60_000


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    made = make_world(tmp_path / "files")
    put_in_force(policy_without_gates())
    return made


@pytest.fixture
def browser(world: World) -> TestClient:
    forms = FastAPI()
    forms.include_router(sign_in_routes(render))
    site = Starlette(routes=[*phone_pages.routes(), Route("/signin", forms)], middleware=[Middleware(Gate)])
    return TestClient(site, base_url="http://warrant", follow_redirects=False)


def enter(browser: TestClient, who: Actor) -> str:
    """Be signed in as somebody; the CSRF token of the session."""
    token = cookie_of(who)
    browser.cookies.set(COOKIE, token)
    return csrf_of(token)


def incident(world: World, *, watched: bool = False) -> int:
    if watched:  # windows, metric points and readings, too
        watch(world)
    else:
        raised("performance", kind="realised", title="AUC fell")
    with reading() as session:
        return session.scalars(select(Incident.id)).one()


def post(browser: TestClient, number: int, csrf: str, act: str, **fields: str) -> tuple[int, str]:
    answer = browser.post(f"/i/{number}", data={"csrf": csrf, "act": act, **fields})
    return answer.status_code, answer.headers.get("location", "") or answer.text


def offered(page: str, act: str) -> dict[str, str]:
    """The hidden fields of the form that does `act`, as a browser would send them."""
    (form,) = [
        one for one in re.findall(r"<form.*?</form>", page, re.S) if f'name="act" value="{act}"' in one
    ]
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))


def test_the_page_is_small_has_no_script_and_answers_in_the_order_of_the_night(
    world: World, browser: TestClient
) -> None:
    number = incident(world, watched=True)
    enter(browser, world.on_call)
    answer = browser.get(f"/i/{number}")
    page = answer.text
    assert answer.status_code == 200
    assert len(answer.content) < MOST_BYTES
    assert "<script" not in page
    assert not re.search(r"""(src|href)="https?:|\son\w+=""", page)
    assert "script-src" not in answer.headers["content-security-policy"]
    order = ["SEV-3", "0.520", "Impact", "Causes, the likeliest first", "What changed within two hours",
             "<svg", "What you can do", "<dt>on it", "Similar incidents"]  # fmt: skip
    body = page[page.index("<main>") :]
    places = [body.index(one) for one in order]
    assert places == sorted(places)
    assert "ruled out" in page
    assert re.sub(r"<details.*?</details>", "", body, flags=re.S).count("<svg") == 1, (
        "one figure, one time axis"
    )


def test_without_a_session_it_leads_to_sign_in_and_back_to_the_same_address(
    world: World, browser: TestClient
) -> None:
    number = incident(world)
    give_passwords()
    for answer in (browser.get(f"/i/{number}"), browser.post(f"/i/{number}", data={"act": "acknowledge"})):
        assert (answer.status_code, answer.headers["location"]) == (303, f"/signin?next=%2Fi%2F{number}")
    form = browser.get(f"/signin?next=%2Fi%2F{number}").text
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))
    entered = browser.post("/signin", data=hidden | {"username": "oncall", "password": PASSWORD})
    assert (entered.status_code, entered.headers["location"]) == (303, f"/i/{number}")
    with reading() as session:
        assert session.get_one(Incident, number).acknowledged_by is None, "nothing was done without a session"


def test_acknowledging_silencing_and_noting_from_the_page(world: World, browser: TestClient) -> None:
    number = incident(world)
    csrf = enter(browser, world.on_call)
    assert post(browser, number, csrf, "acknowledge") == (303, f"/i/{number}?done=acknowledge")
    assert post(browser, number, csrf, "silence", why="known") == (303, f"/i/{number}?done=silence")
    assert post(browser, number, csrf, "note", why="asked the feed's team")[0] == 303
    with reading() as session:
        assert session.get_one(Incident, number).acknowledged_by == world.on_call.person_id
        (silence,) = list_silences(session, world.on_call)
        assert silence.until_worse
        notes = select(IncidentEntry.text).where(IncidentEntry.kind == "note")
    for why in ("asked the feed's team", "they answer", "asked the feed's team"):  # a thumb that taps twice
        post(browser, number, csrf, "note", why=why)
    with reading() as session:
        assert session.scalars(notes).all() == ["asked the feed's team", "they answer"]
    page = browser.get(f"/i/{number}?done=silence").text
    assert "muted by silence" in page
    assert "suppressed" in page
    assert "Silenced" in page


@pytest.mark.parametrize("csrf", ["", "wrong"])
def test_a_form_from_elsewhere_changes_nothing(world: World, browser: TestClient, csrf: str) -> None:
    number = incident(world)
    enter(browser, world.on_call)
    assert post(browser, number, csrf, "acknowledge")[0] == 403
    good = enter(browser, world.on_call)
    answer = browser.post(
        f"/i/{number}", data={"csrf": good, "act": "acknowledge"}, headers={"Origin": "https://evil.example"}
    )
    assert answer.status_code == 403
    with reading() as session:
        assert session.get_one(Incident, number).acknowledged_by is None


def test_a_viewer_is_offered_nothing_and_refused_the_same(world: World, browser: TestClient) -> None:
    number = incident(world)
    csrf = enter(browser, world.viewer)
    page = browser.get(f"/i/{number}").text
    assert "<form" not in page
    assert "your role cannot acknowledge" in page
    for act in ("acknowledge", "silence", "note", "mitigate", "resolve", "false_alarm"):
        status, text = post(browser, number, csrf, act, why="no")
        assert (status, "permission" in text) == (403, True), act


def test_what_was_written_is_there_again_where_it_was_refused(world: World, browser: TestClient) -> None:
    number = incident(world)
    csrf = enter(browser, world.on_call)
    status, page = post(browser, number, csrf, "resolve", why="it is <b>over</b>", cause="data")
    assert status == 409
    assert "still fire" in page
    with reading() as session:
        assert session.get_one(Incident, number).state == "open"


@pytest.mark.parametrize("alerts", ["none", "of another model"])
def test_a_return_carries_an_incident_that_no_alert_of_its_model_names(
    world: World, browser: TestClient, alerts: str
) -> None:
    with writing() as session:
        number = handling.open_incident(
            session,
            world.on_call,
            model="toy",
            environment="production",
            title="callers complain",
            severity=2,
        ).id
    if alerts != "none":
        down = raised("answers", model="", version=None, kind="gateway", details={})
        with writing() as session:
            handling.merge(session, world.on_call, down.incident_id or 0, into=number)
    csrf = enter(browser, world.on_call)
    asked = offered(browser.get(f"/i/{number}").text, "rollback")
    assert "alert" not in asked
    status, where = post(browser, number, csrf, "rollback", why="AUC fell", digest=asked["digest"])
    assert (status, where) == (303, "/c/1?done=asked")
    with reading() as session:
        assert session.get_one(Change, 1).incident_id == number


def test_two_clicks_lead_to_a_change_that_carries_the_incident_and_is_decided_on_its_page(
    world: World, browser: TestClient
) -> None:
    number = incident(world)
    csrf = enter(browser, world.on_call)
    asked = offered(browser.get(f"/i/{number}").text, "rollback")
    status, where = post(browser, number, csrf, "rollback", why="AUC fell", **{
        name: asked[name] for name in ("digest", "alert", "object_id")})  # fmt: skip
    assert (status, where) == (303, "/c/1?done=asked")
    with reading() as session:
        change = session.get_one(Change, 1)
        assert (change.kind, change.incident_id) == ("rollback", number)
    mine = browser.get("/c/1").text
    assert f'href="/i/{number}"' in mine
    assert "<form" not in mine, "nobody decides on their own request"
    lead = enter(browser, world.lead)
    page = browser.get("/c/1").text
    assert len(page.encode()) < MOST_BYTES
    signed = offered(page, "approve")
    answer = browser.post("/c/1", data={**signed, "csrf": lead, "why": "go"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/c/1?done=approve")
    assert "approved" in browser.get("/c/1").text


def test_a_decision_on_what_was_not_shown_is_refused_and_what_was_written_kept(
    world: World, browser: TestClient
) -> None:
    with writing() as session:
        asked = Asked("rollback", "production", "toy", 1)
        preview = preview_change(session, world.on_call, asked)
        change = request_change(session, world.on_call, asked, reason="x", seen_digest=preview.digest)
        number = change.id
    csrf = enter(browser, world.lead)
    sent = {"csrf": csrf, "act": "reject", "digest": "sha256:old", "why": "not <now>"}
    answer = browser.post(f"/c/{number}", data=sent)
    assert answer.status_code == 409
    assert "not &lt;now&gt;</textarea>" in answer.text
    with reading() as session:
        assert session.get_one(Change, number).state == "waiting"


def test_many_decisions_with_long_comments_are_the_newest_in_short(world: World, browser: TestClient) -> None:
    with writing() as session:
        asked = Asked("rollback", "production", "toy", 1)
        preview = preview_change(session, world.on_call, asked)
        change = request_change(session, world.on_call, asked, reason="x", seen_digest=preview.digest)
        number = change.id
        for index in range(40):
            session.add(
                Decision(
                    change_id=number, revision=change.revision + index + 1, person_id=world.lead.person_id,
                    verdict="ask", comment=f"{index} " + "ä" * 4000, seen_digest=change.digest, accepted=[],
                    role="ml_lead", decided_at=clock.now() + timedelta(seconds=index),
                )
            )  # fmt: skip
    enter(browser, world.lead)
    answer = browser.get(f"/c/{number}")
    assert "20 earlier decisions stand on the" in answer.text
    assert "39 ää" in answer.text and "19 ää" not in answer.text
    assert len(answer.content) < MOST_BYTES


def test_it_says_what_mutes_an_alert_what_is_held_and_of_what_nothing_is_known(
    world: World, browser: TestClient
) -> None:
    number = incident(world)
    raised("traffic", kind="volume", level="ticket", details={"value": 0.0}, title="no prediction has come")
    enter(browser, world.viewer)
    page = browser.get(f"/i/{number}").text
    assert re.search(r"muted by alert \d+: no prediction has come", page)


def test_one_of_the_whole_installation_has_a_page_too(world: World, browser: TestClient) -> None:
    alert = raised("answers", model="", version=None, kind="gateway", title="the gateway does not answer")
    enter(browser, world.on_call)
    page = browser.get(f"/i/{alert.incident_id}").text
    assert "SEV-1" in page
    assert "installation" in page


def test_the_report_is_handed_out_as_markdown_and_pdf(world: World, browser: TestClient) -> None:
    number = incident(world)
    enter(browser, world.viewer)
    text = browser.get(f"/i/{number}/report.md")
    assert text.headers["content-disposition"] == f'attachment; filename="INC-{number}.md"'
    assert f"# Incident INC-{number}" in text.text
    assert browser.get(f"/i/{number}/report.pdf").content.startswith(b"%PDF")
    assert browser.get(f"/i/{number}/report.exe").status_code == 404


def test_what_is_not_there_is_a_plain_page_that_says_so(world: World, browser: TestClient) -> None:
    enter(browser, world.viewer)
    for path in ("/i/77", "/c/77"):
        answer = browser.get(path)
        assert answer.status_code == 404
        assert "77" in answer.text


def test_numbers_that_no_row_can_have_are_refused_plainly(world: World, browser: TestClient) -> None:
    number = incident(world)
    csrf = enter(browser, world.on_call)
    for path in (f"/i/{2**70}", f"/c/{2**70}", f"/i/{2**70}/report.md"):
        assert browser.get(path).status_code == 404, path
    for alert in ("²", str(2**70), "9" * 3999):
        assert post(browser, number, csrf, "rollback", why="x", alert=alert)[0] == 422, alert
        assert post(browser, number, csrf, "way_back", why="x", object_id=alert)[0] == 422, alert


def test_a_page_with_many_alerts_and_long_titles_stays_small(world: World, browser: TestClient) -> None:
    number = incident(world)
    for index in range(40):
        raised(f"column-{index}", title="x" * 600)
    settled(raised("distance"))
    enter(browser, world.on_call)
    answer = browser.get(f"/i/{number}")
    assert len(answer.content) < MOST_BYTES
    with reading() as session:
        assert len(session.scalars(select(Alert)).all()) > 40


def test_what_is_no_form_and_what_no_database_keeps_is_refused_in_words_for_people(
    world: World, browser: TestClient
) -> None:
    number = incident(world)
    csrf = enter(browser, world.on_call)
    status, page = post(browser, number, csrf, "note", why="a\x00b")
    assert (status, "holds a NUL character" in page) == (422, True)
    broken = browser.post(f"/i/{number}", content=b"--x", headers={"Content-Type": "multipart/form-data"})
    assert (broken.status_code, "cannot be read; open the page again" in broken.text) == (422, True)
    status, page = post(browser, number, csrf, "note", why=" ")
    assert (status, "Write something" in page, "Text:" in page) == (422, True, False)
    status, page = post(browser, number, "of another session", "note", why="kept")
    assert (status, "of an earlier session" in page, ">kept</textarea>" in page) == (403, True, True)


def test_a_page_with_all_that_people_may_write_stays_small(world: World, browser: TestClient) -> None:
    csrf, long = enter(browser, world.on_call), "x" * 2000

    def opened(column: str) -> int:
        raised(column)
        with reading() as session:
            return session.scalars(select(Incident.id).where(Incident.state == "open")).one()

    for index in range(5):
        number = opened(f"past-{index}")
        assert post(browser, number, csrf, "false_alarm", why=long)[0] == 303
    number = opened("distance")
    for index in range(40):
        raised(f"column-{index}", title="x" * 300)
    assert post(browser, number, csrf, "silence", why=long)[0] == 303
    answer = browser.get(f"/i/{number}")
    assert "muted by silence" in answer.text
    assert len(answer.content) < MOST_BYTES
    assert post(browser, number, csrf, "false_alarm", why=long)[0] == 303
    answer = browser.get(f"/i/{number}")
    assert long in answer.text
    assert len(answer.content) < MOST_BYTES
