"""A heartbeat leaves only after a look at all of Warrant passed; nothing of the look stays, no secret is told."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from backend import clock
from backend.alerting import service
from backend.alerting.tables import Alert
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.doctor import examine
from backend.errors import BadInput
from backend.heartbeat import Receiver, is_look_due, read_state, receivers, send_beats
from backend.queue import WATCH_SELF, JobRun
from backend.settings import settings
from jobs.notifier import Notifier
from jobs.watch_self import NotWorking, ask_console, measure_drift, raise_alert
from tests.integration.jobs.conftest import OwnedRun


class Outside:
    """A receiver outside; it answers with `status`."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.status, self.page = 200, b'{"status":"ok"}'
        outside = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outside.told.append((self.path, json.loads(body)))
                self.send_response(outside.status)
                self.end_headers()
                self.wfile.write(json.dumps({"message": f"Cannot POST {self.path}"}).encode())

            def do_GET(self) -> None:
                self.send_response(outside.status)
                self.end_headers()
                self.wfile.write(outside.page)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def outside(migrated_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outside]:
    made = Outside()
    monkeypatch.setenv(
        "WARRANT_HEARTBEAT", f"webhook {made.address}/ping/SECRET, alertmanager {made.address}/"
    )
    settings.cache_clear()
    yield made
    made.server.shutdown()
    made.server.server_close()


def look(state: str = "succeeded", *, ago: timedelta = timedelta(0), error: str = "") -> datetime:
    at = clock.now() - ago
    with writing() as session:
        session.add(
            JobRun(
                id=f"look-{clock.to_iso(at)}", name=WATCH_SELF.name, queue="metrics", arguments={}, state=state,
                requested_at=at, finished_at=at, error=error,
            )
        )  # fmt: skip
    return at


def problem() -> str:
    with reading() as session:
        return read_state(session).problem


def test_a_look_measures_and_alerts_and_leaves_nothing(migrated_home: Path) -> None:
    assert measure_drift() > 0.25
    with reading() as session:
        before = session.scalar(select(func.count()).select_from(AuditEntry))
    assert raise_alert(OwnedRun(WATCH_SELF, "look", "", {}, None, "w", 1, "token"))
    with reading() as session:
        assert session.scalar(select(func.count()).select_from(Alert)) == 0
        assert session.scalar(select(func.count()).select_from(AuditEntry)) == before


def test_a_look_fails_where_a_part_does_not_work(
    migrated_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("WARRANT_PORT", str(taken.getsockname()[1]))
        settings.cache_clear()
        with pytest.raises(NotWorking, match="the console does not answer at http"):
            ask_console()
    monkeypatch.setattr(service, "_opened", lambda *_: Alert(state="pending", held_until=None))
    with pytest.raises(NotWorking, match="an alert that was raised is pending"):
        raise_alert(OwnedRun(WATCH_SELF, "look", "", {}, None, "w", 1, "token"))


def test_the_console_is_asked_for_its_health(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARRANT_PUBLIC_URL", outside.address)
    settings.cache_clear()
    assert ask_console() == 200
    outside.page = b"<title>We are back soon</title>"
    with pytest.raises(NotWorking, match="is not the console"):
        ask_console()
    outside.status = 503
    with pytest.raises(NotWorking, match="the console answers 503"):
        ask_console()


def test_each_look_that_passed_is_told_once(outside: Outside) -> None:
    assert send_beats({})["webhook " + outside.address.removeprefix("http://")]["at"] == ""
    assert outside.told == []
    at = look()
    sent = send_beats({})
    assert send_beats(sent) == sent
    (path, told), (_, alerts) = outside.told
    assert (path, told["passed_at"]) == ("/ping/SECRET", clock.to_iso(at))
    assert outside.told[1][0] == "/api/v2/alerts"
    assert alerts[0]["labels"]["alertname"] == "WarrantAlive"
    ends = clock.from_iso(alerts[0]["endsAt"]) - clock.now()
    assert timedelta(seconds=150) < ends <= timedelta(seconds=180)


@pytest.mark.parametrize("state", ["failed", "running"])
def test_what_did_not_pass_is_not_told(outside: Outside, state: str) -> None:
    look(ago=timedelta(minutes=9))
    look(state, error="the console does not answer")
    send_beats({})
    assert outside.told == []
    assert problem() == (
        "the console does not answer"
        if state == "failed"
        else "no look at Warrant itself has passed: does a worker run?"
    )


def test_a_receiver_that_is_away_is_told_when_it_is_back_and_no_secret_is_said(outside: Outside) -> None:
    look()
    outside.status = 500
    sent = send_beats({})
    assert all("answered 500" in one["problem"] for one in sent.values())
    assert "SECRET" not in str(sent)
    outside.status = 404
    sent = send_beats(sent)
    assert all("refused: 404" in one["problem"] for one in sent.values())
    assert "SECRET" not in str(sent)
    outside.status = 200
    assert all(one["at"] and not one["problem"] for one in send_beats(sent).values())


def test_the_notifier_sends_and_says_so_on_its_lease(outside: Outside) -> None:
    look()
    notifier = Notifier("w")
    notifier.tick()
    notifier.give_back()
    assert len(outside.told) == 2
    assert problem().startswith("nothing was sent to webhook")
    notifier.tick()
    assert problem() == ""
    with reading() as session:
        state = read_state(session)
    assert [one.problem for one in state.beats] == ["", ""]
    found = {one.name: one.found for one in examine()}["heartbeat"]
    assert found.state == "ok" and "SECRET" not in found.said


def test_who_cannot_tell_of_incidents_sends_no_heartbeat(
    outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise ValueError("odd incident")

    path = tmp_path / "contacts.yaml"
    path.write_text("channels: [")
    monkeypatch.setenv("WARRANT_CONTACTS", str(path))
    settings.cache_clear()
    look()
    notifier = Notifier("w")
    notifier.tick()
    notifier.give_back()
    assert outside.told == []
    assert problem().startswith("the worker cannot read the contacts:")
    path.write_text("channels: {}")
    with monkeypatch.context() as patched, pytest.raises(ValueError, match="odd incident"):
        patched.setattr(Notifier, "_plan", stumble)
        notifier.tick()
    notifier.give_back()
    assert outside.told == []
    notifier.tick()
    notifier.give_back()
    assert len(outside.told) == 2


def test_two_receivers_of_one_host_are_told_apart(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    both = ", ".join(f"webhook {outside.address}/{name}" for name in ("one", "two"))
    monkeypatch.setenv("WARRANT_HEARTBEAT", both)
    settings.cache_clear()
    look()
    first, second = (one.name for one in receivers())
    assert second == f"{first} (2)"
    sent = send_beats({})
    assert sent.keys() == {first, second}
    assert [path for path, _ in outside.told] == ["/one", "/two"]
    sent[first]["look"] = ""  # it was away
    send_beats(sent)
    assert [path for path, _ in outside.told] == ["/one", "/two", "/one"]


def test_a_look_is_due_when_the_last_was_asked_for_long_enough_ago(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_due() -> bool:
        with reading() as session:
            return is_look_due(session, clock.now())

    assert is_due()
    look("failed", ago=timedelta(seconds=50))
    assert not is_due()
    later = clock.now() + timedelta(seconds=11)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert is_due()
    monkeypatch.delenv("WARRANT_HEARTBEAT")
    settings.cache_clear()
    assert not is_due()


@pytest.mark.parametrize("value", ["https://hc.example/1", "fax https://hc.example", "webhook hc.example"])
def test_a_setting_that_is_none_is_refused_and_said(
    migrated_home: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("WARRANT_HEARTBEAT", value)
    settings.cache_clear()
    with pytest.raises(BadInput, match="WARRANT_HEARTBEAT"):
        receivers()
    assert "WARRANT_HEARTBEAT" in problem()
    Notifier("w").tick()


def test_names_hold_no_user_and_no_path() -> None:
    assert Receiver("webhook", "https://me:pw@hc.example:8443/SECRET").name == "webhook hc.example:8443"
