"""States of the domain in the words and levels of the console."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.formats import (
    format_change,
    format_decimal,
    format_metric,
    format_points,
    format_share,
    gini_beside,
    written,
)
from backend.deployment.segments import in_words
from backend.monitoring.performance import DEFINITIONS
from backend.monitoring.words import in_sentence as in_sentence
from backend.monitoring.words import metric_word as metric_word
from backend.monitoring.words import named_in_words
from backend.monitoring.words import statistic_word as statistic_word
from backend.settings import settings

Z = 1.96
CHANGE_LEVELS = {
    "draft": "unknown",
    "checking": "unknown",
    "waiting": "attention",
    "approved": "unknown",
    "executing": "unknown",
    "executed": "settled",
    "failed": "page",
    "void": "page",
    "rejected": "unknown",
    "cancelled": "unknown",
    "expired": "unknown",
}
OBJECTIVE_WORDS = {"breach": ("in danger", "page"), "ok": ("holds", "ok"), "no_data": ("no data", "unknown")}
ALERT_LEVELS = {"page": "page", "ticket": "attention", "info": "unknown"}
WINDOW_WORDS = {
    "open": "not over yet",
    "complete": "complete",
    "no_traffic": "no data",
    "no_traffic_expected": "no traffic expected",
}


def rollout_of(change: Mapping[str, Any]) -> dict[str, Any]:
    """The rollout of a promotion: its rule's, with the segments that were named for it."""
    named = (change.get("subject") or {}).get("segments")
    return {**change["policy"]["rollout"], **({"segments": named} if named else {})}


def share_words(share: float | None, segments: Mapping[str, Any] | None) -> str:
    """What a stage or deployment has: `20 % of requests`, or `20 % of rows of carrier=AA` where it is kept to
    segments."""
    return f"{format_share(share)} of {f'rows of {in_words(segments)}' if segments else 'requests'}"


def answered_words(row: Mapping[str, Any], beside: Sequence[Mapping[str, Any]]) -> str:
    """What a deployment on record answered, among those `beside` it: a champion has the rest of what is parted."""
    if row.get("segments"):
        return share_words(row["share"], row["segments"])
    if row["role"] == "champion" and any(one.get("segments") for one in beside):
        return "the rest"
    return format_share(row["share"])


def target_words(kind: str, to_version: int | None) -> str:
    """What a change does and to which version, where it is about one: `promote to v3`, `erase`."""
    word = kind.replace("_", " ")
    return word if to_version is None else f"{word} to v{to_version}"


def approval_words(change: Mapping[str, Any]) -> str:
    """How many agreed, or why nobody had to."""
    if change.get("break_glass"):
        review = change.get("review")
        said = (
            f"; a review called it {review['verdict'].replace('_', ' ')}"
            if review and review["verdict"]
            else ""
        )
        return f"nobody approved it: the glass was broken{said}"
    if change.get("way_back_id"):
        return "approved in advance, with the promotion that it undoes"
    return f"{change['approvals']} of {change['approvals_needed']} approvals"


def effect_words(effect: float | None, error: float | None, metric: str) -> str:
    """What drift is estimated to do to the metric: `1.2 ± 0.4 points of AUC worse`; the word says which way, so no
    sign does."""
    if effect is None or math.isnan(effect):
        return "not known"
    definition = DEFINITIONS.get(metric)
    points = definition is not None and definition.unit == "share"
    scale, unit = (100.0, "points of " + metric_word(metric)) if points else (1.0, metric_word(metric))
    known = error is not None and not math.isnan(error)

    def written(number: float) -> str:
        return format_decimal(number, 1) if points else format_metric(number)

    around = f" ± {written(Z * error * scale)}" if known and error is not None else ""
    shown = written(abs(effect * scale))
    if float(shown.replace(",", "")) == 0:
        return f"{shown}{around} {unit}"
    return f"{shown}{around} {unit} {'worse' if effect > 0 else 'better'}"


def metric_text(metric: str, value: float | None, unit: str = "") -> str:
    """A value of a metric as headlines and tables say it: AUC with its Gini beside it where this installation
    wishes."""
    text = format_metric(value, unit, of=metric)
    return text + gini_beside(value, of=metric, wished=settings().show_gini)


def metric_change(metric: str, before: float | None, after: float | None) -> str:
    """How a metric changed: a share of one in points (`−6.2 points`), any other in its own unit (`+0.31`)."""
    definition = DEFINITIONS.get(metric)
    if definition is not None and definition.unit == "share":
        return format_points(before, after)
    return format_change(before, after)


def is_beyond_chance(effect: float | None, error: float | None) -> bool:
    """Whether an estimated effect is more than what its own error could show."""
    known = effect is not None and error is not None and not math.isnan(effect) and not math.isnan(error)
    return bool(known and abs(effect or 0.0) > Z * (error or 0.0))


def count_of(number: int, noun: str, plural: str | None = None) -> str:
    """`1 model`, `3 models`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def level_of(point: Mapping[str, Any]) -> str:
    """The level at which the verdict of a metric point is shown."""
    if point["verdict"] == "alarm":
        return "page" if point["level"] == "page" else "attention"
    return "ok" if point["verdict"] == "ok" else "unknown"


def verdict_words(point: Mapping[str, Any]) -> str:
    """The verdict of a metric point about data: `beyond its limit`, `ok`, `no data`, `inconclusive`."""
    words = {"alarm": "beyond its limit"}
    return words.get(point["verdict"], str(point["verdict"]).replace("_", " "))


def result_words(point: Mapping[str, Any]) -> str:
    """One metric point with its limit and verdict, or why there is none."""
    value, limit = point["value"], point["threshold"]
    if value is None or math.isnan(value):
        return f"inconclusive: {point['reason'] or 'no value'}"
    held = f" (limit {format_metric(limit)})" if limit is not None and not math.isnan(limit) else ""
    verdict = verdict_words(point)
    reason = f", {point['reason']}" if point["reason"] else ""
    return f"{format_metric(value)}{held}, {verdict}{reason}"


def readable(text: str) -> str:
    """A sentence of the monitoring jobs with the console's words for metrics and statistics."""
    return written(named_in_words(text).replace("->", "→"))


RAW = re.compile(r"(?:[a-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Timeout|Refused)\b(?=\(|:|$)")


def told_failure(text: str) -> tuple[str, str]:
    """What an outcome says in words, and apart from that what programs reported: a person acts on the first.

    >>> told_failure("v2 serves; MLflow does not follow yet: ConnectionError: [Errno 111]")
    ('v2 serves; MLflow does not follow yet: a technical error', 'ConnectionError: [Errno 111]')
    """
    words, raw = [], []
    for part in text.split("; "):
        found = RAW.search(part)
        if found is None:
            words.append(part)
            continue
        before = part[: found.start()].rstrip(": ")
        words.append(f"{before}: a technical error" if before else "a technical error")
        raw.append(part[found.start() :])
    return "; ".join(words), "; ".join(raw)
