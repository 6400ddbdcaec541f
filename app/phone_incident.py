"""What `/i/INCIDENT` shows and what its forms do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from app.components.links import href
from app.formats import format_age, format_utc
from app.phone_forms import Typed, require_row
from app.plain_figure import figure_svg
from app.words import ALERT_LEVELS, count_of, readable
from backend.alerting import handling
from backend.alerting.actions_offered import Offer
from backend.alerting.brief import Brief, Similar, read_brief
from backend.alerting.incidents import asks_again, on_it
from backend.alerting.phases import CAUSES, WORDS
from backend.alerting.report import report_markdown, report_pdf
from backend.alerting.runbook import StepDone, mark_step, steps_offered
from backend.alerting.service import acknowledge, close_by_hand
from backend.alerting.suspects import Suspect
from backend.alerting.tables import Alert
from backend.alerting.timeline import Event
from backend.database.session import ReadSession, WriteSession, reading, writing
from backend.errors import BadInput, NotFound
from backend.governance.asking import request_change
from backend.governance.kinds import Asked
from backend.governance.urgent import take_way_back
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.identity.sessions import SignedIn
from backend.monitoring.page_points import Series
from backend.notifications.contacts import contacts_path
from backend.notifications.messages import clipped
from backend.notifications.rotas import now_on_call
from backend.notifications.service import recent_notices, sending_state

_ASKS: Final = {"silence": "Why it may be silent", "way_back": "Why", "rollback": "Why"}
_BUTTONS: Final = {
    "acknowledge": "Acknowledge", "silence": "Silence until worse", "way_back": "Go back now",
    "rollback": "Ask to return",
}  # fmt: skip
LONGEST_QUOTE: Final = (
    200  # characters of what people wrote elsewhere: the page stays small, and the whole is a link away
)
_SUSPECT_LEVELS: Final = {
    "likely": "page",
    "possible": "attention",
    "unknown": "unknown",
    "ruled_out": "settled",
}
_STATE_LEVELS: Final = {
    "pending": "unknown",
    "suppressed": "unknown",
    "no_data": "unknown",
    "resolved": "settled",
}
_MORE: Final = (
    ("step", "Mark the step done", ""),
    ("note", "Write a note", "Note"), ("mitigate", "Mark mitigated", "How the harm was stopped"),
    ("resolve", "Resolve", "What it was, and what mended it"),
    ("false_alarm", "Mark a false alarm", "Why nothing was wrong; its alerts are silenced until worse"),
)  # fmt: skip


def show(found: SignedIn, number: int) -> Mapping[str, Any]:
    with reading() as session:
        context = context_of(read_brief(session, found.actor, number), found.actor)
        return context | {"told": told_words(session, found.actor, number), "on_call": on_call_words(session)}


def told_words(session: ReadSession, viewer: Actor, number: int) -> str:
    """The channels that were told, each with when; empty where the viewer may not know."""
    if not viewer.may(Permission.READ_JOBS):
        return ""
    unsent = sending_state(session, viewer).problem if contacts_path() is not None else ""
    last = {one.channel: one for one in reversed(recent_notices(session, viewer, incident_id=number))}
    said = [
        f"{name} {format_utc(one.sent_at)}"
        if one.sent_at
        else f"{name} not yet: {one.problem or unsent or 'it is on its way'}"
        for name, one in sorted(last.items())
    ]
    return "; ".join([*(said or ["nobody"]), *([unsent] if unsent else [])])


def on_call_words(session: ReadSession) -> str:
    """Who the rotas name now; empty without rotas."""
    return "; ".join(
        f"{', '.join(one.people) or one.problem or 'nobody'} ({one.rota})" for one in now_on_call(session)
    )


def context_of(brief: Brief, viewer: Actor) -> dict[str, Any]:
    one = brief.incident
    is_open = one.state == "open"
    grave = "page" if one.severity <= 2 else "attention"
    firing = bool(brief.firing)
    marks = [(event.at, clipped(event.text, LONGEST_QUOTE)) for event in reversed(brief.changed)][-8:]
    first = min((at for one in brief.answers for at, *_ in one.points), default=brief.at)
    answer_marks = [
        one for one in [*marks, (brief.incident.opened_at, "the incident was opened")] if one[0] >= first
    ]
    return {
        "ref": f"INC-{one.id}", "title": readable(one.title), "model": one.model or "installation",
        "environment": one.environment, "severity": one.severity, "sentence": readable(brief.sentence),
        "level": (grave if firing else "attention") if is_open else "settled", "state": WORDS[one.phase],
        "age": f"open for {format_age(one.opened_at)}" if is_open else f"lasted {format_age((one.closed_at or brief.at) - one.opened_at)}",  # noqa: E501
        "over": None if is_open else {"what": WORDS[one.phase].capitalize(), "at": format_utc(one.closed_at),
                                      "why": one.closed_because},
        "impact": [(what, readable(told)) for what, told in brief.impact],
        "alerts": [_alert(brief, alert) for alert in brief.alerts[:20]],
        "merged_into": one.merged_into,
        "more_alerts": max(brief.tally.total - 20, 0), "firing": brief.tally.fires,
        "suspects": [_suspect(suspect, brief.done) for suspect in brief.suspects],
        "changed": [_event(event) for event in brief.changed[:15]],
        "figure": figure_svg([series._replace(name=readable(series.name)) for series in brief.series], marks),
        "answers": figure_svg(_shown(brief.answers), answer_marks), "close_up": one.area == "serving",
        "answer_marks": [f"{format_utc(at)} {text}" for at, text in answer_marks],
        "marks": [f"{format_utc(at)} {text}" for at, text in marks],
        "offers": [_offer(offer, first=index == 0) for index, offer in enumerate(brief.offers)],
        "more": _more(brief, viewer),
        "on_it": on_it(one, brief.names) or "nobody", "asks_again": asks_again(one),
        "assigned": brief.names.get(one.assigned_to or "", "nobody"),
        "deciders": ", ".join(brief.deciders[:12]) or "nobody",
        "similar": [_similar(past) for past in brief.similar],
        "full": href("incident", id=str(one.id)), "read_at": format_utc(brief.at),
    }  # fmt: skip


def act(found: SignedIn, number: int, typed: Typed) -> str:
    """Do what the form asks and say where to go. Raises what the services raise."""
    with writing() as session:
        return _act(session, found.actor, number, typed)


def _act(session: WriteSession, actor: Actor, number: int, typed: Typed) -> str:
    here = f"/i/{number}?done={typed.act}"
    if typed.act == "acknowledge":
        acknowledge(session, actor, number)
    elif typed.act == "silence":
        handling.silence_incident(session, actor, number, comment=typed.why)
    elif typed.act == "note":
        handling.add_note(session, actor, number, text=typed.why)
    elif typed.act == "step":
        mark_step(session, actor, number, step=typed.get("step"))
    elif typed.act == "mitigate":
        handling.mitigate(session, actor, number, how=typed.why)
    elif typed.act == "resolve":
        close_by_hand(session, actor, number, why=typed.why, cause=typed.get("cause") or "unknown")
    elif typed.act == "false_alarm":
        handling.mark_false_alarm(session, actor, number, why=typed.why)
    elif typed.act in ("way_back", "rollback"):
        return f"/c/{_return(session, actor, number, typed)}?done={'asked' if typed.act == 'rollback' else 'way_back'}"
    else:
        raise BadInput(f"{typed.act!r} is nothing that this page can do")
    return here


def _return(session: WriteSession, actor: Actor, number: int, typed: Typed) -> int:
    """Ask for, or take, the return that was shown; the change carries the incident, by its alert where it has one."""
    incident = handling.get_incident(session, actor, number)
    alert = typed.number("alert")
    if typed.act == "way_back":
        way = typed.number("object_id")
        if way is None:
            raise BadInput("the form names no agreed return; open the page again")
        return take_way_back(
            session, actor, way, reason=typed.why, seen_digest=typed.get("digest"), alert_id=alert,
            incident_id=number,
        ).id  # fmt: skip
    asked = Asked("rollback", incident.environment, incident.model, alert_id=alert, incident_id=number)
    return request_change(session, actor, asked, reason=typed.why, seen_digest=typed.get("digest")).id


def send_report(request: Request, viewer: Actor) -> Response:
    """The post-incident report, as Markdown or PDF."""
    number, form = request.path_params["number"], request.path_params["form"]
    if form not in ("md", "pdf"):
        raise NotFound(f"a report is md or pdf, not {form[:20]!r}")
    require_row(number)
    with reading() as session:
        if form == "md":
            body: str | bytes = report_markdown(session, viewer, number)
        else:
            body = report_pdf(session, viewer, number)
    media = "text/markdown; charset=utf-8" if form == "md" else "application/pdf"
    headers = {"Content-Disposition": f'attachment; filename="INC-{number}.{form}"'}
    return Response(body, media_type=media, headers=headers)


def _alert(brief: Brief, alert: Alert) -> dict[str, str]:
    state, mute = brief.state_of(alert), brief.mutes.get(alert.id)
    told = f"{alert.kind}, since {format_utc(alert.fired_at)}"
    if mute is not None:
        told += f"; muted by {mute.words}: {clipped(mute.text, LONGEST_QUOTE)}"
        told += f" until {format_utc(mute.until)}" if mute.until else ", while that fires"
    if alert.held_until is not None:
        told += f"; comes and goes, quiet now, held until {format_utc(alert.held_until)}"
    if alert.unknown_since is not None:
        told += f"; nothing known of it since {format_utc(alert.unknown_since)}"
    level = ALERT_LEVELS.get(alert.level, "unknown") if state == "firing" else _STATE_LEVELS[state]
    word = alert.level if state == "firing" else state.replace("_", " ")
    return {"level": level, "state": word, "title": readable(alert.title), "told": told}


def _suspect(one: Suspect, done: Mapping[str, StepDone]) -> dict[str, Any]:
    return {
        "level": _SUSPECT_LEVELS[one.verdict], "verdict": one.verdict.replace("_", " "), "name": one.name,
        "evidence": readable(one.evidence),
        "steps": [{"text": text, "address": href(page, **{k: str(v) for k, v in query.items()}),
                   "done": done[text].words if text in done else ""}
                  for text, page, query in one.steps] if one.verdict != "ruled_out" else [],
    }  # fmt: skip


def _event(one: Event) -> dict[str, str]:
    address = href(one.page, **{k: str(v) for k, v in one.query.items()}) if one.page else ""
    return {
        "at": format_utc(one.at),
        "text": readable(clipped(one.text, 2 * LONGEST_QUOTE)),
        "by": one.by,
        "address": address,
    }


def _offer(one: Offer, *, first: bool) -> dict[str, Any]:
    needs = one.details.get("approvals")
    return {
        "act": one.act, "label": one.label, "helps": one.helps, "refused": one.refused, "object_id": one.object_id,
        "digest": one.digest, "alert": one.details.get("alert") or "", "asks": _ASKS.get(one.act, ""), "first": first,
        "button": _BUTTONS[one.act], "needs": count_of(needs, "approval") if needs else "",
        "cautions": one.details.get("cautions", []),
    }  # fmt: skip


def _more(brief: Brief, viewer: Actor) -> list[dict[str, Any]]:
    if not viewer.may(Permission.ACKNOWLEDGE):
        return []
    is_open = brief.incident.state == "open"
    allowed = {"note", "step", "mitigate", "resolve", "false_alarm"} if is_open else {"note"}
    left = [one for one in steps_offered(brief.suspects) if one not in brief.done]
    if not left:
        allowed.discard("step")
    if brief.firing:
        allowed.discard("resolve")
    if brief.incident.phase == "mitigated":
        allowed.discard("mitigate")
    causes = [(key, word) for key, word in CAUSES.items()]
    return [
        {
            "act": name,
            "label": label,
            "asks": asks,
            "causes": causes if name == "resolve" else [],
            "steps": left if name == "step" else [],
        }
        for name, label, asks in _MORE
        if name in allowed
    ]


def _shown(series: Sequence[Series]) -> list[Series]:
    """Without those that have no value at all."""
    return [one for one in series if any(value is not None for _, value, *_ in one.points)]


def _similar(past: Similar) -> dict[str, Any]:
    one = past.incident
    cause = CAUSES.get(one.cause, "")
    told = f"{format_utc(one.opened_at)}, lasted {format_age(past.lasted)}"
    told += f"; {WORDS[one.phase]}" + (f" ({cause})" if cause else "")
    told += f": {clipped(one.closed_because, LONGEST_QUOTE)}" if one.closed_because else ""
    return {"id": one.id, "title": readable(one.title), "told": told}
