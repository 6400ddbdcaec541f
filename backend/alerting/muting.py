"""What mutes an alert that fires, worked out whenever it is asked, so that it always ends with its reason.

Inhibition: an outage mutes its consequences. A gateway that is down mutes, in its environment, what would come of it
(traffic, objectives, monitors); a model's traffic that stopped mutes the monitors of that model. Only what is
upstream mutes, so nothing mutes itself or each other. A silenced outage mutes all the same.

Maintenance of objectives (`backend.slo.maintenance`) mutes while it lasts: of a model all of its alerts there, of one
objective what that objective fires.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final

from sqlalchemy import select

from backend import clock
from backend.alerting.silences import active_silences, mutes
from backend.alerting.tables import Alert, Silence
from backend.database.session import ReadSession
from backend.slo.tables import Maintenance

_MUTED_BY: Final = {"gateway": frozenset({"data", "slo", "monitor"}), "data": frozenset({"monitor"})}


@dataclass(frozen=True)
class Mute:
    """by: silence | maintenance | objectives (maintenance of them) | alert, with its `id`; text: who or what, and why;
    until: None with the alert."""

    by: str
    id: int
    text: str
    until: datetime | None = None

    @property
    def words(self) -> str:
        """`silence 3`: what it is, and which."""
        return f"maintenance {self.id} of objectives" if self.by == "objectives" else f"{self.by} {self.id}"


@dataclass(frozen=True)
class Muting:
    """What holds at one moment: ask `of(alert)`."""

    silences: tuple[Silence, ...]
    outages: tuple[Alert, ...]
    maintenance: tuple[Maintenance, ...] = ()

    def of(self, alert: Alert) -> Mute | None:
        """What mutes it; the silence that lasts longest before an outage. None: it is heard."""
        if alert.state != "firing":
            return None
        for row in self._near(alert):
            if row.ended_at is None and mutes(row, alert):  # one may have ended in this transaction
                return Mute(row.purpose, row.id, row.comment, row.ends_at)
        for work in self.maintenance:
            if _is_about(work, alert):
                return Mute("objectives", work.id, work.reason, work.ends_at)
        for outage in self.outages:
            if _inhibits(outage, alert):
                return Mute("alert", outage.id, outage.title)
        return None

    def _near(self, alert: Alert) -> Iterable[Silence]:
        """The silences that can be about it, the last to end first."""
        named, others = self._by_fingerprint
        mine = named.get(alert.fingerprint, ())
        return sorted([*mine, *others], key=lambda row: row.ends_at, reverse=True) if mine else others

    @cached_property
    def _by_fingerprint(self) -> tuple[Mapping[str, Sequence[Silence]], Sequence[Silence]]:
        """Those of one alert by its fingerprint, and all others: there may be one for each of thousands of alerts."""
        named: dict[str, list[Silence]] = {}
        for row in self.silences:
            if row.fingerprint is not None:
                named.setdefault(row.fingerprint, []).append(row)
        return named, [row for row in self.silences if row.fingerprint is None]

    def of_all(self, alerts: Iterable[Alert]) -> dict[int, Mute]:
        """By id, of those that are muted."""
        found = ((alert.id, self.of(alert)) for alert in alerts)
        return {number: mute for number, mute in found if mute is not None}


def muting_now(session: ReadSession, fingerprint: str | None = None) -> Muting:
    """The silences and maintenance that hold and the outages that fire now: three questions, however many alerts.
    With a fingerprint, what can mute its alert."""
    outages = session.scalars(
        select(Alert).where(Alert.state == "firing", Alert.source.in_(sorted(_MUTED_BY)))
    )
    now = clock.now()
    work = session.scalars(
        select(Maintenance)
        .where(Maintenance.starts_at <= now, Maintenance.ends_at > now, Maintenance.withdrawn_at.is_(None))
        .order_by(Maintenance.ends_at.desc(), Maintenance.id)
    )
    return Muting(
        tuple(active_silences(session, fingerprint)),
        tuple(one for one in outages if is_outage(one)),
        tuple(work),
    )


def shown_state(alert: Alert, mute: Mute | None) -> str:
    """pending | firing | suppressed | no_data | resolved."""
    return "suppressed" if mute is not None and alert.state == "firing" else alert.state


def is_outage(alert: Alert) -> bool:
    """Something upstream is gone: the only gateway of its environment does not answer, or no prediction comes.

    Not where others answer in its place, nor where it is back and held because it comes and goes: what fires then has
    another cause, and somebody must hear of it.
    """
    if alert.held_until is not None:
        return False
    if alert.source == "gateway":
        return not alert.details.get("others")
    return alert.source == "data" and not alert.details.get("value")


def heard(alerts: Sequence[Alert], muting: Muting) -> list[Alert]:
    """Those that fire and that nothing mutes."""
    return [one for one in alerts if one.state == "firing" and muting.of(one) is None]


def _is_about(work: Maintenance, alert: Alert) -> bool:
    if (work.model, work.environment) != (alert.model, alert.environment):
        return False
    return work.objective is None or alert.details.get("objective") == work.objective


def _inhibits(outage: Alert, alert: Alert) -> bool:
    if outage.id == alert.id or outage.environment != alert.environment:
        return False
    if alert.source not in _MUTED_BY[outage.source]:
        return False
    return outage.model == alert.model or (outage.source == "gateway" and not outage.model)
