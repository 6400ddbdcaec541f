"""Champion and candidate measured on the same rows, whole and by segment, and what is at risk a day.

Plain data: evidence that is frozen with a change and signed. A segment counts as worse only beyond chance among all
segments that were looked at (Bonferroni); without that, one in twenty would look worse by itself.
"""

from __future__ import annotations

from typing import Any, Final

from scipy.stats import norm

from backend.governance.flips import parts_of
from backend.governance.paired_metrics import PRIMARY, Difference, compare, metrics_of
from backend.governance.pairs import PairedRows, rows_where
from backend.monitoring.columns import ModelSpec
from backend.monitoring.performance import DEFINITIONS

LEVEL: Final = 0.95
RESAMPLES_OF_A_SEGMENT: Final = 300
FEWEST_LABELS: Final = 30
"""A segment with fewer labelled rows is not judged."""
SHOWN: Final = {
    "binary": ("roc_auc", "brier", "precision", "recall", "value_per_prediction"),
    "multiclass": ("accuracy", "top_brier", "value_per_prediction"),
    "regression": ("mae", "rmse"),
}


def unknown_comparison(why: str) -> dict[str, Any]:
    """Nothing was measured on the same rows."""
    return {"schema": 1, "known": False, "why": why}


def compare_rows(spec: ModelSpec, pairs: PairedRows) -> dict[str, Any]:
    """Metrics of both versions on the same labelled rows, their difference with an interval, and the segments worse.

    Where live rows have too few labels the rows are those of `pairs.judged`.
    """
    judged = pairs.judged or pairs
    primary = PRIMARY[spec.task]
    names = [name for name in SHOWN[spec.task] if name in metrics_of(spec.task)]
    if not spec.costs:
        names = [name for name in names if name != "value_per_prediction"]
    metrics = [_row(compare(spec, judged, name)) for name in names]
    if metrics[0]["value"] is None:
        return unknown_comparison(metrics[0]["reason"])
    return {
        "schema": 1, "known": True, "where": judged.in_words(int(judged.labelled.sum())), "source": judged.source,
        "level": LEVEL, "metrics": metrics, "segments": _segments(spec, judged, primary),
        "cutoffs": [judged.before.cutoff, judged.after.cutoff],
    }  # fmt: skip


def _row(found: Difference) -> dict[str, Any]:
    return {
        "metric": found.metric, "rows": found.rows, "before": found.before, "after": found.after,
        "value": found.value, "low": found.low, "high": found.high, "reason": found.reason,
        "says": _says(found.metric, found.low, found.high),
    }  # fmt: skip


def _says(metric: str, low: float | None, high: float | None) -> str:
    """`worse` or `better` where the whole interval is, else `alike`; `unknown` without an interval."""
    if low is None or high is None:
        return "unknown"
    if DEFINITIONS[metric].lower_is_better:
        low, high = -high, -low
    return "worse" if high < 0 else "better" if low > 0 else "alike"


def _segments(spec: ModelSpec, pairs: PairedRows, metric: str) -> dict[str, Any]:
    """Every part of every segment column that has labels enough: how many were looked at, and which are worse."""
    looked: list[tuple[dict[str, Any], Difference]] = []
    unknown = 0
    for column in pairs.segments:
        for label, mask in parts_of(pairs.segments[column]):
            part = rows_where(pairs, mask & pairs.labelled)
            if part.rows < FEWEST_LABELS:
                unknown += 1
                continue
            found = compare(spec, part, metric, level=LEVEL, resamples=RESAMPLES_OF_A_SEGMENT)
            if found.low is None or found.high is None:
                unknown += 1
                continue
            looked.append(
                (
                    {
                        "column": column,
                        "name": label,
                        "protected": column in spec.protected,
                        "rows": part.rows,
                    },
                    found,
                )
            )
    stretch = norm.ppf(1 - (1 - LEVEL) / 2 / max(1, len(looked))) / norm.ppf(1 - (1 - LEVEL) / 2)
    worse = []
    for named, found in looked:
        middle, below, above = found.value or 0.0, found.low or 0.0, found.high or 0.0
        low, high = middle - (middle - below) * stretch, middle + (above - middle) * stretch
        if _says(metric, low, high) == "worse":
            worse.append(
                named
                | {"before": found.before, "after": found.after, "value": middle, "low": low, "high": high}
            )
    worse.sort(key=lambda one: -abs(one["value"]))
    return {"metric": metric, "looked_at": len(looked), "unknown": unknown, "worse": worse}


def risk_a_day(
    spec: ModelSpec, compared: dict[str, Any], flips: dict[str, Any], *, a_day: float | None
) -> dict[str, Any]:
    """What a day with the candidate is worth more, or less, than one with the champion, in the spec's own unit.

    The difference of the value per prediction on the same rows, with its interval, times the decisions of a day.
    `why` says what is missing where there is no amount.
    """
    flipped: float | None = None
    if flips.get("known") and flips["rows"]:
        moved = sum(count for name, count in flips["counts"].items() if not name.startswith("stays"))
        flipped = moved / flips["rows"]
    found: dict[str, Any] = {
        "schema": 1, "decisions": a_day, "flipped_share": flipped, "unit": spec.costs_unit or "units of the costs",
        "value": None, "low": None, "high": None, "why": "",
    }  # fmt: skip
    worth = next(
        (one for one in compared.get("metrics", ()) if one["metric"] == "value_per_prediction"), None
    )
    if not spec.costs:
        return found | {
            "why": "the model's spec declares no costs: write what each outcome is worth under costs, and its currency "
            "under costs_unit"
            if spec.task != "regression"
            else "a regression has no outcomes that costs could price"
        }
    if a_day is None:
        return found | {
            "why": "how many decisions there are a day is not known: no window of the last four weeks is over"
        }
    if worth is None or worth["value"] is None:
        why = compared.get("why") or (worth or {}).get("reason") or "the value was not measured"
        return found | {"why": f"the value of the same rows is not known: {why}"}

    def a_day_of(number: float | None) -> float | None:
        return None if number is None else number * a_day

    return found | {name: a_day_of(worth[name]) for name in ("value", "low", "high")}
