"""What changed: a degradation split into input mix, behaviour within segments, data quality and unexplained.

With M the metric and "worse by" as a positive number of points:

    R    the reference's rows                       W    the window's rows
    C    the reference's behaviour on W°'s inputs   W°   W with as many broken rows as the reference has

    input mix      M(R) → M(C)      rows came in another mix; the model answers each kind as it did
    behaviour      M(C) → M(W°)     equal inputs, other results
    data quality   M(W°) → M(W)     rows whose values broke (`breaks`), with what they do together with the rest
    unexplained    the rest: steps that do not stand out from chance, and behaviour in rows unlike any of the reference

The steps are walked in this order, so the parts sum to M(W) − M(R) by construction; where two causes work together
the interaction falls to the later step. A step that chance may have made counts as none, and the others are
estimated given that (`_settle`). Intervals: influence functions (the infinitesimal jackknife), the fitted models
taken as given. Where so many rows broke that W° has no rows left, quality takes what mix of the other columns
does not explain, and behaviour cannot be told apart from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from backend.errors import BadInput
from backend.monitoring.breaks import CHANCE, IMPORTANT, Break, even_out, find_breaks
from backend.monitoring.causes import (
    KINDS,
    NAMED,
    Attribution,
    Contributor,
    Kind,
    Part,
    Z,
    describe_part,
    inconclusive,
    summarise,
    undefined,
)
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

__all__ = ["KINDS", "Attribution", "Contributor", "Kind", "Part", "attribute_change"]

if TYPE_CHECKING:
    import pandas as pd

MIN_ROWS = 100
MIN_CLASS = 10
FURTHER = 3.0  # standard errors: one cause is enough until a second one is beyond doubt
MOVED = 0.5  # total variation from which a column could hide what both sides share


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
        return undefined(metric, ours, theirs, values, _why_undefined(side, outcomes))
    worse = worse_by(metric, values[0], values[1])
    short = _too_few("reference", ours, min_rows) or _too_few("window", theirs, min_rows)
    if short:
        return inconclusive(metric, ours, theirs, (values[0], values[1]), worse, short)
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
        every = find_breaks(self.placed_reference, self.placed_window, usable)
        breaks = [one for one in every if importance is None or importance.get(one.column, 0.0) >= IMPORTANT]
        affected, normal = _any(breaks, "affected", rows[1]), _any(breaks, "normal", rows[0])
        weights = even_out(affected, normal)
        all_broken = bool(breaks) and not self._enough(~affected, min_rows)
        if all_broken:
            weights = np.ones(rows[1])
        y = self.theirs.outcome
        clean = measure(self.metric, self.theirs.point, weights * y, weights * (1 - y))
        broken = {one.column for one in every if all_broken or one not in breaks}
        inputs = self._inputs(self._that_matter(broken, importance))
        imagined = imagine_reference(self.ours, inputs, weights, augment=not all_broken)
        if imagined.value is None or clean is None:
            reason = "the window's inputs have too little in common with the reference's"
            return inconclusive(self.metric, self.ours, self.theirs, values, worse, reason)
        excess = self._excess(imagined, weights)
        unlike = 0.0 if all_broken else float((weights * excess)[imagined.unlike].sum()) / rows[1]
        steps: dict[Kind, float] = {"mix": worse_by(self.metric, values[0], imagined.value)}
        if all_broken:
            steps["quality"] = worse - steps["mix"]
        else:
            steps["behaviour"] = worse_by(self.metric, imagined.value, clean) - unlike
            if breaks:
                steps["quality"] = worse_by(self.metric, clean, values[1])
        covariance, half = self._noise(imagined, weights, list(steps))
        certain = _settle(steps, covariance)
        because: dict[Kind, tuple[Contributor, ...]] = {}
        if "mix" in certain:
            because["mix"] = self._of_mix(weights, certain["mix"][0])
        if "behaviour" in certain:
            because["behaviour"] = self._of_behaviour(excess, weights, segments)
        if breaks:
            because["quality"] = self._of_quality(breaks, worse, values)
        # Taken as the rest, so that rounding cannot part the sum from the change.
        left = worse - sum(value for value, _ in certain.values()), None
        given: dict[Kind, tuple[float, float | None]] = {**certain, "unexplained": left}
        parts = tuple(
            describe_part(kind, *given.get(kind, (0.0, None)), because.get(kind, ()), self.metric)
            for kind in KINDS
        )
        return Attribution(
            self.metric, values[0], values[1], worse, worse - half, worse + half, *rows, parts,
            summarise(self.metric, values, worse, half, parts, all_broken), None, excess,
        )  # fmt: skip

    def _enough(self, rows: Mask, min_rows: int) -> bool:
        y = self.theirs.outcome[rows]
        if self.metric == "roc_auc" and min((y == 1).sum(), (y == 0).sum()) < MIN_CLASS:
            return False
        return bool(y.size >= min_rows)

    def _that_matter(self, broken: set[str], importance: Mapping[str, float] | None) -> list[Column]:
        """The columns whose mix is compared.

        One column that moved a lot would hide all that both sides share, whether or not it matters (the day of a
        log, a serial number). It is left out when it is unimportant or, where importance is unknown, when losses
        on the reference do not differ between its cells.
        """
        from scipy.stats import chi2

        influence = self._influence(self.ours, np.ones(self.ours.known))
        kept: list[Column] = []
        for column in self.columns:
            here, there = self.placed_reference[column.name], self.placed_window[column.name]
            if column.name in broken or (importance or {}).get(column.name, 1.0) < IMPORTANT:
                continue
            codes = here.codes[self.ours.usable]
            rows = np.bincount(codes, minlength=here.cells)
            later = np.bincount(there.codes[self.theirs.usable], minlength=here.cells)
            moved = np.abs(rows / rows.sum() - later / later.sum()).sum() / 2
            if importance is None and moved > MOVED:
                sums = np.bincount(codes, weights=influence, minlength=here.cells)
                spread = float((sums**2 / np.maximum(rows, 1)).sum() / max(influence.var(), 1e-300))
                if chi2.sf(spread, max(int((rows > 0).sum()) - 1, 1)) > CHANCE:
                    continue
            kept.append(column)
        return kept

    def _inputs(self, columns: list[Column]) -> Inputs:
        reference, kinds = build_matrix(self.placed_reference, columns)
        window, _ = build_matrix(self.placed_window, columns)
        if not columns:
            return Inputs(np.zeros((self.ours.known, 0)), np.zeros((self.theirs.known, 0)), ())
        return Inputs(reference[self.ours.usable], window[self.theirs.usable], tuple(kinds))

    def _noise(
        self, imagined: Counterfactual, weights: Floats, kinds: Sequence[Kind]
    ) -> tuple[Floats, float]:
        """Covariance of the steps, and half of the whole change's interval, from the rows' influences on them."""
        here = self._influence(self.ours, np.ones(self.ours.known))
        whole = self._influence(self.theirs, np.ones(self.theirs.known))
        clean = self._influence(self.theirs, weights)
        behaviour = -imagined.on_reference, clean - imagined.on_window
        of = {
            "mix": (imagined.on_reference - here, imagined.on_window),
            "behaviour": behaviour,
            "quality": (np.zeros_like(here), whole - clean) if "behaviour" in kinds else behaviour,
        }
        rows = np.stack([np.concatenate(of[kind]) for kind in kinds])
        return rows @ rows.T, Z * float(np.sqrt((here**2).sum() + (whole**2).sum()))

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


def _settle(steps: Mapping[Kind, float], covariance: Floats) -> dict[Kind, tuple[float, float | None]]:
    """The steps that stand out from chance with their standard errors, given that the others are nothing but chance.

    θ and its covariance S, split into steps that count (c) and not (n): θ_c − S_cn S_nn⁻¹ θ_n, the least-squares
    estimate under θ_n = 0. What the sampling error took from one step it gave to another, so it is given back.
    """
    kinds, values = list(steps), np.array(list(steps.values()))
    errors = np.sqrt(np.diag(covariance))
    standing = np.abs(values) / np.maximum(errors, 1e-300)
    counts = standing > np.where(standing == standing.max(), Z, FURTHER)
    gain = covariance[np.ix_(counts, ~counts)] @ np.linalg.pinv(covariance[np.ix_(~counts, ~counts)])
    settled = values[counts] - gain @ values[~counts]
    variance = np.diag(covariance[np.ix_(counts, counts)] - gain @ covariance[np.ix_(~counts, counts)])
    kept = [kind for kind, count in zip(kinds, counts, strict=True) if count]
    return {
        kind: (float(value), float(np.sqrt(max(spread, 0.0))))
        for kind, value, spread in zip(kept, settled, variance, strict=True)
    }


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
