"""Alerts, incidents and silences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from backend.alerting import handling
from backend.alerting.brief import Brief, read_brief
from backend.alerting.false_alarms import Wrong, false_alarms_said
from backend.alerting.incident_list import Wanted, list_incidents
from backend.alerting.incidents import asks_again
from backend.alerting.muting import Mute, muting_now, shown_state
from backend.alerting.report import report_markdown, report_pdf
from backend.alerting.runbook import StepDone, mark_step, steps_offered
from backend.alerting.service import (
    acknowledge,
    close_by_hand,
    firing_alerts,
)
from backend.alerting.silences import Matchers, end_silence, list_silences, matchers_of, silence
from backend.alerting.tables import Alert, Incident, IncidentEntry, Silence
from backend.alerting.timeline import timeline
from backend.api.idempotency import body_of, once
from backend.api.pages import Part
from backend.api.parameters import RowId, ZonedMoment
from backend.api.security import current_actor
from backend.database.session import reading
from backend.identity.actor import Actor
from backend.settings import settings

router = APIRouter(tags=["incidents"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]
Why = Annotated[str, Field(max_length=4000)]


def alert_document(alert: Alert, mute: Mute | None = None) -> dict[str, Any]:
    """`state` is suppressed where something mutes an alert that fires; `muted_by` says what."""
    muted = None if mute is None else {"by": mute.by, "id": mute.id, "text": mute.text, "until": mute.until}
    return {
        "id": alert.id, "fingerprint": alert.fingerprint, "model": alert.model, "environment": alert.environment,
        "version": alert.version, "source": alert.source, "kind": alert.kind, "level": alert.level,
        "state": shown_state(alert, mute), "title": alert.title, "details": alert.details, "since": alert.since,
        "fired_at": alert.fired_at, "last_seen_at": alert.last_seen_at, "resolved_at": alert.resolved_at,
        "unknown_since": alert.unknown_since, "held_until": alert.held_until, "incident_id": alert.incident_id,
        "muted_by": muted,
    }  # fmt: skip


def incident_document(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id, "model": incident.model, "environment": incident.environment, "state": incident.state,
        "phase": incident.phase, "severity": incident.severity, "area": incident.area, "title": incident.title,
        "opened_at": incident.opened_at, "acknowledged_at": incident.acknowledged_at,
        "acknowledged_by": incident.acknowledged_by, "acknowledged_there": incident.acknowledged_there,
        "acknowledged_severity": incident.acknowledged_severity, "asks_again": asks_again(incident),
        "assigned_to": incident.assigned_to,
        "mitigated_at": incident.mitigated_at, "mitigated_by_change": incident.mitigated_by_change,
        "reopens_at": incident.reopens_at, "relapsed_at": incident.relapsed_at, "closed_at": incident.closed_at,
        "closed_by_change": incident.closed_by_change, "closed_because": incident.closed_because,
        "cause": incident.cause, "merged_into": incident.merged_into,
    }  # fmt: skip


def silence_document(row: Silence) -> dict[str, Any]:
    given = matchers_of(row)
    return {
        "id": row.id, "purpose": row.purpose, "matchers": {name: getattr(given, name) for name in MatcherFields},
        "until_worse": row.until_worse, "comment": row.comment, "author": row.author, "starts_at": row.starts_at,
        "ends_at": row.ends_at, "ended_at": row.ended_at, "ended_because": row.ended_because,
    }  # fmt: skip


MatcherFields = ("model", "environment", "kind", "column", "fingerprint")


@router.get("/alerts")
def alerts(
    actor: Caller, model: Annotated[str | None, Query(max_length=200)] = None,
    offset: Annotated[int, Query(ge=0, lt=2**31)] = 0, limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:  # fmt: skip
    """What fires now, worst first, with what mutes each. Pass `next` as `offset`."""
    with reading() as session:
        models = None if model is None else [model]
        found = firing_alerts(session, actor, models=models, offset=offset, limit=limit + 1)
        muting = muting_now(session)
        return {
            "alerts": [alert_document(alert, muting.of(alert)) for alert in found[:limit]],
            "next": offset + limit if len(found) > limit else None,
        }


@router.get("/incidents")
def incidents(
    actor: Caller,
    model: Annotated[str | None, Query(max_length=200)] = None,
    state: Literal["open", "closed"] | None = None,
    severity: Annotated[int | None, Query(ge=1, le=4)] = None,
    mine: Annotated[bool, Query(description="those that the caller was given or acknowledged")] = False,
    nobodys: Annotated[bool, Query(description="those that nobody was given or acknowledged")] = False,
    offset: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> dict[str, Any]:  # fmt: skip
    """Those that are open, the gravest first, then those that are over, the newest first. Pass `next` as `offset`."""
    wanted = Wanted(state, severity, model, mine=mine, nobodys=nobodys)
    with reading() as session:
        found = list_incidents(session, actor, wanted, limit=limit, offset=offset)
        return {
            "incidents": [incident_document(one) for one in found.incidents],
            "open": found.open,
            "closed": found.closed,
            "next": offset + limit if found.total > offset + limit else None,
        }


@router.get("/incidents/{incident_id}")
def incident(actor: Caller, incident_id: RowId) -> dict[str, Any]:
    """One incident as its page has it: sentence, impact, alerts, ranked causes, what changed, what one can do."""
    with reading() as session:
        return _brief(read_brief(session, actor, incident_id))


@router.get("/incidents/{incident_id}/timeline")
def incident_timeline(actor: Caller, incident_id: RowId) -> dict[str, Any]:
    with reading() as session:
        return {"events": [one.document() for one in timeline(session, actor, incident_id)]}


@router.get("/incidents/{incident_id}/report")
def incident_report(actor: Caller, incident_id: RowId, form: Literal["md", "pdf"] = "md") -> Response:
    """The post-incident report, as Markdown or PDF."""
    with reading() as session:
        if form == "pdf":
            return Response(report_pdf(session, actor, incident_id), media_type="application/pdf")
        return PlainTextResponse(report_markdown(session, actor, incident_id), media_type="text/markdown")


class OpeningRequest(BaseModel):
    model: str = Field("", max_length=200)
    title: str = Field(max_length=300)
    severity: int | None = Field(None, ge=1, le=4)
    area: str = Field("model", max_length=40)


@router.post("/incidents", status_code=201)
def opening(request: Request, actor: Caller, body: Body, asked: OpeningRequest) -> Response:
    """Open one by hand. `model` empty: about the whole installation."""
    return once(
        request, actor, body,
        lambda session: incident_document(
            handling.open_incident(
                session, actor, model=asked.model, environment=settings().environment, title=asked.title,
                severity=asked.severity, area=asked.area,
            )
        ),
        status=201,
    )  # fmt: skip


@router.post("/incidents/{incident_id}/acknowledgement", status_code=201)
def acknowledgement(request: Request, actor: Caller, body: Body, incident_id: RowId) -> Response:
    return once(
        request, actor, body, lambda session: incident_document(acknowledge(session, actor, incident_id)),
        status=201,
    )  # fmt: skip


class ClosureRequest(BaseModel):
    why: Why
    cause: str = Field("unknown", max_length=40)


@router.post("/incidents/{incident_id}/closure", status_code=201)
def closure(
    request: Request, actor: Caller, body: Body, incident_id: RowId, closing: ClosureRequest
) -> Response:
    """Resolve an incident under which nothing fires any more, with its cause."""
    return once(
        request, actor, body,
        lambda session: incident_document(
            close_by_hand(session, actor, incident_id, why=closing.why, cause=closing.cause)
        ),
        status=201,
    )  # fmt: skip


class AssignmentRequest(BaseModel):
    username: str = Field("", max_length=200)


@router.post("/incidents/{incident_id}/assignment", status_code=201)
def assignment(
    request: Request, actor: Caller, body: Body, incident_id: RowId, asked: AssignmentRequest
) -> Response:
    """Give it to a person by user name; empty: to nobody."""
    return once(
        request, actor, body,
        lambda session: incident_document(handling.assign(session, actor, incident_id, username=asked.username)),
        status=201,
    )  # fmt: skip


class NoteRequest(BaseModel):
    text: Why
    address: str = Field("", max_length=2000)


@router.post("/incidents/{incident_id}/notes", status_code=201)
def note(request: Request, actor: Caller, body: Body, incident_id: RowId, asked: NoteRequest) -> Response:
    """A note; with `address` a link to something outside."""
    if asked.address:
        return once(
            request, actor, body,
            lambda session: _entry(
                handling.add_link(session, actor, incident_id, address=asked.address, text=asked.text)
            ),
            status=201,
        )  # fmt: skip
    return once(
        request, actor, body,
        lambda session: _entry(handling.add_note(session, actor, incident_id, text=asked.text)), status=201,
    )  # fmt: skip


class StepRequest(BaseModel):
    step: str = Field(max_length=200, description="its words, as `steps` of a cause has them")
    done: bool = True


@router.post("/incidents/{incident_id}/steps", status_code=201)
def step(request: Request, actor: Caller, body: Body, incident_id: RowId, asked: StepRequest) -> Response:
    """Mark a runbook step as done, or as not done; answers with every step that is."""
    return once(
        request, actor, body,
        lambda session: {
            "done": _done(mark_step(session, actor, incident_id, step=asked.step, done=asked.done))
        },
        status=201,
    )  # fmt: skip


class SeverityRequest(BaseModel):
    severity: int = Field(ge=1, le=4)
    why: Why


@router.post("/incidents/{incident_id}/severity", status_code=201)
def severity(
    request: Request, actor: Caller, body: Body, incident_id: RowId, asked: SeverityRequest
) -> Response:
    return once(
        request, actor, body,
        lambda session: incident_document(
            handling.set_severity(session, actor, incident_id, severity=asked.severity, why=asked.why)
        ),
        status=201,
    )  # fmt: skip


class WhyRequest(BaseModel):
    why: Why


@router.post("/incidents/{incident_id}/mitigation", status_code=201)
def mitigation(
    request: Request, actor: Caller, body: Body, incident_id: RowId, asked: WhyRequest
) -> Response:
    """The harm has stopped, the cause is not mended."""
    return once(
        request, actor, body,
        lambda session: incident_document(handling.mitigate(session, actor, incident_id, how=asked.why)),
        status=201,
    )  # fmt: skip


@router.post("/incidents/{incident_id}/false-alarm", status_code=201)
def false_alarm(
    request: Request, actor: Caller, body: Body, incident_id: RowId, asked: WhyRequest
) -> Response:
    """Nothing was wrong: close it, count it against its monitors, silence what fires until it gets worse."""
    return once(
        request, actor, body,
        lambda session: incident_document(handling.mark_false_alarm(session, actor, incident_id, why=asked.why)),
        status=201,
    )  # fmt: skip


class MergeRequest(BaseModel):
    into: int = Field(ge=1, lt=2**63)


@router.post("/incidents/{incident_id}/merge", status_code=201)
def merging(request: Request, actor: Caller, body: Body, incident_id: RowId, asked: MergeRequest) -> Response:
    """Its alerts go to the incident `into`, which is the answer."""
    return once(
        request, actor, body,
        lambda session: incident_document(handling.merge(session, actor, incident_id, into=asked.into)),
        status=201,
    )  # fmt: skip


class SilenceRequest(BaseModel):
    model: str | None = Field(None, max_length=200)
    environment: str | None = Field(None, max_length=200)
    kind: str | None = Field(None, max_length=200)
    column: str | None = Field(None, max_length=500)
    fingerprint: str | None = Field(None, max_length=1000)
    comment: str = Field(max_length=2000)
    until: ZonedMoment | None = None
    until_worse: bool = False
    starts_at: ZonedMoment | None = None
    purpose: Literal["silence", "maintenance"] = "silence"


@router.get("/silences")
def silences(actor: Caller, part: Part, model: str | None = None, over: bool = False) -> dict[str, Any]:
    """Those that hold or will; with `over` past ones too."""
    with reading() as session:
        found = list_silences(session, actor, model=model, over=over, **part.more)
        return part.answer("silences", found, silence_document)


@router.post("/silences", status_code=201)
def silencing(request: Request, actor: Caller, body: Body, asked: SilenceRequest) -> Response:
    """Mute what fits every matcher given, to an end: `until`, or `until_worse` (8 hours at most)."""
    given = Matchers(**{name: getattr(asked, name) or None for name in MatcherFields})
    return once(
        request, actor, body,
        lambda session: silence_document(
            silence(
                session, actor, matchers=given, comment=asked.comment, until=asked.until,
                until_worse=asked.until_worse, starts_at=asked.starts_at, purpose=asked.purpose,
            )
        ),
        status=201,
    )  # fmt: skip


@router.post("/silences/{silence_id}/end", status_code=201)
def ending(request: Request, actor: Caller, body: Body, silence_id: RowId, asked: WhyRequest) -> Response:
    return once(
        request, actor, body,
        lambda session: silence_document(end_silence(session, actor, silence_id, why=asked.why)), status=201,
    )  # fmt: skip


@router.get("/models/{model}/false-alarms")
def false_alarms(actor: Caller, model: str, part: Part) -> dict[str, Any]:
    """How often people called alerts of each monitor false, within 90 days."""
    with reading() as session:
        found = false_alarms_said(session, actor, model, settings().environment, **part.more)
        return part.answer("monitors", found, _wrong)


def _wrong(one: Wrong) -> dict[str, Any]:
    return {
        "kind": one.kind, "fingerprint": one.fingerprint, "fired": one.fired, "false": one.false,
        "false_pages": one.pages,
    }  # fmt: skip


def _entry(row: IncidentEntry) -> dict[str, Any]:
    return {"id": row.id, "incident_id": row.incident_id, "at": row.at, "kind": row.kind, "text": row.text}


def _done(found: Mapping[str, StepDone]) -> list[dict[str, Any]]:
    return [{"step": step, "by": one.by, "at": one.at} for step, one in found.items()]


def _brief(brief: Brief) -> dict[str, Any]:
    return incident_document(brief.incident) | {
        "read_at": brief.at, "began": brief.began, "sentence": brief.sentence,
        "impact": [{"what": what, "told": told} for what, told in brief.impact],
        "alerts": [alert_document(one, brief.mutes.get(one.id)) for one in brief.alerts],
        "causes": [
            {"cause": one.kind, "name": one.name, "verdict": one.verdict, "evidence": one.evidence,
             "steps": steps_offered([one])}
            for one in brief.suspects
        ],
        "steps_done": _done(brief.done),
        "changed": [one.document() for one in brief.changed],
        "answers": [
            {"name": one.name, "points": [{"at": at, "value": value} for at, value, *_ in one.points]}
            for one in brief.answers
        ],
        "actions": [
            {"act": one.act, "label": one.label, "helps": one.helps, "refused": one.refused or None,
             "digest": one.digest or None}
            for one in brief.offers
        ],
        "can_approve": list(brief.deciders),
        "similar": [incident_document(one.incident) | {"shared_alerts": one.shared} for one in brief.similar],
    }  # fmt: skip
