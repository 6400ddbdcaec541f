"""What is vouched for about the models of a pack: validations with their papers, findings, exceptions, incidents."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ColumnElement, select

from backend import clock
from backend.alerting.tables import Alert, Incident
from backend.assurance.as_of import UNKNOWN, FindingThen, house_as_of
from backend.assurance.documents import checked_file
from backend.assurance.exceptions import exception_views
from backend.assurance.reading import finding_views, validation_views
from backend.assurance.report_draft import report_draft
from backend.assurance.serious_tables import SeriousIncident, StateSnapshot
from backend.assurance.serious_views import serious_view
from backend.assurance.tables import Document, Finding, PolicyException, Validation
from backend.audit.texts_then import texts_then
from backend.database.session import ReadSession
from backend.errors import WarrantError
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.packs.container import safe_name
from backend.packs.draft import Draft, Level
from backend.packs.scope import Subject

LARGEST_PAPER: Final = 50_000_000
_ENDING: Final = re.compile(r"\.[A-Za-z0-9]{1,8}")
_FINDING: Final = ("ref", "model", "severity", "state", "title", "owner", "due_at", "overdue", "plan", "answer",
                   "opened_at", "closed_at", "closed_by", "evidence")  # fmt: skip
_ALERT: Final = ("id", "model", "version", "kind", "level", "state", "title", "since", "fired_at", "resolved_at",
                 "incident_id")  # fmt: skip


def add_assurance(draft: Draft, session: ReadSession, maker: Actor, subject: Subject) -> dict[str, Any]:
    """Add `validations/`, `findings/`, `exceptions/` and `incidents/`. Gives what the summary lists."""
    return {
        "validations": _validations(draft, session, subject),
        "findings": _findings(draft, session, maker, subject),
        "exceptions": _exceptions(draft, session, subject),
        "incidents": _incidents(draft, session, maker, subject),
    }


def _validations(draft: Draft, session: ReadSession, subject: Subject) -> list[dict[str, Any]]:
    query = select(Validation).where(
        Validation.model.in_(subject.models), Validation.recorded_at < subject.as_of
    )
    if not subject.whole_model:
        versions = [version for _, version in subject.versions]
        query = query.where(Validation.version.is_(None) | Validation.version.in_(versions))
    rows = session.scalars(query.order_by(Validation.id)).all()
    views = validation_views(session, rows)
    for row, view in zip(rows, views, strict=True):
        folder = f"validations/VAL-{row.id}"
        draft.name(row.validator)
        view["conditions"] = [_condition_then(one, subject.as_of) for one in view["conditions"]]
        draft.add_json(f"{folder}/validation.json", view)
        add_paper(draft, session, row.report, folder)
        for one in row.conditions:
            met = one.met_at is not None and one.met_at < subject.as_of
            if one.document and met:
                add_paper(draft, session, one.document, folder)
            if not met and one.due_at <= subject.as_of:
                draft.gap(
                    "high", f"A condition of VAL-{row.id} lapsed on {one.due_at:%Y-%m-%d}: {one.text}", folder
                )
            elif not met:
                draft.gap(
                    "low",
                    f"A condition of VAL-{row.id} is open until {one.due_at:%Y-%m-%d}: {one.text}",
                    folder,
                )
    for model in subject.models:
        newest = next((one for one in reversed(rows) if one.model == model), None)
        if newest is None:
            draft.gap("medium", f"No validation of {model} is recorded", "validations/")
        elif newest.outcome == "not_fit":
            draft.gap("high", f"The newest validation of {model}, VAL-{newest.id}, found it not fit",
                      f"validations/VAL-{newest.id}")  # fmt: skip
    return views


def _condition_then(view: dict[str, Any], as_of: datetime) -> dict[str, Any]:
    """As it stood then: what was done about it later is not told."""
    if view["met_at"] is not None and view["met_at"] < as_of:
        return view
    nothing = {"met_at": None, "met_by": None, "evidence": "", "document": None}
    return view | nothing | {"state": "lapsed" if view["due_at"] <= as_of else "open"}


def add_paper(draft: Draft, session: ReadSession, digest: str, folder: str) -> None:
    """A file that somebody handed in, under the name it had made safe; one that was altered is not taken along."""
    document = session.get(Document, digest)
    if document is None:
        draft.gap("high", f"The file {digest[:19]}… is not stored", folder)
        return
    draft.name(document.added_by)
    name = Path(document.name)
    ending = name.suffix if _ENDING.fullmatch(name.suffix) else ""
    path = f"{folder}/papers/{digest.removeprefix('sha256:')[:12]}-{safe_name(name.stem)}{ending}"
    if path in draft.files:
        return
    if document.bytes > LARGEST_PAPER:
        draft.left_out.append(f"{document.name} ({digest}): it has {document.bytes:,} bytes")
        return
    try:
        draft.add(path, checked_file(document).read_bytes())
    except WarrantError as error:
        draft.gap("high", f"The file {document.name!r} cannot be shown: {error.message}", folder)


def _findings(draft: Draft, session: ReadSession, maker: Actor, subject: Subject) -> list[dict[str, Any]]:
    """All of the models; for the whole house also those of no model. The open ones as they were then."""
    wanted: ColumnElement[bool] = Finding.model.in_(subject.models)
    if subject.scope.kind == "period" and subject.scope.model is None:
        wanted = wanted | Finding.model.is_(None)
    rows = session.scalars(
        select(Finding).where(wanted, Finding.opened_at < subject.as_of).order_by(Finding.id)
    ).all()
    for row in rows:
        draft.name(row.owner_id, row.opened_by, row.closed_by)
        if row.document and row.closed_at is not None and row.closed_at < subject.as_of:
            add_paper(draft, session, row.document, f"findings/FND-{row.id}")
    house = house_as_of(session, maker, subject.as_of, model=subject.scope.model)
    then = {one.id: one for one in house.findings}
    names = names_of(session, {one.owner for one in house.findings})
    views = [
        _as_then(view, then.get(view["id"]), names, subject.as_of) for view in finding_views(session, rows)
    ]
    if views:
        draft.add_csv("findings/findings.csv", _FINDING, views)
        draft.add_json("findings/findings.json", views)
    for view in views:
        if view["state"] == "closed":
            continue
        late = view["overdue"]
        level: Level = (
            "high"
            if view["severity"] == "high" or late
            else "medium"
            if view["severity"] == "medium"
            else "low"
        )
        draft.gap(level, f"{view['ref']} is {view['state']} ({view['severity']}{', overdue' if late else ''}): "
                  f"{view['title']}", "findings/findings.csv")  # fmt: skip
    draft.facts["house"] = house
    return views


def _as_then(
    view: dict[str, Any], then: FindingThen | None, names: dict[str, str], as_of: datetime
) -> dict[str, Any]:
    """The finding as it was: who is not among the open ones was closed by then. A day that an erased entry alone would
    tell is None, and nobody can say whether it was over."""
    if then is None:
        return view | {"state": "closed", "overdue": False}
    due = clock.from_iso(then.due) if then.due != UNKNOWN else None
    return view | {
        "owner": names.get(then.owner, then.owner),
        "owner_id": then.owner,
        "due_at": due,
        "overdue": due is not None and due <= as_of,
        "state": then.state,
        "severity": then.severity,
        "title": then.title,
        "closed_at": None,
        "closed_by": None,
        "evidence": "",
    }


def _exceptions(draft: Draft, session: ReadSession, subject: Subject) -> list[dict[str, Any]]:
    rows = session.scalars(
        select(PolicyException)
        .where(PolicyException.model.in_(subject.models), PolicyException.asked_at < subject.as_of)
        .order_by(PolicyException.id)
    ).all()
    views = [
        _exception_then(row, view, subject.as_of)
        for row, view in zip(rows, exception_views(session, rows), strict=True)
    ]
    if views:
        draft.add_csv("exceptions/exceptions.csv", list(views[0]), views)
    for row, view in zip(rows, views, strict=True):
        draft.name(row.asked_by, row.decided_by, row.ended_by)
        if view["counts"]:
            draft.gap("medium", f"EXC-{row.id}: {row.model} need not pass {row.gate} until {row.expires_at:%Y-%m-%d}: "
                      f"{row.reason}", "exceptions/exceptions.csv")  # fmt: skip
        elif view["state"] == "asked":
            draft.gap("low", f"EXC-{row.id} of {row.model} from {row.gate} waits for a decision",
                      "exceptions/exceptions.csv")  # fmt: skip
    return views


def _exception_then(row: PolicyException, view: dict[str, Any], as_of: datetime) -> dict[str, Any]:
    """The exception as it stood then: what was decided later, or ended it later, is not told."""
    decided = row.decided_at is not None and row.decided_at < as_of
    ended = row.ended_at is not None and row.ended_at < as_of
    state = "asked" if not decided else "refused" if row.state == "refused" else "granted"
    if ended:
        state = "ended"
    elif state != "refused" and row.expires_at <= as_of:
        state = "expired"
    if not decided:
        view = view | {"comment": "", "decided_by": None, "decided_at": None}
    if not ended:
        view = view | {"ended_by": None, "ended_at": None, "ended_because": ""}
    return view | {"state": state, "counts": state == "granted"}


def _incidents(draft: Draft, session: ReadSession, maker: Actor, subject: Subject) -> list[dict[str, Any]]:
    alerts = session.scalars(
        select(Alert)
        .where(Alert.model.in_(subject.models), Alert.environment == subject.environment,
               Alert.fired_at < subject.end, *_since(Alert.fired_at, Alert.resolved_at, subject.start),
               *([] if subject.whole_model else [Alert.version.in_([one for _, one in subject.versions])]))
        .order_by(Alert.id)
    ).all()  # fmt: skip
    if alerts:
        draft.add_csv(
            "incidents/alerts.csv", _ALERT, [{name: getattr(one, name) for name in _ALERT} for one in alerts]
        )
        draft.add_json("incidents/alerts.json", [{"id": one.id, "details": one.details} for one in alerts])
    query = select(Incident).where(Incident.model.in_(subject.models), Incident.opened_at < subject.end)
    if subject.scope.kind == "period":
        query = query.where(*_since(Incident.opened_at, Incident.closed_at, subject.start))
    elif not subject.whole_model:
        named = {one.incident_id for one in alerts if one.incident_id is not None}
        named |= set(session.scalars(select(Change.incident_id).where(Change.id.in_(subject.changes))))
        query = query.where(Incident.id.in_([one for one in named if one is not None]))
    return [
        _incident(draft, session, maker, subject, one) for one in session.scalars(query.order_by(Incident.id))
    ]


def _since(began: Any, ended: Any, start: datetime | None) -> list[ColumnElement[bool]]:
    """Whatever was not over before the start."""
    return [] if start is None else [(began >= start) | ended.is_(None) | (ended >= start)]


def _incident(
    draft: Draft, session: ReadSession, maker: Actor, subject: Subject, row: Incident
) -> dict[str, Any]:
    folder = f"incidents/INC-{row.id}"
    is_open = row.closed_at is None or row.closed_at >= subject.as_of
    title = texts_then(session, "incident", {row.id: row.title}, subject.as_of)[row.id]
    if title.why_not:
        draft.gap("low", f"The title of INC-{row.id} is today's: {title.why_not}", folder)
    acknowledged = row.acknowledged_at is not None and row.acknowledged_at < subject.as_of
    view = {
        "ref": f"INC-{row.id}", "model": row.model, "title": title.text, "opened_at": row.opened_at,
        "acknowledged_at": row.acknowledged_at if acknowledged else None, "state": "open" if is_open else "closed",
        "closed_at": None if is_open else row.closed_at, "closed_because": "" if is_open else row.closed_because,
        "closed_by_change": None if is_open else row.closed_by_change, "serious": False,
    }  # fmt: skip
    marked = session.get(SeriousIncident, row.id)
    if marked is not None and marked.marked_at < subject.as_of:
        serious = serious_view(session, maker, row.id)
        view["serious"] = True
        draft.name(marked.marked_by)
        draft.add_json(f"{folder}/serious.json", serious)
        draft.add(f"{folder}/report-draft.md", report_draft(session, maker, row.id))
        for one in session.scalars(select(StateSnapshot).where(StateSnapshot.incident_id == row.id)):
            draft.add_json(f"{folder}/state-{one.id}.json", {"digest": one.digest, "taken_at": one.taken_at,
                                                             "document": one.document})  # fmt: skip
        for one in serious["clocks"]:
            _judge_clock(draft, f"INC-{row.id}: {one['title']}", one, subject.as_of, folder)
    draft.add_json(f"{folder}/incident.json", view)
    if is_open:
        draft.gap("high" if view["serious"] else "medium",
                  f"INC-{row.id} is open{' and serious' if view['serious'] else ''}: {title.text}", folder)  # fmt: skip
    return view


def _judge_clock(draft: Draft, what: str, one: dict[str, Any], as_of: datetime, where: str) -> None:
    """A time limit that was missed by then, whatever was done about it after it was over."""
    later = (each for each in one["earlier"] if clock.from_iso(each["until"]) >= as_of)
    moved = next(later, None)  # what it was set to on that day, where it was moved since
    due = clock.from_iso(moved["due_at"]) if moved is not None else one["due_at"]
    met = one["met_at"] if one["met_at"] is not None and one["met_at"] < as_of else None
    for each in one["earlier"]:
        if each["was_over"] and clock.from_iso(each["until"]) < as_of:
            over = f"{clock.from_iso(each['due_at']):%Y-%m-%d %H:%M:%S} UTC"
            draft.gap("medium", f"{what} was over on {over}, and set anew after that: {each['why']}", where)
    if met is None and due <= as_of:
        draft.gap("high", f"{what} was due on {due:%Y-%m-%d} and not met", where)
    elif met is not None and met > due:
        draft.gap("medium", f"{what} was due on {due:%Y-%m-%d %H:%M:%S} UTC and met late, "
                  f"{met:%Y-%m-%d %H:%M:%S} UTC", where)  # fmt: skip
