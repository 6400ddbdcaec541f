"""The feed was sound in the newest windows: no statistic of quality alarms."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from backend import clock
from backend.governance.gates import Asked, Finding, Gate, Parameters, register
from backend.governance.stored_points import in_words, newest_windows, points_of


class Settings(Parameters):
    WORDS: ClassVar = {
        "windows": "newest windows: {value}", "longest_age_h": "data at most {value} h old",
        "tolerate": "without {value}",
    }  # fmt: skip
    windows: int = Field(1, ge=1, le=30)  # how many of the newest
    longest_age_h: float = Field(72, gt=0)  # older than this they say nothing of now
    tolerate: tuple[str, ...] = ()  # columns whose quality does not count


def check(asked: Asked, settings: Settings) -> Finding:
    windows = newest_windows(
        asked.session, asked.model.name, asked.environment, asked.spec, count=settings.windows
    )
    if not windows:
        return Finding("inconclusive", "no finished window has been computed yet")
    newest = windows[0]
    if clock.now() - newest.end > timedelta(hours=settings.longest_age_h):
        return Finding(
            "inconclusive", f"the newest computed window ended {clock.to_words(newest.end)}, more than "
            f"{settings.longest_age_h:g} h ago", data_until=newest.end,
        )  # fmt: skip
    rows = sum(window.rows for window in windows)
    points = [
        point
        for point in points_of(asked.session, windows, "quality")
        if point.column not in settings.tolerate
    ]
    alarms = [point for point in points if point.verdict == "alarm"]
    where = (
        f"{len(windows)} window{'s' if len(windows) > 1 else ''} ({in_words(windows[-1].start, newest.end)})"
    )
    if alarms:
        return Finding(
            "fail", f"{alarms[0].text or alarms[0].column}{_more(len(alarms) - 1)}; {where}", value=float(len(alarms)),
            limit=0.0, unit="alarms", rows=rows, data_until=newest.end,
            details={"alarms": [[point.column, point.statistic, point.value] for point in alarms[:50]]},
        )  # fmt: skip
    judged = [point for point in points if point.verdict == "ok"]
    if len(windows) < settings.windows or not judged:
        few = (
            f"only {len(windows)} of {settings.windows} windows are there"
            if judged
            else "no check could be judged"
        )
        return Finding("inconclusive", f"{few}; {where}", rows=rows, data_until=newest.end)
    unjudged = sorted({point.column for point in points if point.verdict == "inconclusive"})
    return Finding(
        "pass", f"{len(judged)} check{'s of quality hold' if len(judged) > 1 else ' of quality holds'} in {where}"
        + (f"; not judged: {', '.join(unjudged[:5])}{_more(len(unjudged) - 5)}" if unjudged else ""),
        value=0.0, limit=0.0, unit="alarms", rows=rows, data_until=newest.end, details={"not_judged": unjudged},
    )  # fmt: skip


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


GATE = register(
    Gate(
        "data_checks_passed",
        "Data checks passed",
        "In the newest windows no check of the quality of a feature alarms: missing values, unseen values, constant "
        "values and their like.",
        Settings,
        check,
        condition=True,
    )
)
