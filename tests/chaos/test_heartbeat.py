"""Whoever waits outside for a sign of life misses it when a worker, the console or the database is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from backend.database.engine import connect, use_database
from backend.database.session import reading
from backend.database.upgrade import upgrade
from backend.queue import recent_workers
from backend.settings import settings
from tests.chaos.processes import WorkerProcess
from tests.console import running_console
from tests.integration.jobs.conftest import wait_for
from tests.postgresql import postgresql_server

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
EVERY_S = 5.0
PAGES_AFTER_S = (
    3 * EVERY_S
)  # what a dead man's switch is told to wait, in proportion to the five minutes of a minute
CONTACTS = """
channels: {pager: {kind: pagerduty, key: {env: PD_KEY}}}
routes: [{name: everything, to: [pager]}]
"""


class DeadMansSwitch:
    """Pages when nothing came for so long."""

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.heard = threading.Event()
        switch = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                switch.last = time.monotonic()
                switch.heard.set()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def hears(self, within_s: float = 90) -> bool:
        self.heard.clear()
        return self.heard.wait(within_s)

    def pages(self, within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if time.monotonic() - self.last > PAGES_AFTER_S:
                return True
            time.sleep(0.1)
        return False


@pytest.fixture
def switch(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeadMansSwitch]:
    made = DeadMansSwitch()
    (tmp_path / "contacts.yaml").write_text(CONTACTS)
    monkeypatch.setenv("WARRANT_CONTACTS", str(tmp_path / "contacts.yaml"))
    monkeypatch.setenv("PD_KEY", "of nobody")
    address = f"http://127.0.0.1:{made.server.server_port}/"
    monkeypatch.setenv("WARRANT_HEARTBEAT", f"webhook {address}")
    monkeypatch.setenv("WARRANT_HEARTBEAT_EVERY_S", str(EVERY_S))
    yield made
    made.server.shutdown()
    made.server.server_close()


def serves(queue: str) -> bool:
    with reading() as session:
        return any(queue in one.queues.split(",") for one in recent_workers(session))


def test_a_killed_worker_database_or_console_is_missed(
    switch: DeadMansSwitch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers: list[WorkerProcess] = []

    def start_worker(name: str, queues: str = "metrics") -> None:
        workers.append(WorkerProcess(name, queues=queues, environment=dict(os.environ)))

    with postgresql_server() as server:
        monkeypatch.setenv("WARRANT_DATABASE_URL", server.get_uri())
        settings.cache_clear()
        use_database(None)
        source = connect(server.get_uri())
        upgrade(source)
        source.dispose()
        with running_console(tmp_path) as console:
            monkeypatch.setenv("WARRANT_PORT", console.url.rpartition(":")[2])
            settings.cache_clear()
            try:
                start_worker("first")
                assert switch.hears(), workers[-1].output()
                workers[-1].kill()
                assert switch.pages(2 * PAGES_AFTER_S)
                start_worker("second")
                assert switch.hears(), workers[-1].output()
                start_worker("stores", "writer")
                wait_for(lambda: serves("writer"))
                workers[-1].kill()
                assert switch.pages(60)
                start_worker("stores", "writer")
                assert switch.hears(), workers[-1].output()
                os.kill(server.get_pid(), signal.SIGKILL)
                assert switch.pages(2 * PAGES_AFTER_S)
                server.ensure_postgres_running()
                assert switch.hears(), workers[-1].output()
                console.process.kill()
                assert switch.pages(2 * PAGES_AFTER_S + EVERY_S)
            finally:
                for worker in workers:
                    worker.kill()
                use_database(None)
