"""Requests and rules as plain data: the same words for pages, API and command line."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import case, exists, select

from backend.data_rights.handing_out import FORMS
from backend.data_rights.requests import name_of_subject
from backend.data_rights.tables import DataRequest, DataRule
from backend.database.session import ReadSession
from backend.governance import machine
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.reach import see
from backend.identity.roles import Permission


def page_of_requests(
    session: ReadSession, viewer: Actor, *, limit: int, offset: int = 0
) -> list[DataRequest]:
    """Those that wait for a decision first, then the newest."""
    see(session, viewer, Permission.READ_DATA_REQUESTS)
    waits = exists().where(Change.id == DataRequest.change_id, Change.state.in_(machine.OPEN))
    order = (case((waits, 0), else_=1), DataRequest.requested_at.desc(), DataRequest.id)
    return list(session.scalars(select(DataRequest).order_by(*order).limit(limit).offset(offset)))


def request_views(session: ReadSession, requests: Sequence[DataRequest]) -> list[dict[str, Any]]:
    """Requests with the state of their changes. Whom a request is about is not in them, but for colleagues."""
    wanted = {one.change_id for one in requests if one.change_id is not None}
    changes = {one.id: one for one in session.scalars(select(Change).where(Change.id.in_(wanted)))}
    names = names_of(session, {one.requested_by for one in requests})
    return [_view(session, one, changes.get(one.change_id or 0), names) for one in requests]


def due_at(requested_at: datetime) -> datetime:
    """By when somebody who asked is to be answered: a month later (GDPR, Art. 12 (3)), the last day where that month
    is shorter."""
    year, month = divmod(requested_at.year * 12 + requested_at.month, 12)
    day = min(requested_at.day, monthrange(year, month + 1)[1])
    return requested_at.replace(year=year, month=month + 1, day=day)


def _view(
    session: ReadSession, one: DataRequest, change: Change | None, names: dict[str, str]
) -> dict[str, Any]:
    return {
        "id": one.id,
        "kind": one.kind,
        "about": one.about,
        "subject": name_of_subject(session, one),
        "model": one.model,
        "how": one.how,
        "state": change.state if change is not None else "draft",
        "state_words": machine.WORDS[change.state] if change is not None else "draft",  # type: ignore[index]
        "change": f"CHG-{change.id}" if change is not None else None,
        "change_id": one.change_id,
        "outcome": change.outcome if change is not None else "",
        "requested_by": names[one.requested_by],
        "requested_at": one.requested_at,
        "due_at": due_at(one.requested_at),
        "done_at": one.done_at,
        "counts": one.counts if one.done_at is not None else None,
        "documents": list(FORMS) if one.file and one.done_at is not None else [],
    }


def rule_view(rule: DataRule | None, *, opt_outs: int) -> dict[str, Any]:
    """What holds for a model's data."""
    return {
        "purposes": list(rule.purposes) if rule is not None else [],
        "basis": rule.basis if rule is not None else "",
        "predictions_days": rule.predictions_days if rule is not None else None,
        "explanations_days": rule.explanations_days if rule is not None else None,
        "payloads_days": rule.payloads_days if rule is not None else None,
        "updated_at": rule.updated_at if rule is not None else None,
        "opt_outs": opt_outs,
    }
