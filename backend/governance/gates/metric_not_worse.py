"""The candidate is not worse than the champion by more than a margin, on the same rows."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from backend.governance.gates import Asked, Finding, Gate, Parameters, register
from backend.monitoring.columns import MIN_LABELS


class Settings(Parameters):
    WORDS: ClassVar = {
        "metric": "by {value}", "margin": "margin {value}", "minimum_rows": "at least {value} labelled rows",
        "level": "{percent} interval",
    }  # fmt: skip
    metric: str = ""  # empty: the task's primary one
    margin: float | None = Field(None, ge=0)  # None: the smallest worsening that matters in practice
    minimum_rows: int = Field(500, ge=MIN_LABELS)  # with a known label
    level: float = Field(0.95, gt=0.5, lt=1)

    @field_validator("metric")
    @classmethod
    def _known(cls, name: str) -> str:
        from backend.governance.paired_metrics import METRICS

        if name and name not in METRICS:
            raise ValueError(f"{name!r} cannot be compared on rows; there are {', '.join(METRICS)}")
        return name


def check(asked: Asked, settings: Settings) -> Finding:
    from backend.governance.paired_metrics import compare, worst_allowed
    from backend.monitoring.performance import DEFINITIONS

    pairs = asked.rows
    if pairs is None:
        return Finding("inconclusive", asked.rows_missing)
    pairs = pairs.judged or pairs
    labelled = int(pairs.labelled.sum())
    where = pairs.in_words(labelled)
    until = pairs.span[1] if pairs.span else None
    if labelled < settings.minimum_rows:
        return Finding(
            "inconclusive",
            f"only {labelled:,} of the rows have a known label, {settings.minimum_rows:,} are needed: {where}",
            rows=labelled, data_until=until,
        )  # fmt: skip
    found = compare(asked.spec, pairs, settings.metric, level=settings.level)
    definition = DEFINITIONS[found.metric]
    if found.value is None or found.low is None or found.high is None or found.before is None:
        return Finding("inconclusive", f"{found.reason}: {where}", rows=labelled, data_until=until)
    allowed = worst_allowed(found.metric, settings.margin, found.before)
    sign = -1.0 if definition.lower_is_better else 1.0
    # Everything in the direction in which larger is better: the candidate may lie `allowed` below zero.
    low, high = sorted((sign * found.low, sign * found.high))
    if high < -allowed:
        verdict, say = "fail", "worse than is allowed, beyond doubt"
    elif low >= -allowed:
        verdict, say = "pass", "not worse than is allowed"
    else:
        verdict, say = "inconclusive", "it is open whether that is worse than is allowed"
    digits = ".3f" if definition.unit in ("share", "nats") else ".4g"
    text = (
        f"{definition.title} {found.after:{digits}} against {found.before:{digits}} of version "
        f"{pairs.before.version}: {found.value:+{digits}} ({settings.level:.0%} {found.low:+{digits}} to "
        f"{found.high:+{digits}}; {sign * -allowed:+{digits}} is allowed), {say}; {where}"
    )
    return Finding(
        verdict,  # type: ignore[arg-type]
        text, value=found.value, low=found.low, high=found.high, limit=sign * -allowed, unit=definition.unit,
        rows=labelled, data_until=until,
        details={"metric": found.metric, "champion": found.before, "candidate": found.after, "source": pairs.source},
    )  # fmt: skip


GATE = register(
    Gate(
        "metric_not_worse",
        "Metric not worse",
        "On the same labelled rows the metric is not worse than the champion's by more than the margin, with a paired "
        "bootstrap interval: beyond the margin for certain fails, an interval across it is inconclusive.",
        Settings,
        check,
        needs="rows",
    )
)
