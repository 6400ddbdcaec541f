"""What champion and candidate say about the same rows: the ground of every comparison between the two.

The rows come from the observation store (the newest that were answered in the environment) or from the reference data
of the candidate; a job scores them with both versions. Nothing here loads a model.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from backend import clock

if TYPE_CHECKING:
    import pandas as pd

    from backend.monitoring.columns import Task

Floats: TypeAlias = npt.NDArray[np.float64]
Texts: TypeAlias = npt.NDArray[np.object_]
Source = Literal["live", "reference"]


@dataclass(frozen=True)
class Measured:
    """What scoring cost on the machine of the job.

    latency_ms     single rows, one figure a round; both versions scored the same row in the same round
    memory_bytes   the peak that scoring all rows at once allocated, one figure a round
    loaded_bytes   what loading the version allocated and kept
    """

    latency_ms: tuple[float, ...] = ()
    memory_bytes: tuple[int, ...] = ()
    loaded_bytes: int = 0


@dataclass(frozen=True)
class Answers:
    """What one version says about each row.

    score        (n,) binary: of the positive class; multiclass: of the class it chose; regression: NaN
    prediction   (n,) text; binary: "1" where score >= cutoff, else "0"; regression: a number as text
    """

    version: int
    cutoff: float
    score: Floats
    prediction: Texts
    measured: Measured = field(default_factory=Measured)


@dataclass(frozen=True)
class PairedRows:
    """Rows that both versions scored.

    ids, times   (n,) prediction id and time; a row of a reference has its number as id, and no time
    label        (n,) text, None where it is not known
    features     the features of the spec, one row each
    segments     the spec's segment columns and protected groups, as far as the rows have them
    note         what a reader must know of the choice of the rows
    judged       rows to measure a metric on, where these have too few labels; None: these
    """

    task: Task
    source: Source
    ids: tuple[str, ...]
    times: tuple[datetime | None, ...]
    features: pd.DataFrame
    segments: pd.DataFrame
    label: Texts
    before: Answers
    after: Answers
    note: str = ""
    judged: PairedRows | None = None

    @property
    def rows(self) -> int:
        return len(self.ids)

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """(n,) where the label is known."""
        return np.array([value is not None for value in self.label], dtype=bool)

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """The first and the last time of the rows; None for a reference."""
        known = [moment for moment in self.times if moment is not None]
        return (min(known), max(known)) if known else None

    def in_words(self, count: int | None = None) -> str:
        """`4,812 live rows of 2026-03-03 00:02:11 UTC to 2026-03-09 23:58:40 UTC`, or of the candidate's reference."""
        rows = f"{self.rows if count is None else count:,}"
        note = f" ({self.note})" if self.note else ""
        if self.span is None:
            return f"{rows} rows of the reference of version {self.after.version}{note}"
        first, last = map(clock.to_words, self.span)
        return f"{rows} live rows of {first}{f' to {last}' if last != first else ''}{note}"


def rows_where(pairs: PairedRows, mask: npt.NDArray[np.bool_]) -> PairedRows:
    """The rows where `mask` (n,) holds, without what scoring cost and without other rows to judge on."""
    places = np.flatnonzero(mask)

    def side(answers: Answers) -> Answers:
        return Answers(answers.version, answers.cutoff, answers.score[places], answers.prediction[places])

    return replace(
        pairs, ids=tuple(pairs.ids[place] for place in places), times=tuple(pairs.times[place] for place in places),
        features=pairs.features.iloc[places], segments=pairs.segments.iloc[places], label=pairs.label[places],
        before=side(pairs.before), after=side(pairs.after), judged=None,
    )  # fmt: skip
