"""From a fault to the report, as three people walk it: traffic that a new version cannot take, a page on a web hook,
an acknowledgement on the phone, the cause, a return that somebody else approves, and what is written down in the end.

Every process is the real one: gateway, console, worker, embedded MLflow, and a Chromium for each person.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from pypdf import PdfReader
from sqlalchemy import func, select

from backend.alerting.tables import Alert
from backend.database.session import reading
from backend.governance.kinds import Asked
from backend.queue import QUEUES
from tests.browser.conftest import Visit, home_of_a_module
from tests.browser.installation import Installation, policy_of_seconds, put_in_force
from tests.browser.on_call_scene import Hook, Traffic, open_hook, train_brittle, write_contacts
from tests.browser.people import Visitor, give_passwords
from tests.integration.serving.parts import GatewayProcess
from tests.processes import START_S, BackgroundWorker, ConsoleProcess, wait_until
from tests.worlds import make_world, register_in_mlflow

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1200)]

MODEL = "fare"
COMPUTING_MS = 240_000
EVALUATED_S = 300.0  # the objective is looked at every minute, on a machine that does other things as well
OBJECTIVE = f"""
apiVersion: openslo/v1
kind: SLO
metadata:
  name: availability
  annotations: {{warrant/alert-rows: page 3m 1m 10x}}
spec:
  service: {MODEL}
  indicator:
    metadata: {{name: failures}}
    spec:
      ratioMetric:
        bad: {{metricSource: {{type: Warrant, spec: {{events: failed_requests}}}}}}
        total: {{metricSource: {{type: Warrant, spec: {{events: requests}}}}}}
  timeWindow: [{{duration: 30d, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives: [{{target: 0.99}}]
"""
WHY = "It fails on a carrier that version 1 takes."
COMMENT = "Agreed: version 1 answers for every carrier."


@dataclass
class Scene:
    installation: Installation
    hook: Hook


@pytest.fixture
def scene(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Scene]:
    """`fare` is served by version 1, which takes every carrier; version 2 was fitted on three."""
    with (
        home_of_a_module(tmp_path, migrated_sqlite),
        open_hook() as hook,
        pytest.MonkeyPatch.context() as environment,
    ):
        world = make_world(tmp_path / "files", versions=1, trained=(1,))
        train_brittle(world, 2)
        put_in_force(policy_of_seconds())
        give_passwords()
        environment.setenv("PAGER_SECRET", "of the web hook")
        environment.setenv("WARRANT_CONTACTS", str(write_contacts(tmp_path / "contacts.yaml", hook, MODEL)))
        with GatewayProcess(tmp_path / "gateway.log") as gateway:
            console = ConsoleProcess(tmp_path / "console.log", WARRANT_GATEWAY_PORT=str(gateway.port))
            environment.setenv("WARRANT_PORT", str(console.port))  # notices link to where the console is
            worker = BackgroundWorker(tmp_path / "worker.log", "worker", tuple(QUEUES))
            with console, worker:
                for process in (gateway, console, worker):
                    process.start()
                register_in_mlflow("toy", 1)
                wait_until(gateway.ready, within_s=START_S, what="the gateway's readiness")
                console.wait_ready()
                yield Scene(Installation(world, f"http://localhost:{console.port}", gateway), hook)


def test_from_a_fault_in_traffic_to_the_report(scene: Scene, visit: Visit) -> None:
    installation, hook = scene.installation, scene.hook
    world, console = installation.world, installation.console
    installation.add(MODEL, serving=1, tier="low")
    on_call, lead = visit(console), visit(console)
    on_call.open("/")
    on_call.sign_in("oncall")
    with on_call.api() as api:
        assert api.post("/objectives", json={"document": OBJECTIVE}).status_code == 201
    with Traffic(installation.gateway.url, MODEL) as traffic:
        promotion = Asked("promote", "production", MODEL, 2)
        installation.carry_out(promotion, by=world.engineer, approved_by=(world.lead,))
        assert traffic.codes.keys() == {200}, "version 2 answers what it knows"
        traffic.new_carrier = True
        paged = wait_until(lambda: hook.told("open"), within_s=EVALUATED_S, what="a page on the web hook")
        number = int(paged["incident"])
        acknowledge_on_the_phone(on_call, paged)
        wait_until(
            lambda: hook.told("acknowledged", number), within_s=60, what="the word that somebody is on it"
        )
        see_the_cause_first(on_call, number)
        change = ask_for_the_return(on_call)
        assert installation.answered_by(MODEL) == 2, "nothing moves before the decision"
        approve(lead, change)
        assert installation.answered_by(MODEL) == 1
        failed = traffic.codes[500]
        wait_until(lambda: firing() == 0, within_s=EVALUATED_S, what="the end of the alert")
        assert traffic.codes[500] <= failed + 1, "version 1 takes the new carrier"
    end_what_is_left(on_call, number)
    wait_until(lambda: hook.told("resolved", number), within_s=60, what="the word that it is over")
    assert len(set(hook.keys)) == len(hook.keys), "no notice came twice"
    read_the_report(on_call, number, change)


def firing() -> int:
    """How many alerts about answering requests fire. That a carrier is new to the data goes on being told."""
    with reading() as session:
        query = select(func.count()).where(Alert.model == MODEL, Alert.kind == "slo", Alert.state == "firing")
        return int(session.scalar(query) or 0)


def acknowledge_on_the_phone(on_call: Visitor, paged: dict[str, Any]) -> None:
    """What the page says and links to: what is wrong, for whom, and who takes it."""
    assert (paged["model"], paged["environment"], paged["severity"]) == (MODEL, "production", "SEV-2")
    assert "requests failed" in paged["title"]
    page = on_call.page
    page.goto(paged["link"])
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"INC-{paged['incident']} {MODEL}: ")
    expect(
        page.get_by_text(re.compile(r"callers see errors: \d+\.\d\d\s?% of requests failed"))
    ).to_be_visible()
    expect(page.get_by_text("for whom")).to_be_visible()
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_role("status")).to_contain_text("You are on it")
    expect(page.locator("dd").filter(has_text="Oncall").first).to_be_visible()


def see_the_cause_first(on_call: Visitor, number: int) -> None:
    """Both pages name the version before the gateway, with the figures, and offer the return."""
    page = on_call.page
    first = page.locator("ol > li").first
    expect(first).to_contain_text("likely")
    expect(first).to_contain_text("version 2, which began to serve: its model fails by itself: on")
    expect(page.get_by_text(re.compile("likely to help: v2 has served only 0 days")).first).to_be_visible()
    on_call.open(f"/incident?id={number}")
    expect(page.get_by_role("heading", name=re.compile(rf"^INC-{number} SEV-2 {MODEL}: "))).to_be_visible()
    expect(page.get_by_text(re.compile("Oncall is on it"))).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^Acknowledge INC-"))).to_have_count(0)
    causes = page.get_by_role("table", name="suspected causes").get_by_role("row")
    expect(causes.nth(1)).to_contain_text("version 2, which began to serve")
    expect(causes.nth(1)).to_contain_text("its model fails by itself")


def ask_for_the_return(on_call: Visitor) -> int:
    page = on_call.page
    page.get_by_role("link", name="Return to an earlier version…").click()
    title = f"You would ask: {MODEL} returns from v2 to v1 in production"
    expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()
    page.get_by_role("textbox", name="Why", exact=True).fill(WHY)
    page.get_by_role("button", name="Ask for the return to v1").click()
    heading = page.get_by_role(
        "heading", name=re.compile(rf"^CHG-\d+: {MODEL} returns from v2 to v1"), level=1
    )
    expect(heading).to_be_visible()
    found = re.match(r"CHG-(\d+)", heading.inner_text())
    assert found is not None
    return int(found[1])


def approve(lead: Visitor, change: int) -> None:
    """On the plain page that a notice would lead to, after which the whole page shows the execution."""
    page = lead.open(f"/c/{change}")
    lead.fill_sign_in("lead")
    expect(page).to_have_url(f"{lead.console}/c/{change}")
    expect(page.get_by_text(WHY)).to_be_visible()
    page.get_by_label("Comment to approve").fill(COMMENT)
    page.get_by_role("button", name=f"Approve CHG-{change}").click()
    expect(page.get_by_role("status")).to_contain_text("You approved")
    lead.open(f"/change?id={change}")
    expect(page.get_by_text(re.compile("^executed · "))).to_be_visible(timeout=COMPUTING_MS)


def end_what_is_left(on_call: Visitor, number: int) -> None:
    """Nothing fires any more: an incident that the return did not end is ended by whoever is on it."""
    with on_call.api() as api:
        if api.get(f"/incidents/{number}").json()["state"] == "closed":
            return
    page = on_call.open(f"/i/{number}")
    page.get_by_text("Steps, note, mitigate, resolve, false alarm").click()
    page.get_by_label("What it was, and what mended it").fill(
        "Version 2 fails on new carriers; version 1 is back."
    )
    page.get_by_label("Cause").select_option("version")
    page.get_by_role("button", name="Resolve").click()
    expect(page.get_by_role("status")).to_contain_text("Resolved")


def read_the_report(on_call: Visitor, number: int, change: int) -> None:
    page = on_call.open(f"/i/{number}")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Report as Markdown").click()
    text = Path(downloading.value.path()).read_text()
    assert downloading.value.suggested_filename == f"INC-{number}.md"
    parts = dict(re.findall(r"^## (.+)\n\n((?:.|\n)*?)(?=^## |\Z)", text, re.MULTILINE))
    assert text.startswith(f"# Incident INC-{number}: ")
    short = parts["In short"]
    assert re.search(r"^- Acknowledged: .* UTC by Oncall, after \d+ (s|min)$", short, re.MULTILINE), short
    assert re.search(r"^- Over: 2\d{3}-.* UTC, after \d+ (s|min)$", short, re.MULTILINE), short
    assert "for whom: every prediction" in parts["Impact"]
    assert f"CHG-{change}" not in parts["Causes that were looked into"], "what mended it is no cause of it"
    causes = parts["Causes that were looked into"].splitlines()
    assert re.match(
        r"- likely: version 2, which began to serve; its model fails by itself: on [\d,]+ of", causes[0]
    )
    assert "of requests failed" in text.split("## In short")[0]
    story = in_order(
        parts["Timeline"],
        "deployment: version 2 as champion", r"alert: fires \(page\): .*requests failed",
        r"acknowledged.*\(by Oncall\)", rf"CHG-{change} asked for: .*\(by Oncall\)",
        "deployment: version 1 as champion", "alert: resolved: .*requests failed",
    )  # fmt: skip
    assert story is None, f"{story} is not in its place:\n{parts['Timeline']}"
    assert re.search(r"fired 2.* UTC, resolved 2.* UTC", parts["Alerts"]), parts["Alerts"]
    with page.expect_download() as downloading:
        page.get_by_role("link", name="as PDF").click()
    read_the_pdf(Path(downloading.value.path()).read_bytes(), number, change)


def in_order(text: str, *wanted: str) -> str | None:
    """The first of these patterns that no line after the earlier ones holds; None where each is in its place."""
    lines = iter(text.splitlines())
    return next((one for one in wanted if not any(re.search(one, line) for line in lines)), None)


def read_the_pdf(content: bytes, number: int, change: int) -> None:
    text = " ".join(" ".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(content)).pages)
    for words in (
        f"INC-{number}",
        "its model fails by itself",
        f"CHG-{change}",
        "by Oncall",
        "What we learnt",
    ):
        assert words in text, words
