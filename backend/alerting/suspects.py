"""Which causes an incident may have, each with its evidence, ranked; also those that the record rules out.

    likely      the record shows it, and it came before what fires or is what fires
    possible    it happened, and nothing says whether it is the cause
    unknown     nothing is known that would say
    ruled_out   the record says that it was not

A cause that nobody looked into is `unknown`, never ruled out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from backend import clock
from backend.alerting.answers import answers_lately, availability_words, latency_words
from backend.alerting.failures import failures_around
from backend.alerting.gateway_suspects import Cause, batch_cause, gateway_causes, version_cause
from backend.alerting.sources import LEVELS
from backend.alerting.tables import Alert, Incident
from backend.alerting.timeline import Event, began
from backend.database.session import ReadSession
from backend.deployment.service import history
from backend.identity.actor import Actor
from backend.monitoring.page_points import judged_points

VERDICTS: Final = ("likely", "possible", "unknown", "ruled_out")
LATELY: Final = timedelta(hours=24)
_EDITS: Final = ("edit", "change")


Steps = tuple[tuple[str, str, dict[str, Any]], ...]


@dataclass(frozen=True)
class Suspect:
    """kind: a row of `phases.CAUSES`, which resolving takes as the cause. Steps: what to do, each (text, page, query).
    rank: among those of one verdict, the lower the nearer."""

    kind: str
    name: str
    verdict: str
    evidence: str
    rank: float = 0.0
    steps: Steps = field(default=())


def suspects(
    session: ReadSession, viewer: Actor, incident: Incident, alerts: Sequence[Alert], events: Sequence[Event]
) -> list[Suspect]:
    """Every cause that is looked into, the likeliest first, the ruled out last. `events`: what changed before it."""
    if not incident.model:
        return [_own_work(alerts), *_of_gateways(session, incident)]
    points = judged_points(session, incident.model, incident.environment)
    version, failing = _version(session, viewer, incident, alerts)
    found = [
        _fault(incident, alerts, events), _stoppage(incident, alerts), _columns(incident, alerts, points),
        _drift(incident, alerts, points), version,
        _serving(session, viewer, incident, alerts), _edited(events), _segment(incident, alerts),
    ]  # fmt: skip
    measured = _gateway(session, viewer, incident, alerts, failing=failing)
    known = [one for one in found if one is not None] + measured
    return sorted(known, key=lambda one: (VERDICTS.index(one.verdict), one.rank))


def _fault(incident: Incident, alerts: Sequence[Alert], events: Sequence[Event]) -> Suspect | None:
    rows = max((int(one.details.get("injected_rows") or 0) for one in alerts), default=0)
    switched = next((one for one in events if one.level == "injected"), None)
    if not rows and switched is None:
        return None
    told = f"{rows:,} rows of the window carry it" if rows else switched.text if switched else ""
    return Suspect("data", "a demo fault that somebody injected", "likely", told, -1.0,
                   (("Switch it off", "overview", {}),))  # fmt: skip


def _stoppage(incident: Incident, alerts: Sequence[Alert]) -> Suspect:
    steps = (("Traffic", "quality", {"model": incident.model}), _silence(incident))
    told = next((one for one in alerts if one.source == "data" and one.state == "firing"), None)
    if told is not None:
        return Suspect("data", "traffic stopped or moved", "likely", told.title, 0.0, steps)
    known = [one for one in alerts if one.details.get("window_rows")]
    if known:
        rows = int(known[0].details["window_rows"])
        return Suspect("data", "traffic stopped or moved", "ruled_out",
                       f"no volume alert fires; the window has {rows:,} rows", 0.0, steps)  # fmt: skip
    return Suspect(
        "data", "traffic stopped or moved", "unknown", "no alert says how many rows it saw", 0.0, steps
    )


def _columns(incident: Incident, alerts: Sequence[Alert], points: Sequence[Any]) -> Suspect:
    """Missing, unseen or impossible values of a column."""
    steps = (("Data quality", "quality", {"model": incident.model}), _silence(incident))
    name = "values of a column are missing or wrong"
    fires = [one for one in alerts if one.kind == "quality" and one.state == "firing"]
    if fires:
        columns = sorted(
            {str(c) for one in fires for c in one.details.get("columns") or [one.details.get("column")]}
        )
        return Suspect("data", f"{name}: {', '.join(columns[:4])}", "likely", fires[0].title, 0.1, steps)
    mine = [one for one in points if one.kind == "quality"]
    alarms = [one for one in mine if one.verdict == "alarm"]
    if alarms:
        return Suspect("data", f"{name}: {alarms[0].column}", "possible", alarms[0].text, 0.1, steps)
    if mine:
        return Suspect(
            "data", name, "ruled_out", f"all {len(mine)} checks of the newest window are fine", 0.1, steps
        )
    return Suspect("data", name, "unknown", "no check of the newest window could be judged", 0.1, steps)


def _drift(incident: Incident, alerts: Sequence[Alert], points: Sequence[Any]) -> Suspect:
    first = next((one.id for one in alerts if one.state == "firing" and one.model == incident.model), None)
    retrain = {"model": incident.model} | ({"alert": first} if first is not None else {})
    steps = (("Drift", "drift", {"model": incident.model}), ("Retrain the model", "retraining", retrain))
    mine = [one for one in points if one.kind in ("drift", "prediction")]
    alarms = [one for one in mine if one.verdict == "alarm"]
    name = "inputs are distributed otherwise"
    if alarms:
        worst = max(alarms, key=lambda one: (one.effect or 0.0, one.importance or 0.0))
        verdict = "likely" if (worst.effect or 0.0) > 0 and not _about_data(alerts) else "possible"
        columns = len({one.column for one in alarms})
        told = f"{columns} column{'' if columns == 1 else 's'} beyond the limit; most: {worst.text or worst.column}"
        return Suspect("world", name, verdict, told, 1.0, steps)
    if mine:
        return Suspect("world", name, "ruled_out", f"none of {len(mine)} figures of drift is beyond its limit", 1.0, steps)  # fmt: skip # noqa: E501
    return Suspect(
        "world", name, "unknown", "no figure of drift of the newest window could be judged", 1.0, steps
    )


def _version(
    session: ReadSession, viewer: Actor, incident: Incident, alerts: Sequence[Alert]
) -> tuple[Suspect, int | None]:
    """The deployment before it: its minutes, and whether it can explain what fires; with its version where that fails
    by itself."""
    start = began(session, incident)
    steps = (
        ("Return to an earlier version", "request_change", {"kind": "rollback", "model": incident.model}),
    )
    served = [
        one for one in history(session, viewer, incident.model, incident.environment)
        if one.role in ("champion", "canary") and one.started_at <= incident.opened_at
    ]  # fmt: skip
    if not served:
        nothing = "no deployment is on record"
        return Suspect("version", "a version that began to serve", "ruled_out", nothing, 0.2), None
    last = served[0]
    at = last.serving_at or last.started_at
    name, before = f"version {last.version}, which began to serve", incident.opened_at - at
    is_new = at >= start - LATELY
    fails = failures_around(session, viewer, incident, last.version)
    if fails.is_the_version:
        own = f"on {fails.own:,} of {fails.requests:,} requests to it"
        told = f"its model fails by itself: {own}; {_served(before, is_new)}"
        verdict = "likely" if is_new else "possible"
        return Suspect("version", name, verdict, told, -0.5, steps), last.version
    if is_new:
        verdict = "possible" if _about_data(alerts) else "likely"
        told, days = _served(before, is_new), before.total_seconds() / 86_400
        return Suspect("version", name, verdict, told, days, steps), None
    told = f"{_served(before, is_new)} without this"
    return Suspect("version", name, "ruled_out", told, 0.2, steps), None


def _served(before: timedelta, is_new: bool) -> str:
    """How long before the incident a version began to serve."""
    return f"{_span(before)} before the incident was opened" if is_new else f"it had served {_span(before)}"


def _serving(session: ReadSession, viewer: Actor, incident: Incident, alerts: Sequence[Alert]) -> Suspect:
    name = "the gateway answers slowly or with errors"
    steps = (("The model", "model", {"model": incident.model}),)
    fires = [one for one in alerts if one.source in ("slo", "gateway") and one.state == "firing"]
    if fires:
        worst = min(fires, key=lambda one: (LEVELS.index(one.level), one.since, one.id))
        fails = failures_around(session, viewer, incident, worst.version or 0)
        if fails.is_the_model:
            told = (
                f"{fails.of_model:,} of {fails.failed:,} failures are of the model itself, not of the gateway"
            )
            return Suspect("serving", name, "possible", told, 0.3, steps)
        return Suspect("serving", name, "likely", worst.title, 0.0, steps)
    lately = answers_lately(session, viewer, incident.model, incident.environment, over_at=incident.closed_at)
    share = lately.availability
    if share is None:
        return Suspect(
            "serving",
            name,
            "unknown",
            f"whether it answers is not known: {availability_words(lately)}",
            0.3,
            steps,
        )
    told = ", ".join(part for part in (availability_words(lately), latency_words(lately)) if part)
    if share < 0.999 or lately.is_slow:
        return Suspect("serving", name, "possible", told, 0.3, steps)
    if not lately.is_whole:
        seen = f"{told}; a gateway ran in {lately.observed_s // 60} of {lately.minutes} min"
        return Suspect("serving", name, "unknown", seen, 0.3, steps)
    return Suspect("serving", name, "ruled_out", told, 0.3, steps)


def _gateway(
    session: ReadSession, viewer: Actor, incident: Incident, alerts: Sequence[Alert], *, failing: int | None
) -> list[Suspect]:
    """What the gateways measured of versions and of themselves. Only what concerns answering requests makes one of them
    likely. `failing`: the version that is told as a cause already."""
    serving = incident.area == "serving" or any(one.source in ("slo", "gateway") for one in alerts)
    steps = (("The model", "model", {"model": incident.model}),)
    one_version = version_cause(session, viewer, incident, known=failing)
    told = [("version", one_version)] if one_version is not None else []
    told.append(("serving", batch_cause(session, viewer, incident)))
    told += [("serving", cause) for cause in gateway_causes(session, incident)]
    if not serving:
        told = [
            (kind, (name, "possible" if verdict == "likely" else verdict, evidence))
            for kind, (name, verdict, evidence) in told
        ]
    return _in_order(told, steps)


def _in_order(told: Sequence[tuple[str, Cause]], steps: Steps = ()) -> list[Suspect]:
    """Causes of serving as suspects, behind what is ranked by its own figures, in the order in which they are told."""
    return [
        Suspect(kind, name, verdict, evidence, 0.31 + number / 100, steps)
        for number, (kind, (name, verdict, evidence)) in enumerate(told)
    ]


def _edited(events: Sequence[Event]) -> Suspect:
    edits = [one for one in events if one.kind in _EDITS and one.level != "injected"]
    name = "a change of ours"
    if not edits:
        return Suspect("change", name, "ruled_out", "the log has no edit and no change in the two hours before it", 0.4)  # fmt: skip # noqa: E501
    last = edits[0]
    steps = ((last.text[:80], last.page, last.query),) if last.page else ()
    who = f" by {last.by}" if last.by else ""
    return Suspect("change", name, "possible", f"{last.text}{who}, {clock.to_words(last.at)}", 0.4, steps)


def _segment(incident: Incident, alerts: Sequence[Alert]) -> Suspect | None:
    segments = sorted({str(one.details["segment"]) for one in alerts if one.details.get("segment")})
    if not segments:
        return None
    whole = any(one.state == "firing" and not one.details.get("segment") for one in alerts)
    verdict = "possible" if whole else "likely"
    told = "what fires is about it" + (", and about all rows too" if whole else " alone")
    return Suspect("world", f"one segment: {', '.join(segments[:3])}", verdict, told, 0.6,
                   (("Slices", "slices", {"model": incident.model}),))  # fmt: skip


def _own_work(alerts: Sequence[Alert]) -> Suspect:
    fires = next((one for one in alerts if one.state == "firing"), None)
    told = fires.title if fires is not None else "nothing fires any more"
    return Suspect("serving", "Warrant's own work or the gateway", "likely" if fires else "unknown", told, 0.0,
                   (("Jobs", "jobs", {}),))  # fmt: skip


def _of_gateways(session: ReadSession, incident: Incident) -> list[Suspect]:
    """What the gateways measured of themselves, of one that is down for every model."""
    if incident.area != "serving":
        return []
    found = _in_order([("serving", cause) for cause in gateway_causes(session, incident)])
    return sorted(found, key=lambda one: (VERDICTS.index(one.verdict), one.rank))


def _silence(incident: Incident) -> tuple[str, str, dict[str, Any]]:
    """What mends it lies upstream and takes its time: the way to have it silent until worse meanwhile."""
    return "Silence it while its source is mended", "silences", {"model": incident.model}


def _about_data(alerts: Sequence[Alert]) -> bool:
    """Whether all that fires is about what comes in, which every version reads."""
    fires = [one for one in alerts if one.state == "firing"]
    return bool(fires) and all(one.kind in ("quality", "volume", "drift") for one in fires)


def _span(span: timedelta) -> str:
    minutes = max(span.total_seconds(), 0.0) / 60
    if minutes < 120:
        return f"{minutes:.0f} minutes"
    return f"{minutes / 60:.0f} hours" if minutes < 2880 else f"{minutes / 1440:.0f} days"
