"""Service-level indicators as last read: stored by a job, looked up by pages."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select

from backend import clock
from backend.database.session import ReadSession, WriteSession
from backend.errors import WarrantError
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.registry.service import get_model
from backend.settings import settings
from backend.slo.indicators import UNITS, Indicator
from backend.slo.tables import SliReading


def read_indicators(model: str) -> list[Indicator]:
    """Read a model's indicators now: from Prometheus where one is configured, else from the gateway itself.

    Never raises for a source that is away: the readings then have no value and say why. Talks to the network; call
    it outside a transaction.
    """
    url = settings().prometheus_url
    source = "prometheus" if url else "gateway"
    try:
        if url:
            from backend.slo.prometheus import read_from_prometheus

            return read_from_prometheus(url, model)
        from backend.slo.gateway_metrics import read_from_gateway

        return read_from_gateway(settings().gateway, model)
    except WarrantError as error:
        return [Indicator(name, source, None, 0, None, error.message) for name in UNITS]


def store_readings(
    session: WriteSession, actor: Actor, *, model: str, environment: str, indicators: Iterable[Indicator]
) -> None:
    """Replace a model's readings. Doing it again with the same indicators changes only the time."""
    actor.require(Permission.COMPUTE_METRICS)
    get_model(session, actor, model)
    for indicator in indicators:
        key = (model, environment, indicator.name)
        row = session.get(SliReading, key)
        if row is None:
            row = SliReading(model=model, environment=environment, name=indicator.name)
            session.add(row)
        row.source, row.value, row.unit = indicator.source, indicator.value, UNITS[indicator.name]
        row.window_s, row.events, row.read_at = indicator.window_s, indicator.events, clock.now()
        row.reason, row.details = indicator.reason, dict(indicator.details) or None
    session.flush()


def list_readings(session: ReadSession, viewer: Actor, model: str, environment: str) -> list[SliReading]:
    """A model's indicators as last read, by name. Empty before the first reading."""
    get_model(session, viewer, model)
    return list(
        session.scalars(
            select(SliReading)
            .where(SliReading.model == model, SliReading.environment == environment)
            .order_by(SliReading.name)
        )
    )
