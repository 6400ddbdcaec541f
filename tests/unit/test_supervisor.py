"""The supervisor with real processes: they are small scripts, everything else is what `warrant up` uses."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from backend.supervisor import AlreadyRunning, Child, supervise
from backend.supervisor_child import pause_before_restart

T = TypeVar("T")
DRIVER = """
import json, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a test run under nohup would hand its own deafness down
from pathlib import Path
from backend.errors import WarrantError
from backend.supervisor import Child, supervise
try:
    children = [Child(**child) for child in json.loads(sys.argv[1])]
    sys.exit(supervise(children, on_ready=lambda: print("ALL SERVE", flush=True), home=Path(sys.argv[2])))
except WarrantError as error:
    sys.exit(f"{type(error).__name__}: {error.message}")
"""
SLEEP = "import time; print('here', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
SERVER = """
import http.server, sys, time
time.sleep(float(sys.argv[2]))
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
WITH_GRANDCHILD = (
    "import subprocess, sys, time;"
    "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "print('grandchild', p.pid, flush=True); time.sleep(600)"
)


def child(name: str, code: str, *arguments: str, **options: Any) -> dict[str, Any]:
    return {"name": name, "argv": [sys.executable, "-c", code, *arguments], **options}


def wait_for(what: Callable[[], T], *, within_s: float = 60.0) -> T:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if value := what():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {within_s} s")


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


class Supervised:
    """A supervisor in a process of its own, and what it printed."""

    def __init__(self, children: list[dict[str, Any]], home: Path) -> None:
        self.home = home
        self.log = home / f"output-{time.monotonic_ns()}.log"
        with self.log.open("w") as log:
            argv = [sys.executable, "-c", DRIVER, json.dumps(children), str(home)]
            self.process = subprocess.Popen(
                argv, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def output(self) -> str:
        return self.log.read_text()

    def wait_for_text(self, pattern: str, *, within_s: float = 60.0) -> re.Match[str]:
        try:
            return wait_for(lambda: re.search(pattern, self.output()), within_s=within_s)  # type: ignore[return-value]
        except AssertionError:
            raise AssertionError(f"{pattern!r} is not in:\n{self.output()}") from None

    def pid_of(self, name: str) -> int:
        def look() -> int | None:
            with contextlib.suppress(OSError, ValueError):
                state = json.loads((self.home / "supervisor.json").read_text())
                return next(run["pid"] for run in state["children"] if run["name"] == name)
            return None

        return wait_for(look)  # type: ignore[return-value]

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    started: list[Supervised] = []

    def start(*children: dict[str, Any]) -> Supervised:
        started.append(Supervised(list(children), tmp_path))
        return started[-1]

    yield start
    for one in started:
        # Twice: the second ends a child that ignores the request, and what that child has started.
        for _ in range(2):
            one.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.process.wait(5)
        one.process.kill()
        one.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_stops_every_child(supervised: Callable[..., Supervised], number: int) -> None:
    running = supervised(child("console", SLEEP), child("worker", SLEEP))
    running.wait_for_text(r"(?s)\| here.*\| here")
    pids = [running.pid_of("console"), running.pid_of("worker")]
    assert all(is_alive(pid) for pid in pids)
    assert running.end(number) == 0
    assert not any(is_alive(pid) for pid in pids)
    assert "stopping console, worker" in running.output()
    assert not (running.home / "supervisor.json").exists()


def test_a_child_that_ignores_the_request_is_killed_by_a_second_ctrl_c(
    supervised: Callable[..., Supervised],
) -> None:
    running = supervised(child("worker", STUBBORN))
    running.wait_for_text(r"\| here")
    pid = running.pid_of("worker")
    running.process.send_signal(signal.SIGINT)
    running.wait_for_text("stopping worker")
    time.sleep(0.3)
    assert is_alive(pid), "the grace was not given"
    assert running.end(signal.SIGINT) == 0
    assert not is_alive(pid)
    assert "killing worker" in running.output()


@pytest.mark.slow
def test_a_child_that_ignores_the_request_is_killed_after_the_grace(
    supervised: Callable[..., Supervised],
) -> None:
    running = supervised(child("worker", STUBBORN))
    running.wait_for_text(r"\| here")
    begun = time.monotonic()
    assert running.end(signal.SIGTERM) == 0
    assert 9.5 < time.monotonic() - begun < 15
    assert "killing worker" in running.output()


def test_a_killed_child_is_restarted_and_that_is_said(supervised: Callable[..., Supervised]) -> None:
    running = supervised(child("console", SLEEP), child("worker", SLEEP))
    running.wait_for_text(r"worker  \| here")
    first, console = running.pid_of("worker"), running.pid_of("console")
    os.kill(first, signal.SIGKILL)
    running.wait_for_text(r"warrant \| worker ended with exit code -9; restarting in 0\.5 s \(restart 1\)")
    second = wait_for(lambda: pid if (pid := running.pid_of("worker")) not in (None, first) else None)
    assert is_alive(second)
    assert running.pid_of("console") == console, "a crash of one child touched another"


def test_the_pause_grows_with_every_crash(supervised: Callable[..., Supervised]) -> None:
    running = supervised(child("worker", "raise SystemExit(3)"))
    running.wait_for_text(r"exit code 3; restarting in 1 s \(restart 2\)")
    assert [pause_before_restart(n) for n in (0, 1, 2, 5, 6, 1000)] == [0.5, 1.0, 2.0, 16.0, 30.0, 30.0]


def test_what_a_crashed_child_left_running_is_killed_before_it_restarts(
    supervised: Callable[..., Supervised],
) -> None:
    running = supervised(child("worker", WITH_GRANDCHILD))
    grandchild = int(running.wait_for_text(r"grandchild (\d+)")[1])
    os.kill(running.pid_of("worker"), signal.SIGKILL)
    wait_for(lambda: not is_alive(grandchild))


def test_a_child_that_may_end_is_not_restarted(supervised: Callable[..., Supervised]) -> None:
    running = supervised(
        child("replay", "print('over')", restart=False),
        child("fault", "raise SystemExit(4)", restart=False),
    )
    running.wait_for_text("replay has finished")
    running.wait_for_text("fault ended with exit code 4; it is not restarted")
    time.sleep(1.0)
    assert "restarting" not in running.output()
    assert running.output().count("over") == 1


def test_ready_is_said_when_all_children_serve_and_the_last_starts_then(
    supervised: Callable[..., Supervised],
) -> None:
    quick, late = free_port(), free_port()
    running = supervised(
        child("replay", "print('replaying')", restart=False, last=True),
        child("console", SERVER, str(quick), "0", ready=f"http://127.0.0.1:{quick}/healthz"),
        child("gateway", SERVER, str(late), "1", ready=f"http://127.0.0.1:{late}/healthz"),
    )
    running.wait_for_text("ALL SERVE")
    running.wait_for_text("replaying")
    with socket.create_connection(("127.0.0.1", late), timeout=1):
        pass
    assert running.output().count("ALL SERVE") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends the children only on Linux")
def test_children_die_with_a_killed_supervisor(supervised: Callable[..., Supervised]) -> None:
    running = supervised(child("console", STUBBORN), child("worker", SLEEP))
    running.wait_for_text(r"(?s)\| here.*\| here")
    pids = [running.pid_of("console"), running.pid_of("worker")]
    running.end(signal.SIGKILL)
    wait_for(lambda: not any(is_alive(pid) for pid in pids), within_s=30)


def test_a_second_supervisor_on_the_same_home_is_refused(supervised: Callable[..., Supervised]) -> None:
    first = supervised(child("worker", SLEEP))
    first.wait_for_text(r"\| here")
    second = supervised(child("worker", SLEEP))
    assert second.process.wait(60) == 1
    assert f"already runs on {first.home} (process {first.process.pid})" in second.output()
    assert "| here" not in second.output()
    assert is_alive(first.pid_of("worker"))


def test_a_home_is_free_again_after_kill_9(supervised: Callable[..., Supervised]) -> None:
    first = supervised(child("worker", SLEEP))
    first.wait_for_text(r"\| here")
    first.end(signal.SIGKILL)
    supervised(child("worker", SLEEP)).wait_for_text(r"\| here")


def test_a_taken_port_is_said_before_anything_starts(supervised: Callable[..., Supervised]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        running = supervised(
            child("worker", SLEEP),
            child("console", SERVER, str(port), "0", ready=f"http://127.0.0.1:{port}/healthz"),
        )
        assert running.process.wait(60) == 1
    assert f"PortInUse: console cannot listen on 127.0.0.1:{port}: Address already in use" in running.output()
    assert "WARRANT_PORT" in running.output()
    assert "| here" not in running.output()


def test_lines_carry_the_name_and_no_colour_outside_a_terminal(supervised: Callable[..., Supervised]) -> None:
    code = "import sys, time; print('one'); print('two', file=sys.stderr); print('no end', end='')"
    running = supervised(child("console", f"{code}; time.sleep(600)"), child("worker", SLEEP))
    running.wait_for_text(r"console \| two")
    running.wait_for_text(r"worker  \| here")
    assert running.end(signal.SIGTERM) == 0
    assert "console | one\n" in running.output()
    assert "worker  | here\n" in running.output()
    assert "console | no end\n" in running.output()
    assert "\x1b" not in running.output()


def test_a_command_that_does_not_exist_is_said_and_tried_again(supervised: Callable[..., Supervised]) -> None:
    running = supervised({"name": "worker", "argv": ["/nowhere/at/all"]})
    running.wait_for_text(r"worker could not be started: .*No such file")
    running.wait_for_text(r"restarting in 1 s \(restart 2\)")


def test_names_are_coloured_in_a_terminal(tmp_path: Path) -> None:
    terminal, inside = os.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    argv = [sys.executable, "-c", DRIVER, json.dumps([child("worker", SLEEP)]), str(tmp_path)]
    process = subprocess.Popen(argv, stdout=inside, stderr=inside, env=environment)
    os.close(inside)
    try:
        seen = b""
        while b"here" not in seen:
            seen += os.read(terminal, 1024)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        os.close(terminal)
    assert b"\x1b[36mworker  |\x1b[0m here" in seen


def test_what_prepares_runs_only_once_the_home_is_ours_and_can_end_the_start(tmp_path: Path) -> None:
    prepared: list[str] = []

    def fail() -> int:
        prepared.append("done")
        return 3

    never = Child("never", ["false"])
    assert supervise([never], on_ready=lambda: None, prepare=fail, home=tmp_path) == 3
    with (tmp_path / "supervisor.lock").open("a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(AlreadyRunning):
            supervise([never], on_ready=lambda: None, prepare=fail, home=tmp_path)
    assert prepared == ["done"]
