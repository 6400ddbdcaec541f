"""The estimated effect of each column's drift on performance, from counts.

For a column with reference shares r, window shares w over its cells:

    effect = metric(reference reweighted by w / r) − metric(reference), in points, positive when worse

For mean metrics that is Σ (w − r) · (mean loss of the cell); for roc_auc it is exact up to ties of the score's 200
frozen quantile bins. Standard errors by the bootstrap of both sides' counts. A cell that the reference never had
(an unseen category; missing values of a column that was never missing) has no known loss: it is taken as the
column being lost in those rows, where importance knows what that costs, else as an average row, and
`unknown_share` says how many rows that is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from backend.monitoring.cells import Codes, Floats, PlacedColumn, profile_cells
from backend.monitoring.importance import Importances
from backend.monitoring.outcomes import LOWER_IS_BETTER, Outcomes, gradient
from backend.monitoring.profiles import Profile

BINS = 200
DRAWS = 80
FEWEST = 5  # reference rows below which a cell's loss counts as unknown
Z = 1.959963984540054


@dataclass(frozen=True)
class CellLosses:
    """One column's reference rows by cell. Counts of disjoint rows add up with `merge`.

    rows          (cells,) rows with output and label
    loss, square  (cells,) Σ and Σ² of the per-row loss (mean metrics; for f1 and the like its linear part)
    positives, negatives   (cells, 200) rows of either label by bin of the score (roc_auc only)
    edges         the score's frozen bin borders (roc_auc only)
    """

    column: str
    metric: str
    labels: tuple[str, ...]
    rows: Codes
    loss: Floats
    square: Floats
    positives: Codes | None = None
    negatives: Codes | None = None
    edges: tuple[float, ...] = ()

    def merge(self, other: CellLosses) -> CellLosses:
        """Raises `ValueError` when the two were counted on different cells or score bins."""
        if (self.column, self.metric, self.labels, self.edges) != (
            other.column,
            other.metric,
            other.labels,
            other.edges,
        ):
            raise ValueError("cell losses of different cells cannot be merged; count them again on one grid")

        def add(a: Codes | None, b: Codes | None) -> Codes | None:
            return None if a is None or b is None else a + b

        return replace(
            self,
            rows=self.rows + other.rows,
            loss=self.loss + other.loss,
            square=self.square + other.square,
            positives=add(self.positives, other.positives),
            negatives=add(self.negatives, other.negatives),
        )


@dataclass(frozen=True)
class Effect:
    """A column's drift in points of the metric: positive is worse.

    distance       total variation between the two sides' shares, 0 to 1
    unknown_share  share of the window's rows in cells that the reference has no losses for
    cells          the cells that contribute most: (label, points)
    """

    column: str
    metric: str
    effect: float | None
    se: float | None
    distance: float
    importance: float | None
    unknown_share: float
    cells: tuple[tuple[str, float], ...]
    text: str
    reason: str | None = None

    @property
    def significant(self) -> bool:
        return bool(self.effect is not None and self.se is not None and abs(self.effect) > Z * self.se)


def score_edges(outcomes: Outcomes, bins: int = BINS) -> tuple[float, ...]:
    """Borders of the score's bins, frozen on the reference; scores with few values keep each its own bin."""
    if not outcomes.known:
        return ()
    values = np.unique(outcomes.point)
    if values.size > bins:
        values = np.unique(np.quantile(outcomes.point, np.arange(bins) / bins, method="lower"))
    return tuple(values.tolist())


def count_losses(
    placed: Mapping[str, PlacedColumn], outcomes: Outcomes, edges: tuple[float, ...] | None = None
) -> dict[str, CellLosses]:
    """Each column's losses by cell, from the reference's rows; `edges` of an earlier count to merge with it."""
    ranked = outcomes.metric == "roc_auc"
    edges = (score_edges(outcomes) if edges is None else edges) if ranked else ()
    loss = np.zeros(outcomes.known) if ranked else _row_losses(outcomes)
    counted: dict[str, CellLosses] = {}
    for name, column in placed.items():
        codes, cells = column.codes[outcomes.usable], column.cells
        positives = negatives = None
        if ranked:
            size = max(len(edges), 1)
            bins = np.clip(np.searchsorted(edges, outcomes.point, side="right") - 1, 0, size - 1)
            at = codes * size + bins
            one = outcomes.outcome == 1
            positives = np.bincount(at[one], minlength=cells * size).reshape(cells, size)
            negatives = np.bincount(at[~one], minlength=cells * size).reshape(cells, size)
        counted[name] = CellLosses(
            name, outcomes.metric, tuple(column.labels),
            np.bincount(codes, minlength=cells),
            np.bincount(codes, weights=loss, minlength=cells).astype(np.float64),
            np.bincount(codes, weights=loss**2, minlength=cells).astype(np.float64),
            positives, negatives, edges,
        )  # fmt: skip
    return counted


def estimate_effects(
    losses: Mapping[str, CellLosses],
    window: Mapping[str, Profile | PlacedColumn | Codes],
    importances: Importances | None = None,
) -> list[Effect]:
    """The effect of each column's change of mix, largest first.

    losses    of the reference
    window    the window's profile of each column, its placed rows, or its rows in each cell (cells,)

    A column that cannot be judged is last, with the reason.
    """
    shares = importances.shares if importances else {}
    lost = importances.if_lost if importances else {}
    found = [
        _effect(one, _rows_of(window[name], one.rows.size), shares.get(name), lost.get(name))
        for name, one in losses.items()
        if name in window
    ]
    return sorted(
        found, key=lambda e: (-abs(e.effect) if e.effect is not None else 1.0, -e.distance, e.column)
    )


def _rows_of(found: Profile | PlacedColumn | Codes, cells: int) -> Codes:
    if isinstance(found, Profile):
        return profile_cells(found)
    if isinstance(found, PlacedColumn):
        return np.bincount(found.codes, minlength=cells).astype(np.int64)
    return np.asarray(found, dtype=np.int64)


def _effect(losses: CellLosses, rows: Codes, importance: float | None, if_lost: float | None) -> Effect:
    def without(reason: str, distance: float = 0.0) -> Effect:
        text = f"{losses.column}: the effect cannot be estimated: {reason}."
        return Effect(losses.column, losses.metric, None, None, distance, importance, 0.0, (), text, reason)

    if rows.size != losses.rows.size:
        return without("the window was counted on another grid")
    reference, total = int(losses.rows.sum()), int(rows.sum())
    if not reference or not total:
        return without("the reference has no labelled rows" if total else "the window has no rows")
    r, w = losses.rows / reference, rows / total
    distance = float(np.abs(w - r).sum() / 2)
    known = losses.rows >= FEWEST
    unknown = float(w[~known].sum())
    if 1 - unknown <= 0:
        if if_lost is None:
            return without("the reference has none of the window's values", distance)
        part = np.array([0.0])
        effect, se = if_lost, 0.0
    else:
        kept = np.where(known, w, 0.0) / (1 - unknown)
        value = _change(losses, kept)
        if value is None:
            return without("the metric is undefined on the reference", distance)
        effect = (1 - unknown) * value + unknown * (if_lost or 0.0)
        se = _standard_error(losses, kept, total) * (1 - unknown)
        part = _parts(losses, kept)
    order = (
        np.argsort(-np.abs(part), kind="stable")[:3]
        if part.size == rows.size
        else np.array([], dtype=np.int64)
    )
    cells = tuple((losses.labels[int(i)], float(part[i] * (1 - unknown))) for i in order if part[i])
    return Effect(
        losses.column, losses.metric, float(effect), float(se), distance, importance, unknown, cells,
        _sentence(losses, float(effect), float(se), distance, unknown, if_lost, cells),
    )  # fmt: skip


def _change(losses: CellLosses, w: Floats) -> float | None:
    """How much worse the reference is with cell shares `w` (cells,) instead of its own."""
    sign = 1.0 if losses.metric in LOWER_IS_BETTER else -1.0
    if losses.positives is None or losses.negatives is None:
        means = losses.loss / np.clip(losses.rows, 1, None)
        base = losses.loss.sum() / losses.rows.sum()
        if losses.metric == "rmse":
            return float(np.sqrt(max(float(w @ means), 0.0)) - np.sqrt(max(float(base), 0.0)))
        return sign * float(w @ means - base)
    ratio = w / np.maximum(losses.rows / losses.rows.sum(), 1e-300)
    after = _area(np.where(losses.rows > 0, ratio, 0.0) @ losses.positives,
                  np.where(losses.rows > 0, ratio, 0.0) @ losses.negatives)  # fmt: skip
    before = _area(losses.positives.sum(axis=0), losses.negatives.sum(axis=0))
    return None if after is None or before is None else before - after


def _parts(losses: CellLosses, w: Floats) -> Floats:
    """The change cell by cell (cells,), to first order around the middle of both mixes, scaled to its sum."""
    r = losses.rows / losses.rows.sum()
    step = 1e-4
    slope = np.zeros(r.size)
    middle = (r + w) / 2
    for cell in np.flatnonzero((losses.rows > 0) & (r != w)).tolist():
        moved = middle.copy()
        moved[cell] += step
        up, here = _change(losses, moved / moved.sum()), _change(losses, middle)
        slope[cell] = ((up or 0.0) - (here or 0.0)) / step
    return np.asarray(slope * (w - r))


def _standard_error(losses: CellLosses, w: Floats, total: int) -> float:
    random = np.random.default_rng(total)
    w = np.clip(w / w.sum(), 0.0, 1.0)  # a single cell may exceed 1 in its last bit
    window: Floats = np.asarray(random.multinomial(total, w, size=DRAWS) / total, dtype=np.float64)
    if losses.positives is not None and losses.negatives is not None:
        found = _areas_drawn(losses.positives, losses.negatives, window, random)
        return float(np.std(found)) if found.size else float("nan")
    n = int(losses.rows.sum())
    values: list[float] = []
    for draw in window:
        rows = random.multinomial(n, losses.rows / n)
        filled = np.clip(losses.rows, 1, None)
        means = losses.loss / filled
        variance: Floats = np.asarray(losses.square / filled - means**2, dtype=np.float64)
        spread = np.sqrt(np.clip(variance, 0.0, None) / filled)
        drawn = means + spread * random.normal(size=means.size)
        one = replace(losses, rows=rows, loss=drawn * rows)
        value = _change(one, np.where(rows > 0, draw, 0.0) / max(draw[rows > 0].sum(), 1e-12))
        if value is not None:
            values.append(value)
    return float(np.std(values)) if values else float("nan")


def _areas_drawn(positives: Codes, negatives: Codes, window: Floats, random: np.random.Generator) -> Floats:
    """The loss of roc_auc, (<= draws,), by drawn cell shares of a window (draws, cells) and drawn reference rows.

    positives, negatives   (cells, bins) rows of the reference, each drawn from a Poisson law
    """
    reference = np.stack([positives, negatives])
    drawn = random.poisson(reference, size=(len(window), *reference.shape)).astype(np.float64)
    rows = drawn.sum(axis=(1, 3))
    share = np.where(rows > 0, window, 0.0)
    usable = share.sum(axis=1) > 0
    drawn, rows, share = drawn[usable], rows[usable], share[usable]
    of_window, of_reference = (part / part.sum(axis=1, keepdims=True) for part in (share, rows))
    ratio = np.divide(of_window, of_reference, out=np.zeros_like(share), where=rows > 0)
    loss = _areas(drawn.sum(axis=2)) - _areas(np.einsum("dc,dscb->dsb", ratio, drawn))
    return np.asarray(loss[np.isfinite(loss)], dtype=np.float64)


def _areas(masses: Floats) -> Floats:
    """`_area` of masses (draws, 2, bins) of positives and negatives; NaN where it is undefined."""
    at, of = masses[:, 0], masses[:, 1]
    scale = at.sum(axis=1) * of.sum(axis=1)
    areas = (at * (np.cumsum(of, axis=1) - of / 2)).sum(axis=1)
    return np.asarray(np.divide(areas, scale, out=np.full(scale.size, np.nan), where=scale > 0))


def _area(at: Floats, of: Floats) -> float | None:
    """roc_auc of masses by score bin, ties within a bin counted half."""
    positive, negative = float(at.sum()), float(of.sum())
    if positive <= 0 or negative <= 0:
        return None
    return float(at @ (np.cumsum(of) - of / 2) / (positive * negative))


def _row_losses(outcomes: Outcomes) -> Floats:
    """What each row adds to the mean (m,); for ratios the metric plus the row's influence, whose mean it is."""
    y, rows = outcomes.outcome, max(outcomes.known, 1)
    if outcomes.metric == "rmse":
        return np.asarray(y, dtype=np.float64)
    value = outcomes.value()
    if value is None:
        return np.zeros_like(y)
    one, zero = gradient(outcomes.metric, outcomes.point, y, 1 - y)
    return np.asarray(value + rows * (y * one + (1 - y) * zero))


def _sentence(
    losses: CellLosses, effect: float, se: float, distance: float, unknown: float, if_lost: float | None,
    cells: tuple[tuple[str, float], ...],
) -> str:  # fmt: skip
    name, metric = losses.column, losses.metric
    if abs(effect) <= Z * se:
        says = f"{name}: {distance:.0%} of rows changed place; no effect on {metric} beyond chance ({effect:+.3f})."
    else:
        word = "worse" if effect > 0 else "better"
        says = (
            f"{name}: {distance:.0%} of rows changed place, which makes {metric} {word} by about "
            f"{abs(effect):.3f} ± {Z * se:.3f}"
        )
        says += f", most of it by {cells[0][0]}." if cells else "."
    if unknown >= 0.01:
        taken = "the column lost there" if if_lost is not None else "average rows"
        says += (
            f" {unknown:.0%} of rows have values that the reference has no outcomes for; taken as {taken}."
        )
    return says
