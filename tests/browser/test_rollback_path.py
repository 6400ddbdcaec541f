"""The whole path as three people walk it: traffic, an alert, a request, a decision, an execution, a record.

Every process is the real one: console, gateway, two workers, embedded MLflow, and a Chromium for each person.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from backend.observations.reader import row_counts
from backend.queue import QUEUES
from backend.settings import settings
from tests.browser.conftest import Visit, home_of_a_module
from tests.browser.people import Visitor, give_passwords
from tests.integration.serving.parts import GatewayProcess
from tests.processes import START_S, BackgroundWorker, ConsoleProcess, wait_until
from tests.worlds import make_world, register_in_mlflow

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

WARRANT = Path(sys.executable).parent / "warrant"
REASON = "The carrier feed lost its distances; version 1 does not lean on them."
COMMENT = "Agreed: 1 held for a month."
COMPUTING_MS = 240_000
ROWS = 400


@dataclass
class Installation:
    """What runs, and where it writes."""

    folder: Path
    console: ConsoleProcess
    gateway: GatewayProcess

    def worker(self, name: str, *queues: str) -> BackgroundWorker:
        log = self.folder / f"{name}.log"
        return BackgroundWorker(log, name, queues or tuple(QUEUES)).start()

    def answer(self) -> dict[str, Any]:
        found: dict[str, Any] = self.gateway.predict(
            "toy", features={"distance": 800.0, "carrier": "UA"}
        ).json()
        return found


@pytest.fixture
def installation(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Installation]:
    """Version 2 of `toy` serves; version 1 served a month healthily before it. No worker runs yet."""
    with home_of_a_module(tmp_path, migrated_sqlite):
        make_world(tmp_path / "files", versions=2, trained=(1, 2))
        give_passwords()
        with (
            GatewayProcess(tmp_path / "gateway.log").start() as gateway,
            ConsoleProcess(
                tmp_path / "console.log", WARRANT_GATEWAY_PORT=str(gateway.port)
            ).start() as console,
        ):
            register_in_mlflow("toy", 2)
            wait_until(gateway.ready, within_s=START_S, what="the gateway's readiness")
            console.wait_ready()
            yield Installation(tmp_path, console, gateway)


def send_traffic(
    gateway: GatewayProcess,
) -> None:
    """Requests over HTTP; three of four do not know the distance."""
    carriers = ("AA", "B6", "UA")
    for first in range(0, ROWS, 50):
        instances = [
            {
                "prediction_id": f"flight-{number}",
                "features": {
                    "distance": 100.0 + number * 7 % 2800 if number % 4 == 0 else None,
                    "carrier": carriers[number % 3],
                },
            }
            for number in range(first, first + 50)
        ]
        answer = gateway.predict("toy", instances=instances)
        assert answer.status_code == 200, answer.text


def stored() -> bool:
    """Whether the writer has committed every prediction."""
    return row_counts(settings().observations, "toy").predictions >= ROWS


def shown_after_reload(page: Page, locator: Locator, *, within_ms: int) -> None:
    """Look, and look again, as somebody does who waits for a page that does not move by itself."""
    for _ in range(max(within_ms // 5_000, 1)):
        try:
            expect(locator).to_be_visible(timeout=5_000)
        except AssertionError:
            page.reload()
        else:
            return
    expect(locator).to_be_visible()


def heading(page: Page, text: str | re.Pattern[str]) -> Locator:
    return page.get_by_role("heading", name=text, level=1)


def test_three_people_return_a_model_to_its_earlier_version(installation: Installation, visit: Visit) -> None:
    console = installation.console.url
    assert installation.answer()["version"] == 2
    on_call, lead, compliance = visit(console), visit(console), visit(console)
    with installation.worker("writer", "writer"):
        send_traffic(installation.gateway)
        wait_until(stored, within_s=START_S, what="the commit of the predictions")
        compute_from_the_page(on_call)
        with installation.worker("worker"):
            watch_the_computation(on_call)
            incident = see_the_alert(on_call)
            request_the_rollback(on_call)
            assert installation.answer()["version"] == 2, "nothing moves before the decision"
            approve(lead)
            assert installation.answer()["version"] == 1
    assert installation.answer()["version"] == 1, "with no worker alive"
    on_call.open(f"/incident?id={incident}")
    expect(heading(on_call.page, re.compile(rf"^INC-{incident} SEV-\d toy"))).to_be_visible()
    # The distances are missing whatever serves: the return is done, and nothing says that it helped.
    expect(
        on_call.page.get_by_text(re.compile(r"production · mitigated, open for .* firing"))
    ).to_be_visible()
    expect(on_call.page.get_by_text(re.compile(r"CHG-1 was executed\. It closes by itself"))).to_be_visible()
    read_the_record(compliance, incident)
    verify_the_log()


def compute_from_the_page(on_call: Visitor) -> None:
    page = on_call.open("/model?model=toy")
    on_call.sign_in("oncall")
    expect(heading(page, re.compile("^Toy: "))).to_be_visible()
    page.get_by_role("button", name="Compute metrics now").click()
    expect(page.get_by_text("Compute metrics now: queued.")).to_be_visible()
    expect(page.get_by_text(re.compile(r"Compute metrics of due windows: queued"))).to_be_visible()


def watch_the_computation(on_call: Visitor) -> None:
    """The page moves by itself: the job's step, and then no job any more."""
    progress = on_call.page.get_by_text(re.compile(r"Compute metrics of due windows: (queued|running)"))
    expect(
        on_call.page.get_by_text(re.compile(r"Compute metrics of due windows: running \w+"))
    ).to_be_visible(timeout=COMPUTING_MS)
    expect(progress).to_have_count(0, timeout=COMPUTING_MS)


def see_the_alert(on_call: Visitor) -> int:
    """On the overview: which model, what, since when, how bad; then its incident, acknowledged."""
    page = on_call.page
    page.get_by_role("link", name="Overview").click()
    worst = heading(
        page, re.compile(r"1 of 1 model needs you; worst: toy, .*distance .*to 7\d(\.\d)?\s%.*, for ")
    )
    shown_after_reload(page, worst, within_ms=60_000)
    expect(
        page.get_by_role("row").filter(has_text="toy").get_by_text(re.compile(r"^since .*UTC"))
    ).to_be_visible()
    expect(page.get_by_text("quality alert")).to_be_visible()
    link = page.get_by_role("link", name=re.compile(r"INC-\d+ SEV-\d toy: .*distance"))
    expect(link).to_contain_text("nobody is on it")
    found = re.search(r"INC-(\d+)", link.inner_text())
    assert found is not None
    link.click()
    expect(heading(page, re.compile(r"^INC-\d+ SEV-\d toy: .*distance"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"production · open for .* · \d+ alerts? firing"))).to_be_visible()
    page.get_by_role("button", name=re.compile("^Acknowledge INC-")).click()
    expect(page.get_by_text("You are on it.")).to_be_visible()
    return int(found[1])


def request_the_rollback(on_call: Visitor) -> None:
    page = on_call.page
    page.get_by_role("link", name="Return to an earlier version").click()
    expect(heading(page, "You would ask: toy returns from v2 to v1 in production")).to_be_visible()
    # The difference, before anything is sent: metrics, parameters, data, card, and what the alert says.
    expect(page.get_by_role("row", name=re.compile(r"AUC 0\.72.*0\.71"))).to_be_visible()
    expect(page.get_by_role("row", name=re.compile(r"^depth 2 1"))).to_be_visible()
    expect(page.get_by_text("-Version 2.")).to_be_visible()
    expect(page.get_by_text("+Version 1.")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("v1 served healthily".replace(" ", ".*")))).to_be_visible()
    expect(page.get_by_text("The alert it answers")).to_be_visible()
    page.get_by_role("textbox", name="Why").fill(REASON)
    page.get_by_role("button", name="Ask for the return to v1").click()
    expect(heading(page, "CHG-1: toy returns from v2 to v1 in production")).to_be_visible()
    expect(page.get_by_text(re.compile("waits for a decision by somebody else"))).to_be_visible()
    # Who asked cannot decide: not on the page, and not around it.
    expect(page.get_by_text(re.compile("^You cannot decide:"))).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^(Approve|Reject)"))).to_have_count(0)
    with on_call.api() as api:
        seen = api.get("/changes/1").json()
        assert (seen["state"], seen["digest"][:7]) == ("waiting", "sha256:")
        body = {"verdict": "approve", "comment": "mine", "digest": seen["digest"]}
        assert api.post("/changes/1/decisions", json=body).status_code == 403
        assert api.get("/changes/1").json()["decisions"] == []


def approve(lead: Visitor) -> None:
    page = lead.open("/")
    lead.sign_in("lead")
    page.get_by_role("link", name="Approvals (1)").click()
    expect(heading(page, "1 change for you to decide")).to_be_visible()
    row = page.get_by_role("table", name="my inbox").get_by_role("row").filter(has_text="CHG-1")
    expect(row).to_contain_text("Oncall")
    expect(row).to_contain_text(REASON)
    row.get_by_role("link", name="CHG-1").click()
    expect(heading(page, "CHG-1: toy returns from v2 to v1 in production")).to_be_visible()
    expect(page.get_by_text("asked by Oncall")).to_be_visible()
    expect(page.get_by_text("The alert it answers")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile(r"AUC 0\.72.*0\.71"))).to_be_visible()
    page.get_by_label("Comment to approve").fill(COMMENT)
    page.get_by_role("button", name="Approve CHG-1").click()
    expect(page.get_by_text("You decided to approve CHG-1.")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^(approved|executing): \w+"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"^executed · "))).to_be_visible(timeout=COMPUTING_MS)
    decided = page.get_by_role("row", name=re.compile(f"Lead.*approve.*{re.escape(COMMENT)}"))
    expect(decided).to_have_count(1)


def read_the_record(compliance: Visitor, incident: int) -> None:
    """Who did what, when, to what: every step is an entry; the decision's opens with what was said and a proof."""
    page = compliance.open("/audit?kind=change&object=1")
    compliance.sign_in("compliance")
    table = page.get_by_role("table", name="audit entries")
    steps = [
        ("/audit?kind=change&object=1", "Oncall", "request change", REASON),
        ("/audit?kind=change&object=1", "Lead", "approve change", COMMENT),
        ("/audit?kind=change&object=1", "Warrant worker", "start execution", ""),
        ("/audit?kind=change&object=1", "Warrant worker", "finish execution", ""),
        ("/audit?action=deployment:deployment", "Warrant worker", "start deployment", ""),
        ("/audit?action=deployment:smoke", "Warrant worker", "test smoke", ""),
        ("/audit?action=deployment:deployment", "Warrant worker", "serve deployment", ""),
        ("/audit?action=deployment:alias", "Warrant worker", "mirror alias", ""),
        ("/audit?action=monitoring:metrics", "Oncall", "request metrics", ""),
        ("/audit?action=monitoring:window", "Warrant worker", "compute window", ""),
        ("/audit?kind=alert", "Warrant worker", "fire alert", ""),
        (f"/audit?kind=incident&object={incident}", "Warrant worker", "open incident", ""),
        (f"/audit?kind=incident&object={incident}", "Oncall", "acknowledge incident", ""),
        (f"/audit?kind=incident&object={incident}", "Warrant worker", "mitigate incident", ""),
    ]
    shown = ""
    for address, who, did, why in steps:
        if address != shown:
            shown = address
            page.goto(f"{compliance.console}{address}")
        row = table.get_by_role("row").filter(has_text=who).filter(has_text=did).filter(has_text=why)
        expect(row.first).to_be_visible()
        expect(row.first).to_contain_text(re.compile(r"\d\d:\d\d:\d\d"))
    page.goto(f"{compliance.console}/audit?kind=change&object=1")
    decision = table.get_by_role("row").filter(has_text="approve change")
    decision.get_by_role("link").click()
    expect(heading(page, re.compile(r"^Entry \d+: Lead approved change 1"))).to_be_visible()
    expect(page.get_by_text("the row hashes to what the log holds")).to_be_visible()
    expect(page.get_by_text(COMMENT).first).to_be_visible()
    expect(page.get_by_role("heading", name="Proof")).to_be_visible()
    page.get_by_text("The proof: from the hash of the leaf to the root").click()
    expect(page.get_by_text('"hashes"').first).to_be_visible()


def verify_the_log() -> None:
    verified = subprocess.run([WARRANT, "audit", "verify", "--json"], capture_output=True, text=True)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert json.loads(verified.stdout)["ok"] is True
