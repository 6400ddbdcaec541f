"""Filling a model card's facts from the system; the judgement in it is written by people.

{{ metric NAME }}     a held-out metric with its interval and rows
{{ training KEY }}    from, to, rows, held_out_rows, held_out or digest of the training data
{{ version }}, {{ cutoff }}, {{ artefact digest }}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from backend.errors import BadInput

_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")


def fill_card(
    text: str,
    *,
    version: int,
    cutoff: float,
    artefact_digest: str,
    metrics: Mapping[str, Any],
    training: Mapping[str, Any],
) -> str:
    """The card with every placeholder replaced. An unknown one is a `BadInput` that names it."""

    def fact(match: re.Match[str]) -> str:
        kind, _, key = match[1].partition(" ")
        if kind == "metric" and key in metrics:
            return _metric(metrics[key])
        if kind == "training" and key in training:
            return _training(key, training[key])
        plain = {"version": str(version), "cutoff": f"{cutoff:g}", "artefact digest": artefact_digest}
        if match[1] in plain:
            return plain[match[1]]
        raise BadInput(f"the card asks for {match[0]}, which this version does not have")

    return _PLACEHOLDER.sub(fact, text)


def _metric(figures: Mapping[str, Any]) -> str:
    return f"{figures['value']:.3f} (95 % {figures['low']:.3f} to {figures['high']:.3f}, {int(figures['rows']):,} rows)"


def _training(key: str, value: Any) -> str:
    if key in ("from", "to"):
        return str(value)[:10]
    return f"{value:,}" if isinstance(value, int) else str(value)
