"""Runs the console, the worker and the gateway as children of one process, and keeps them running.

What holds, whatever happens to a child or to this process:

- one Ctrl-C, SIGTERM or hang-up stops every child: TERM, ten seconds of grace, KILL of its process group;
- a child that ends is started again after a growing pause, and one plain line says so;
- when this process is killed, its children die with it (Linux; elsewhere they are found by their port);
- a second supervisor on the same home refuses to start.

One thread and a selector: a fork with `preexec_fn` is safe only while no other thread runs.
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, TextIO

from backend.clock import now, to_iso
from backend.errors import Conflict
from backend.settings import settings
from backend.supervisor_child import Child, ChildRun, PortInUse, check_ports, pause_before_restart

GRACE_S = 10.0
HEALTHY_AFTER_S = 60.0
STILL_WAITING_S = 30.0
TICK_S = 0.1
COLOURS = (36, 32, 35, 33, 34, 31)
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

__all__ = ["AlreadyRunning", "Child", "PortInUse", "Supervisor", "supervise"]


class AlreadyRunning(Conflict):
    title = "Already running"


def supervise(
    children: Sequence[Child],
    *,
    on_ready: Callable[[], None],
    prepare: Callable[[], int] | None = None,
    home: Path | None = None,
    output: TextIO | None = None,
) -> int:
    """Run `children` until a signal asks to stop; call `on_ready` once, when all of them serve.

    `prepare` runs first, once the home is ours and the ports are free; when it gives another code than 0 nothing
    is started and that code is returned. Returns the exit code for the process: 0 after an orderly stop. Raises
    `AlreadyRunning` when another supervisor holds `home` (default: the home of the settings) and `PortInUse`
    before anything is started.
    """
    return Supervisor(children, home=home or settings().resolved_home(), output=output).run(
        on_ready=on_ready, prepare=prepare
    )


class Supervisor:
    """See `supervise`. `home/supervisor.json` says which process is which while it runs."""

    def __init__(self, children: Sequence[Child], *, home: Path, output: TextIO | None = None) -> None:
        self._home = home
        self._output = output or sys.stdout
        self._colours = self._output.isatty() and "NO_COLOR" not in os.environ
        self._width = max(len(name) for name in ["warrant", *(child.name for child in children)])
        self._selector = selectors.DefaultSelector()
        self._runs = [
            ChildRun(child, COLOURS[position % len(COLOURS)]) for position, child in enumerate(children)
        ]
        self._stop_requests = 0
        self._ready = False
        self._started_at = now()

    def run(self, *, on_ready: Callable[[], None], prepare: Callable[[], int] | None = None) -> int:
        with _hold(self._home / "supervisor.lock", self._home):
            check_ports(run.child for run in self._runs)
            code = prepare() if prepare is not None else 0
            if code != 0:
                return code
            with self._signals():
                try:
                    self._keep_running(on_ready)
                finally:
                    self._stop_all()
                    self._selector.close()
                    (self._home / "supervisor.json").unlink(missing_ok=True)
        return 0

    def say(self, text: str) -> None:
        """One line of the supervisor's own, among the children's."""
        self._write("warrant", "1", text)

    def _keep_running(self, on_ready: Callable[[], None]) -> None:
        begun = reminded = time.monotonic()
        for run in self._runs:
            if not run.child.last:
                self._start(run)
        while not self._stop_requests:
            self._copy_output(TICK_S)
            for run in self._runs:
                if run.process and run.has_ended():
                    self._note_end(run)
                elif run.start_at is not None and time.monotonic() >= run.start_at:
                    self._start(run)
            if self._ready or self._stop_requests:
                continue
            waiting = [run for run in self._runs if not run.serves()]
            if not waiting:
                self._ready = True
                for run in self._runs:
                    if run.child.last:
                        self._start(run)
                on_ready()
            elif time.monotonic() - reminded > STILL_WAITING_S:
                reminded = time.monotonic()
                names = ", ".join(f"{run.child.name} ({run.child.ready})" for run in waiting)
                self.say(f"still waiting after {reminded - begun:.0f} s for {names}")

    def _start(self, run: ChildRun) -> None:
        try:
            process = run.start()
        except OSError as error:
            self.say(f"{run.child.name} could not be started: {error}")
            self._plan_restart(run, "could not be started")
            return
        assert process.stdout is not None  # noqa: S101 - asked for with PIPE
        os.set_blocking(process.stdout.fileno(), False)
        self._selector.register(process.stdout, selectors.EVENT_READ, run)
        self._write_state()

    def _note_end(self, run: ChildRun) -> None:
        code = run.finish()
        if run.child.restart:
            self._plan_restart(run, f"ended with exit code {code}")
        elif code:
            self.say(f"{run.child.name} ended with exit code {code}; it is not restarted")
        else:
            self.say(f"{run.child.name} has finished")
        self._write_state()

    def _plan_restart(self, run: ChildRun, what_happened: str) -> None:
        if run.uptime_s >= HEALTHY_AFTER_S:
            run.failures = 0
        pause_s = pause_before_restart(run.failures)
        run.failures += 1
        run.restarts += 1
        run.start_at = time.monotonic() + pause_s
        number = f"(restart {run.restarts})"
        self.say(f"{run.child.name} {what_happened}; restarting in {pause_s:g} s {number}")

    def _stop_all(self) -> None:
        running = [run for run in self._runs if run.process]
        if running:
            self.say(f"stopping {', '.join(run.child.name for run in running)}")
        for run in running:
            run.terminate()
        deadline = time.monotonic() + GRACE_S
        asked = self._stop_requests
        while any(not run.has_ended() for run in running):
            if time.monotonic() > deadline or self._stop_requests > asked:
                names = ", ".join(run.child.name for run in running if not run.has_ended())
                self.say(f"killing {names}")
                break
            self._copy_output(TICK_S)
        for run in running:
            run.finish()
        while self._copy_output(0.0):
            pass
        if running:
            self.say("stopped")

    def _copy_output(self, timeout_s: float) -> int:
        """Pass on what the children wrote; wait up to `timeout_s` for it. Returns the number of bytes."""
        if not self._selector.get_map():
            time.sleep(timeout_s)
            return 0
        count = 0
        for key, _ in self._selector.select(timeout_s):
            pipe: IO[bytes] = key.fileobj  # type: ignore[assignment]
            run: ChildRun = key.data
            try:
                data = os.read(pipe.fileno(), 65536)
            except BlockingIOError:
                continue
            count += len(data)
            if not data:
                self._selector.unregister(pipe)
                pipe.close()
            for line in run.lines(data):
                self._write(run.child.name, str(run.colour), line)
        return count

    def _write(self, name: str, colour: str, text: str) -> None:
        prefix = f"{name:<{self._width}} |"
        if self._colours:
            prefix = f"\x1b[{colour}m{prefix}\x1b[0m"
        try:
            self._output.write(f"{prefix} {text}\n")
            self._output.flush()
        except (OSError, ValueError):
            # Nobody reads any more (`warrant up | head`, a closed terminal): the same as being asked to stop.
            self._stop_requests = self._stop_requests or 1

    def _write_state(self) -> None:
        path = self._home / "supervisor.json"
        state = {
            "pid": os.getpid(),
            "started_at": to_iso(self._started_at),
            "children": [run.state() for run in self._runs],
        }
        scratch = path.with_suffix(".tmp")
        scratch.write_text(json.dumps(state, indent=1))
        scratch.replace(path)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def request_stop(_number: int, _frame: FrameType | None) -> None:
            self._stop_requests += 1

        before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        if before[signal.SIGHUP] is signal.SIG_IGN:  # started with nohup: outlives its terminal
            del before[signal.SIGHUP]
        for number in before:
            signal.signal(number, request_stop)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _hold(lock: Path, home: Path) -> Iterator[None]:
    """Hold `lock` as long as this process lives; the system gives it back even after kill -9."""
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid = file.read().strip() or "unknown"
            raise AlreadyRunning(
                f"Warrant already runs on {home} (process {pid}). Stop it with Ctrl-C where it was started or"
                f" with `kill {pid}`, or choose another folder with WARRANT_HOME.",
                pid=pid,
                home=str(home),
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
