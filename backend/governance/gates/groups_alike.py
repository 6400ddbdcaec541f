"""The candidate decides favourably about every protected group nearly as often as about the one it favours most."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from backend.governance.gates import Asked, Finding, Gate, Parameters, register
from backend.governance.group_rates import compare_groups, verdict_of_ratio
from backend.monitoring.spec_fairness import FOUR_FIFTHS

ORDER = ("fail", "inconclusive", "pass")


class Settings(Parameters):
    WORDS: ClassVar = {
        "least_ratio": "at least {value} of the most favoured group's rate",
        "odds": "equalised odds within {value}",
    }  # fmt: skip
    least_ratio: float = Field(FOUR_FIFTHS, gt=0, le=1)
    odds: float | None = Field(None, gt=0, le=1)  # greatest equalised odds difference; None: not asked


def check(asked: Asked, settings: Settings) -> Finding:
    rows = asked.rows
    if rows is None:
        return Finding("inconclusive", asked.rows_missing)
    if not asked.spec.favourable and asked.spec.task == "binary":
        return Finding(
            "inconclusive",
            "the model's spec does not say which decision is favourable: write favourable: positive, or negative",
        )
    found = compare_groups(asked.spec, rows)
    if not found["known"]:
        return Finding("inconclusive", found["why"])
    until = rows.span[1] if rows.span else None
    told = [_of_column(one, settings) for one in found["columns"]]
    verdict, _, worst = min(told, key=lambda one: (ORDER.index(one[0]), (one[2] or {}).get("value", 1.0)))
    if found["missing"] and verdict == "pass":
        verdict = "inconclusive"
    text = "; ".join(words for _, words, _ in told)
    if found["missing"]:
        text += f"; the rows do not hold {', '.join(found['missing'])}"
    numbers = {name: worst[name] for name in ("value", "low", "high")} if worst else {}
    return Finding(
        verdict, f"{text}; {found['where']}", **numbers, limit=settings.least_ratio, unit="ratio", rows=found["rows"],  # type: ignore[arg-type]
        data_until=until, details={"columns": {one["column"]: one["after"] for one in found["columns"]}},
    )  # fmt: skip


def _of_column(column: dict[str, Any], settings: Settings) -> tuple[str, str, dict[str, Any] | None]:
    """Verdict, words and the ratio of one protected column."""
    ratio, odds = column["after"]["ratio"], column["after"]["odds_difference"]
    if ratio is None:
        return "inconclusive", f"{column['column']}: fewer than two groups have rows enough", None
    verdicts = [verdict_of_ratio(ratio, settings.least_ratio)]
    words = (
        f"{column['column']}: {ratio['least']} gets a favourable decision {ratio['value']:.2f} times as often as "
        f"{ratio['most']} (95 % {ratio['low']:.2f} to {ratio['high']:.2f}; {settings.least_ratio:g} is asked)"
    )
    if settings.odds is not None:
        verdicts.append(_of_odds(odds, settings.odds))
        words += (
            f", equalised odds {odds['value']:.3f} (95 % {odds['low']:.3f} to {odds['high']:.3f}; {settings.odds:g} is "
            "allowed)"
            if odds
            else ", equalised odds not known: too few labels"
        )
    return min(verdicts, key=ORDER.index), words, ratio


def _of_odds(odds: dict[str, Any] | None, greatest: float) -> str:
    if odds is None:
        return "inconclusive"
    return "fail" if odds["low"] > greatest else "pass" if odds["high"] <= greatest else "inconclusive"


GATE = register(
    Gate(
        "groups_alike",
        "Groups alike",
        "Of every protected column the group that is favoured least gets a favourable decision at least four fifths as "
        "often as the one favoured most, and equalised odds lie within a bound where one is asked: intervals that hold "
        "for all pairs of groups decide, and one across the bound, or of groups too small, is inconclusive.",
        Settings,
        check,
        needs="rows",
    )
)
