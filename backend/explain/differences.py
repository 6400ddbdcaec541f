"""On what two versions lean, side by side: shares of the mean |SHAP| of their stored explanations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backend import clock
from backend.database.session import ReadSession
from backend.explain.tables import ShapSummary

LEAST_RANKED = 3
"""Fewer common columns have no order worth a correlation."""


def compare_explanations(
    session: ReadSession, model: str, before: int | None, after: int
) -> dict[str, Any] | None:
    """What is stored of both versions, as plain data; None where one version is both, so that nothing can differ.

    known             both have an explanation that can be compared; else `why` not, and which are `missing`
    before, after     how each was computed: version, rows, method, computed_at; None where it is missing
    moved             how much of the weight lies elsewhere, 0..1: half the sum of the differences of the shares
    rank_correlation  Spearman's, of the columns that both have; None for fewer than 3, or without any order
    columns           each column's share of the sum of mean |SHAP| in both (None: the version lacks it), the largest
                      difference first
    """
    if before == after:
        return None
    found = {version: session.get(ShapSummary, (model, version)) for version in (before, after) if version}
    missing = [version for version, row in found.items() if row is None]
    facts: dict[str, Any] = {
        "before": _facts(found.get(before)) if before else None, "after": _facts(found[after]), "missing": missing,
    }  # fmt: skip
    first, second = found.get(before) if before else None, found[after]
    if before is None:
        return {"known": False, "why": "nothing serves now", **facts}
    if first is None or second is None:
        named = " and ".join(f"v{version}" for version in missing)
        return {"known": False, "why": f"no explanation of {named} is stored", **facts}
    shares = shares_of(first.features), shares_of(second.features)
    empty = [f"v{row.version}" for row, share in zip((first, second), shares, strict=True) if not share]
    if empty:
        return {"known": False, "why": f"no column moves the output of {' and '.join(empty)}", **facts}
    return {"known": True, "why": "", **facts, **compare_shares(*shares)}


def shares_of(features: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Each column's part of the sum of mean |SHAP|; empty where that is nothing."""
    total = sum(float(one["mean_abs"]) for one in features)
    return {str(one["column"]): float(one["mean_abs"]) / total for one in features} if total > 0 else {}


def compare_shares(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, Any]:
    """`moved`, `rank_correlation` and `columns` as `compare_explanations` gives them."""
    moved = {name: after.get(name, 0.0) - before.get(name, 0.0) for name in {**before, **after}}
    columns = [
        {"column": name, "before": before.get(name), "after": after.get(name), "difference": moved[name]}
        for name in sorted(moved, key=lambda name: (-abs(moved[name]), name))
    ]
    common = [name for name in before if name in after]
    return {
        "moved": sum(abs(one) for one in moved.values()) / 2,
        "rank_correlation": spearman([before[name] for name in common], [after[name] for name in common]),
        "columns": columns,
    }


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Pearson's correlation of the ranks, ties sharing their mean rank (Spearman 1904)."""
    if len(first) < LEAST_RANKED:
        return None
    x, y = _ranks(first), _ranks(second)
    middle = (len(x) + 1) / 2
    spread = (sum((one - middle) ** 2 for one in x) * sum((one - middle) ** 2 for one in y)) ** 0.5
    return sum((a - middle) * (b - middle) for a, b in zip(x, y, strict=True)) / spread if spread else None


def _ranks(values: Sequence[float]) -> list[float]:
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


def _facts(row: ShapSummary | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "version": row.version, "rows": row.rows, "method": row.method,
        "computed_at": clock.to_iso(row.computed_at),
    }  # fmt: skip
