"""Where alerts come from, what groups them, and how severe an incident is: rows, not code.

    source    area      raised by
    monitor   model     judgement of windows, monitors of one's own, KPIs
    data      model     traffic that stopped or moved
    slo       serving   burn rates and absent metrics of service-level objectives
    gateway   serving   a gateway that does not answer
    job       jobs      work that failed and was not repeated with success
    audit     record    findings about the log
    registry  record    moves outside, time boxes of break-glass
    condition model     what an approval promised and does not hold
    outside   serving   other systems, through Alertmanager

Alerts of one model, environment and area become one incident: a feed that breaks, the drift it shows as and the
performance that falls by it have one cause most of the time, a slow gateway has another.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

LEVELS: Final = ("page", "ticket", "info")
SOURCES: Final = ("monitor", "data", "slo", "gateway", "job", "audit", "registry", "condition", "outside")
AREAS: Final = {
    "model": "the model and its data", "serving": "answering requests", "jobs": "Warrant's own work",
    "record": "the record",
}  # fmt: skip
_AREA_OF: Final = {
    "monitor": "model", "data": "model", "slo": "serving", "gateway": "serving", "job": "jobs", "audit": "record",
    "registry": "record", "condition": "model", "outside": "serving",
}  # fmt: skip
_SOURCE_OF_KIND: Final = {
    "volume": "data", "slo": "slo", "slo_absent": "slo", "gateway": "gateway", "job": "job", "audit": "audit",
    "registry": "registry", "condition": "condition", "break_glass": "registry", "retraining": "registry",
    "cost": "job", "outside": "outside",
}  # fmt: skip
_MEASURED: Final = frozenset({"monitor", "data", "slo", "gateway", "job"})


def source_of(kind: str) -> str:
    """The source of an alert of this kind, where whoever fires it names none."""
    return _SOURCE_OF_KIND.get(kind, "monitor")


def area_of(source: str) -> str:
    return _AREA_OF.get(source, "model")


def may_flap(source: str) -> bool:
    """Whether it follows a measurement that can swing about a limit. What the record says does not swing."""
    return source in _MEASURED


def severity_by_rule(alerts: Iterable[tuple[str, str]], tier: str) -> int:
    """SEV-1 to SEV-4 from (level, source) of what fires and the model's tier.

    SEV-1  a page about answering requests, of a model of high tier or of the whole installation (tier empty)
    SEV-2  any other page about answering requests; a page about a model of high tier; a page about the record
    SEV-3  any other page; a ticket about answering requests or about a model of high tier
    SEV-4  everything else
    """
    high = tier in ("high", "")
    return min((_severity(level, area_of(source), high=high) for level, source in alerts), default=4)


def _severity(level: str, area: str, *, high: bool) -> int:
    callers = area == "serving"
    if level == "page":
        return 1 if callers and high else 2 if callers or high or area == "record" else 3
    return 3 if level == "ticket" and (callers or high) and area != "jobs" else 4
