"""The parts of a degradation, as values and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from backend.monitoring.cells import Floats
from backend.monitoring.outcomes import Outcomes

Kind = Literal["mix", "behaviour", "quality", "unexplained"]
KINDS: tuple[Kind, ...] = ("mix", "behaviour", "quality", "unexplained")
NAMES: Mapping[Kind, str] = {
    "mix": "Input mix",
    "behaviour": "Behaviour within segments",
    "quality": "Data quality",
    "unexplained": "Unexplained",
}

NAMED = 3
Z = 1.959963984540054


@dataclass(frozen=True)
class Contributor:
    """A column, problem or segment behind a part, and the points it stands for (contributors need not add up)."""

    name: str
    points: float


@dataclass(frozen=True)
class Part:
    """Points of the metric (positive: worse) with a 95 % interval; None where no interval can be given."""

    kind: Kind
    value: float
    low: float | None
    high: float | None
    contributors: tuple[Contributor, ...]
    text: str


@dataclass(frozen=True)
class Attribution:
    """The split of `worse`, the number of points by which the window is worse than the reference.

    parts       one for each of KINDS, summing to `worse`; empty when the metric is undefined on either side
    significant   whether `worse` itself lies outside its 95 % interval around no change
    reason      why the split is inconclusive; then all of `worse` is unexplained
    excess      (window rows with output and label,) how much worse each row did than the reference on equal inputs,
                for `slices.search_slices`; empty when inconclusive
    """

    metric: str
    reference: float | None
    window: float | None
    worse: float | None
    low: float | None
    high: float | None
    rows_reference: int
    rows_window: int
    parts: tuple[Part, ...]
    text: str
    reason: str | None = None
    excess: Floats = field(default_factory=lambda: np.zeros(0), compare=False, repr=False)

    @property
    def significant(self) -> bool:
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    def part(self, kind: Kind) -> Part:
        """Raises `KeyError` when there are no parts."""
        for part in self.parts:
            if part.kind == kind:
                return part
        raise KeyError(kind)


def describe_part(
    kind: Kind, value: float, error: float | None, contributors: tuple[Contributor, ...], metric: str
) -> Part:
    low, high = (None, None) if error is None else (value - Z * error, value + Z * error)
    between = "" if error is None else f" (95 % interval {low:+.3f} to {high:+.3f})"
    text = f"{NAMES[kind]}: {value:+.3f} of {metric}{between}."
    if contributors:
        text += f" Most by {'; '.join(one.name for one in contributors[:NAMED])}."
    return Part(kind, value, low, high, contributors, text)


def undefined(
    metric: str, ours: Outcomes, theirs: Outcomes, values: tuple[float | None, float | None], reason: str
) -> Attribution:
    return Attribution(
        metric, values[0], values[1], None, None, None, ours.known, theirs.known, (),
        f"What changed cannot be told: {reason}.", reason,
    )  # fmt: skip


def inconclusive(
    metric: str, ours: Outcomes, theirs: Outcomes, values: tuple[float, float], worse: float, reason: str
) -> Attribution:
    parts = tuple(
        describe_part(kind, worse if kind == "unexplained" else 0.0, None, (), metric) for kind in KINDS
    )
    return Attribution(
        metric, *values, worse, None, None, ours.known, theirs.known, parts,
        f"What changed cannot be told: {reason}.", reason,
    )  # fmt: skip


def summarise(
    metric: str, values: tuple[float, float], worse: float, half: float, parts: tuple[Part, ...], all_broken: bool
) -> str:  # fmt: skip
    word = "worse" if worse > 0 else "better"
    head = f"{metric} went from {values[0]:.3f} to {values[1]:.3f}, {abs(worse):.3f} {word}"
    if abs(worse) <= half:
        return f"{head}, which is within what chance gives to so many rows; its parts say little."
    first = max(parts, key=lambda part: part.value * np.sign(worse))
    share = f"{first.value / worse:.0%}" if first.value * worse > 0 else "none"
    text = f"{head}: {NAMES[first.kind].lower()} explains {share} of it."
    if first.kind == "unexplained":
        text = f"{head}: no cause stands out from chance, or the rows are unlike any in the reference."
    if first.contributors:
        text += f" Most by {first.contributors[0].name}."
    if all_broken:
        text += " Nearly all rows are affected, so a change of behaviour cannot be told apart from the break."
    return text
