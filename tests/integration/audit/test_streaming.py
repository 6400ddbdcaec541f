"""The log sent to real servers by webhook and by syslog: in order, signed, at least once, past outages and crashes."""

from __future__ import annotations

import hmac
import json
import os
import re
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from backend.audit.findings import NOT_STREAMED, open_findings
from backend.audit.streaming import BATCH, is_behind, send_new_entries, stream_states
from backend.audit.streams import streams
from backend.database.session import reading, writing
from backend.errors import BadInput
from backend.identity.actor import system_actor
from backend.leases import take_lease
from backend.settings import settings
from backend.signed_http import signature
from tests.integration.audit.conftest import append

SECRET = "shared"
WORKER = system_actor("worker")


class Receiver:
    """What a SIEM got, and what it answers: `refuse` entries of the next requests are refused."""

    def __init__(self) -> None:
        self.batches: list[dict[str, Any]] = []
        self.refuse = 0
        self.kill: int | None = None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                expected = signature(
                    SECRET.encode(),
                    self.headers["Warrant-Timestamp"],
                    "POST",
                    self.path,
                    self.headers["Idempotency-Key"],
                    body,
                )
                genuine = hmac.compare_digest(expected, self.headers["Warrant-Signature"])
                if receiver.refuse or not genuine:
                    receiver.refuse -= 1
                    self.send_response(503 if genuine else 401)
                    self.end_headers()
                    return
                receiver.batches.append(json.loads(body))
                if receiver.kill is not None:
                    os.kill(receiver.kill, signal.SIGKILL)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/in"

    @property
    def numbers(self) -> list[int]:
        return [entry["seq"] for batch in self.batches for entry in batch["entries"]]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def choose(text: str) -> None:
        monkeypatch.setenv("WARRANT_AUDIT_STREAMS", text)
        monkeypatch.setenv("WARRANT_AUDIT_STREAM_SECRET", SECRET)
        settings.cache_clear()

    return choose


def send() -> dict[str, int]:
    return send_new_entries(WORKER, holder="test")


def test_a_webhook_gets_every_entry_once_in_order_signed(
    database: str, receiver: Receiver, follow: Callable[[str], None]
) -> None:
    follow(f"webhook {receiver.url} jsonl")
    append(3)
    with reading() as session:
        (state,) = stream_states(
            session
        )  # also before the first run: nobody is told that no system follows the log
    assert (state.name, state.behind, state.moved_at) == (f"webhook {receiver.url}", 3, None)
    assert state.waiting_since is not None
    assert list(send().values()) == [3]
    append(2, start=3)
    with reading() as session:
        assert is_behind(session)
    assert list(send().values()) == [2]
    assert receiver.numbers == [0, 1, 2, 3, 4]
    assert list(send().values()) == [0]
    with reading() as session:
        assert not is_behind(session)
        assert [(one.behind, one.waiting_since) for one in stream_states(session)] == [(0, None)]


def test_only_leaves_are_sent_unless_payloads_are_asked_for(
    database: str, receiver: Receiver, follow: Callable[[str], None]
) -> None:
    append(1)
    follow(f"webhook {receiver.url} jsonl, webhook {receiver.url}/all jsonl payload")
    send()
    bare, full = (batch["entries"][0] for batch in receiver.batches)
    assert (bare["payload"], bare["why"], bare["address"], bare["actor_name"]) == (None, "", "", "per_ada")
    assert "192.0.2.7" not in json.dumps(bare)
    assert (full["address"], full["payload"]["address"]) == ("192.0.2.7", "192.0.2.7")


def test_an_outage_opens_a_finding_and_nothing_is_lost(
    database: str, receiver: Receiver, follow: Callable[[str], None]
) -> None:
    follow(f"webhook {receiver.url} ocsf")
    append(2)
    receiver.refuse = 3  # one run tries three times
    assert list(send().values()) == [0]
    with reading() as session:
        (finding,) = open_findings(session)
        (state,) = stream_states(session)
    assert (finding.kind, finding.level) == (NOT_STREAMED, "ticket")
    assert state.failing_since is not None
    assert state.behind >= 2
    send()
    sent = [entry["metadata"]["sequence"] for batch in receiver.batches for entry in batch["entries"]]
    assert sent[:3] == [0, 1, 2]
    with reading() as session:
        assert open_findings(session) == []
        assert stream_states(session)[0].problem == ""


def test_one_that_is_away_holds_up_no_other(
    database: str, receiver: Receiver, follow: Callable[[str], None]
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    follow(f"syslog tcp://127.0.0.1:{port} cef, webhook {receiver.url} jsonl")
    append(1)
    assert next(iter(send().values())) == 0
    assert receiver.numbers[:1] == [0]


def test_a_sender_killed_before_it_moved_its_cursor_sends_again(
    database: str, receiver: Receiver, follow: Callable[[str], None]
) -> None:
    follow(f"webhook {receiver.url} jsonl")
    append(BATCH + 5)
    program = (
        "import backend.database.tables\nimport os, sys\nsys.stdin.readline()\n"
        "from backend.identity.actor import system_actor\nfrom backend.audit.streaming import send_new_entries\n"
        "send_new_entries(system_actor('worker'), holder='killed')"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE)
    receiver.kill = process.pid
    process.communicate(b"go\n")
    assert process.returncode == -signal.SIGKILL
    receiver.kill = None
    assert receiver.numbers == list(range(BATCH))
    assert list(send().values()) == [0]  # the lease of the dead one still runs
    with writing() as session:
        from sqlalchemy import update

        from backend.leases import Lease

        session.execute(update(Lease).values(holder=""))
    send()
    again = receiver.numbers[BATCH:]
    assert again == list(range(len(again)))
    assert len(again) >= BATCH + 5


def test_a_second_sender_waits_for_the_first(
    database: str, receiver: Receiver, follow: Callable[[str], None]
) -> None:
    from datetime import timedelta

    follow(f"webhook {receiver.url} jsonl")
    append(1)
    with writing() as session:
        take_lease(session, streams()[0].name, holder="other", lasts=timedelta(minutes=1))
    assert list(send().values()) == [0]
    assert receiver.batches == []


@contextmanager
def syslog_server(*, reset_first: bool = False) -> Iterator[tuple[int, list[bytes]]]:
    """A collector over TCP with octet counting; with `reset_first` it breaks the first connection half-way."""
    messages: list[bytes] = []
    broken = [not reset_first]

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while length := self._length():
                messages.append(self.rfile.read(length))
                if not broken[0]:
                    broken[0] = True
                    linger = (1).to_bytes(4, sys.byteorder) + (0).to_bytes(4, sys.byteorder)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    os.close(self.connection.detach())  # a reset, as of a host that died
                    return

        def _length(self) -> int:
            digits = b""
            while (one := self.rfile.read(1)) not in (b" ", b""):
                digits += one
            return int(digits or b"0")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], messages
        server.shutdown()


HEADER = re.compile(
    r"<(\d+)>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (\S+) warrant - (\S+) "
    r'\[warrant@32473 seq="(\d+)" hash="([0-9a-f]{64})"\] \ufeff(.*)', re.DOTALL,
)  # fmt: skip


def test_syslog_gets_framed_messages_of_rfc_5424(database: str, follow: Callable[[str], None]) -> None:
    append(3)
    with syslog_server() as (port, messages):
        follow(f"syslog tcp://127.0.0.1:{port} cef payload")
        assert list(send().values()) == [3]
    found = [HEADER.fullmatch(one.decode()) for one in messages]
    assert [one and one[5] for one in found] == ["0", "1", "2"]
    assert found[0] is not None
    assert (found[0][1], found[0][4]) == ("110", "governance:change:approve")
    assert found[0][7].startswith("CEF:0|Warrant|")
    assert "späť" in found[0][7]


def test_a_connection_that_breaks_half_way_is_sent_again(
    database: str, follow: Callable[[str], None]
) -> None:
    append(3)
    with syslog_server(reset_first=True) as (port, messages):
        follow(f"syslog tcp://127.0.0.1:{port} jsonl")
        assert list(send().values()) == [0]
        assert next(iter(send().values())) >= 3
    numbers = [int(one[5]) for message in messages if (one := HEADER.fullmatch(message.decode()))]
    assert numbers[:1] == [0]
    assert numbers[1:4] == [0, 1, 2]


@pytest.mark.parametrize(
    "text", ["carrier-pigeon x jsonl", "webhook x jsonl", "syslog udp://h:514 cef", "syslog tcp://h cef",
             "webhook http://h/ xml", "webhook http://h/ csv payloads", "webhook", "syslog tcp://h:x cef"],
)  # fmt: skip
def test_a_destination_that_is_none_is_refused(
    home: object, follow: Callable[[str], None], text: str
) -> None:
    follow(text)
    with pytest.raises(BadInput):
        streams()
