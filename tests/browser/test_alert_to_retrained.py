"""From an alert to a version that was trained because of it and serves: two people, and the pipeline between them.

On-call goes from the incident to a retraining, which starts by itself within its rule; the run asks for the promotion;
somebody else approves it, and requests are answered by what was trained. Every process is the real one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from backend.data_rights.rules import set_rule
from backend.database.session import reading, writing
from backend.registry.tables import Version
from tests.browser.conftest import Visit, home_of_a_module
from tests.browser.installation import Installation, open_installation
from tests.browser.people import Visitor, heading, number_of
from tests.integration.retraining.conftest import describe, store_rows

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

TRAINING_MS = 240_000
WHY = "AUC fell; the timetable changed."
COMMENT = "It ranks as well as what serves, on rows of this month."


@pytest.fixture
def installation(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Installation]:
    """`toy` is of the low tier, served by a version that was really trained; labelled rows of a month are stored."""
    with (
        home_of_a_module(tmp_path, migrated_sqlite),
        open_installation(tmp_path, queues=("changes", "training")) as found,
    ):
        describe(found.world)
        with writing() as session:
            set_rule(session, found.world.compliance, model="toy", purposes=["retraining"], why="for a test")
        store_rows()
        yield found


def test_from_an_alert_to_an_approved_retrained_version_that_serves(
    installation: Installation, visit: Visit
) -> None:
    on_call, lead = visit(installation.console), visit(installation.console)
    assert installation.answered_by("toy") == 2
    incident = installation.page("toy")
    retraining = retrain_because_of(on_call, incident)
    promotion = watch_the_run(on_call, retraining)
    assert installation.answered_by("toy") == 2, "training moves nothing into service"
    cannot_approve_their_own(on_call, promotion)
    approve(lead, promotion)
    assert installation.answered_by("toy") == 3
    trained_because_of(on_call, retraining, incident)


def retrain_because_of(on_call: Visitor, incident: int) -> int:
    """From the incident, with a plan of a few trees; gives the change."""
    page = on_call.open(f"/incident?id={incident}")
    on_call.sign_in("oncall")
    expect(heading(page, re.compile(rf"^INC-{incident} SEV-\d toy: .*AUC"))).to_be_visible()
    page.get_by_role("link", name="Retrain the model…").click()
    expect(heading(page, "Toy was never retrained here")).to_be_visible()
    expect(page.get_by_text("It goes ahead at once: the rule approved it in advance.")).to_be_visible()
    page.get_by_label("Parameters, as JSON", exact=True).fill('{"max_iter": 10, "min_samples_leaf": 10}')
    page.get_by_label("Hours of training at most").fill("0.5")
    page.get_by_label("Hours of training at most").press("Enter")
    expect(page.get_by_text("At most 0.5 h of training on a cpu")).to_be_visible()
    page.get_by_role("textbox", name="Why").fill(WHY)
    page.get_by_role("button", name="Retrain toy").click()
    return number_of(page)


def watch_the_run(on_call: Visitor, retraining: int) -> int:
    """The page moves by itself until the promotion is asked for; gives that change."""
    page = on_call.open(f"/retraining_run?id=retrain-{retraining}")
    expect(heading(page, re.compile("^toy was retrained"))).to_be_visible(timeout=TRAINING_MS)
    expect(page.get_by_text("While it learns")).to_be_visible()
    expect(page.get_by_text("Against what serves, on the same rows")).to_be_visible()
    page.get_by_role("link", name=re.compile(r"^CHG-\d+: the promotion of v3")).click()
    expect(heading(page, re.compile(r"^CHG-\d+: toy moves from v2 to v3"))).to_be_visible()
    return number_of(page)


def cannot_approve_their_own(on_call: Visitor, promotion: int) -> None:
    page = on_call.page
    expect(page.get_by_text(re.compile("^You cannot decide: you asked for"))).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^(Approve|Reject)"))).to_have_count(0)
    with on_call.api() as api:
        digest = api.get(f"/changes/{promotion}").json()["digest"]
        body = {"verdict": "approve", "comment": "mine", "digest": digest}
        assert api.post(f"/changes/{promotion}/decisions", json=body).status_code == 403


def approve(lead: Visitor, promotion: int) -> None:
    page = lead.open(f"/change?id={promotion}")
    lead.sign_in("lead")
    expect(page.get_by_text(re.compile("^waiting for decisions"))).to_be_visible()
    page.get_by_label("Comment to approve").fill(COMMENT)
    page.get_by_role("button", name=f"Approve CHG-{promotion}").click()
    expect(page.get_by_text(re.compile("^executed · "))).to_be_visible(timeout=TRAINING_MS)


def trained_because_of(on_call: Visitor, retraining: int, incident: int) -> None:
    """What serves names the run and the change, and the run the incident."""
    with reading() as session:
        training = session.get_one(Version, ("toy", 3)).training
    assert (training["change"], training["run"]) == (f"CHG-{retraining}", f"retrain-{retraining}")
    page = on_call.open(f"/retraining_run?id=retrain-{retraining}")
    expect(page.get_by_role("link", name=f"INC-{incident}, which set it off")).to_be_visible()
    page = on_call.open("/model?model=toy")
    serving = page.get_by_role("table", name="versions with held-out metrics").get_by_role("row")
    expect(serving.filter(has_text="serves")).to_contain_text("v3")
