"""Who was told of what, trying again, and alerts that other systems hand to us."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from backend.alerting.inbound import OutsideAlerts, take_alerts
from backend.api.idempotency import body_of, once
from backend.api.parameters import RowId
from backend.api.security import current_actor
from backend.database.session import reading
from backend.identity.actor import Actor
from backend.notifications.service import notification_state, recent_notices, retry_notice
from backend.notifications.tables import ChannelTest, Notice
from backend.notifications.trying import ask_test

router = APIRouter(tags=["operations"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]
ChannelName = Annotated[str, Path(max_length=40)]


def _notice(notice: Notice) -> dict[str, Any]:
    return {
        "id": notice.id, "incident_id": notice.incident_id, "channel": notice.channel, "state": notice.state,
        "why": notice.why, "created_at": notice.created_at, "attempts": notice.attempts,
        "next_try_at": notice.next_try_at if notice.state == "queued" else None, "problem": notice.problem,
        "sent_at": notice.sent_at, "receipt": notice.receipt, "message": notice.document,
    }  # fmt: skip


def _test(test: ChannelTest) -> dict[str, Any]:
    return {"channel": test.channel, "state": test.state, "asked_at": test.asked_at}


@router.get("/notifications")
def notifications(
    actor: Caller,
    incident: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:
    """Whether notices are sent, what should have been told and was not, how every channel does, the newest notices."""
    with reading() as session:
        state = notification_state(session, actor)
        found = recent_notices(session, actor, incident_id=incident, limit=limit)
        return {
            "problem": state.problem,
            "sending": asdict(state.sending),
            "untold": [asdict(one) for one in state.untold],
            "unrouted": state.unrouted,
            "channels": [asdict(one) for one in state.channels],
            "notices": [_notice(one) for one in found],
        }


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
