"""What changed: a degradation split into input mix, behaviour within segments, data quality and unexplained.

With M the metric and "worse by" as a positive number of points:

    R    the reference's rows                       W    the window's rows
    C    the reference's behaviour on W°'s inputs   W°   W with as many broken rows as the reference has

    input mix      M(R) → M(C)      rows came in another mix; the model answers each kind as it did
    behaviour      M(C) → M(W°)     equal inputs, other results
    data quality   M(W°) → M(W)     rows whose values broke (`breaks`), with what they do together with the rest
    unexplained    what of behaviour lies within its 95 % interval, or in rows unlike any the reference has

The steps are walked in this order, so the parts sum to M(W) − M(R) by construction; where two causes work together
the interaction falls to the later step. Intervals: influence functions (the infinitesimal jackknife), the fitted
models taken as given. Where so many rows broke that W° has no rows left, quality takes what mix of the other columns
does not explain, and behaviour cannot be told apart from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from backend.errors import BadInput
from backend.monitoring.breaks import Break, even_out, find_breaks
from backend.monitoring.cells import Floats, Mask, PlacedColumn, build_matrix, place_rows
from backend.monitoring.columns import Column, ModelSpec
from backend.monitoring.counterfactual import Counterfactual, Inputs, imagine_reference
from backend.monitoring.effects import count_losses, estimate_effects
from backend.monitoring.grids import Grid
from backend.monitoring.outcomes import (
    LOWER_IS_BETTER,
    METRICS,
    Outcomes,
    gradient,
    measure,
    read_outcomes,
    worse_by,
)
from backend.monitoring.slices import search_slices

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["mix", "behaviour", "quality", "unexplained"]
KINDS: tuple[Kind, ...] = ("mix", "behaviour", "quality", "unexplained")
NAMES: Mapping[Kind, str] = {
    "mix": "Input mix",
    "behaviour": "Behaviour within segments",
    "quality": "Data quality",
    "unexplained": "Unexplained",
}

MIN_ROWS = 100
MIN_CLASS = 10
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


def attribute_change(
    spec: ModelSpec,
    reference: pd.DataFrame,
    window: pd.DataFrame,
    grids: Mapping[str, Grid],
    *,
    metric: str | None = None,
    importance: Mapping[str, float] | None = None,
    segments: Sequence[str] = (),
    positive: Any = None,
    min_rows: int = MIN_ROWS,
) -> Attribution:
    """Split the change of a metric from the reference to a window.

    reference, window   rows with the spec's features, `score`, `prediction` and `label`; absent columns are missing
    grids       frozen on the reference; features without a grid are left out
    metric      of `outcomes.METRICS`; None: the task's first
    importance  {column: share}; a broken column below 1 % is not looked at. None: all count
    segments    feature columns by whose values behaviour is told apart; none: the worst slices are searched

    Fewer than `min_rows` labelled rows on a side, or fewer than 10 of a class, are inconclusive with the reason.
    Raises `BadInput` on a metric that the task does not have and on labels that the task cannot read.
    """
    metric = metric or METRICS[spec.task][0]
    read = [_read(spec, metric, frame, positive) for frame in (reference, window)]
    ours, theirs = read
    values = ours.value(), theirs.value()
    if values[0] is None or values[1] is None:
        side, outcomes = ("reference", ours) if values[0] is None else ("window", theirs)
        return _undefined(metric, ours, theirs, values, _why_undefined(side, outcomes))
    worse = worse_by(metric, values[0], values[1])
    short = _too_few("reference", ours, min_rows) or _too_few("window", theirs, min_rows)
    if short:
        return _inconclusive(metric, ours, theirs, (values[0], values[1]), worse, short)
    columns = [column for column in spec.features if column.name in grids]
    named = {column.name: grids[column.name] for column in columns}
    split = _Split(metric, columns, ours, theirs, place_rows(reference, named), place_rows(window, named))
    return split.walk((values[0], values[1]), worse, importance, segments, min_rows)


@dataclass(frozen=True)
class _Split:
    metric: str
    columns: list[Column]
    ours: Outcomes
    theirs: Outcomes
    placed_reference: Mapping[str, PlacedColumn]
    placed_window: Mapping[str, PlacedColumn]

    @property
    def sign(self) -> float:
        return 1.0 if self.metric in LOWER_IS_BETTER else -1.0

    def walk(
        self,
        values: tuple[float, float],
        worse: float,
        importance: Mapping[str, float] | None,
        segments: Sequence[str],
        min_rows: int,
    ) -> Attribution:
        rows = self.ours.known, self.theirs.known
        usable = self.ours.usable, self.theirs.usable
        breaks = find_breaks(self.placed_reference, self.placed_window, usable, importance)
        affected, normal = _any(breaks, "affected", rows[1]), _any(breaks, "normal", rows[0])
        weights = even_out(affected, normal)
        all_broken = bool(breaks) and not self._enough(~affected, min_rows)
        if all_broken:
            weights = np.ones(rows[1])
        y = self.theirs.outcome
        clean = measure(self.metric, self.theirs.point, weights * y, weights * (1 - y))
        broken = {one.column for one in breaks} if all_broken else set()
        kept = [column for column in self.columns if column.name not in broken]
        imagined = imagine_reference(self.ours, self._inputs(kept), weights, augment=not all_broken)
        if imagined.value is None or clean is None:
            reason = "the window's inputs have too little in common with the reference's"
            return _inconclusive(self.metric, self.ours, self.theirs, values, worse, reason)
        mix = worse_by(self.metric, values[0], imagined.value)
        rest = worse_by(self.metric, imagined.value, clean)
        noise = self._noise(imagined, weights)
        excess = self._excess(imagined, weights)
        if all_broken:
            quality, within, unlike = worse - mix, 0.0, 0.0
            noise["quality"] = noise["within"]
        else:
            quality = worse_by(self.metric, clean, values[1])
            unlike = float((weights * excess)[imagined.unlike].sum()) / rows[1]
            within = rest - unlike
        certain = abs(within) > Z * noise["within"]
        behaviour = within if certain else 0.0
        # Taken as the rest, so that rounding cannot part the sum from the change.
        unexplained = worse - mix - quality - behaviour
        parts = (
            _part("mix", mix, noise["mix"], self._of_mix(weights, mix), self.metric),
            _part("behaviour", behaviour, noise["within"] if certain else None,
                  self._of_behaviour(excess, weights, segments) if certain else (), self.metric),
            _part("quality", quality, noise["quality"] if breaks else None,
                  self._of_quality(breaks, worse, values), self.metric),
            _part("unexplained", unexplained, noise["within"], (), self.metric),
        )  # fmt: skip
        half = Z * noise["worse"]
        return Attribution(
            self.metric, values[0], values[1], worse, worse - half, worse + half, *rows, parts,
            _summary(self.metric, values, worse, half, parts, all_broken), None, excess,
        )  # fmt: skip

    def _enough(self, rows: Mask, min_rows: int) -> bool:
        y = self.theirs.outcome[rows]
        if self.metric == "roc_auc" and min((y == 1).sum(), (y == 0).sum()) < MIN_CLASS:
            return False
        return bool(y.size >= min_rows)

    def _inputs(self, columns: list[Column]) -> Inputs:
        reference, kinds = build_matrix(self.placed_reference, columns)
        window, _ = build_matrix(self.placed_window, columns)
        if not columns:
            return Inputs(np.zeros((self.ours.known, 0)), np.zeros((self.theirs.known, 0)), ())
        return Inputs(reference[self.ours.usable], window[self.theirs.usable], tuple(kinds))

    def _noise(self, imagined: Counterfactual, weights: Floats) -> dict[str, float]:
        """Standard errors of the steps, from the rows' influences on both ends of each."""
        here = self._influence(self.ours, np.ones(self.ours.known))
        whole = self._influence(self.theirs, np.ones(self.theirs.known))
        clean = self._influence(self.theirs, weights)

        def error(*influences: Floats) -> float:
            return float(np.sqrt(sum(float((part**2).sum()) for part in influences)))

        return {
            "worse": error(here, whole),
            "mix": error(imagined.on_reference - here, imagined.on_window),
            "within": error(imagined.on_reference, clean - imagined.on_window),
            "quality": error(whole - clean),
        }

    def _influence(self, outcomes: Outcomes, weights: Floats) -> Floats:
        mass = weights / weights.sum()
        y = outcomes.outcome
        one, zero = gradient(self.metric, outcomes.point, mass * y, mass * (1 - y))
        return np.asarray(mass * (y * one + (1 - y) * zero))

    def _excess(self, imagined: Counterfactual, weights: Floats) -> Floats:
        """How much worse each window row did than the reference on equal inputs; weighted mean: the within step.

        Influences are taken half-way between both sides, which for roc_auc is exact to second order.
        """
        ours, theirs = self.ours, self.theirs
        point = np.concatenate([ours.point, theirs.point])
        y = np.concatenate([ours.outcome, theirs.outcome])
        mass = np.concatenate([imagined.weights / imagined.weights.sum(), weights / weights.sum()]) / 2
        one, zero = gradient(self.metric, point, mass * y, mass * (1 - y))
        influence = y * one + (1 - y) * zero
        return self.sign * (influence[ours.known :] - imagined.expect(influence[: ours.known]))

    def _of_mix(self, weights: Floats, mix: float) -> tuple[Contributor, ...]:
        window = {
            name: np.round(np.bincount(column.codes[self.theirs.usable], weights=weights, minlength=column.cells))
            for name, column in self.placed_window.items()
        }  # fmt: skip
        effects = estimate_effects(count_losses(self.placed_reference, self.ours), window)
        same = [e for e in effects if e.effect is not None and e.significant and e.effect * mix > 0]
        return tuple(Contributor(one.column, float(one.effect or 0.0)) for one in same[:NAMED])

    def _of_behaviour(
        self, excess: Floats, weights: Floats, segments: Sequence[str]
    ) -> tuple[Contributor, ...]:
        rows = self.theirs.known
        if not segments:
            found = search_slices(self.placed_window, self.theirs, excess=excess * weights, limit=NAMED)
            return tuple(
                Contributor(" and ".join(c.text for c in one.conditions), one.effect) for one in found.slices
            )
        parts: list[Contributor] = []
        for name in segments:
            if name not in self.placed_window:
                raise BadInput(f"segments: {name!r} is not a feature of this model with a grid")
            column = self.placed_window[name]
            sums = np.bincount(
                column.codes[self.theirs.usable], weights=excess * weights, minlength=column.cells
            )
            parts += [
                Contributor(f"{name} = {label}", float(points) / rows)
                for label, points in zip(column.labels, sums, strict=True)
                if points
            ]
        return tuple(sorted(parts, key=lambda one: -abs(one.points))[: 2 * NAMED])

    def _of_quality(
        self, breaks: Sequence[Break], worse: float, values: tuple[float, float]
    ) -> tuple[Contributor, ...]:
        y = self.theirs.outcome
        found: list[Contributor] = []
        for one in breaks:
            weights = even_out(one.affected, one.normal)
            without = measure(self.metric, self.theirs.point, weights * y, weights * (1 - y))
            alone = one.affected.all() or without is None
            points = worse if alone else worse_by(self.metric, without or 0.0, values[1])
            found.append(Contributor(one.text, points))
        return tuple(sorted(found, key=lambda one: -one.points))


def _read(spec: ModelSpec, metric: str, frame: pd.DataFrame, positive: Any) -> Outcomes:
    rows = len(frame)

    def column(name: str) -> Any:
        return frame[name] if name in frame.columns else None

    def or_none(values: Any) -> Any:
        return np.full(rows, np.nan) if values is None else values

    prediction = column("prediction")
    if spec.task != "binary":
        prediction = or_none(prediction)
    return read_outcomes(
        spec.task, metric, score=or_none(column("score")), prediction=prediction,
        label=or_none(column("label")), cutoff=spec.cutoff, positive=positive,
    )  # fmt: skip


def _any(breaks: Sequence[Break], side: Literal["affected", "normal"], rows: int) -> Mask:
    found = np.zeros(rows, dtype=bool)
    for one in breaks:
        found |= one.affected if side == "affected" else one.normal
    return found


def _why_undefined(side: str, outcomes: Outcomes) -> str:
    if not outcomes.known:
        return f"the {side} has no rows with output and label"
    return f"{outcomes.metric} is undefined on the {side}'s {outcomes.known} labelled rows, such as all of one class"


def _too_few(side: str, outcomes: Outcomes, min_rows: int) -> str | None:
    if outcomes.known < min_rows:
        return f"the {side} has {outcomes.known} rows with output and label; {min_rows} are needed"
    if outcomes.two_valued and outcomes.metric == "roc_auc":
        rarer = int(min(outcomes.outcome.sum(), (1 - outcomes.outcome).sum()))
        if rarer < MIN_CLASS:
            return f"the {side} has {rarer} labelled rows of the rarer class; {MIN_CLASS} are needed"
    return None


def _part(
    kind: Kind, value: float, error: float | None, contributors: tuple[Contributor, ...], metric: str
) -> Part:
    low, high = (None, None) if error is None else (value - Z * error, value + Z * error)
    between = "" if error is None else f" (95 % interval {low:+.3f} to {high:+.3f})"
    text = f"{NAMES[kind]}: {value:+.3f} of {metric}{between}."
    if contributors:
        text += f" Most by {'; '.join(one.name for one in contributors[:NAMED])}."
    return Part(kind, value, low, high, contributors, text)


def _undefined(
    metric: str, ours: Outcomes, theirs: Outcomes, values: tuple[float | None, float | None], reason: str
) -> Attribution:
    return Attribution(
        metric, values[0], values[1], None, None, None, ours.known, theirs.known, (),
        f"What changed cannot be told: {reason}.", reason,
    )  # fmt: skip


def _inconclusive(
    metric: str, ours: Outcomes, theirs: Outcomes, values: tuple[float, float], worse: float, reason: str
) -> Attribution:
    parts = tuple(_part(kind, worse if kind == "unexplained" else 0.0, None, (), metric) for kind in KINDS)
    return Attribution(
        metric, *values, worse, None, None, ours.known, theirs.known, parts,
        f"What changed cannot be told: {reason}.", reason,
    )  # fmt: skip


def _summary(
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
