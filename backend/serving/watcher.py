"""Follows the deployment record: notices a change, loads beside what serves, then switches.

Invariants: only this thread replaces the board; a version is switched in only when it is loaded; when the record,
the artefact or MLflow is away, or a digest differs, what served last goes on serving and the reason is kept.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from backend import clock
from backend.deployment.segments import in_words
from backend.errors import WarrantError
from backend.foreign_text import storable
from backend.monitoring.columns import parse_spec
from backend.serving.board import Beside, Board, Entry, Serving
from backend.serving.loader import Loader
from backend.serving.metrics import GatewayMetrics
from backend.serving.predictor import Predictor
from backend.serving.record import LastGood, Record, Target, Wanted

log = logging.getLogger(__name__)

STALE_AFTER_S: Final = 2.0
WARM_EVERY_S: Final = 30.0
RETRY_AFTER_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)


@dataclass(frozen=True)
class _Failure:
    error: str
    attempts: int
    retry_at: float


class Watcher:
    """One thread that polls, and two that load: a champion never queues behind versions that are only kept warm."""

    def __init__(
        self,
        record: Record,
        last_good: LastGood,
        loader: Loader,
        metrics: GatewayMetrics,
        *,
        poll_s: float,
    ) -> None:
        self._record, self._last_good, self._loader, self._metrics = record, last_good, loader, metrics
        self._poll_s = poll_s
        self.board = Board()
        self.record_error: str | None = None
        self.board_changed = threading.Event()  # for whoever reports
        self.on_board: Callable[[Board], None] = lambda _board: None
        self.on_settled: Callable[[], None] = lambda: None  # once: the first models serve, and none is loaded
        self._settled = False
        self._remembered = last_good.read()
        self._warm: dict[str, Predictor] = {}
        self._recent: list[Target] = []
        self._failures: dict[str, _Failure] = {}
        self._loads: dict[str, tuple[Target, Future[Predictor]]] = {}
        self._read_at: float | None = None
        self._started_at = time.monotonic()
        self._warmed_at = -WARM_EVERY_S
        self._wake = threading.Event()
        self._stopping = False
        self._champions = ThreadPoolExecutor(1, thread_name_prefix="load-champion")
        self._others = ThreadPoolExecutor(1, thread_name_prefix="load-warm")
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop polling. What serves stays on the board."""
        self._stopping = True
        self._wake.set()
        self._thread.join(5.0)
        self._champions.shutdown(wait=False, cancel_futures=True)
        self._others.shutdown(wait=False, cancel_futures=True)

    def record_age_s(self) -> float:
        """Since the deployment record was last read; since the start when it never was."""
        return time.monotonic() - (self._started_at if self._read_at is None else self._read_at)

    def stale(self) -> bool:
        """True when the record has not been read for longer than a reader may assume it is followed."""
        return self._read_at is None or self.record_age_s() > max(STALE_AFTER_S, 4 * self._poll_s)

    def _run(self) -> None:
        while not self._stopping:
            try:
                self.look()
            except Exception:  # the thread that follows production must outlive any surprise
                log.exception("following the deployment record failed; trying again")
            self._wake.wait(self._poll_s)
            self._wake.clear()

    def look(self) -> None:
        """One poll: read, then bring the board closer to what was read."""
        try:
            deployed = self._record.deployed()
        except (SQLAlchemyError, WarrantError, OSError) as failure:
            self._note_unreadable(failure)
            if self._read_at is None:
                remembered = {name: Wanted(target) for name, target in self._remembered.items()}
                self._follow({**dict.fromkeys(self.board.entries, Wanted()), **remembered})
            else:  # loads that were under way still finish
                self._follow({name: entry.record for name, entry in self.board.entries.items()})
            return
        if self.record_error is not None:
            log.info("the deployment record can be read again")
        self.record_error, self._read_at = None, time.monotonic()
        self._follow(deployed)
        self._keep_warm()

    def _note_unreadable(self, failure: Exception) -> None:
        message = str(failure).splitlines()[0]
        if self.record_error is None:
            log.warning(
                "the deployment record cannot be read, the last good versions go on serving: %s", message
            )
        self.record_error = message

    def _follow(self, deployed: Mapping[str, Wanted]) -> None:
        self._collect_loads()
        entries = {
            name: replace(self._next_entry(name, wanted.champion), beside=self._beside(name, wanted.beside))
            for name, wanted in deployed.items()
        }
        board = Board(entries, complete=self._read_at is not None)
        if board != self.board:
            previous, self.board = self.board, board
            self.on_board(board)
            self._note_switches(previous, board)
            self.board_changed.set()

    def _next_entry(self, name: str, wanted: Target | None) -> Entry:
        now = self.board.entries.get(name, Entry())
        if wanted is None:
            return Entry()
        if now.serving is not None and now.serving.target == wanted:
            return Entry(now.serving, wanted)
        serving, error = self._try_serving(wanted)
        if serving is not None:
            return Entry(serving, wanted)
        if now.serving is not None or error is None:
            return Entry(now.serving, wanted, error)
        remembered = self._remembered.get(name)
        if remembered is None or remembered.digest == wanted.digest:
            return Entry(None, wanted, error)
        return Entry(self._try_serving(remembered)[0], wanted, error)

    def _beside(self, name: str, wanted: tuple[Target, ...]) -> tuple[Beside, ...]:
        """What is loaded beside the champion. It loads in the other pool: it never holds a champion up."""
        found: list[Beside] = []
        now = {one.wanted.deployment_id: one for one in self.board.entries.get(name, Entry()).beside}
        for target in wanted:
            known = now.get(target.deployment_id)
            unchanged = known is not None and known.serving is not None and known.wanted == target
            found.append(
                known
                if known is not None and unchanged
                else Beside(target, *self._try_serving(target, self._others))
            )
        return tuple(found)

    def _try_serving(
        self, target: Target, pool: ThreadPoolExecutor | None = None
    ) -> tuple[Serving | None, str | None]:
        """What would serve, or None and why; asks for the load that is missing."""
        predictor = self._warm.get(target.digest)
        if predictor is None:
            self._request_load(target, pool or self._champions)
            failure = self._failures.get(target.digest)
            return None, None if failure is None else failure.error
        try:
            spec = parse_spec(target.spec)
            features = {column.name: column.kind for column in spec.features}
            predictor.check_fits(features, spec.task)
        except WarrantError as failure:
            return None, why_not_loaded(failure)
        return Serving(target, predictor, features, spec.task, clock.now(), spec.pseudonymise), None

    def _request_load(self, target: Target, pool: ThreadPoolExecutor) -> None:
        if target.digest in self._loads:
            return
        failure = self._failures.get(target.digest)
        if failure is not None and time.monotonic() < failure.retry_at:
            return
        future = pool.submit(self._loader.load, target.uri, target.digest)
        self._loads[target.digest] = (target, future)
        future.add_done_callback(lambda _: self._wake.set())

    def _collect_loads(self) -> None:
        for digest, (target, future) in list(self._loads.items()):
            if not future.done():
                continue
            del self._loads[digest]
            if future.cancelled():
                continue
            labels = (target.model, str(target.version))
            failure = future.exception()
            if failure is None:
                predictor = future.result()
                self._warm[digest] = predictor
                self._failures.pop(digest, None)
                self._metrics.load_seconds.labels(*labels).observe(predictor.load_s)
                continue
            attempts = self._failures[digest].attempts + 1 if digest in self._failures else 1
            pause_s = RETRY_AFTER_S[min(attempts, len(RETRY_AFTER_S)) - 1]
            message = why_not_loaded(failure)
            self._failures[digest] = _Failure(message, attempts, time.monotonic() + pause_s)
            self._metrics.load_failures.labels(*labels).inc()
            log.warning("%s version %s could not be loaded (next try in %g s): %s", *labels, pause_s, message)

    def _note_switches(self, previous: Board, board: Board) -> None:
        switched = False
        for name in {*previous.entries, *board.entries}:
            before = previous.entries.get(name, Entry()).loaded
            after = board.entries.get(name, Entry()).loaded
            if before == after:
                continue
            switched = True
            for one in before:
                self._metrics.version_info.remove(*self._info_labels(one))
            for one in after:
                self._metrics.version_info.labels(*self._info_labels(one)).set(1)
            log.info("%s: %s -> %s", name, _versions_text(before), _versions_text(after))
        if switched:
            self._warmed_at = -WARM_EVERY_S
            self._remember(board)

    def _remember(self, board: Board) -> None:
        """A model whose version is still being loaded keeps what is remembered; one that left service loses it."""
        targets = {}
        for name, entry in board.entries.items():
            if entry.serving is not None:
                targets[name] = entry.serving.target
            elif entry.wanted is not None and name in self._remembered:
                targets[name] = self._remembered[name]
        if targets == self._remembered:
            return
        self._remembered = targets
        try:
            self._last_good.write(targets)
        except OSError as failure:
            log.warning(
                "the last good state was not written; a restart without database would miss it: %s", failure
            )

    @staticmethod
    def _info_labels(serving: Serving) -> tuple[str, str, str, str]:
        target = serving.target
        return target.model, serving.version, str(target.deployment_id), target.role

    def _keep_warm(self) -> None:
        """Once what serves is settled: load what a rollback would need, forget what nothing needs."""
        if any(_in_waiting(entry) for entry in self.board.entries.values()):
            return
        if not self._settled and any(entry.serving is not None for entry in self.board.entries.values()):
            self._settled = True
            self.on_settled()
        if time.monotonic() - self._warmed_at >= WARM_EVERY_S:
            self._warmed_at = time.monotonic()
            self._recent = self._record.recent()
            needed = {target.digest for target in self._recent} | self._digests_in_use()
            self._warm = {digest: found for digest, found in self._warm.items() if digest in needed}
            self._failures = {digest: found for digest, found in self._failures.items() if digest in needed}
            self._loader.prune(needed | self._record.held())
        for target in self._recent:
            if target.digest not in self._warm and not self._loads:
                self._request_load(target, self._others)

    def _digests_in_use(self) -> set[str]:
        targets = [*self._remembered.values()]
        for entry in self.board.entries.values():
            targets += [target for target in (entry.wanted, entry.serving and entry.serving.target) if target]
            targets += [one.wanted for one in entry.beside]
        return {target.digest for target in targets}


def _in_waiting(entry: Entry) -> bool:
    """Whether something is still being loaded for the first time."""
    champion = entry.wanted is not None and entry.error is None
    unloaded = champion and (entry.serving is None or entry.serving.target != entry.wanted)
    return unloaded or any(one.serving is None and one.error is None for one in entry.beside)


def _share_text(target: Target) -> str:
    if target.role != "canary":
        return ""
    return f" {target.share:.0%}" + (f" of {in_words(target.segments)}" if target.segments else "")


def _versions_text(loaded: tuple[Serving, ...]) -> str:
    named = [
        f"version {one.version} ({one.role}{_share_text(one.target)}, deployment {one.target.deployment_id})"
        for one in loaded
    ]
    return " and ".join(named) or "nothing"


def why_not_loaded(failure: BaseException) -> str:
    """In words that the report can hold: an artefact chooses what its failure says, and all reports are one write."""
    told = failure.message if isinstance(failure, WarrantError) else f"{type(failure).__name__}: {failure}"
    return storable(told)
