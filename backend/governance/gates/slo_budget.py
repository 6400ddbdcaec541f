"""The error budgets of the model's objectives leave room for the risk of a change."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from backend import clock
from backend.governance.gates import Asked, Finding, Gate, Parameters, Verdict, register


class Settings(Parameters):
    WORDS: ClassVar = {
        "least_left": "at least {percent} of each budget left", "objectives": "of {value}",
        "longest_age_h": "counted at most {value} h ago",
    }  # fmt: skip
    least_left: float = Field(0.1, ge=0, lt=1)  # of the budget of its period, of every objective
    objectives: tuple[str, ...] = ()  # their names; empty: all of the model in the environment
    longest_age_h: float = Field(1, gt=0)  # of those about requests; windows are as old as their labels


def check(asked: Asked, settings: Settings) -> Finding:
    from backend.slo.evidence import objective_facts

    found = objective_facts(asked.session, asked.model.name, asked.environment)
    return _judge(found, settings, clock.now(), where=f"{asked.model.name} in {asked.environment}")


def _then(evidence: Mapping[str, Any], settings: Settings, at: datetime) -> Finding | None:
    """By the budgets that are frozen with a change; of one that is older than these nothing is known."""
    found = evidence.get("objectives")
    return None if found is None else _judge(found, settings, at, where=str(evidence["model"]["name"]))


def _judge(found: list[dict[str, Any]], settings: Settings, at: datetime, *, where: str) -> Finding:
    """Known budgets decide first: one that is too small fails whatever is not known of others."""
    from backend.slo.evidence import left_words

    if settings.objectives:
        found = [one for one in found if one["name"] in settings.objectives]
    missing = sorted(set(settings.objectives) - {one["name"] for one in found})
    if not found and not missing:
        return Finding("inconclusive", f"no objective is defined for {where}")
    oldest = at - timedelta(hours=settings.longest_age_h)
    unknown = [one for one in found if _is_unknown(one, oldest)]
    known = [one for one in found if one not in unknown]
    low = [one for one in known if one["remaining"] < settings.least_left]
    told = [f"{one['title']}: {left_words(one['remaining'])} ({one['target']})" for one in low or known]
    told += [f"{one['title']}: {_why_unknown(one)}" for one in unknown]
    told += [f"{name}: no such objective" for name in missing]
    verdict: Verdict = "fail" if low else "inconclusive" if unknown or missing else "pass"
    return Finding(
        verdict, "; ".join(told[:5]) + (f" and {len(told) - 5} more" if len(told) > 5 else ""),
        value=min((one["remaining"] for one in known), default=None), limit=settings.least_left,
        unit="share of the budget", data_until=min((_moment(one) for one in known), default=None),
        details={"objectives": found, "missing": missing},
    )  # fmt: skip


def _is_unknown(one: dict[str, Any], oldest: datetime) -> bool:
    """Nothing was counted, its source is away, or the last look is too long ago. One in danger is known to be so."""
    if one["remaining"] is None or one["as_of"] is None or one["state"] == "no_data":
        return True
    return not one["windowed"] and _moment(one) < oldest


def _why_unknown(one: dict[str, Any]) -> str:
    if one["as_of"] is None:
        return "not judged yet"
    if one["state"] == "no_data":
        return f"no data, as of {clock.to_words(_moment(one))}"
    return f"last judged {clock.to_words(_moment(one))}"


def _moment(one: dict[str, Any]) -> datetime:
    return clock.from_iso(one["as_of"])


GATE = register(
    Gate(
        "slo_budget",
        "Error budget left",
        "Every objective of the model in the environment, or those named, has at least a share of its error budget "
        "left; what has no data, was not judged lately or does not exist is inconclusive.",
        Settings,
        check,
        condition=True,
        then=_then,
    )
)
