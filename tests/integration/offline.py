"""Warrant at work where there is no way out: run inside a network namespace, it writes down who tried to leave.

    python -m tests.integration.offline FOLDER

Every process of ours runs under strace, which sees the connections of native libraries, too. The browser is asked
what its pages requested. `FOLDER/seen.json` tells what was done; `FOLDER/*.trace` hold the system calls.
"""

from __future__ import annotations

import ipaddress
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright
from sqlalchemy import select

from app.nav import PAGES
from backend import clock
from backend.alerting.tables import Alert, Incident
from backend.database.session import reading, writing
from backend.explain.reports import list_reports
from backend.explain.service import request_explanation
from backend.governance.asking import preview_change, request_change
from backend.governance.deciding import decide
from backend.governance.kinds import Asked
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.roles import Role
from backend.identity.tables import Person
from backend.monitoring.requests import request_metrics, request_report
from backend.monitoring.tables import WindowState
from backend.observations.reader import row_counts
from backend.queue import QUEUES, JobRun
from backend.settings import settings
from tests.browser.conftest import FLAGS
from tests.browser.people import PATIENCE_MS, Visitor
from tests.processes import START_S, ConsoleProcess, ModuleProcess, free_port, wait_until
from tests.requirements import require

MODEL = "toy"
ROWS = 300
PAGE_QUERIES = {
    "model": "?model=toy", "drift": "?model=toy", "performance": "?model=toy", "change": "?id=1", "incident": "?id=1",
    "audit_entry": "?seq=1", "request_change": "?kind=rollback&model=toy", "timeline": "?model=toy",
    "inventory_model": "?model=toy", "prediction": "?model=toy&prediction=p0",
}  # fmt: skip
CONTROL = """
import socket
for attempt in (lambda: socket.create_connection(("192.0.2.7", 443), 1),
                lambda: socket.create_connection(("2001:db8::7", 443), 1),
                lambda: socket.getaddrinfo("telemetry.example.com", 443),
                lambda: socket.create_connection(("127.0.0.1", 9), 1)):
    try:
        attempt()
    except OSError as refused:
        print(refused)
"""
_IPV4 = re.compile(r'sin_port=htons\((\d+)\), sin_addr=inet_addr\("([^"]+)"\)')
_IPV6 = re.compile(r'sin6_port=htons\((\d+)\).*?inet_pton\(AF_INET6, "([^"]+)"')
_DNS = 53


def traced(trace: Path) -> tuple[str, ...]:
    """A command's prefix: its connections, and those of all it starts, go into `trace`. The tracer is not its parent,
    so that signals reach it."""
    calls = "trace=connect,sendto,sendmsg,sendmmsg"
    return (
        str(require("strace")),
        "-D",
        "-f",
        "-q",
        "--seccomp-bpf",
        "-s",
        "64",
        "-e",
        calls,
        "-o",
        str(trace),
    )


def attempts(trace: Path) -> list[str]:
    """Every address in a trace that is not this machine, and every question to a name server wherever it is."""
    found: list[str] = []
    for line in trace.read_text(errors="replace").splitlines():
        for port, host in (*_IPV4.findall(line), *_IPV6.findall(line)):
            address = ipaddress.ip_address(host)
            if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
                address = address.ipv4_mapped
            if int(port) == _DNS or not (address.is_loopback or address.is_unspecified):
                found.append(f"{host} port {port}")
    return found


@dataclass
class Seen:
    """What the tour did, and what pages of ours asked for."""

    pages: list[str] = field(default_factory=list)
    jobs: dict[str, str] = field(default_factory=dict)
    change: str = ""
    requested: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> None:
        context.on("request", lambda request: self.requested.add(_host(request.url)))
        context.on("console", lambda message: self._note(message.text))
        context.on("page", self._watch_page)

    def _watch_page(self, page: Page) -> None:
        page.on("websocket", lambda socket: self.requested.add(_host(socket.url)))

    def _note(self, text: str) -> None:
        """A request that our own policy stopped was tried all the same."""
        if "Content Security Policy" in text and "Refused to" in text:
            self.refused.append(text)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self) | {"requested": sorted(self.requested)}, indent=1))


def _host(url: str) -> str:
    return url.split(":", 1)[0] if url.startswith(("data:", "blob:")) else str(httpx.URL(url).host)


def tour(folder: Path) -> None:
    """Start everything, let every job run that brings a library along, open every page."""
    seen = Seen()
    control = [*traced(folder / "control.trace"), sys.executable, "-c", CONTROL]
    subprocess.run(control, check=True, capture_output=True, timeout=60)
    gateway_port = str(free_port())
    with (
        ModuleProcess(
            folder / "gateway.log", "backend.serving.gateway", WARRANT_GATEWAY_PORT=gateway_port,
            prefix=traced(folder / "gateway.trace"),
        ).start(),
        ModuleProcess(
            folder / "worker.log", "jobs.worker", ["--queues", ",".join(QUEUES)], WARRANT_GATEWAY_PORT=gateway_port,
            prefix=traced(folder / "worker.trace"),
        ).start(),
        ConsoleProcess(
            folder / "console.log", WARRANT_GATEWAY_PORT=gateway_port, prefix=traced(folder / "console.trace")
        ).start() as console,
    ):  # fmt: skip
        send_traffic(f"http://127.0.0.1:{gateway_port}")
        run_jobs(seen)
        console.wait_ready()
        open_pages(seen, console.url)
    subprocess.run(
        [*traced(folder / "cli.trace"), Path(sys.executable).parent / "warrant", "audit", "verify"],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    seen.write(folder / "seen.json")


def send_traffic(gateway: str) -> None:
    with httpx.Client(base_url=gateway, timeout=30.0) as client:

        def serves() -> bool:
            try:
                answer = client.get("/readyz")
            except httpx.TransportError:
                return False
            return answer.status_code == 200 and MODEL in answer.json()["models"]

        wait_until(serves, within_s=START_S, what="the gateway's readiness")
        instances = [
            {
                "prediction_id": f"p{number}",
                "features": {"distance": None if number % 4 else 900.0, "carrier": "UA"},
            }
            for number in range(ROWS)
        ]
        client.post(f"/v1/models/{MODEL}/predict", json={"instances": instances}).raise_for_status()
    wait_until(
        lambda: row_counts(settings().observations, MODEL).predictions >= ROWS,
        within_s=START_S, what="the commit of the predictions",
    )  # fmt: skip


def run_jobs(seen: Seen) -> None:
    """NannyML by the metrics, shap by the explanation, Evidently by the report, MLflow by the rollback."""
    on_call, lead = actor("oncall", Role.ON_CALL), actor("lead", Role.ML_LEAD)
    with writing() as session:
        asked = [request_metrics(session, on_call, model=MODEL).id]
        asked.append(request_explanation(session, on_call, model=MODEL, version=2).id)
    wait_for(asked, seen)
    with writing() as session:
        newest = select(WindowState.start).where(WindowState.rows >= ROWS).order_by(WindowState.start.desc())
        start = session.scalars(newest).first()
        assert start is not None and start > clock.now() - timedelta(days=2)
        report = request_report(session, on_call, model=MODEL, window_start=start).id
    with writing() as session:
        alert = session.scalars(
            select(Alert.id).where(Alert.model == MODEL, Alert.incident_id.is_not(None))
        ).first()
        wanted = Asked("rollback", settings().environment, MODEL, alert_id=alert)
        digest = preview_change(session, on_call, wanted).digest
        change = request_change(session, on_call, wanted, reason="distances are gone", seen_digest=digest)
        decide(session, lead, change.id, verdict="approve", comment="", seen_digest=change.digest)
        number, run_id = change.id, str(change.run_id)
    wait_for([report, run_id], seen)
    with reading() as session:
        seen.change = session.get_one(Change, number).outcome
        answered = session.get_one(Alert, alert).incident_id
        assert answered is not None
        assert session.get_one(Incident, answered).mitigated_by_change == number


def wait_for(runs: list[str], seen: Seen) -> None:
    def over() -> bool:
        with reading() as session:
            found = [session.get_one(JobRun, run) for run in runs]
        seen.jobs |= {run.name: f"{run.state} {run.error or ''}".strip() for run in found}
        return all(run.state in ("succeeded", "failed") for run in found)

    wait_until(over, within_s=400, what=f"the end of {', '.join(runs)}")


def actor(name: str, role: Role) -> Actor:
    with reading() as session:
        person = session.scalars(select(Person.id).where(Person.username == name)).one()
    return Actor(person, "person", frozenset({role}))


def open_pages(seen: Seen, console: str) -> None:
    expect.set_options(timeout=3 * PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=require("chromium"), args=list(FLAGS))
        context = browser.new_context()
        seen.watch(context)
        person = Visitor(context.new_page(), console)
        person.open("/")
        person.sign_in("lead")
        for address in addresses(actor("lead", Role.ML_LEAD)):
            person.page.goto(f"{console}{address}", wait_until="load")
            if not address.startswith("/files"):
                expect(person.page.get_by_role("heading", level=1)).to_be_visible()
                person.drawn()
            seen.pages.append(address)
        browser.close()


def addresses(lead: Actor) -> Iterator[str]:
    for row in PAGES:
        yield f"/{row.path}{PAGE_QUERIES.get(row.path, '')}"
    with reading() as session:
        (report,) = list_reports(session, lead, MODEL)
    yield f"/files/{report.id}?open=1"


if __name__ == "__main__":
    tour(Path(sys.argv[1]))
