"""How champion and candidate decide about protected groups, on the same rows: rates of each group, and the gaps.

Plain data: evidence that is frozen with a change and signed. Demographic parity and equalised odds are those of
fairlearn (`demographic_parity_difference`, `demographic_parity_ratio`, `equalized_odds_difference`), which the tests
hold these to. Intervals hold for all pairs of groups of a column at once (Bonferroni), so that the gap between the two
furthest, which were picked for being furthest, is not told with more certainty than there is. A group with fewer than
`FEWEST` rows that count is shown and never judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from backend.governance.flips import parts_of
from backend.governance.pairs import PairedRows
from backend.monitoring.columns import ModelSpec
from backend.monitoring.fairness.gaps import LEVEL, Gap, difference, ratio
from backend.monitoring.performance import read_classes, wilson
from backend.monitoring.spec_fairness import FOUR_FIFTHS, MIN_GROUP

if TYPE_CHECKING:
    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]

FEWEST: Final = MIN_GROUP
RATES: Final = ("favourable", "true_positive", "false_positive")


@dataclass(frozen=True)
class Share:
    """`hits` of `of` rows."""

    hits: int
    of: int

    @property
    def value(self) -> float | None:
        return self.hits / self.of if self.of else None

    def as_dict(self) -> dict[str, Any]:
        low, high = wilson(self.hits, self.of) if self.of else (None, None)
        return {"rate": self.value, "low": low, "high": high, "of": self.of, "judged": self.of >= FEWEST}


def unknown_groups(why: str) -> dict[str, Any]:
    """Nothing was measured by group."""
    return {"schema": 1, "known": False, "why": why}


def compare_groups(spec: ModelSpec, pairs: PairedRows) -> dict[str, Any]:
    """Rates of every group of every protected column under both versions, and the gaps between groups.

    The rows are all that both scored: whom a version decides for needs no label. True and false positive rates are of
    the labelled rows, of `pairs.judged` where the live rows have too few labels.
    """
    if not spec.protected:
        return unknown_groups("the model's spec declares no protected columns")
    if spec.task != "binary":
        return unknown_groups("rates by group are measured of models that decide between two classes")
    judged = pairs.judged or pairs
    columns = [
        _column(spec, pairs, judged, name)
        for name in spec.protected
        if name in pairs.segments and name in judged.segments
    ]
    missing = sorted(set(spec.protected) - {one["column"] for one in columns})
    if not columns:
        return unknown_groups(f"the rows do not hold {' nor '.join(missing)}")
    return {
        "schema": 1, "known": True, "where": pairs.in_words(), "rows": pairs.rows,
        "labelled_where": judged.in_words(int(judged.labelled.sum())), "level": LEVEL, "fewest": FEWEST,
        "favourable": spec.favourable, "columns": columns, "missing": missing,
    }  # fmt: skip


def _column(spec: ModelSpec, pairs: PairedRows, judged: PairedRows, name: str) -> dict[str, Any]:
    shares: dict[str, dict[str, dict[str, Share]]] = {"before": {}, "after": {}}
    rows: dict[str, int] = {}
    labelled = dict(parts_of(judged.segments[name]))
    for group, mask in parts_of(pairs.segments[name]):
        rows[group] = int(mask.sum())
        there = labelled.get(group, np.zeros(judged.rows, dtype=bool))
        for side in ("before", "after"):
            shares[side][group] = _shares(spec, pairs, judged, side, mask, there)
    return {
        "column": name,
        "groups": [
            {"name": group, "rows": count,
             **{side: {rate: share.as_dict() for rate, share in shares[side][group].items()}
                for side in ("before", "after")}}
            for group, count in rows.items()
        ],
        **{side: gaps({group: found for group, found in shares[side].items() if group != "missing"})
           for side in ("before", "after")},
    }  # fmt: skip


def _shares(
    spec: ModelSpec, pairs: PairedRows, judged: PairedRows, side: str, mask: Mask, there: Mask
) -> dict[str, Share]:
    decided = (pairs.before if side == "before" else pairs.after).prediction[mask] == "1"
    chosen = ~decided if spec.favourable == "negative" else decided
    known = there & judged.labelled
    said = (judged.before if side == "before" else judged.after).prediction[known] == "1"
    true = read_classes(list(judged.label[known]), spec.positive, "label") == 1 if known.any() else said
    return {
        "favourable": Share(int(chosen.sum()), len(chosen)),
        "true_positive": Share(int((said & true).sum()), int(true.sum())),
        "false_positive": Share(int((said & ~true).sum()), int((~true).sum())),
    }


def gaps(groups: dict[str, dict[str, Share]]) -> dict[str, Any]:
    """The gaps between the groups that can be judged, each with an interval; None where fewer than two can be.

    ratio             the smallest rate of favourable decisions divided by the largest (1: all alike)
    difference        the largest less the smallest
    odds_difference   the larger of the differences of true and of false positive rates; None where one is unknown
    """
    true, false = (_difference(groups, rate, at_once=2) for rate in ("true_positive", "false_positive"))
    odds = max(true, false, key=lambda one: one["value"]) if true and false else None
    if odds and true and false:
        odds = odds | {"low": max(true["low"], false["low"]), "high": max(true["high"], false["high"])}
    return {
        "ratio": _ratio(groups),
        "difference": _difference(groups, "favourable"),
        "odds_difference": odds,
    }


def _judged(groups: dict[str, dict[str, Share]], rate: str) -> dict[str, Share]:
    return {name: found[rate] for name, found in groups.items() if found[rate].of >= FEWEST}


def _difference(groups: dict[str, dict[str, Share]], rate: str, *, at_once: int = 1) -> dict[str, Any] | None:
    shares = _judged(groups, rate)
    if len(shares) < 2:
        return None
    return _told(shares, rate, difference(*_counts(shares), at_once=at_once))


def _ratio(groups: dict[str, dict[str, Share]]) -> dict[str, Any] | None:
    shares = _judged(groups, "favourable")
    gap = ratio(*_counts(shares)) if len(shares) > 1 else None
    return None if gap is None else _told(shares, "favourable", gap)


def _counts(shares: dict[str, Share]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    hits, of = zip(*((float(one.hits), float(one.of)) for one in shares.values()), strict=True)
    return np.array(hits), np.array(of)


def _told(shares: dict[str, Share], rate: str, gap: Gap) -> dict[str, Any]:
    names = list(shares)
    return {
        "rate": rate, "low": gap.low, "high": gap.high, "groups": len(names),
        "least": names[gap.least], "most": names[gap.most], "value": gap.value,
    }  # fmt: skip


def verdict_of_ratio(found: dict[str, Any] | None, least: float = FOUR_FIFTHS) -> str:
    """`pass` and `fail` only where the whole interval says so; else `inconclusive`."""
    if found is None:
        return "inconclusive"
    return "fail" if found["high"] < least else "pass" if found["low"] >= least else "inconclusive"
