"""The three ways by which production changes, as people walk them: a promotion, what cannot wait, and the policy.

Console, gateway, worker and MLflow are the real ones; each person has a Chromium window and signs in.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import yaml
from playwright.sync_api import Locator, Page, expect

from backend.governance.kinds import Asked
from backend.identity.roles import Role
from tests.browser.conftest import Visit
from tests.browser.installation import Installation
from tests.browser.people import Visitor, heading, number_of
from tests.processes import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

COMPUTING_MS = 180_000
SECONDS = 60.0
PROMOTE = Asked("promote", "production", "claims", 2)


def rows(page: Page, table: str) -> Locator:
    return page.get_by_role("table", name=table, exact=True).get_by_role("row")


def approve(visitor: Visitor, number: int, comment: str) -> None:
    """From the list of what waits for this person to the button that signs the digest which the box names."""
    page = visitor.page
    with visitor.api() as api:
        digest = api.get(f"/changes/{number}").json()["digest"].removeprefix("sha256:")
    box = page.get_by_text(f"You sign {digest[:12]}…")
    expect(box).to_be_visible()
    page.get_by_label("Comment to approve").fill(comment)
    page.get_by_role("button", name=f"Approve CHG-{number}").click()
    expect(page.get_by_text(f"You decided to approve CHG-{number}.")).to_be_visible()


def open_from_inbox(visitor: Visitor, number: int) -> Page:
    """The list may be seconds behind and does not move by itself: look again."""
    page = visitor.page
    link = page.get_by_role("table", name="my inbox").get_by_role("link", name=f"CHG-{number}", exact=True)
    for _ in range(5):
        visitor.open("/approvals")
        try:
            expect(link).to_be_visible(timeout=6_000)
        except AssertionError:
            continue
        break
    link.click()
    expect(heading(page, re.compile(f"^CHG-{number}: "))).to_be_visible()
    return page


def test_a_promotion_goes_from_the_request_through_its_gates_and_canary_to_all_traffic(
    running: Installation, visit: Visit
) -> None:
    running.add("fare", serving=1)
    engineer, lead = visit(running.console), visit(running.console)
    with running.traffic("fare"):
        number = ask_for_the_promotion(engineer)
        watch_the_gates(engineer, number)
        cannot_approve_their_own(engineer, number)
        lead.open("/")
        lead.sign_in("lead")
        page = open_from_inbox(lead, number)
        see_the_evidence(page)
        assert running.answered_by("fare") == 1, "nothing moves before the decision"
        engineer.open("/approvals")
        approve(lead, number, "The flips are few.")
        watch_the_rollout(page)
        assert running.answered_by("fare") == 2
        page = engineer.open(f"/change?id={number}")
        expect(page.get_by_role("heading", name="Since you last looked")).to_be_visible()
        state = rows(page, "what is new").filter(has_text="state")
        expect(state).to_contain_text(re.compile("waiting.*executed"))
    page = engineer.open("/model?model=fare")
    serving = rows(page, "versions with held-out metrics").filter(has_text="serves")
    expect(serving).to_contain_text("v2")


def ask_for_the_promotion(engineer: Visitor) -> int:
    page = engineer.open("/model?model=fare")
    engineer.sign_in("engineer")
    expect(heading(page, re.compile("^Fare: "))).to_be_visible()
    page.get_by_role("link", name="Promote a version…").click()
    expect(
        heading(page, re.compile(r"^You would ask: fare moves from v1 to v2 in production"))
    ).to_be_visible()
    page.get_by_role("textbox", name="Why").fill("It ranks long flights better.")
    page.get_by_role("button", name="Ask for the promotion to v2").click()
    return number_of(page)


def watch_the_gates(engineer: Visitor, number: int) -> None:
    """The page moves by itself once the gates are in."""
    page = engineer.page
    scan = rows(page, "gates").filter(has_text="required")
    expect(scan).to_contain_text("pass", timeout=COMPUTING_MS)
    expect(rows(page, "gates").filter(has_text="for information")).to_have_count(3)
    expect(page.get_by_text(re.compile("^waiting for decisions"))).to_be_visible()


def cannot_approve_their_own(engineer: Visitor, number: int) -> None:
    page = engineer.page
    expect(page.get_by_text(re.compile("^You cannot decide: you asked for"))).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^(Approve|Reject)"))).to_have_count(0)
    with engineer.api() as api:
        digest = api.get(f"/changes/{number}").json()["digest"]
        body = {"verdict": "approve", "comment": "mine", "digest": digest}
        assert api.post(f"/changes/{number}/decisions", json=body).status_code == 403


def see_the_evidence(page: Page) -> None:
    """Gates, who flips, before and after, the plan: in this order, before the decision."""
    titles = page.get_by_role("heading", level=3)
    expect(titles.filter(has_text="Gates")).to_be_visible()
    expect(titles.filter(has_text="Before and after")).to_be_visible()
    expect(titles.filter(has_text="At risk, plan and way back")).to_be_visible()
    expect(rows(page, "who flips").filter(has_text="becomes positive")).to_have_count(1)
    expect(page.get_by_text(re.compile(r"[\d,]+ of [\d,]+ rows flip"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"^canary: 30(\.0)?\s%, 60(\.0)?\s%, 100\s%"))).to_be_visible()
    expect(page.get_by_text(re.compile("^to v1, agreed with this change for 14 days"))).to_be_visible()


def watch_the_rollout(page: Page) -> None:
    stages = rows(page, "stages of the rollout")
    expect(stages.filter(has_text=re.compile(r"1\. canary"))).to_be_visible(timeout=COMPUTING_MS)
    expect(page.get_by_text(re.compile("^executed · "))).to_be_visible(timeout=COMPUTING_MS)
    for share in ("30", "60", "100"):
        stage = stages.filter(has_text=re.compile(rf"{share}(\.0)?\s% of requests"))
        expect(stage.first).to_contain_text(
            "success"
        )  # while a page is drawn again, its old rows may stand beside


def test_an_agreed_return_and_a_broken_glass_act_at_once_and_the_review_is_owed_by_somebody_else(
    running: Installation, visit: Visit
) -> None:
    world = running.world
    duty = running.add_person("duty", Role.ON_CALL, Role.ML_LEAD)
    running.add("claims", serving=1, tier="low")
    with running.traffic("claims"):
        running.carry_out(PROMOTE, by=world.engineer, approved_by=(world.lead,))
        assert running.answered_by("claims") == 2
        incident = running.page("claims")
        on_call, lead, compliance = visit(running.console), visit(running.console), visit(running.console)
        return_as_agreed(on_call, incident)
        wait_until(lambda: running.answered_by("claims") == 1, within_s=SECONDS, what="version 1")
        broken = break_the_glass(on_call)
        wait_until(lambda: running.answered_by("claims") == 2, within_s=SECONDS, what="version 2")
        cannot_review_their_own(on_call, broken)
        release = running.ask(world.engineer, replace(PROMOTE, to_version=1))
        lead.open("/")
        lead.sign_in("lead")
        page = open_from_inbox(lead, release)
        page.get_by_role("button", name=f"Approve CHG-{release}").click()
        expect(page.get_by_role("alert").filter(has_text=f"CHG-{broken}")).to_contain_text("review")
        assert running.state(release) == "waiting"
        review_the_glass(compliance, broken)
        page.reload()
        approve(lead, release, "reviewed meanwhile")
    assert duty.person_id


def return_as_agreed(on_call: Visitor, incident: int) -> None:
    """Two clicks and a reason, from the incident."""
    page = on_call.open(f"/incident?id={incident}")
    on_call.sign_in("duty")
    expect(page.get_by_text(re.compile("needs no approval"))).to_be_visible()
    page.get_by_role("button", name="Go back to v1…").click()
    page.get_by_role("textbox", name="Why", exact=True).fill("It pays claims that it should not.")
    page.get_by_role("button", name="Go back to v1 now").click()
    number_of(page)
    expect(page.get_by_text(re.compile("^executed · "))).to_be_visible(timeout=COMPUTING_MS)


def break_the_glass(on_call: Visitor) -> int:
    page = on_call.open("/request_change?kind=rollback&model=claims")
    expect(heading(page, re.compile("^You would ask: claims returns from v1 to v2"))).to_be_visible()
    page.get_by_text("It cannot wait: break the glass").click()
    page.get_by_role("textbox", name="Why it cannot wait").fill("Version 1 pays nothing at all.")
    page.get_by_text("I act without approval").click()
    expect(page.get_by_role("checkbox", name="I act without approval")).to_be_checked()
    page.get_by_role("button", name="Break the glass now").click()
    number = number_of(page)
    expect(page.get_by_text("nobody approved this change")).to_be_visible()
    return number


def cannot_review_their_own(on_call: Visitor, broken: int) -> None:
    page = on_call.page
    expect(page.get_by_text(re.compile("^executed · "))).to_be_visible(timeout=COMPUTING_MS)
    expect(page.get_by_text(f"You cannot review: you broke the glass with CHG-{broken}")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^(Justified|Not justified)"))).to_have_count(0)
    with on_call.api() as api:
        refused = api.post(f"/changes/{broken}/review", json={"verdict": "justified", "comment": "it was"})
    assert refused.status_code == 403
    assert "somebody else" in refused.json()["detail"]


def review_the_glass(compliance: Visitor, broken: int) -> None:
    page = compliance.open("/approvals")
    compliance.sign_in("compliance")
    owed = page.get_by_role("table", name="reviews that are owed")
    expect(owed.get_by_role("row").filter(has_text="Version 1 pays nothing at all.")).to_have_count(1)
    owed.get_by_role("link", name=f"CHG-{broken}", exact=True).click()
    expect(heading(page, re.compile(f"^CHG-{broken}: "))).to_be_visible()
    page.get_by_role("textbox", name="Why it was justified").fill("Nothing was paid out.")
    page.get_by_role("button", name=f"Justified: CHG-{broken}", exact=True).click()
    expect(page.get_by_text(f"You reviewed CHG-{broken}: justified.")).to_be_visible()
    expect(page.get_by_text(re.compile("Compliance reviewed it"))).to_be_visible()
    page = compliance.open("/approvals")
    expect(page.get_by_role("table", name="finished changes")).to_be_visible()
    expect(owed).to_have_count(0)


def test_a_policy_is_tried_on_past_changes_asked_for_approved_and_then_governs(
    running: Installation, visit: Visit
) -> None:
    world = running.world
    running.add("seats", serving=1, tier="low")
    past = running.carry_out(tier("medium"), by=world.engineer, approved_by=(world.lead, world.compliance))
    asking, second, compliance = visit(running.console), visit(running.console), visit(running.console)
    page = asking.open("/policy")
    asking.sign_in("lead")
    before = revision_in_force(page)
    send_a_broken_policy(page, before)
    number = ask_for_two_leads(page, past)
    with asking.api() as api:
        assert api.get("/policy").json()["revision"] == before, "nothing changes before the decision"
    expect(page.get_by_text(re.compile("^You cannot decide: you asked for"))).to_be_visible()
    for visitor, username in ((second, "lead2"), (compliance, "compliance")):
        visitor.open("/")
        visitor.sign_in(username)
        opened = open_from_inbox(visitor, number)
        expect(opened.get_by_text(re.compile(r"\+ .*ml_lead: 2")).first).to_be_visible()
        approve(visitor, number, "two pairs of eyes")
    expect(opened.get_by_text(re.compile("^executed · "))).to_be_visible(timeout=COMPUTING_MS)
    page = asking.open("/policy")
    assert revision_in_force(page) == before + 1
    expect(rows(page, "rules").filter(has_text="a risk tier")).to_contain_text("2 × ml lead")
    # The next change follows it: what was enough before is not any more.
    following = running.ask(world.engineer, tier("low"))
    for visitor in (compliance, second):
        open_from_inbox(visitor, following)
        approve(visitor, following, "as before")
    expect(second.page.get_by_text("2 of 3 approvals").first).to_be_visible()
    assert running.state(following) == "waiting"
    opened = open_from_inbox(asking, following)
    approve(asking, following, "the second pair of eyes")
    expect(opened.get_by_text(re.compile("^executed · "))).to_be_visible(timeout=COMPUTING_MS)


def tier(wanted: str) -> Asked:
    return Asked("tier", "*", "seats", subject={"tier": wanted})


def revision_in_force(page: Page) -> int:
    title = heading(page, re.compile(r"^Revision \d+ of the policy is in force"))
    expect(title).to_be_visible()
    return int(title.inner_text().split()[1])


def write_policy(page: Page, text: str) -> None:
    """Type it, and tell the page that one is done with typing."""
    area = page.get_by_label("The whole policy as YAML")
    area.fill(text)
    area.press("Control+Enter")


def send_a_broken_policy(page: Page, revision: int) -> None:
    """Neither text that is no YAML nor a rule that cannot be is taken; both are told by line and reason."""
    page.get_by_role("tab", name="YAML").click()
    area = page.get_by_label("The whole policy as YAML")
    expect(area).to_have_value(re.compile("rules:"))  # it is drawn empty first
    good = area.input_value()
    for wrong, line, reason in (
        (good.replace("rules:", "rules: [", 1), "", "no YAML"),
        (good.replace("lifetime_h: 168", "lifetime_h: soon", 1), "lifetime_h", "it is a number, not"),
    ):
        where = (
            next(n for n, text in enumerate(wrong.splitlines(), 1) if "lifetime_h: soon" in text)
            if line
            else 0
        )
        write_policy(page, wrong)
        page.get_by_role("button", name="What would it have said?").click()
        said = page.get_by_role("alert").filter(has_text="Nothing was changed").filter(has_text=reason)
        expect(said).to_contain_text(f"line {where}" if where else re.compile(r"line \d+"))
        page.get_by_role("textbox", name="Why", exact=True).fill("a try")
        ask = page.get_by_role("button", name="Ask for this policy")
        ask.click()
        # The trial's answer stands above the button; what is typed before this one's has come would be asked for too.
        refused = ask.locator("xpath=following::*[@role='alert']").filter(has_text="Nothing was changed")
        expect(refused).to_contain_text(f"line {where}" if where else re.compile(r"line \d+"))
        expect(page.get_by_role("alert").filter(has_text="Nothing was changed")).to_have_count(1)
    expect(heading(page, f"Revision {revision} of the policy is in force")).to_be_visible()
    write_policy(page, good)


def ask_for_two_leads(page: Page, past: int) -> int:
    """Edit one rule, hold it against what happened, and send it."""
    document = yaml.safe_load(page.get_by_label("The whole policy as YAML").input_value())
    (edited,) = (entry for entry in document["rules"] if entry["name"] == "a risk tier")
    edited["rule"]["roles"] = {"ml_lead": 2, "compliance": 1}
    write_policy(page, yaml.safe_dump(document, sort_keys=False))
    page.get_by_role("button", name="What would it have said?").click()
    expect(page.get_by_text(re.compile(r"would have allowed \d+ and refused \d+"))).to_be_visible()
    told = rows(page, "what it would have said otherwise").filter(has_text=f"CHG-{past}")
    expect(told).to_contain_text("refused")
    expect(told).to_contain_text("1 of 2 approvals by ml lead")
    page.get_by_role("textbox", name="Why", exact=True).fill("Two pairs of eyes on risk.")
    page.get_by_role("button", name="Ask for this policy").click()
    return number_of(page)
