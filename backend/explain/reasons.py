"""Reason codes: why a case was declined, in the plain sentences that the model's spec declares for its features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from backend.monitoring.columns import ModelSpec, is_positive_class

MOST_REASONS: Final = 4
"""As many as creditors commonly state (Regulation B, 12 CFR 1002.9, comment 9(b)(2)-1: more than four is not likely
to be helpful)."""


def is_positive(spec: ModelSpec, prediction: str | None, score: float | None, cutoff: float) -> bool | None:
    """Which way a binary model decided; None where neither its answer nor its score is recorded."""
    if prediction is not None:
        return is_positive_class(spec, str(prediction))
    return None if score is None else score >= cutoff


def is_declined(spec: ModelSpec, positive: bool | None) -> bool:
    """Whether the decision is the one that is not good for whom it is about, as the spec's `favourable` says."""
    return bool(spec.favourable) and positive is not None and positive != (spec.favourable == "positive")


def adverse_reasons(spec: ModelSpec, contributions: Mapping[str, float]) -> list[dict[str, Any]]:
    """The sentences of the features that moved a declined case most towards its decision, the strongest first.

    Features that share a sentence count together. `columns` are those that pushed that way; `contribution` is their
    sum, in the explainer's unit; `share` is its part of all that pushed that way, with or without a sentence.
    """
    towards = 1.0 if spec.favourable == "negative" else -1.0
    pushed = {name: value for name, value in contributions.items() if value * towards > 0}
    total = sum(abs(value) for value in pushed.values())
    said: dict[str, list[str]] = {}
    for name, sentence in spec.reason_codes:
        if name in pushed:
            said.setdefault(sentence, []).append(name)
    sums = {sentence: sum(pushed[name] for name in names) for sentence, names in said.items()}
    ranked = sorted(sums, key=lambda sentence: (-abs(sums[sentence]), sentence))[:MOST_REASONS]
    return [
        {
            "sentence": sentence, "columns": sorted(said[sentence], key=lambda name: -abs(pushed[name])),
            "contribution": sums[sentence], "share": abs(sums[sentence]) / total,
        }
        for sentence in ranked
    ]  # fmt: skip
