"""Counts of what each version did while another one was tried beside it: what a rollout is judged by.

A tally belongs to one deployment and to one rollout stage, named by the deployment that is tried. So the champion's
tally of a stage holds exactly what it did while the candidate had its share, without reference to any clock; where the
candidate is kept to segments, of their rows alone. Nothing is counted while nothing is tried. Latency is the time of
the model's pass over the rows, the same for every role.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from backend.deployment.segments import Segments, holds
from backend.serving.board import Board, Serving
from backend.serving.predictor import Scored
from backend.serving.requests import Instance

BUCKETS_PER_DOUBLING: Final = 4  # of seconds: a quantile read from them is at most 19 % too high
SHORTEST_S: Final = 50e-6


@dataclass
class Tally:
    """Since the gateway started. `buckets` counts rows by the time of their pass (`bucket_of`)."""

    rows: int = 0
    failed: int = 0
    score_sum: float = 0.0
    scored: int = 0
    buckets: Counter[int] = field(default_factory=Counter)


Key = tuple[int, int]  # the deployment that did it, and the deployment that was tried meanwhile


class Tallies:
    """Thread-safe. The watcher says what is tried, the scoring threads count, the reporter takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tried: Mapping[str, tuple[tuple[int, Segments], ...]] = {}
        self._tallies: dict[Key, Tally] = {}
        self._changed: set[Key] = set()

    def follow(self, board: Board) -> None:
        """Count for what is beside the champions of this board."""
        tried = {
            name: tuple((one.wanted.deployment_id, one.wanted.segments) for one in entry.beside)
            for name, entry in board.entries.items()
            if entry.beside
        }
        if tried != self._tried:
            self._tried = tried

    def count(
        self, serving: Serving, instances: Sequence[Instance], scored: Sequence[Scored], seconds: float
    ) -> None:
        """Rows that were scored together in `seconds`."""
        self._add(serving, instances, [one.score for one in scored], bucket_of(seconds))

    def count_failed(self, serving: Serving, instances: Sequence[Instance]) -> None:
        """Rows that this version could not score."""
        self._add(serving, instances, [None] * len(instances), None)

    def _add(
        self,
        serving: Serving,
        instances: Sequence[Instance],
        scores: Sequence[float | None],
        bucket: int | None,
    ) -> None:
        """`bucket`: of the pass; None: it failed."""
        tried = self._tried.get(serving.model)
        if not tried:
            return
        with self._lock:
            for deployment_id, segments in tried:
                of_it = [
                    score
                    for instance, score in zip(instances, scores, strict=True)
                    if not segments or holds(segments, instance.features)
                ]
                if not of_it:
                    continue
                known = [one for one in of_it if one is not None and math.isfinite(one)]
                key = (serving.target.deployment_id, deployment_id)
                tally = self._tallies.setdefault(key, Tally())
                tally.rows += len(of_it)
                tally.failed += len(of_it) if bucket is None else 0
                tally.score_sum += sum(known)
                tally.scored += len(known)
                if bucket is not None:
                    tally.buckets[bucket] += len(of_it)
                self._changed.add(key)

    def take(self) -> dict[Key, Tally]:
        """Copies of what changed since the last call; what is no longer tried is forgotten after it."""
        with self._lock:
            changed = {
                key: Tally(one.rows, one.failed, one.score_sum, one.scored, Counter(one.buckets))
                for key, one in self._tallies.items()
                if key in self._changed
            }
            self._changed.clear()
            tried = {deployment_id for ids in self._tried.values() for deployment_id, _ in ids}
            self._tallies = {
                key: one for key, one in self._tallies.items() if key[1] in tried or key in changed
            }
        return changed

    def give_back(self, keys: Iterable[Key]) -> None:
        """What was taken could not be written: it is taken again."""
        with self._lock:
            self._changed |= set(keys)


def bucket_of(seconds: float) -> int:
    """The bucket of a duration; 0 holds everything up to 50 µs."""
    if seconds <= SHORTEST_S:
        return 0
    return math.ceil(math.log2(seconds / SHORTEST_S) * BUCKETS_PER_DOUBLING)


def seconds_of(bucket: int) -> float:
    """The upper edge of a bucket."""
    return float(SHORTEST_S * 2 ** (bucket / BUCKETS_PER_DOUBLING))
