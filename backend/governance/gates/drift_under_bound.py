"""What comes in still resembles what the version was trained on: few features drift, and no heavy one."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from backend import clock
from backend.governance.gates import Asked, Finding, Gate, Parameters, register
from backend.governance.stored_points import in_words, newest_windows, points_of


class Settings(Parameters):
    WORDS: ClassVar = {
        "share": "at most {percent} of the features", "importance": "none of importance {value} or more",
        "longest_age_h": "data at most {value} h old",
    }  # fmt: skip
    share: float = Field(0.3, ge=0, le=1)  # of the judged features that may drift
    importance: float = Field(0.5, gt=0, le=1)  # of one feature; one this heavy may not drift
    longest_age_h: float = Field(72, gt=0)


def check(asked: Asked, settings: Settings) -> Finding:
    """Drift is judged against the reference of the version that served the window: that is said, too."""
    windows = newest_windows(asked.session, asked.model.name, asked.environment, asked.spec, count=1)
    if not windows:
        return Finding("inconclusive", "no finished window has been computed yet")
    window = windows[0]
    if clock.now() - window.end > timedelta(hours=settings.longest_age_h):
        return Finding(
            "inconclusive", f"the newest computed window ended {clock.to_words(window.end)}, more than "
            f"{settings.longest_age_h:g} h ago", data_until=window.end,
        )  # fmt: skip
    features = {column.name for column in asked.spec.features}
    points = [point for point in points_of(asked.session, windows, "drift") if point.column in features]
    judged = {point.column for point in points if point.verdict in ("ok", "alarm")}
    drifting = {point.column: point for point in points if point.verdict == "alarm"}
    where = f"window {in_words(window.start, window.end)}, against the reference of version {window.version}"
    if not judged:
        return Finding(
            "inconclusive", f"no feature could be judged; {where}", rows=window.rows, data_until=window.end
        )
    share = len(drifting) / len(judged)
    heavy = sorted(name for name, point in drifting.items() if (point.importance or 0) >= settings.importance)
    named = ", ".join(sorted(drifting)[:5])
    verb = "drifts" if len(drifting) == 1 else "drift"
    text = f"{len(drifting)} of {len(judged)} judged features {verb}{f' ({named})' if named else ''}; {where}"
    missing = sorted(features - judged)
    if missing:
        text += f"; not judged: {', '.join(missing[:5])}{f' and {len(missing) - 5} more' if len(missing) > 5 else ''}"
    failed = bool(heavy) or share > settings.share
    if heavy:
        text = f"{', '.join(heavy)} {'drifts' if len(heavy) == 1 else 'drift'}, on which the model leans most; {text}"
    # Those not judged might drift as well: only where that could not matter is it a pass. Nor is it one where what
    # drifts, or might, may be what the model leans on most.
    worst = (len(drifting) + len(missing)) / len(features)
    weighed = {point.column: point.importance for point in points if point.importance is not None}
    open_ = [name for name in sorted(drifting) if name not in weighed]
    open_ += [name for name in missing if weighed.get(name, 1.0) >= settings.importance]
    if open_ and not failed:
        text += f"; the model may lean on {', '.join(open_[:5])} most"
    alike = (worst <= settings.share or not missing) and not open_
    verdict = "fail" if failed else "pass" if alike else "inconclusive"
    return Finding(
        verdict, text, value=share, limit=settings.share, unit="share of features", rows=window.rows,  # type: ignore[arg-type]
        data_until=window.end, details={"drifting": sorted(drifting), "not_judged": missing, "heavy": heavy},
    )  # fmt: skip


GATE = register(
    Gate(
        "drift_under_bound",
        "Drift under bound",
        "In the newest judged window at most a share of the features drifts, and none that the model leans on most.",
        Settings,
        check,
        condition=True,
    )
)
