"""How often each monitor was wrong, by what people said of its alerts: the figure beside the budget it may use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import func, select

from backend import clock
from backend.alerting.tables import Alert
from backend.database.session import ReadSession
from backend.identity.actor import Actor
from backend.identity.reach import see
from backend.registry.service import get_model

LOOKED_BACK: Final = timedelta(days=90)


@dataclass(frozen=True)
class Wrong:
    """Of the alerts of one kind and subject that fired within 90 days, how many people called false. `pages`: of these
    the ones that paged. `share` is of all that fired and are over or called so; an alert that nobody judged counts as
    right."""

    kind: str
    fingerprint: str
    fired: int
    false: int
    pages: int

    @property
    def share(self) -> float:
        return self.false / self.fired


def false_alarms_said(
    session: ReadSession,
    viewer: Actor,
    model: str,
    environment: str,
    *,
    limit: int | None = None,
    offset: int = 0,
) -> list[Wrong]:
    """Those of which at least one was called false, the most often wrong first."""
    see(session, viewer)
    get_model(session, viewer, model)
    false = Alert.false_alarm_at.is_not(None)
    rows = session.execute(
        select(
            Alert.kind, Alert.fingerprint, func.count(), func.count().filter(false),
            func.count().filter(false, Alert.level == "page"),
        )
        .where(
            Alert.model == model, Alert.environment == environment, Alert.state.in_(("firing", "resolved")),
            Alert.fired_at > clock.now() - LOOKED_BACK,
        )
        .group_by(Alert.kind, Alert.fingerprint)
        .having(func.count().filter(false) > 0)
        .order_by(func.count().filter(false).desc(), Alert.fingerprint, Alert.kind)
        .limit(limit)
        .offset(offset)
    )  # fmt: skip
    return [Wrong(*row) for row in rows]
