"""What people vouched for, what they found wrong, and what became of incidents."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select

from backend import clock
from backend.alerting.tables import Incident, IncidentEntry
from backend.assurance.as_of import UNKNOWN
from backend.assurance.serious_tables import SeriousClock, SeriousIncident
from backend.assurance.tables import Finding, PolicyException, Validation
from backend.assurance.validations import OUTCOMES
from backend.controls.evidence import Evidence, Link, Question
from backend.controls.queries.answers import (
    aged,
    change_link,
    count,
    missing,
    model_link,
    not_shown,
    utc,
)
from backend.controls.queries.registry import query
from backend.controls.queries.versions import house


def _incident(number: int) -> Link:
    return Link("incident", str(number), f"INC-{number}")


@query("validation", "Independent validation of the version")
def validation(asked: Question, *, max_age_days: float = 730) -> Evidence:
    """The newest validation that covers the version, by somebody who neither built nor owns the model, with its report
    and its conditions."""
    wanted = select(Validation).where(Validation.model == asked.name, Validation.recorded_at <= asked.at)
    if asked.version is not None:
        wanted = wanted.where((Validation.version == asked.version) | Validation.version.is_(None))
    found = asked.session.scalars(wanted.order_by(Validation.id.desc()).limit(1)).first()
    if found is None:
        return missing(f"nobody has validated {asked.subject}", model_link(asked.name))
    links = (Link("validation", str(found.id), f"VAL-{found.id}"),)
    told, mark = f"VAL-{found.id} found it {OUTCOMES[found.outcome]}", f"VAL-{found.id} {found.report}"
    if found.outcome == "not_fit":
        return Evidence("contradicted", told, found.recorded_at, links, mark)
    lapsed = [
        one for one in found.conditions if one.due_at <= asked.at and (one.met_at is None or one.met_at > asked.at)
    ]  # fmt: skip
    if lapsed:
        told = f"{told}, and {count(len(lapsed), 'condition')} lapsed: {lapsed[0].text[:120]}"
        return Evidence("contradicted", told, found.recorded_at, links, mark)
    if found.next_review_at is not None and found.next_review_at <= asked.at:
        told = f"{told}, and is to be repeated since {utc(found.next_review_at)}"
        return Evidence("stale", told, found.recorded_at, links, mark)
    return aged(
        asked, found.recorded_at, max_age_days, f"{told} on {utc(found.recorded_at)}", links=links, mark=mark
    )  # fmt: skip


@query("findings_followed", "Findings are followed up in time")
def findings_followed(asked: Question) -> Evidence:
    """What people found wrong with the model: overdue ones speak against it. That nobody ever recorded one shows
    nothing."""
    ever = asked.session.execute(
        select(func.count(), func.max(Finding.opened_at)).where(
            Finding.model == asked.name, Finding.opened_at <= asked.at
        )
    ).one()
    if not ever[0]:
        return not_shown("nobody has recorded a finding about it, which does not show that there is none")
    unsettled = [one for one in house(asked).findings if one.model == asked.name]
    if any(UNKNOWN in (one.due, one.severity) for one in unsettled):
        return not_shown(f"when findings were due on {utc(asked.at)} was erased from the log")
    overdue = [one for one in unsettled if one.due < asked.at.strftime("%Y-%m-%dT%H:%M:%S")]
    links = tuple(Link("finding", str(one.id), f"FND-{one.id}") for one in (overdue or unsettled)[:10])
    mark = ",".join(f"{one.id}:{one.state}" for one in unsettled)
    if overdue:
        high = sum(one.severity == "high" for one in overdue)
        told = f"{count(len(overdue), 'finding')} overdue, {high} of them high: {overdue[0].title}"
        return Evidence("contradicted" if high else "stale", told, ever[1], links, mark)
    told = f"{count(ever[0], 'finding')} recorded, {len(unsettled)} not closed, none of them overdue"
    return Evidence("present", told, ever[1], links, mark)


@query("exceptions", "No exception from a gate is in force")
def exceptions(asked: Question) -> Evidence:
    """Leave for the model not to pass a gate speaks against what that gate is to show."""
    granted = asked.session.scalars(
        select(PolicyException).where(
            PolicyException.model == asked.name, PolicyException.decided_at <= asked.at,
            PolicyException.expires_at > asked.at, PolicyException.state.in_(("granted", "ended")),
            (PolicyException.ended_at.is_(None)) | (PolicyException.ended_at > asked.at),
        )
    ).all()  # fmt: skip
    if granted:
        links = tuple(Link("exception", str(one.id), f"EXC-{one.id}") for one in granted)
        told = "; ".join(
            f"EXC-{one.id} from {one.gate.replace('_', ' ')} until {utc(one.expires_at)}"
            for one in granted[:3]
        )
        return Evidence(
            "contradicted", told, granted[0].decided_at, links, ",".join(str(one.id) for one in granted)
        )
    return Evidence("present", "no exception from a gate is in force", asked.at, (model_link(asked.name),))


@query("incidents_handled", "Incidents are taken on within {within_hours} hours")
def incidents_handled(asked: Question, *, within_hours: float = 24, days: float = 365) -> Evidence:
    """Incidents of the last days: whether somebody took each on in time. Without one there is nothing to see."""
    rows = asked.session.scalars(
        select(Incident)
        .where(
            Incident.model == asked.name, Incident.environment == asked.environment,
            Incident.opened_at <= asked.at, Incident.opened_at > asked.at - timedelta(days=days),
        )
        .order_by(Incident.opened_at.desc())
    ).all()  # fmt: skip
    if not rows:
        return not_shown(
            f"no incident was opened in the {days:g} days before, so nothing shows how one is handled"
        )
    allowed = timedelta(hours=within_hours)
    first = _first_acknowledged(asked, [one.id for one in rows])
    late = [
        one
        for one in rows
        if min(filter(None, (first.get(one.id), one.closed_at, asked.at))) - one.opened_at > allowed
    ]
    newest = rows[0].opened_at
    links = tuple(_incident(one.id) for one in (late or rows)[:10])
    mark = ",".join(str(one.id) for one in late)
    if late:
        told = f"{len(late)} of {count(len(rows), 'incident')} waited longer than {within_hours:g} hours for a person"
        return Evidence("contradicted", told, newest, links, mark)
    told = f"{count(len(rows), 'incident')} in {days:g} days, each taken on or over within {within_hours:g} hours"
    return Evidence("present", told, newest, links, mark)


def _first_acknowledged(asked: Question, incidents: list[int]) -> dict[int, datetime]:
    """When a person first took each on; one that grew graver since asks again, and was not late for that."""
    found = asked.session.execute(
        select(IncidentEntry.incident_id, func.min(IncidentEntry.at))
        .where(IncidentEntry.kind == "acknowledged", IncidentEntry.incident_id.in_(incidents))
        .group_by(IncidentEntry.incident_id)
    )
    return {incident: at for incident, at in found}  # noqa: C416 - rows, not tuples, to mypy


@query("serious_clocks", "Clocks of serious incidents are met")
def serious_clocks(asked: Question) -> Evidence:
    """Incidents that people marked as serious, and whether each clock was met in time."""
    rows = asked.session.execute(
        select(SeriousIncident, Incident)
        .join(Incident, Incident.id == SeriousIncident.incident_id)
        .where(Incident.model == asked.name, SeriousIncident.marked_at <= asked.at)
        .order_by(SeriousIncident.marked_at.desc())
    ).all()
    if not rows:
        return not_shown(
            "no incident was marked as serious; whether one should have been, a person has to say"
        )
    numbers = [incident.id for _, incident in rows]
    clocks = asked.session.scalars(
        select(SeriousClock).where(SeriousClock.incident_id.in_(numbers)).order_by(SeriousClock.due_at)
    ).all()
    at, links = rows[0][0].marked_at, tuple(_incident(number) for number in numbers[:10])

    def met_by(one: SeriousClock) -> bool:
        return one.met_at is not None and one.met_at <= asked.at

    def due(one: SeriousClock) -> datetime:
        """As it was set on that day: setting it anew later does not alter the past."""
        later = (each for each in one.earlier if clock.from_iso(each["until"]) > asked.at)
        moved = next(later, None)
        return clock.from_iso(moved["due_at"]) if moved is not None else one.due_at

    over = [one for one in clocks if due(one) <= asked.at and not met_by(one)]
    late = [one for one in clocks if one.met_at is not None and met_by(one) and one.met_at > due(one)]
    anew = [
        (one, clock.from_iso(each["due_at"]))
        for one in clocks
        for each in one.earlier
        if each["was_over"] and clock.from_iso(each["until"]) <= asked.at
    ]
    mark = f"{','.join(map(str, numbers))} {len(over)} {len(late)}" + (f" {len(anew)}" if anew else "")
    if over:
        told = f"INC-{over[0].incident_id}: {over[0].title} was due {utc(due(over[0]))} and is not met"
        return Evidence("contradicted", told, at, links, mark)
    if anew:
        one, first = anew[0]
        told = f"INC-{one.incident_id}: {one.title} was over {utc(first)}, and was set anew after that"
        return Evidence("contradicted", told, at, links, mark)
    if late:
        told = f"INC-{late[0].incident_id}: {late[0].title} was met after its day, {utc(due(late[0]))}"
        return Evidence("contradicted", told, at, links, mark)
    bare = sorted(set(numbers) - {one.incident_id for one in clocks})
    if bare:
        return missing(
            f"no clock runs or ran for INC-{bare[0]}, which is marked as serious", _incident(bare[0])
        )
    running = [one for one in clocks if not met_by(one)]
    told = (
        f"{count(len(numbers), 'incident')} serious; {len(clocks) - len(running)} of {len(clocks)} clocks met"
    )
    if running:
        told += f", the next is due {utc(min(map(due, running)))}"
    return Evidence("present", told, at, links, mark)


@query("alerts_reach_people", "Incidents lead to changes or reasons")
def alerts_reach_people(asked: Question, *, days: float = 365) -> Evidence:
    """How incidents of the last days were closed: by a change, or with a reason."""
    rows = asked.session.scalars(
        select(Incident)
        .where(
            Incident.model == asked.name, Incident.closed_at.is_not(None), Incident.closed_at <= asked.at,
            Incident.closed_at > asked.at - timedelta(days=days),
        )
        .order_by(Incident.closed_at.desc())
    ).all()  # fmt: skip
    if not rows:
        return not_shown(f"no incident was closed in the {days:g} days before")
    bare = [one for one in rows if one.closed_by_change is None and not one.closed_because.strip()]
    if bare:
        told = f"{len(bare)} of {count(len(rows), 'incident')} closed without a change or a reason"
        return missing(told, *(_incident(one.id) for one in bare[:10]))
    by_change = [one.closed_by_change for one in rows if one.closed_by_change is not None]
    links = (*(_incident(one.id) for one in rows[:5]), *(change_link(one) for one in by_change[:5]))
    told = f"{count(len(rows), 'incident')} closed, {len(by_change)} of them by a change"
    return Evidence("present", told, rows[0].closed_at, links)
