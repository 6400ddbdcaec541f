"""What a detector of joint drift is: fitted on the reference, asked about windows.

Joint drift is a change in how columns go together, which no column shows alone. A detector is one file beside this one,
one row of `DETECTORS`, and passes the contract test. Its limit comes from the reference's own blocks, each held
out of what it is compared with. Joint drift is drift of inputs: at most a ticket.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np

from backend.monitoring.evaluate import Point
from backend.monitoring.joint.sample import Index, Sample
from backend.monitoring.thresholds import Verdict

ALPHA = 0.005
MIN_ROWS = 50
FEWEST_BLOCKS = 5
BLOCKS = 10


@dataclass(frozen=True)
class JointScore:
    """One answer about one window.

    value      None when there is none; `reason` says why
    threshold  the end of the band of quiet values that lies nearer to `value`; beyond it is an alarm
    low, high  that band; a side that cannot alarm is None
    details    what people want to know next: columns left out, columns or pairs that changed most
    """

    detector: str
    value: float | None
    threshold: float | None
    verdict: Verdict
    text: str
    rows_reference: int
    rows_current: int
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    level: Literal["ticket"] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def point(self) -> Point:
        """As it is stored and judged beside other figures of a window: drift of no single column."""
        return Point(
            column=None, statistic=self.detector, family="drift", value=self.value, threshold=self.threshold,
            verdict=self.verdict, rows_reference=self.rows_reference, rows_current=self.rows_current,
            text=self.text, reason=self.reason, low=self.low, high=self.high, level=self.level,
            details=self.details,
        )  # fmt: skip


class JointDetector(ABC):
    """Fit once, then `score` any number of windows. The same inputs give the same answers.

    alpha     the chance that a window like the reference alarms
    min_rows  of a window; also of a block of the reference
    """

    name: ClassVar[str]
    title: ClassVar[str]
    formula: ClassVar[str]

    def __init__(self, *, alpha: float = ALPHA, min_rows: int = MIN_ROWS) -> None:
        self.alpha = alpha
        self.min_rows = max(min_rows, 2)
        self._reference = Sample(0, {}, {})
        self._blocks: list[Index] = []
        self._fits: dict[tuple[str, ...], Any] = {}

    def fit(self, reference: Sample, blocks: Sequence[Index] = ()) -> Self:
        """Keep the reference and its blocks.

        reference  rows in the order of time
        blocks     the rows of the reference's own windows, by index; without at least 5 of `min_rows` rows the
                   reference is cut into 10 equal stretches (fewer when it is small)
        """
        self._reference = reference
        kept = [block for block in blocks if len(block) >= self.min_rows]
        self._blocks = kept if len(kept) >= FEWEST_BLOCKS else cut(reference.rows, self.min_rows)
        self._fits = {}
        return self

    def score(self, window: Sample) -> JointScore:
        """Hold a window against the reference. Columns without a value on a side are left out, and named."""
        if window.rows == 0:
            return self._without(window, "no_data", "the window has no rows")
        if window.rows < self.min_rows:
            reason = f"the window has {window.rows} rows and {self.min_rows} are needed"
            return self._without(window, "inconclusive", reason)
        if len(self._blocks) < FEWEST_BLOCKS:
            reason = (
                f"the reference has {self._reference.rows} rows and {FEWEST_BLOCKS * self.min_rows} are needed "
                f"to know its own noise"
            )
            return self._without(window, "inconclusive", reason)
        wanted = self._wanted(self._reference)
        usable = tuple(name for name in wanted if name in self._reference.usable and name in window.usable)
        left_out = [name for name in wanted if name not in usable]
        if len(usable) < 2:
            reason = "fewer than two columns have values in both the window and the reference"
            return self._without(window, "inconclusive", reason, left_out)
        if usable not in self._fits:
            self._fits[usable] = self._calibrate(self._reference.only(usable), self._blocks)
        return self._judge(self._fits[usable], window.only(usable), {"left_out": left_out})

    def _wanted(self, reference: Sample) -> tuple[str, ...]:
        """The columns that this detector looks at."""
        return reference.names

    @abstractmethod
    def _calibrate(self, reference: Sample, blocks: Sequence[Index]) -> Any:
        """Whatever `_judge` needs, from the reference and its held-out blocks. Asked once for a set of columns."""

    @abstractmethod
    def _judge(self, fitted: Any, window: Sample, details: Mapping[str, Any]) -> JointScore:
        """The answer about a window that has enough rows, and the columns of the calibration."""

    def _answer(
        self, window: Sample, value: float, low: float | None, high: float | None, text: str,
        details: Mapping[str, Any],
    ) -> JointScore:  # fmt: skip
        """An answer with a verdict: an alarm when `value` lies outside the band."""
        fired = (low is not None and value < low) or (high is not None and value > high)
        ends = [end for end in (low, high) if end is not None]
        nearest = min(ends, key=lambda end: abs(end - value)) if ends else None
        return JointScore(
            detector=self.name, value=value, threshold=nearest, verdict="alarm" if fired else "ok", text=text,
            rows_reference=self._reference.rows, rows_current=window.rows, low=low, high=high,
            level="ticket" if fired else None, details=details,
        )  # fmt: skip

    def _without(
        self, window: Sample, verdict: Verdict, reason: str, left_out: Sequence[str] = ()
    ) -> JointScore:
        return JointScore(
            detector=self.name, value=None, threshold=None, verdict=verdict, text=f"{self.title}: {reason}",
            rows_reference=self._reference.rows, rows_current=window.rows, reason=reason,
            details={"left_out": list(left_out)},
        )  # fmt: skip


def cut(rows: int, min_rows: int, blocks: int = BLOCKS) -> list[Index]:
    """Up to `blocks` equal stretches of at least `min_rows` rows; none when there is room for fewer than 5."""
    count = min(blocks, rows // max(min_rows, 1))
    return [] if count < FEWEST_BLOCKS else list(np.array_split(np.arange(rows), count))


def rest_of(rows: int, block: Index) -> Index:
    """The rows that are not in `block`."""
    kept = np.ones(rows, dtype=bool)
    kept[block] = False
    return np.flatnonzero(kept)
