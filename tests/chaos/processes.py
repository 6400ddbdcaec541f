"""Worker processes that start within milliseconds: forked from a server that has imported everything.

They are processes of their own that run `jobs.worker.main`, and `kill -9` is a kill -9. Only the seconds of importing
happen once for a whole test run instead of twice for each of the many kill points.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing.forkserver import ensure_running
from multiprocessing.process import BaseProcess

from backend.settings import settings

PRELOADED = "tests.chaos.preload"


class WorkerProcess:
    """`python -m jobs.worker`, forked. Its output is in `<home>/<name>.log`."""

    def __init__(self, name: str, *, queues: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = settings().resolved_home() / f"{name}.log"
        start_forking()
        self._process: BaseProcess = multiprocessing.get_context("forkserver").Process(
            target=_work, args=(["--name", name, "--queues", queues], dict(environment), str(self.log))
        )
        self._process.start()

    def wait(self, within_s: float) -> int:
        """The exit code; a negative one is the signal that ended it. Fails the test when it still runs."""
        self._process.join(within_s)
        assert self._process.exitcode is not None, f"{self.name} still runs\n{self.output()}"
        return self._process.exitcode

    def alive(self) -> bool:
        return self._process.is_alive()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def wake(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """kill -9, if it still runs."""
        self._process.kill()
        self._process.join()

    def output(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


def start_forking() -> None:
    """Let the server import while the test does something else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    ensure_running()


def _work(arguments: Sequence[str], environment: Mapping[str, str], log: str) -> None:
    threading.Thread(target=_end_with_the_tests, daemon=True).start()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.environ.clear()
    os.environ.update(environment)
    settings.cache_clear()
    from jobs.worker import main

    os._exit(main(arguments))


def _end_with_the_tests() -> None:
    """A test run that is itself killed must leave no worker behind."""
    parent = multiprocessing.parent_process()
    while parent is not None and parent.is_alive():
        time.sleep(1)
    os._exit(1)
