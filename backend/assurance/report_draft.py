"""A draft of the report on a serious incident, as Markdown, filled from the record; blanks are for people."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import or_, select

from backend import clock
from backend.alerting.incidents import acknowledged_milder
from backend.alerting.service import get_incident, recent_alerts
from backend.assurance.inventory_tables import ModelFacts
from backend.assurance.serious import clock_state, clocks_of, snapshots_of
from backend.assurance.serious_tables import SeriousIncident
from backend.database.session import ReadSession
from backend.deployment.timeline import read_moment
from backend.errors import NotFound
from backend.governance.tables import Change
from backend.holds.tables import Hold
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.registry.service import get_model

BLANK = "*(to be written by a person)*"
MOST_ALERTS = 1_000


def report_draft(session: ReadSession, viewer: Actor, incident_id: int) -> str:
    """Markdown with every fact that the record holds, each with its time, and blanks where judgement is asked for."""
    incident = get_incident(session, viewer, incident_id)
    marked = session.get(SeriousIncident, incident_id)
    if marked is None:
        raise NotFound(f"INC-{incident_id} was not marked serious; there is nothing to report on")
    model, facts = get_model(session, viewer, incident.model), session.get(ModelFacts, incident.model)
    changes = session.scalars(
        select(Change)
        .where(Change.model == model.name, Change.environment == incident.environment)
        .where(or_(Change.finished_at.is_(None), Change.finished_at >= incident.opened_at))
        .order_by(Change.id)
    ).all()
    holds = session.scalars(select(Hold).where(Hold.incident_id == incident_id).order_by(Hold.id)).all()
    alerts = recent_alerts(session, viewer, incident_id=incident_id, limit=MOST_ALERTS + 1)[::-1]
    names = names_of(session, {marked.marked_by, model.owner_id, *(one.requested_by for one in changes)})
    now = clock.now()
    lines = [
        f"# Draft report: INC-{incident_id}, {_text(incident.title)}", "",
        f"Filled from the record at {_time(now)}. What a person has to judge is marked; nothing here has been sent to "
        "anybody.", "",
        "## What and who", "",
        f"- Model: {_text(model.title)} (`{model.name}`), tier {model.tier}, in {incident.environment}",
        f"- Purpose: {_text(facts.purpose) if facts and facts.purpose else BLANK}",
        f"- Owner: {_text(names.get(model.owner_id or '', '')) or BLANK}",
        f"- Marked serious by {_text(names[marked.marked_by])} at {_time(marked.marked_at)}: {_text(marked.why)}",
        f"- Aware since {_time(marked.aware_at)}",
        f"- Persons affected, harm, and where: {BLANK}", "",
        "## Time limits", "",
        *(
            f"- {_text(one.title)}: {one.days:g} days from {_time(one.starts_at)}, until {_time(one.due_at)} "
            f"({clock_state(one, now)}; {_text(one.source)})"
            for one in clocks_of(session, viewer, incident_id)
        ), "",
        "## What was seen", "",
        *(
            [f"- earlier alerts than these newest {MOST_ALERTS:,}: not listed here"]
            if len(alerts) > MOST_ALERTS
            else []
        ),
        *(
            f"- {_time(one.fired_at)}: {_text(one.title)} ({one.level}, version {one.version}, "
            f"since {_time(one.since)})"
            for one in alerts[-MOST_ALERTS:]
        ), "",
        "## What served", "", *_served(session, viewer, incident.model, incident.environment, incident.opened_at), "",
        "## What was done", "",
        f"- {_time(incident.acknowledged_at)}: acknowledged"
        if incident.acknowledged_at
        else f"- {acknowledged_milder(incident) or 'not acknowledged'}",
        *(
            f"- {_time(one.requested_at)}: CHG-{one.id}, {_text(one.summary)}, asked for by "
            f"{_text(names[one.requested_by])}: {one.state}"
            + (f" at {_time(one.finished_at)}" if one.finished_at else "")
            for one in changes
        ),
        f"- {_time(incident.closed_at)}: closed, {_text(incident.closed_because)}" if incident.closed_at else
        "- the incident is open", "",
        "## Cause and correction", "", BLANK, "",
        "## What is kept", "",
        *(
            f"- {one.kind} {_text(one.object_id)}: held since {_time(one.placed_at)}"
            + (f", released {_time(one.released_at)}" if one.released_at else "")
            for one in holds
        ),
        *(
            f"- state at {_time(one.taken_at)}"
            + (f", before CHG-{one.change_id}" if one.change_id else ", when it was marked") + f": `{one.digest}`"
            for one in snapshots_of(session, viewer, incident_id)
        ), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _served(session: ReadSession, viewer: Actor, model: str, environment: str, at: datetime) -> list[str]:
    moment: dict[str, Any] = read_moment(session, viewer, model, environment, at)
    served = moment.get("served") or []
    return [
        f"- version {one['version']} as {one['role']} when it was opened, {_time(at)}" for one in served
    ] or ["- nothing, by the record"]  # fmt: skip


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "never"


def _text(text: str) -> str:
    """People's words on one line, without marks that Markdown or HTML would take for their own."""
    plain = " ".join(text.split())
    return "".join(f"\\{char}" if char in r"\`*_[]<>#|!" else char for char in plain)
