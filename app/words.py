"""States of the domain in the words and levels of the console."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from app.formats import format_metric

CHANGE_LEVELS = {
    "waiting": "attention",
    "approved": "unknown",
    "executing": "unknown",
    "executed": "ok",
    "failed": "page",
    "void": "page",
    "rejected": "unknown",
    "cancelled": "unknown",
    "expired": "unknown",
}
ALERT_LEVELS = {"page": "page", "ticket": "attention", "info": "unknown"}
WINDOW_WORDS = {
    "open": "not over yet",
    "complete": "complete",
    "no_traffic": "no data",
    "no_traffic_expected": "no traffic expected",
}
METRIC_WORDS = {
    "roc_auc": "AUC", "log_loss": "log loss", "brier": "Brier score", "accuracy": "accuracy",
    "precision": "precision", "recall": "recall", "f1": "F1", "ece": "calibration error",
}  # fmt: skip
STATISTIC_WORDS = {
    "psi": "PSI", "jensen_shannon": "Jensen-Shannon", "kolmogorov_smirnov": "Kolmogorov-Smirnov",
    "wasserstein": "Wasserstein", "chi_squared": "chi²", "l_infinity": "L-infinity", "missing_rate": "missing",
    "unseen_rate": "unseen values", "out_of_range_rate": "out of range", "constant_value": "constant",
}  # fmt: skip


def metric_word(name: str) -> str:
    return METRIC_WORDS.get(name, name.replace("_", " "))


def statistic_word(name: str) -> str:
    return STATISTIC_WORDS.get(name, name.replace("_", " "))


def count_of(number: int, noun: str, plural: str | None = None) -> str:
    """`1 model`, `3 models`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def result_words(point: Mapping[str, Any]) -> str:
    """One metric point with its limit and verdict, or why there is none."""
    value, limit = point["value"], point["threshold"]
    if value is None or math.isnan(value):
        return f"inconclusive: {point['reason'] or 'no value'}"
    held = f" (limit {format_metric(limit)})" if limit is not None and not math.isnan(limit) else ""
    verdict = {"ok": "ok", "alarm": "beyond its limit"}.get(
        point["verdict"], point["verdict"].replace("_", " ")
    )
    reason = f", {point['reason']}" if point["reason"] else ""
    return f"{format_metric(value)}{held}, {verdict}{reason}"


def readable(text: str) -> str:
    """A sentence of the monitoring jobs with the console's words for metrics and statistics."""
    words = {name: word for name, word in (METRIC_WORDS | STATISTIC_WORDS).items() if name in text}
    for name in sorted(words, key=len, reverse=True):
        text = re.sub(rf"\b{name}\b", words[name], text)
    return text.replace("->", "→")


def in_sentence(text: str) -> str:
    """A sentence as a part of another: without its capital, unless that belongs to a short form such as PSI."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
