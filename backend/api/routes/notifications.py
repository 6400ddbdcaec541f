"""Who was told of what, trying again, and alerts that other systems hand to us."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from backend.alerting.inbound import OutsideAlerts, take_alerts
from backend.api.idempotency import body_of, once
from backend.api.pages import Cut, Limit, Offset
from backend.api.parameters import RowId
from backend.api.security import current_actor
from backend.database.session import WriteSession, reading
from backend.heartbeat import heartbeat_state
from backend.identity.actor import Actor
from backend.notifications.contacts import DAYS
from backend.notifications.rotas import now_on_call
from backend.notifications.service import notification_state, recent_notices, retry_notice
from backend.notifications.shifts import add_shift, list_shifts, remove_shift, replace_shifts, shifts_document
from backend.notifications.tables import ChannelTest, Notice, ShiftRow
from backend.notifications.trying import ask_test

router = APIRouter(tags=["operations"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]
ChannelName = Annotated[str, Path(max_length=40)]


def _notice(notice: Notice) -> dict[str, Any]:
    return {
        "id": notice.id, "incident_id": notice.incident_id, "change_id": notice.change_id, "channel": notice.channel,
        "state": notice.state, "why": notice.why, "created_at": notice.created_at, "attempts": notice.attempts,
        "next_try_at": notice.next_try_at if notice.state == "queued" else None, "problem": notice.problem,
        "sent_at": notice.sent_at, "receipt": notice.receipt, "message": notice.document,
    }  # fmt: skip


def _test(test: ChannelTest) -> dict[str, Any]:
    return {"channel": test.channel, "state": test.state, "asked_at": test.asked_at}


@router.get("/notifications")
def notifications(
    actor: Caller,
    incident: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    offset: Offset = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Whether notices are sent, what should have been told and was not, how every channel does, the newest notices."""
    with reading() as session:
        state = notification_state(session, actor)
        part = Cut(offset, limit)
        found = recent_notices(session, actor, incident_id=incident, **part.more)
        return {
            "heartbeat": asdict(heartbeat_state(session, actor)),
            "problem": state.problem,
            "sending": asdict(state.sending),
            "untold": [asdict(one) for one in state.untold],
            "unrouted": state.unrouted,
            "channels": [asdict(one) for one in state.channels],
            **part.answer("notices", found, _notice),
        }


class ShiftRequest(BaseModel):
    """Somebody who is on call in some hours, as the contacts file writes it."""

    rota: str = Field(max_length=40)
    route: str | None = Field(None, max_length=40, description="whose incidents the rota answers; none: all")
    who: str = Field(max_length=100)
    channel: str = Field(max_length=40)
    start: str = Field("00:00", alias="from")
    end: str = Field("24:00", alias="to")
    days: list[str] = Field(default_factory=lambda: list(DAYS))
    zone: str = "UTC"


def _shift(row: ShiftRow) -> dict[str, Any]:
    return {"id": row.id, "rota": row.rota, "route": row.route, **row.document, "made_at": row.made_at}


@router.get("/rotas")
def rotas(actor: Caller) -> dict[str, Any]:
    """Who is on call now by every rota, and the shifts that were set here, with the document they are exported as."""
    with reading() as session:
        return {
            "on_call": [asdict(one) for one in now_on_call(session)],
            "shifts": [_shift(one) for one in list_shifts(session, actor)],
            "document": shifts_document(session, actor),
        }


@router.post("/rotas/shifts", status_code=201)
def set_shift(request: Request, actor: Caller, body: Body, asked: ShiftRequest) -> Response:
    """Put somebody on call."""
    given = asked.model_dump(by_alias=True, exclude={"rota", "route"})
    return once(
        request, actor, body,
        lambda session: _shift(add_shift(session, actor, rota=asked.rota, shift=given, route=asked.route)),
        status=201,
    )  # fmt: skip


@router.post("/rotas/shifts/{shift_id}/removal", status_code=201)
def end_shift(request: Request, actor: Caller, body: Body, shift_id: RowId) -> Response:
    """Take somebody off call."""

    def remove(session: WriteSession) -> dict[str, Any]:
        remove_shift(session, actor, shift_id)
        return {"removed": shift_id}

    return once(request, actor, body, remove, status=201)


class ShiftsDocument(BaseModel):
    document: dict[str, Any] = Field(description="`rotas` with their shifts, as GET /rotas gives it")


@router.post("/rotas/import", status_code=201)
def import_shifts(request: Request, actor: Caller, body: Body, given: ShiftsDocument) -> Response:
    """Have exactly these shifts."""
    return once(
        request, actor, body,
        lambda session: {"shifts": replace_shifts(session, actor, given.document)}, status=201,
    )  # fmt: skip


@router.post("/notices/{notice_id}/retry", status_code=202)
def retry(request: Request, actor: Caller, body: Body, notice_id: RowId) -> Response:
    """Try a notice again that was refused, or that waits for its next time."""
    return once(
        request, actor, body, lambda session: _notice(retry_notice(session, actor, notice_id)), status=202
    )


@router.post("/channels/{channel}/test", status_code=202)
def test_channel(request: Request, actor: Caller, body: Body, channel: ChannelName) -> Response:
    """Have the notifier tell a channel of an incident that is none. `GET /notifications` says what came of it."""
    return once(request, actor, body, lambda session: _test(ask_test(session, actor, channel)), status=202)


@router.post("/alerts/alertmanager", status_code=202)
def alertmanager(request: Request, actor: Caller, body: Body, told: OutsideAlerts) -> Response:
    """The webhook of an Alertmanager (version 4); its `http_config` carries the token of a service account."""
    return once(request, actor, body, lambda session: take_alerts(session, actor, told), status=202)
