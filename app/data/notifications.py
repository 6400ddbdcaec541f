"""Channels, notices and who is on call, as they are now."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from app.data.rows import row_of
from app.data.scope import Scope
from backend import clock
from backend.database.session import reading
from backend.heartbeat import heartbeat_state
from backend.notifications.rotas import on_call
from backend.notifications.service import notification_state, recent_notices, to_be_told
from backend.notifications.shifts import list_shifts


def told_of(scope: Scope, incident_id: int) -> dict[str, Any]:
    """Who was told of an incident, by notice, and who is on call now. `problem`: why nobody is told."""
    viewer = scope.actor()
    with reading() as session:
        state = notification_state(session, viewer)
        notices = recent_notices(session, viewer, incident_id=incident_id)
        return {
            "problem": state.problem,
            "sending": asdict(state.sending),
            "wanted": []
            if state.problem
            else [one.channel for one in to_be_told(session, viewer, incident_id)],
            "on_call": [asdict(one) for one in on_call(state.contacts, clock.now())],
            "notices": [row_of(one) for one in notices],
        }


def notifications(scope: Scope) -> dict[str, Any]:
    """The state of every channel, the routes, the rotas, and the newest notices. Never kept: people look while they
    wait for one."""
    viewer = scope.actor()
    with reading() as session:
        state = notification_state(session, viewer)
        notices = recent_notices(session, viewer)
        return {
            "heartbeat": asdict(heartbeat_state(session, viewer)),
            "problem": state.problem,
            "sending": asdict(state.sending),
            "untold": [asdict(one) for one in state.untold],
            "unrouted": list(state.unrouted),
            "channels": [asdict(one) for one in state.channels],
            "routes": [route.model_dump(by_alias=True) for route in state.contacts.routes],
            "reminders": [one.model_dump() for one in state.contacts.reminders],
            "shifts": [row_of(one) for one in list_shifts(session, viewer)],
            "on_call": [asdict(one) for one in on_call(state.contacts, clock.now())],
            "notices": [row_of(one) for one in notices],
        }
