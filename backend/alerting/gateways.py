"""Gateways that are not heard of any more. One that is stopped on purpose withdraws what it reported; one that died or
was cut off leaves its last report, and that grows old."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, func, select

from backend.alerting.service import Firing, fire, resolve
from backend.alerting.tables import Alert
from backend.database.session import ReadSession, WriteSession
from backend.deployment.tables import GatewayReport
from backend.identity.actor import Actor

KIND: Final = "gateway"
SILENT_AFTER: Final = timedelta(seconds=45)  # a report is written each second
FORGOTTEN_AFTER: Final = timedelta(hours=24)  # where others answer in its place


def is_anything_silent(session: ReadSession, now: datetime) -> bool:
    """Whether `watch_gateways` has something to do: a report that is old, or an alert that may be over."""
    old = select(GatewayReport.gateway_id).where(GatewayReport.reported_at < now - SILENT_AFTER).limit(1)
    fires = select(Alert.id).where(Alert.kind == KIND, Alert.state == "firing").limit(1)
    return session.scalar(old) is not None or session.scalar(fires) is not None


def watch_gateways(session: WriteSession, actor: Actor, now: datetime) -> list[Alert]:
    """Fire for each gateway that fell silent, a page where no other is heard of in its environment; resolve the rest.

    One that others have replaced for a day is forgotten with its reports.
    """
    heard = {
        (environment, gateway): newest
        for environment, gateway, newest in session.execute(
            select(GatewayReport.environment, GatewayReport.gateway_id, func.max(GatewayReport.reported_at))
            .group_by(GatewayReport.environment, GatewayReport.gateway_id)
        )
    }  # fmt: skip
    alive = {environment for (environment, _), newest in heard.items() if newest >= now - SILENT_AFTER}
    firing: list[Alert] = []
    for (environment, gateway), newest in sorted(heard.items()):
        if newest >= now - SILENT_AFTER:
            continue
        others = environment in alive
        if others and newest < now - FORGOTTEN_AFTER:
            session.execute(
                delete(GatewayReport).where(
                    GatewayReport.gateway_id == gateway, GatewayReport.environment == environment
                )
            )
            continue
        firing.append(_fire(session, actor, environment, gateway, newest, others=others))
    still = {one.id for one in firing}
    for alert in session.scalars(select(Alert).where(Alert.kind == KIND, Alert.state == "firing")).all():
        if alert.id not in still:
            resolve(session, actor, alert, why="it is heard of again, or others answer in its place")
    return firing


def _fire(
    session: WriteSession, actor: Actor, environment: str, gateway: str, newest: datetime, *, others: bool
) -> Alert:
    others_words = "others answer there" if others else "no other answers there"
    return fire(
        session, actor,
        Firing(
            model="", environment=environment, version=None, kind=KIND, level="ticket" if others else "page",
            title=f"gateway {gateway} has not been heard of since {newest:%Y-%m-%d %H:%M:%S} UTC; {others_words}",
            subject=gateway, since=newest, details={"gateway": gateway, "others": others},
        ),
    )  # fmt: skip
