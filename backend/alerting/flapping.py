"""Alerts that come and go: the rule that keeps them from waking somebody at every turn.

An alert that has been resolved `TURNS` times within `WITHIN` flaps: when it next goes quiet it is held, which is to
say that it goes on firing, until it has been quiet for `HOLD`. Firing in between takes the hold away. So it tells of
itself once, its incident stays one, and nothing is hidden meanwhile.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sqlalchemy import func, select

from backend import clock
from backend.alerting.sources import may_flap
from backend.alerting.tables import Alert
from backend.database.session import ReadSession

TURNS: Final = 3
WITHIN: Final = timedelta(hours=24)
HOLD: Final = timedelta(hours=2)


def flaps(session: ReadSession, alert: Alert) -> bool:
    """Whether an alert of this fingerprint was resolved `TURNS` times within the last `WITHIN`."""
    if not may_flap(alert.source):
        return False
    turns = session.scalar(
        select(func.count()).where(
            Alert.fingerprint == alert.fingerprint, Alert.version == alert.version, Alert.state == "resolved",
            Alert.resolved_at > clock.now() - WITHIN,
        )
    )  # fmt: skip
    return (turns or 0) >= TURNS


def must_hold(session: ReadSession, alert: Alert) -> bool:
    """Whether an alert that is quiet now goes on firing; sets until when. Call it whenever it is found quiet."""
    now = clock.now()
    if alert.held_until is not None:
        return now < alert.held_until
    if not flaps(session, alert):
        return False
    alert.held_until = now + HOLD
    return True
