"""A second opinion on one prediction beside its SHAP values: how far the two agree, in figures and in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from backend.explain.differences import spearman

TOP: Final = 3
LOW_FIT: Final = 0.5
"""Below this R² the straight line says little of the model around the prediction."""


def agreement(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, Any]:
    """Of the columns that both weigh: Spearman's correlation of the sizes, the shared ones of the largest, and how many
    of those point the same way."""
    common = [name for name in first if name in second]
    top = min(TOP, len(common))
    largest = [
        sorted(common, key=lambda name: (-abs(of[name]), name))[:top] for of in (first, second)
    ]  # fmt: skip
    shared = [name for name in largest[0] if name in largest[1]]
    same = [name for name in shared if first[name] * second[name] > 0]
    return {
        "columns": len(common), "rank_correlation": spearman([abs(first[name]) for name in common],
                                                             [abs(second[name]) for name in common]),
        "top": top, "shared": shared, "same_direction": same,
        "same_first": bool(common) and largest[0][0] == largest[1][0],
    }  # fmt: skip


def words_of(found: Mapping[str, Any]) -> str:
    """How far a stored second opinion may be leant on, and how far it agrees with SHAP."""
    if not found["known"]:
        return f"There is no second opinion: {found['why']}."
    told = [_fit_words(found["r2"]), _agreement_words(found["agreement"])]
    if found["held_fixed"]:
        told.append(f"Missing, and so left as it is: {', '.join(found['held_fixed'])}.")
    return " ".join(told)


def _fit_words(r2: float) -> str:
    fit = f"Its straight line explains {r2:.0%} of how the model's answer varies around this prediction (R² {r2:.2f})"
    return f"{fit}." if r2 >= LOW_FIT else f"{fit}, which is little: do not lean on it."


def _agreement_words(one: Mapping[str, Any]) -> str:
    if not one["top"]:
        return "No input is weighed by both."
    count = len(one["shared"])
    first = "both put the same input first" if one["same_first"] else "they put different inputs first"
    said = f"Beside SHAP: {first}; {count} of the {one['top']} largest are the same"
    if count:
        apart: Sequence[str] = [name for name in one["shared"] if name not in one["same_direction"]]
        said += f", and {' and '.join(apart)} points the other way" if apart else ", and point the same way"
    rank = one["rank_correlation"]
    return f"{said}; rank correlation of the sizes {rank:+.2f}." if rank is not None else f"{said}."
