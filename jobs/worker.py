"""The worker process: runs durable workflows from its queues until it is asked to stop.

    python -m jobs.worker [--queues metrics,changes,writer,training] [--name NAME]

Beside the runs it keeps small threads: its beat, the reaper, the scheduler and the notifier (one worker at a time has
each lease) and, with the `writer` queue, the writer of the observation store (likewise). On SIGTERM it takes no new
run, lets running steps end for a few seconds, and leaves the rest to be resumed by another worker or by itself.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Final

from dbos import DBOS

from backend import logs
from backend.database.engine import database
from backend.errors import BadInput, WarrantError
from backend.queue import DEFAULT_QUEUES, JOBS, QUEUES, served_by, worker_dead_after
from backend.tracing import start_tracing
from jobs.beats import Heart, worker_identity
from jobs.commit_spool import WriterThread
from jobs.notifier import TICK_EVERY_S, Notifier
from jobs.recovery import REAP_EVERY_S, reap, resume_runs_of
from jobs.runtime import engine_config, load_workflow, register_workflows
from jobs.schedules import SCHEDULE_EVERY_S, Scheduler

log = logging.getLogger("warrant.worker")

POLL_S: Final = 0.5
# Somebody waits for what was decided.
POLL_CHANGES_S: Final = 0.2
STOP_GRACE_S: Final = 6
# Where processors are short, pages and predictions go first: nobody looks at a job.
GIVES_WAY: Final = 10
# How many runs one worker does at a time. `writer` has one run at a time over all workers.
# A change that is watched only waits, for days perhaps: many must not hold up the next one.
# `watch`: one for each of its jobs. `long`: what takes its time can wait for its like.
CONCURRENCY: Final = {
    "gpu": 1,
    "training": 1,
    "metrics": 2,
    "watch": 3,
    "long": 1,
    "changes": 32,
    "writer": 1,
}


def warm_up(queues: Sequence[str]) -> None:
    """Import the files of the jobs that these queues bring, those of changes first: nobody waits for them then.

    A file that cannot be imported is said again, as the reason, by the first run that needs it.
    """
    for job in sorted(JOBS.values(), key=lambda job: (job.queue != "changes", job.name)):
        if job.queue not in queues:
            continue
        try:
            load_workflow(job)
        except Exception:
            log.exception("the workflow of %s cannot be loaded", job.name)


class Worker:
    """One worker; see the module. `run` returns when asked to stop."""

    def __init__(self, worker_id: str, queues: Sequence[str]) -> None:
        unknown = [queue for queue in queues if queue not in QUEUES]
        if unknown or not queues:
            raise BadInput(f"unknown queue {', '.join(unknown) or '(none)'}; there are: {', '.join(QUEUES)}")
        self.worker_id = worker_id
        self.queues = served_by(queues)
        self._stopping = threading.Event()
        self._heart = Heart(worker_id, self.queues)
        self._threads: list[threading.Thread] = []

    def run(self) -> int:
        """Work until `stop` is called. Returns the exit code."""
        self._heart.begin()
        self._resume_own_runs()
        DBOS(config=engine_config(self.worker_id))
        register_workflows()
        DBOS.listen_queues(self.queues)
        DBOS.launch()
        for queue in QUEUES:
            DBOS.register_queue(
                queue,
                worker_concurrency=CONCURRENCY[queue],
                global_concurrency=1 if queue == "writer" else None,
                polling_interval_sec=POLL_CHANGES_S if queue == "changes" else POLL_S,
                on_conflict="always_update",
            )
        self._begin_threads()
        threading.Thread(target=warm_up, args=(self.queues,), name="warm-up", daemon=True).start()
        log.info("worker %s takes runs from %s", self.worker_id, ", ".join(self.queues))
        self._stopping.wait()
        log.info("worker %s stops", self.worker_id)
        for thread in self._threads:
            thread.join(timeout=STOP_GRACE_S)
        DBOS.destroy(workflow_completion_timeout_sec=STOP_GRACE_S)
        self._heart.stop()
        database().dispose()
        return 0

    def stop(self) -> None:
        self._stopping.set()

    def _resume_own_runs(self) -> None:
        """What an earlier process under this id left. Before the engine starts, so that it finds none itself:
        this is the only way back, and nothing of ours runs yet."""
        from backend.database.session import writing

        with writing() as session:
            runs = resume_runs_of(
                session, self.worker_id, by=self.worker_id, why="the worker was started again under its name"
            )
        if runs:
            log.warning("going on with what an earlier process left: %s", ", ".join(runs))

    def _begin_threads(self) -> None:
        self._every("reaper", min(REAP_EVERY_S, worker_dead_after().total_seconds() * 0.3), self._reap)
        if "metrics" in self.queues:
            scheduler = Scheduler(self.worker_id)
            self._every("scheduler", SCHEDULE_EVERY_S, scheduler.tick, at_end=scheduler.give_back)
            notifier = Notifier(self.worker_id)
            self._every("notifier", TICK_EVERY_S, notifier.tick, at_end=notifier.give_back)
        if "writer" in self.queues:
            writer = WriterThread(self.worker_id, self._stopping)
            writer.start()
            self._threads.append(writer)

    def _reap(self) -> None:
        if self._heart.is_fresh(worker_dead_after() / 2):
            reap(self.worker_id)

    def _every(
        self,
        name: str,
        pause_s: float,
        action: Callable[[], object],
        *,
        at_end: Callable[[], object] | None = None,
    ) -> None:
        def loop() -> None:
            while not self._stopping.wait(pause_s):
                try:
                    action()
                except Exception:
                    log.exception("the %s stumbled and goes on", name)
            if at_end is not None:
                at_end()

        thread = threading.Thread(target=loop, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)


def configure_logging() -> None:
    """One line a record on stderr; the workflow engine's records join ours and only from WARNING up."""
    logs.configure_logging("worker")
    engine = logging.getLogger("dbos")
    engine.addHandler(logging.NullHandler())  # it adds a handler of its own where there is none
    engine.setLevel(logging.WARNING)
    for library in ("alembic", "httpx", "mlflow", "nannyml"):
        logging.getLogger(library).setLevel(logging.WARNING)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.worker", description="Run Warrant's background jobs."
    )
    parser.add_argument(
        "--queues", default=",".join(DEFAULT_QUEUES), help="which queues to serve (default: %(default)s)"
    )
    parser.add_argument("--name", help="a fixed name of this worker (default: worker-<host>-<number>)")
    chosen = parser.parse_args(arguments)
    configure_logging()
    start_tracing("worker")
    os.nice(GIVES_WAY)
    try:
        with worker_identity(chosen.name) as worker_id:
            worker = Worker(worker_id, [queue.strip() for queue in chosen.queues.split(",") if queue.strip()])
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda _number, _frame: worker.stop())
            return worker.run()
    except WarrantError as error:
        log.error("%s", error.message)  # noqa: TRY400 - a fact for the reader, not a fault of the program
        return error.exit_code


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    # A run that ignores the stop would keep the process until it ends; it is resumed elsewhere instead.
    os._exit(code)
