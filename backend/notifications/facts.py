"""What is asked of the database to tell of incidents, read at once however many they are, and the message of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import select

from backend.alerting.incidents import asks_again
from backend.alerting.mitigation import is_watched, watch_words
from backend.alerting.sources import LEVELS
from backend.alerting.tables import Alert, Incident
from backend.audit.signers import origin
from backend.database.session import ReadSession
from backend.identity.tables import Person
from backend.identity.teams import team_names
from backend.monitoring.words import named_in_words
from backend.notifications.contacts import About
from backend.notifications.messages import Message, clipped, iso, key_of_round
from backend.notifications.tables import BegunRoute, ToldIncident
from backend.registry.tables import Model
from backend.settings import settings

SHOWN_ALERTS: Final = 3
LONGEST_LINE: Final = 300


@dataclass(frozen=True)
class Facts:
    """About some incidents, by their numbers.

    firing       the alerts that fire under each
    with_alerts  those to which alerts belong at all: one that was opened by hand has none, and is told all the same
    told         what each channel was last told
    begun        when each route began
    """

    firing: Mapping[int, Sequence[Alert]]
    with_alerts: frozenset[int]
    told: Mapping[int, Mapping[str, ToldIncident]]
    begun: Mapping[int, Mapping[str, datetime]]
    models: Mapping[str, Model]
    names: Mapping[str, str]
    teams: Mapping[str, str] = field(default_factory=dict)

    def about(self, incident: Incident) -> About:
        """What routes ask of an incident. One of the whole installation is of high tier, as in its severity: a gateway
        that is down serves models of every tier."""
        model = self.models.get(incident.model)
        owner = self.names.get((model.owner_id or "") if model else "", "")
        tier = model.tier if model else "" if incident.model else "high"
        return About(
            severity=incident.severity, tier=tier, model=incident.model,
            environment=incident.environment, team=self.teams.get(incident.model, owner),
            acknowledged=incident.acknowledged_at is not None, begun=self.begun.get(incident.id, {}),
        )  # fmt: skip

    def message(self, incident: Incident) -> Message:
        """Of an incident as it is. Its lines hold nothing that changes by itself, such as an age."""
        over = incident.state != "open"
        return Message(
            key=key_of(incident.id), incident=incident.id,
            state="resolved" if over else "acknowledged" if incident.acknowledged_at is not None else "open",
            severity=incident.severity, title=clipped(named_in_words(incident.title), LONGEST_LINE),
            lines=self._lines(incident),
            link=f"{settings().console.rstrip('/')}/i/{incident.id}", model=incident.model,
            environment=incident.environment, opened_at=iso(incident.opened_at), round=incident.asks,
            by="" if over else self.names.get(incident.acknowledged_by or "") or incident.acknowledged_there,
        )  # fmt: skip

    def _lines(self, incident: Incident) -> tuple[str, ...]:
        firing = sorted(
            self.firing.get(incident.id, ()), key=lambda one: (LEVELS.index(one.level), one.since, one.id)
        )
        where = f"{incident.model or 'The installation'} in {incident.environment}"
        lines = [where, f"Since: {incident.opened_at:%Y-%m-%d %H:%M:%S} UTC"]
        again = asks_again(incident)
        lines += [f"Again: {again}"] if again else []
        lines += [
            f"{one.level}: {clipped(named_in_words(one.title), LONGEST_LINE)}"
            for one in firing[:SHOWN_ALERTS]
        ]
        if len(firing) > SHOWN_ALERTS:
            lines.append(f"and {len(firing) - SHOWN_ALERTS} more alerts")
        if is_watched(incident):
            lines.append(f"Mitigated by CHG-{incident.mitigated_by_change}. {watch_words(incident)}.")
        elif incident.relapsed_at is not None and incident.state == "open":
            lines.append(
                f"It was mitigated, and fires again since {incident.relapsed_at:%Y-%m-%d %H:%M:%S} UTC"
            )
        if incident.state != "open" and incident.closed_because:
            lines.append(f"Over: {clipped(incident.closed_because, LONGEST_LINE)}")
        return tuple(lines)


def read_facts(session: ReadSession, incidents: Iterable[Incident]) -> Facts:
    found = list(incidents)
    numbers = [one.id for one in found]
    firing: defaultdict[int, list[Alert]] = defaultdict(list)
    for alert in session.scalars(
        select(Alert).where(Alert.incident_id.in_(numbers), Alert.state == "firing").order_by(Alert.id)
    ):
        firing[alert.incident_id or 0].append(alert)
    told: defaultdict[int, dict[str, ToldIncident]] = defaultdict(dict)
    for row in session.scalars(select(ToldIncident).where(ToldIncident.incident_id.in_(numbers))):
        told[row.incident_id][row.channel] = row
    begun: defaultdict[int, dict[str, datetime]] = defaultdict(dict)
    for route in session.scalars(select(BegunRoute).where(BegunRoute.incident_id.in_(numbers))):
        begun[route.incident_id][route.route] = route.began_at
    named = {one.model for one in found if one.model}
    models = {one.name: one for one in session.scalars(select(Model).where(Model.name.in_(named)))}
    people = {one.acknowledged_by for one in found} | {one.owner_id for one in models.values()}
    names = session.execute(
        select(Person.id, Person.display_name).where(Person.id.in_([one for one in people if one]))
    )
    return Facts(
        firing, frozenset(session.scalars(select(Alert.incident_id).where(Alert.incident_id.in_(numbers)).distinct())),
        told, begun, models, {number: name for number, name in names},  # noqa: C416 - rows, not tuples, to mypy
        team_names(session, named),
    )  # fmt: skip


def key_of(incident_id: int, round_: int = 1) -> str:
    """The dedup key of an incident: two installations that tell the same service do not get into each other's way."""
    return key_of_round(f"{origin().removesuffix('/audit')}/incidents/{incident_id}", round_)
