"""In production the groups of protected columns are treated alike, by the figures that monitoring has stored."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from backend import clock
from backend.governance.gates import Asked, Finding, Gate, Parameters, register
from backend.governance.stored_points import in_words
from backend.monitoring.fairness.standing import Standing, standing, verdict_of, why_not_compared

NAMED = 5


class Settings(Parameters):
    WORDS: ClassVar = {"longest_age_h": "decisions at most {value} h old"}
    longest_age_h: float = Field(1080, gt=0)


def check(asked: Asked, settings: Settings) -> Finding:
    """Labels come when they come: only the window that decisions are judged by may not be old."""
    if why := why_not_compared(asked.spec):
        return Finding("inconclusive", why)
    found = [
        one
        for one in standing(
            asked.session, model=asked.model.name, environment=asked.environment, spec=asked.spec
        )
        if one.judged
    ]
    if not found:
        return Finding(
            "inconclusive", "no fairness figure with a bound has been stored for a finished window"
        )
    newest = max(one.window.end for one in found)
    if clock.now() - newest > timedelta(hours=settings.longest_age_h):
        return Finding(
            "inconclusive", f"the newest window that was judged ended {clock.to_words(newest)}, more than "
            f"{settings.longest_age_h:g} h ago", data_until=newest,
        )  # fmt: skip
    verdict = verdict_of(found)
    worst = next((one for one in found if one.point.verdict == "alarm"), None)
    worst = worst or next((one for one in found if one.point.verdict != "ok"), found[0])
    return Finding(
        verdict, _words(found, worst), value=worst.point.value, low=worst.point.low, high=worst.point.high,  # type: ignore[arg-type]
        limit=worst.point.threshold, unit="gap between groups", rows=worst.point.rows, data_until=newest,
        details={"figures": [_detail(one) for one in found]},
    )  # fmt: skip


def _words(found: list[Standing], worst: Standing) -> str:
    shown = [one for one in found if one.point.verdict == worst.point.verdict]
    told = "; ".join(one.point.text for one in shown[:NAMED])
    more = f" and {len(shown) - NAMED} more" if len(shown) > NAMED else ""
    within = sum(one.point.verdict == "ok" for one in found)
    window = worst.window
    where = f"window {in_words(window.start, window.end)} of version {window.version}"
    return f"{within} of {len(found)} gaps are within their bounds; {told}{more}; {where}"


def _detail(one: Standing) -> dict[str, object]:
    point = one.point
    return {
        "attribute": point.column, "statistic": point.statistic, "value": point.value, "low": point.low,
        "high": point.high, "limit": point.threshold, "verdict": point.verdict, "reason": point.reason,
        "rows": point.rows, "window_end": clock.to_iso(one.window.end),
    }  # fmt: skip


GATE = register(
    Gate(
        "fairness_within_bounds",
        "Fairness within bounds",
        "By the stored figures of the newest windows that can speak, every gap between groups of protected columns "
        "that has a bound in the model's spec lies within it, with its whole interval; a gap whose interval holds the "
        "bound, of groups too small, or that waits for labels, is inconclusive.",
        Settings,
        check,
        condition=True,
    )
)
