"""Nothing that people found wrong is overdue, and a validation vouches for what would serve."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from backend import clock
from backend.governance.gates import Asked, Finding, Gate, Parameters, register

Severity = Literal["high", "medium", "low"]


class Settings(Parameters):
    severities: tuple[Severity, ...] = Field(("high",), min_length=1)  # an overdue finding of these fails
    conditions: bool = True  # a lapsed condition of a validation fails
    validation: bool = True  # without a validation that covers the version it is inconclusive
    any_open: bool = False  # also findings of these severities whose day has not come fail


def check(asked: Asked, settings: Settings) -> Finding:
    from backend.assurance.findings import unsettled_findings
    from backend.assurance.reading import is_overdue
    from backend.assurance.validations import newest_validation, open_conditions

    now, name, version = clock.now(), asked.model.name, asked.after.version
    unsettled = unsettled_findings(asked.session, name)
    counted = [one for one in unsettled if one.severity in settings.severities]
    bad = [one for one in counted if settings.any_open or is_overdue(one, now)]
    waiting = open_conditions(asked.session, name, version) if settings.conditions else []
    lapsed = [one for one in waiting if one.due_at <= now]
    newest = newest_validation(asked.session, name, version)
    details = {
        "overdue": [one.id for one in bad], "lapsed": [one.id for one in lapsed], "open": len(unsettled),
        "validation": newest.id if newest else None,
    }  # fmt: skip
    reasons = [
        f"FND-{one.id} ({one.severity}) {one.title!r} {'was' if one.due_at <= now else 'is'} due {one.due_at:%Y-%m-%d}"
        for one in bad
    ]
    reasons += [
        f"a condition of VAL-{one.validation_id} lapsed {one.due_at:%Y-%m-%d}: {one.text}" for one in lapsed
    ]
    if newest is not None and newest.outcome == "not_fit":
        reasons.insert(0, f"VAL-{newest.id} found it not fit for its purpose")
    if reasons:
        more = f" and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        return Finding(
            "fail", "; ".join(reasons[:3]) + more, data_until=now, details=details,
        )  # fmt: skip
    rest = f"{len(unsettled)} open findings, none of them overdue" if unsettled else "no open finding"
    if newest is None and settings.validation:
        return Finding(
            "inconclusive", f"nobody has validated version {version} or the model as a whole; {rest}", data_until=now,
            details=details,
        )  # fmt: skip
    vouched = f"VAL-{newest.id} of {newest.recorded_at:%Y-%m-%d} vouches for it; " if newest else ""
    open_ones = f"; {len(waiting)} conditions still run" if waiting else ""
    return Finding(
        "pass",
        f"{vouched}{rest}{open_ones}",
        value=0.0,
        limit=0.0,
        unit="unsettled",
        data_until=now,
        details=details,
    )


GATE = register(
    Gate(
        "findings_settled",
        "Findings settled",
        "No finding of these severities is overdue, no condition of a validation has lapsed, the newest validation did "
        "not find it unfit; without any validation it is inconclusive.",
        Settings,
        check,
        condition=True,
    )
)
