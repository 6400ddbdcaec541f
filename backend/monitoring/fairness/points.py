"""Counts by group to metric points: a figure of every group, and a gap of every attribute with its verdict.

A gap is beyond its bound only where its whole interval is, and within it only where the whole interval is: anything
else is inconclusive. Groups of fewer than `min_group` rows that count are shown and take no part. A group whose labels
come much later than the others' takes no part in what needs labels, and nothing is fine without it: who was labelled
first says nothing about a group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from backend.errors import BadInput
from backend.monitoring.columns import ModelSpec
from backend.monitoring.evaluate import Point
from backend.monitoring.fairness import gaps
from backend.monitoring.fairness.counting import Cells, Groups, count_cells, groups_of
from backend.monitoring.fairness.measures import GAPS, GROUP_MEASURES, NO_BOUND, Measure, attribute_name
from backend.monitoring.label_lag import Hearing

Mask: TypeAlias = npt.NDArray[np.bool_]

SLOW: Final = 0.5
"""Labels of a group are late where fewer than this part of the share of all rows' have come."""
Z: Final = 1.959963984540054
RATES: Final[Mapping[str, tuple[str, str]]] = {
    "selection_rate": ("selected", "rows"),
    "true_positive_rate": ("true_positives", "positives"),
    "false_positive_rate": ("false_positives", "negatives"),
    "precision": ("true_positives", "chosen"),
    "labelled_share": ("labelled", "awaited"),
}
"""hits and what they are of."""
ALONE: Final = "one group alone is not judged; the gaps between groups are"
NOT_DECLARED: Final = (
    "the spec does not say which decision is favourable: write favourable: positive, or negative"
)


@dataclass(frozen=True)
class _Found:
    """A gap, or why there is none. partial: why what remains cannot be called fine."""

    gap: gaps.Gap | None
    names: tuple[str, ...] = ()
    rows: int = 0
    reason: str | None = None
    partial: str | None = None
    of: str = ""


def fairness_points(
    spec: ModelSpec, rows: pa.Table, named: Mapping[str, pa.Array], hearing: Hearing
) -> list[Point]:
    """The fairness points of the rows of one window and version; none where the spec names no protected column.

    named    columns whose groups are those of the reference's grid, by name
    hearing  whether labels speak for the window; figures that need them have no verdict before
    """
    if spec.task != "binary" or not spec.protected:
        return []
    there = [name for name in spec.protected if name in rows.column_names]
    try:
        cells = count_cells(spec, rows, there, named) if there else None
    except BadInput as error:
        return [_unknown(attribute_name((name,)), error.message) for name in spec.protected]
    points: list[Point] = []
    for columns in spec.fairness.attributes(spec.protected):
        missing = [name for name in columns if name not in there]
        if missing or cells is None:
            points.append(_unknown(attribute_name(columns), f"the rows hold no column {', '.join(missing)}"))
            continue
        groups = groups_of(cells, columns)
        points += _of_groups(spec, attribute_name(columns), groups)
        points += _of_gaps(spec, attribute_name(columns), groups, cells, hearing)
    return points


def _unknown(attribute: str, reason: str) -> Point:
    name = "demographic_parity_ratio"
    return Point(attribute, name, "fairness", None, None, "no_data", 0, 0, f"{attribute}: {reason}", reason)


def _of_groups(spec: ModelSpec, attribute: str, groups: Groups) -> list[Point]:
    points = []
    for name, measure in GROUP_MEASURES.items():
        value, low, high, of = figures(groups, name)
        for place, group in enumerate(groups.names):
            known = of[place] > 0
            small = of[place] < spec.fairness.min_group
            reason = _why_none(measure) if not known else _few(spec) if small else ALONE
            points.append(
                Point(
                    attribute, name, "fairness", float(value[place]) if known else None, None,
                    "inconclusive" if known else "no_data", 0, int(of[place]), "", reason,
                    low=float(low[place]) if known and np.isfinite(low[place]) else None,
                    high=float(high[place]) if known and np.isfinite(high[place]) else None, segment=group,
                )
            )  # fmt: skip
    return points


def figures(groups: Groups, name: str) -> tuple[gaps.Floats, gaps.Floats, gaps.Floats, gaps.Floats]:
    """Value, 95 % interval and number of rows that count, (g,) each, of a measure of groups."""
    if name == "calibration":
        mean, variance, of = _residuals(groups)
        with np.errstate(invalid="ignore", divide="ignore"):
            low, high = gaps.mean_bounds(mean, variance, of, alpha=1 - gaps.LEVEL)
        return mean, low, high, of
    hits, of = (groups[part] for part in RATES[name])
    with np.errstate(invalid="ignore", divide="ignore"):
        low, high = gaps.wilson_bounds(hits, of, Z)
        return hits / of, low, high, of


def _residuals(groups: Groups) -> tuple[gaps.Floats, gaps.Floats, gaps.Floats]:
    """Mean and variance of label less score, and the rows with both, (g,) each."""
    n, total, squares = groups["scored"], groups["residual"], groups["squares"]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / n
        return mean, np.maximum(squares - n * mean * mean, 0.0) / (n - 1), n


def _of_gaps(spec: ModelSpec, attribute: str, groups: Groups, cells: Cells, hearing: Hearing) -> list[Point]:
    limits = dict(spec.fairness.limits)
    late = _late(groups)
    found = {
        "demographic_parity_ratio": _gap(spec, groups, "selection_rate", None, ratio=True),
        "demographic_parity_difference": _gap(spec, groups, "selection_rate", None),
        "equalized_odds_difference": _odds(spec, groups, late),
        "equal_opportunity_difference": _gap(spec, groups, "true_positive_rate", late),
        "predictive_parity_difference": _gap(spec, groups, "precision", late),
        "calibration_difference": _gap(spec, groups, "calibration", late),
    }
    return [_judged(spec, attribute, GAPS[name], one, limits.get(name), cells.unread, hearing)
            for name, one in found.items()]  # fmt: skip


def _late(groups: Groups) -> Mask:
    """(g,) groups of which far fewer labels have come than of all."""
    known, awaited = groups["labelled"], groups["awaited"]
    share = known.sum() / max(awaited.sum(), 1.0)
    return np.asarray(known < SLOW * share * awaited)


def _gap(
    spec: ModelSpec, groups: Groups, measure: str, late: Mask | None, *, ratio: bool = False, at_once: int = 1
) -> _Found:
    of = figures(groups, measure)[3]
    enough = groups.compared & (of >= spec.fairness.min_group)
    taken = enough if late is None else enough & ~late
    partial = _partial(groups, late)
    if taken.sum() < 2:
        none = _why_none(GROUP_MEASURES[measure]) if not of.any() else None
        few = f"fewer than two groups have {spec.fairness.min_group} rows that count"
        return _Found(None, reason=none or (f"{few}; {partial}" if partial else few))
    if measure == "calibration":
        mean, variance, n = (part[taken] for part in _residuals(groups))
        gap: gaps.Gap | None = gaps.difference_of_means(mean, variance, n)
    else:
        hits, whole = (groups[part][taken] for part in RATES[measure])
        gap = gaps.ratio(hits, whole) if ratio else gaps.difference(hits, whole, at_once=at_once)
    if gap is None:
        return _Found(None, reason="no group had a favourable decision")
    names = tuple(name for name, kept in zip(groups.names, taken, strict=True) if kept)
    return _Found(gap, names, int(of[taken].sum()), partial=partial, of=GROUP_MEASURES[measure].title)


def _odds(spec: ModelSpec, groups: Groups, late: Mask) -> _Found:
    """Both differences hold at once, so each has half of the error."""
    true, false = (
        _gap(spec, groups, name, late, at_once=2) for name in ("true_positive_rate", "false_positive_rate")
    )
    if true.gap is None or false.gap is None:
        return true if true.gap is None else false
    gap = gaps.larger(true.gap, false.gap)
    side = true if true.gap.value >= false.gap.value else false
    return _Found(gap, side.names, true.rows + false.rows, partial=side.partial, of=side.of)


def _partial(groups: Groups, late: Mask | None) -> str | None:
    if late is None or not (late & groups.compared).any():
        return None
    share = np.divide(groups["labelled"], np.maximum(groups["awaited"], 1.0))
    worst = int(np.where(late & groups.compared, groups["awaited"], -1).argmax())
    return (
        f"labels of {groups.names[worst]} have come for {share[worst]:.0%} of its rows, of all for "
        f"{groups['labelled'].sum() / max(groups['awaited'].sum(), 1.0):.0%}"
    )


def _judged(
    spec: ModelSpec, attribute: str, measure: Measure, found: _Found, limit: float | None, unread: str | None,
    hearing: Hearing,
) -> Point:  # fmt: skip
    gap = found.gap
    if gap is None:
        reason = unread if measure.labels and unread else found.reason or ""
        return Point(attribute, measure.name, "fairness", None, limit, "inconclusive", 0, found.rows,
                     f"{attribute}: {measure.title} is not known: {reason}", reason)  # fmt: skip
    text = _sentence(spec, attribute, measure, found, gap, limit)
    beyond, within = _sides(measure, gap, limit)
    why = _unjudged(spec, measure, found, limit, hearing, beyond=beyond, within=within)
    if why is not None:
        text = f"{text}: {why}"
    verdict = "inconclusive" if why is not None else "alarm" if beyond else "ok"
    return Point(
        attribute, measure.name, "fairness", gap.value, limit, verdict, 0, found.rows, text, why,  # type: ignore[arg-type]
        low=gap.low, high=gap.high, level="ticket" if verdict == "alarm" else None,
        details={"limit": {"below": True}} if measure.below else {},
    )  # fmt: skip


def _sides(measure: Measure, gap: gaps.Gap, limit: float | None) -> tuple[bool, bool]:
    """Whether the whole interval is beyond the bound, and whether it is within."""
    if limit is None:
        return False, False
    if measure.below:
        return gap.high < limit, gap.low >= limit
    return gap.low > limit, gap.high <= limit


def _unjudged(
    spec: ModelSpec, measure: Measure, found: _Found, limit: float | None, hearing: Hearing, *, beyond: bool,
    within: bool,
) -> str | None:  # fmt: skip
    if measure.name == "demographic_parity_ratio" and not spec.favourable:
        return NOT_DECLARED
    if limit is None:
        return NO_BOUND
    if measure.labels and not hearing.speaks:
        return hearing.reason or "labels do not speak for the window yet"
    if not beyond and not within:
        return "the interval holds the bound"
    return found.partial if within else None


def _sentence(
    spec: ModelSpec, attribute: str, measure: Measure, found: _Found, gap: gaps.Gap, limit: float | None
) -> str:
    least, most = found.names[gap.least], found.names[gap.most]
    between = f"95 % {gap.low:.2f} to {gap.high:.2f}"
    if measure.name == "demographic_parity_ratio":
        kind = "favourable" if spec.favourable else "positive"
        asked = f"; at least {limit:g} is asked" if limit is not None else ""
        return f"{least} gets a {kind} decision {gap.value:.2f} times as often as {most} ({between}{asked})"
    of = f" of {found.of}" if measure.name == "equalized_odds_difference" else ""
    asked = f"; at most {limit:g} is allowed" if limit is not None else ""
    return f"{attribute}: {measure.title} {gap.value:.3f}{of} between {most} and {least} ({between}{asked})"


def _why_none(measure: Measure) -> str:
    if measure.name == "calibration":
        return "no row has both label and score yet"
    if measure.name == "precision":
        return "no row that was decided positively has a label yet"
    return "no label has come that counts for it" if measure.labels else "no row counts for it"


def _few(spec: ModelSpec) -> str:
    return f"fewer than {spec.fairness.min_group} rows count for it: shown, never judged"
