"""What a card says that the system knows otherwise.

A figure is contradicted when the difference between it and what was measured is beyond chance and matters: the 95 %
interval of the difference leaves out zero, and the difference is at least the metric's practical margin
(`Definition.margin`, what pages are measured by). With claim c in [cl, ch] and measurement m in [ml, mh] taken from
other rows, the interval of m − c is, by the method of variance estimates recovery (Zou and Donner 2008, eq. 3),

    (m − c) − √((m − ml)² + (ch − c)²)   to   (m − c) + √((mh − m)² + (c − cl)²)

A claim without an interval is taken at its word (cl = c = ch).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from backend.cards.document import CardDocument, Problem, without_comments
from backend.cards.fact_blocks import figure_words, metric_word, pooled_words
from backend.cards.facts import Facts
from backend.cards.figures import figures_in
from backend.monitoring.performance.registry import DEFINITIONS

ALIASES: Final = {
    "auc": "roc_auc", "roc auc": "roc_auc", "auroc": "roc_auc", "brier score": "brier", "brier_score": "brier",
    "f1 score": "f1", "mean absolute error": "mae", "mean_absolute_error": "mae", "logloss": "log_loss",
    "root mean squared error": "rmse", "root_mean_squared_error": "rmse", "r²": "r2", "r2_score": "r2",
    "log loss": "log_loss", "average precision": "average_precision", "auprc": "average_precision",
    "pr auc": "average_precision", "area under the curve": "roc_auc", "area under the roc curve": "roc_auc",
}  # fmt: skip
"""Other names of our metrics, in lower case; Hugging Face's among them."""

Level = Literal["attention", "unknown"]


@dataclass(frozen=True)
class Claim:
    """A figure that a card states. line: 0 where the system filled it in."""

    metric: str
    value: float
    low: float
    high: float
    line: int
    words: str


@dataclass(frozen=True)
class Contradiction:
    """Something a card says, and what is known instead. level: attention; unknown where live figures are better."""

    line: int
    text: str
    level: Level = "attention"

    def as_dict(self) -> dict[str, Any]:
        return {"line": self.line, "text": self.text, "level": self.level}


def find_contradictions(document: CardDocument, facts: Facts) -> list[Contradiction]:
    """Every figure of the card against live and recorded ones, and its owner and tier against the registry."""
    found: list[Contradiction] = []
    for claim in claims_of(document, facts):
        found += _against_record(claim, facts) or _against_telemetry(claim, facts)
    return found + _against_registry(document, facts)


def claims_of(document: CardDocument, facts: Facts) -> list[Claim]:
    """The figures a card states: those the system fills in, and those of model-index and prose that are others."""
    claims: list[Claim] = []
    for claim in (*_filled(document, facts), *_of_index(document), *_of_prose(document)):
        if not any(one.metric == claim.metric and one.low <= claim.value <= one.high for one in claims):
            claims.append(claim)
    return claims


def differs(claim: Claim, value: float, low: float, high: float) -> tuple[float, float, float] | None:
    """(difference, low, high) where the measured value differs from the claim beyond chance and by what matters."""
    difference = value - claim.value
    lower = difference - math.hypot(value - low, claim.high - claim.value)
    upper = difference + math.hypot(high - value, claim.value - claim.low)
    if lower <= 0 <= upper or abs(difference) < _margin(claim):
        return None
    return difference, lower, upper


def _margin(claim: Claim) -> float:
    definition = DEFINITIONS[claim.metric]
    if definition.margin is None:
        return 0.0
    return definition.margin * (abs(claim.value) if definition.relative else 1.0)


def _against_telemetry(claim: Claim, facts: Facts) -> list[Contradiction]:
    live = facts.live.get((claim.metric, ""))
    if live is None:
        return []
    found = differs(claim, live.value, live.low, live.high)
    if found is None:
        return []
    better = (found[0] < 0) == bool(DEFINITIONS[claim.metric].lower_is_better)
    which = "better" if better else "worse"
    return [
        Contradiction(
            claim.line, f"the card says {metric_word(claim.metric)} {claim.words}, live it is {pooled_words(live)}: "
            f"{which} by {abs(found[0]):.3f} (95 % {min(abs(found[1]), abs(found[2])):.3f} to "
            f"{max(abs(found[1]), abs(found[2])):.3f})", "unknown" if better else "attention",
        )
    ]  # fmt: skip


def _against_record(claim: Claim, facts: Facts) -> list[Contradiction]:
    """A figure that somebody typed, against the held-out one that was recorded with the version."""
    recorded = facts.recorded.get(claim.metric)
    if not claim.line or recorded is None or recorded.get("value") is None:
        return []
    value = float(recorded["value"])
    low, high = recorded.get("low"), recorded.get("high")
    inside = (
        low <= claim.value <= high
        if low is not None and high is not None
        else abs(claim.value - value) < 0.005
    )
    if inside:
        return []
    said = f"the card says {metric_word(claim.metric)} {claim.words}, and with the version was recorded"
    return [Contradiction(claim.line, f"{said} {figure_words(recorded)}")]


def _against_registry(document: CardDocument, facts: Facts) -> list[Contradiction]:
    governance = document.front.get("warrant")
    if not isinstance(governance, dict):
        return []
    found = []
    tier, owner = governance.get("risk_tier"), governance.get("owner")
    line = next(
        (n for n, text in enumerate(document.source.split("\n"), 1) if text.startswith("warrant:")), 1
    )
    if isinstance(tier, str) and "{{" not in tier and "[" not in tier and tier != facts.tier:
        found.append(
            Contradiction(line, f"the card says risk tier {tier}, and the model is governed as {facts.tier}")
        )
    if isinstance(owner, str) and "{{" not in owner and "[" not in owner and owner != facts.owner:
        known = f"{facts.owner} is its owner" if facts.owner else "nobody is its owner"
        found.append(Contradiction(line, f"the card names {owner} as its owner, and by the registry {known}"))
    return found


def _filled(document: CardDocument, facts: Facts) -> Iterator[Claim]:
    """What the card states by letting the system fill it in. The facts of every card contain its held-out metrics."""
    for name, figures in facts.recorded.items():
        value = figures.get("value")
        if name in DEFINITIONS and isinstance(value, int | float):
            low, high = figures.get("low"), figures.get("high")
            yield Claim(name, float(value), float(low if low is not None else value),
                        float(high if high is not None else value), 0, figure_words(figures))  # fmt: skip


def _of_index(document: CardDocument) -> Iterator[Claim]:
    index = document.front.get("model-index")
    results = [result for one in index if isinstance(one, dict) for result in one.get("results") or []] if isinstance(
        index, list) else []  # fmt: skip
    for result in results:
        for metric in result.get("metrics") or [] if isinstance(result, dict) else []:
            value = metric.get("value") if isinstance(metric, dict) else None
            name = _metric_name(str(metric.get("type"))) if isinstance(metric, dict) else None
            if name and isinstance(value, int | float) and not isinstance(value, bool):
                yield Claim(
                    name,
                    float(value),
                    float(value),
                    float(value),
                    _line_with(document, str(value)),
                    f"{value:g}",
                )


def _of_prose(document: CardDocument) -> Iterator[Claim]:
    for found in figures_in(without_comments(document.body)):
        name = _metric_name(found.name)
        if name:
            line = found.line + document.front_lines
            yield Claim(name, found.value, found.value, found.value, line, found.words)


def _metric_name(word: str) -> str | None:
    plain = " ".join(word.casefold().replace("-", " ").split())
    for name in (plain.replace(" ", "_"), ALIASES.get(plain), ALIASES.get(plain.replace(" ", "_"))):
        if name in DEFINITIONS:
            return name
    return None


def _line_with(document: CardDocument, text: str) -> int:
    lines = document.source.split("\n")[: document.front_lines]
    return next((number for number, line in enumerate(lines, 1) if text in line and "value" in line), 1)


def as_problems(found: list[Contradiction]) -> list[Problem]:
    """Contradictions as the problems of a check."""
    return [Problem(one.line, one.text) for one in found]
