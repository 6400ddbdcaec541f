"""A real installation to measure: `warrant up`, on a copy of a loaded demo or on a small home, with its own ports."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import httpx
from websockets.sync.client import connect

ROOT: Final = Path(__file__).resolve().parents[1]
START_LIMIT_S: Final = 120.0
SETTLED_LIMIT_S: Final = 240.0
NOT_COPIED: Final = ("supervisor.lock", "supervisor.json", "gateway", "*.db", "*.db-wal", "*.db-shm")
WARRANT: Final = (sys.executable, "-c", "from backend.cli import main; main()")


class NoLoadedHome(RuntimeError):
    """There is no demo home to copy."""


def loaded_home() -> Path:
    """`WARRANT_HOME`, or the home that `make run` made here. Raises `NoLoadedHome`."""
    home = Path(os.environ.get("WARRANT_HOME", ROOT / ".warrant"))
    if not (home / "demo" / "loaded.json").exists():
        raise NoLoadedHome(
            f"{home} holds no loaded demo; run `make run` once, or name a loaded home in WARRANT_HOME"
        )
    return home


class Installation:
    """Console, gateway, worker and replay under one supervisor, in a home of their own.

    A copy of a loaded demo (raises `NoLoadedHome` where there is none); without `demo` what `benchmarks.small_home`
    makes. With `server`, the address of an empty PostgreSQL database, everything that is in a database is there.
    `told` are further settings, by the names of their variables.
    """

    def __init__(
        self, *, demo: bool = True, server: str | None = None, told: Mapping[str, str] | None = None
    ) -> None:
        source = loaded_home() if demo else None
        self.folder = Path(tempfile.mkdtemp(prefix="warrant-bench-"))
        self.home = self.folder / "home"
        self.port, self.gateway_port = _free_port(), _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.gateway = f"http://127.0.0.1:{self.gateway_port}"
        self.environment = {
            **os.environ,
            "WARRANT_HOME": str(self.home),
            "WARRANT_PORT": str(self.port),
            "WARRANT_GATEWAY_PORT": str(self.gateway_port),
            "WARRANT_DEMO": str(demo).lower(),
            **({"WARRANT_DATABASE_URL": server} if server else {}),
            **(told or {}),
        }
        self.database = server or f"sqlite:///{self.home / 'warrant.db'}"
        self._up = (*WARRANT, "up", "--demo") if demo else (*WARRANT, "up")
        self._process: subprocess.Popen[bytes] | None = None
        if source is not None:
            copy_home(source, self.home)
            if server:
                self.run_module("benchmarks.to_server", str(self.home / "warrant.db"))
                (self.home / "warrant.db").unlink()
        else:
            self.run_module("benchmarks.small_home")

    def start(self, command: Sequence[str] = ()) -> float:
        """Start everything; seconds until the sign-in page is answered."""
        began = time.perf_counter()
        self._spawn(command or self._up)
        self._await(f"{self.url}/signin", began)
        return time.perf_counter() - began

    def _spawn(self, command: Sequence[str]) -> None:
        with (self.folder / "output.txt").open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=output, stderr=output, start_new_session=True
            )

    def start_again(self) -> None:
        """Start everything after its supervisor was killed, whose children end with it; nobody waits for it."""
        if self._process is not None:
            self._process.wait()
        self._spawn(self._up)

    def runs(self) -> bool:
        """Whether the supervisor lives."""
        return self._process is not None and self._process.poll() is None

    def supervisor_pid(self) -> int | None:
        return self._process.pid if self._process is not None and self.runs() else None

    def await_gateway(self) -> None:
        """Return once the gateway serves every model."""
        self._await(f"{self.gateway}/readyz", time.perf_counter())

    def await_settled(self) -> None:
        """Return once the jobs that a start asks for are done, or after `SETTLED_LIMIT_S`."""
        until = time.monotonic() + SETTLED_LIMIT_S
        open_runs = "SELECT count(*) FROM job_runs WHERE state IN ('queued', 'running')"
        while time.monotonic() < until and self.rows(open_runs) != [(0,)]:
            time.sleep(2.0)

    def stop(self) -> None:
        """Stop all of it; the home stays for another start."""
        if self._process is None:
            return
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def remove(self) -> None:
        """Stop it and delete its home."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def sign_in(self, username: str = "lead") -> httpx.Client:
        """A browser's worth of cookies for a demo account."""
        password = json.loads((self.home / "demo-accounts.json").read_text())["password"]
        browser = httpx.Client(base_url=self.url, timeout=60)
        form = browser.get("/signin").text
        found = re.search(r'name="csrf" value="([^"]+)"', form)
        assert found is not None
        answer = browser.post(
            "/signin",
            data={"username": username, "password": password, "csrf": found[1], "next": "/"},
            headers={"Origin": self.url},
        )
        assert answer.status_code == 303, answer.text
        return browser

    def page(self, browser: httpx.Client, name: str = "", query: str = "") -> float:
        """Milliseconds from asking for a page until its script has finished, over the websocket a browser uses."""
        from streamlit.proto.BackMsg_pb2 import BackMsg
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        cookies = "; ".join(f"{key}={value}" for key, value in browser.cookies.items())
        with connect(
            f"ws://127.0.0.1:{self.port}/_stcore/stream",
            additional_headers={"Cookie": cookies},
            subprotocols=["streamlit"],  # type: ignore[list-item]
            max_size=None,
        ) as socket_:
            ask = BackMsg()
            ask.rerun_script.page_name = name
            ask.rerun_script.query_string = query
            began = time.perf_counter()
            socket_.send(ask.SerializeToString())
            while True:
                message = ForwardMsg()
                message.ParseFromString(socket_.recv(timeout=60))
                if message.WhichOneof("type") == "delta" and "exception" in str(
                    message.delta.new_element.WhichOneof("type")
                ):
                    raise RuntimeError(f"page {name!r} failed: {message.delta.new_element.exception.message}")
                if message.WhichOneof("type") == "script_finished":
                    return (time.perf_counter() - began) * 1000

    @cache  # noqa: B019 - an installation lives as long as the measurements
    def token(self, username: str) -> str:
        """A bearer token of a demo account."""
        return self.run_module("benchmarks.tokens", username).strip()

    def api(self, username: str) -> httpx.Client:
        """The REST API as this account."""
        return httpx.Client(
            base_url=f"{self.url}/api/v1",
            headers={"Authorization": f"Bearer {self.token(username)}"},
            timeout=120,
        )

    def cpu_s(self, child: str) -> float | None:
        """Processor seconds that one child (console, gateway, worker) has used; None where Linux does not tell."""
        try:
            fields = Path(f"/proc/{self.pid(child)}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        """What the installation's database answers; `:name` in the query is a value."""
        from sqlalchemy import text

        from backend.database.engine import connect as open_database

        opened = open_database(self.database)
        try:
            with opened.read_engine.connect() as connection:
                return [tuple(row) for row in connection.execute(text(query), values)]
        finally:
            opened.dispose()

    def run_module(self, name: str, *arguments: str) -> str:
        """What a module of ours prints when it runs in this installation's environment."""
        made = subprocess.run(
            [sys.executable, "-m", name, *arguments],
            cwd=ROOT, env=self.environment, check=False, capture_output=True, text=True,
        )  # fmt: skip
        if made.returncode != 0:
            raise RuntimeError(f"{name} ended with {made.returncode}: {made.stderr[-2000:]}")
        return made.stdout

    def pid(self, child: str) -> int | None:
        """The process of one child (console, gateway, worker); None while it is not running."""
        try:
            children = json.loads((self.home / "supervisor.json").read_text())["children"]
        except OSError:
            return None
        found: int | None = next(one["pid"] for one in children if one["name"] == child)
        return found

    def _await(self, url: str, began: float) -> None:
        while True:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"the installation ended:\n{self.output(2000)}")
            try:
                if httpx.get(url, timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            if time.perf_counter() - began > START_LIMIT_S:
                self.stop()
                raise RuntimeError(f"{url} did not answer in {START_LIMIT_S:.0f} s:\n{self.output(2000)}")
            time.sleep(0.02)

    def output(self, last: int = 0) -> str:
        return (self.folder / "output.txt").read_text()[-last:]


@cache
def shared(*, demo: bool = True) -> Installation:
    """One running installation for all benchmarks of a run that want the same home; it ends with the process."""
    made = Installation(demo=demo)
    atexit.register(made.remove)
    made.start()
    made.await_gateway()
    return made


def copy_home(source: Path, target: Path) -> None:
    """A copy to work on; its databases are consistent even while the source is in use."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*NOT_COPIED))
    for path in source.glob("*.db"):
        with sqlite3.connect(path) as stored, sqlite3.connect(target / path.name) as copy:
            stored.backup(copy)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
