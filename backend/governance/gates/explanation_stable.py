"""The candidate leans on the same columns as what serves, by the stored explanations of both."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from backend import clock
from backend.explain.differences import compare_explanations
from backend.governance.gates import Asked, Finding, Gate, Parameters, register

NAMED = 3


class Settings(Parameters):
    WORDS: ClassVar = {
        "most_moved": "at most {percent} of the weight on other columns",
        "min_rows": "explained on at least {value} rows",
    }  # fmt: skip
    most_moved: float = Field(
        0.25, gt=0, le=1
    )  # half the sum of the differences of the shares of mean |SHAP|
    min_rows: int = Field(100, ge=1)  # of each version; fewer say little of a mean


def check(asked: Asked, settings: Settings) -> Finding:
    before = asked.before.version if asked.before is not None else None
    found = compare_explanations(asked.session, asked.model.name, before, asked.after.version)
    if found is None:
        return Finding("pass", "the same version is both, so it leans on the same columns")
    return _judged(found, settings)


def _then(evidence: Mapping[str, Any], settings: Settings, _asked_at: datetime) -> Finding | None:
    """By what the evidence of the change kept."""
    found = evidence.get("explanations")
    return _judged(found, settings) if found else None


def _judged(found: Mapping[str, Any], settings: Settings) -> Finding:
    if not found["known"]:
        return Finding("inconclusive", f"{found['why']}, so what they lean on cannot be compared")
    sides = found["before"], found["after"]
    rows = min(int(one["rows"]) for one in sides)
    until = min(clock.from_iso(one["computed_at"]) for one in sides)
    if rows < settings.min_rows:
        return Finding(
            "inconclusive", f"an explanation stands on {rows:,} rows, and {settings.min_rows:,} are needed",
            rows=rows, data_until=until,
        )  # fmt: skip
    moved = float(found["moved"])
    return Finding(
        "pass" if moved <= settings.most_moved else "fail",
        f"{moved:.0%} of the weight lies on other columns than in v{sides[0]['version']}: {_columns(found)}",
        value=moved, limit=settings.most_moved, unit="share of mean |SHAP|", rows=rows, data_until=until,
        details={"columns": list(found["columns"][:20]), "rank_correlation": found["rank_correlation"]},
    )  # fmt: skip


def _columns(found: Mapping[str, Any]) -> str:
    """Those whose share changed most."""
    told = [
        f"{one['column']} {one['before'] or 0:.0%} → {one['after'] or 0:.0%}"
        for one in found["columns"][:NAMED]
        if one["difference"]
    ]
    return ", ".join(told) or "every column has the share that it had"


GATE = register(
    Gate(
        "explanation_stable",
        "Explanation stable",
        "The candidate leans on the columns that the serving version leans on: half the sum of the differences of "
        "their shares of mean |SHAP| is within the bound. Without a stored explanation of both, or with one of too few "
        "rows, it is inconclusive.",
        Settings,
        check,
        then=_then,
    )
)
