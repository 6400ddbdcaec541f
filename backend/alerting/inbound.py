"""Alerts that other systems raise and Alertmanager hands to us: the same alerts as our own from then on.

What comes is the body of Alertmanager's webhook, version 4. An alert needs a label `model` that Warrant knows;
`environment` says where (default: the environment of this home), `severity` how bad: critical or page is a page,
warning or ticket a ticket, everything else information.
https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

from datetime import MAXYEAR, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field
from sqlalchemy import select

from backend import clock
from backend.alerting.service import Firing, fingerprint, fire, resolve
from backend.alerting.tables import Alert
from backend.database.session import WriteSession
from backend.errors import BadInput
from backend.governance.places import require_environment
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.registry.tables import Model
from backend.settings import settings

KIND: Final = "outside"
LEVELS: Final = {"critical": "page", "page": "page", "warning": "ticket", "ticket": "ticket"}
OURS: Final = "WarrantIncident"  # what we hand to Alertmanager is called so, and carries a label `key`
AHEAD: Final = timedelta(days=1)  # how far another clock may be ahead
Text = Annotated[str, Field(max_length=4000)]


def _written(value: Any) -> Any:
    if not isinstance(value, str) or value.strip().lstrip("+-").replace(".", "", 1).isdigit():
        raise ValueError("a time is written as text, such as 2026-03-01T03:00:00Z")
    return value


def _in_range(at: datetime) -> datetime:
    if at.year < 1970:
        raise ValueError(f"the year {at.year} is before 1970, which is no time at which an alert began")
    if at.year > MAXYEAR - 1 or at > clock.now() + AHEAD:
        raise ValueError(f"{at:%Y-%m-%d} lies in the future, so no alert has begun then")
    return at


class OutsideAlert(BaseModel):
    status: Literal["firing", "resolved"]
    labels: dict[str, Text]
    annotations: dict[str, Text] = Field(default_factory=dict)
    startsAt: Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_in_range)]  # noqa: N815 - theirs
    generatorURL: Text = ""  # noqa: N815 - Alertmanager's name
    fingerprint: Annotated[str, Field(min_length=1, max_length=64)]


class OutsideAlerts(BaseModel):
    version: Literal["4"]
    alerts: Annotated[list[OutsideAlert], Field(max_length=1000)]


def take_alerts(session: WriteSession, actor: Actor, told: OutsideAlerts) -> dict[str, Any]:
    """Fire and resolve what Alertmanager tells of. The same told again changes nothing.

    Returns how many fired and were resolved, and of each that was not taken why. Raises `BadInput` where none could be
    taken.
    """
    actor.require(Permission.REPORT_ALERTS)
    known = set(session.scalars(select(Model.name)))
    counts: dict[str, Any] = {"firing": 0, "resolved": 0, "refused": []}
    for one in told.alerts:
        model = one.labels.get("model", "")
        environment = one.labels.get("environment") or settings().environment
        why_not = _why_not(session, one, model, environment, known)
        if why_not:
            counts["refused"].append(f"{one.labels.get('alertname', one.fingerprint)}: {why_not}")
            continue
        if one.status == "firing":
            fire(session, actor, _firing(one, model, environment))
            counts["firing"] += 1
        else:
            counts["resolved"] += _resolve(
                session, actor, fingerprint(model, environment, KIND, one.fingerprint)
            )
    if counts["refused"] and not (counts["firing"] or counts["resolved"]):
        raise BadInput("; ".join(counts["refused"][:5]), field="alerts")
    return counts


def _why_not(session: WriteSession, one: OutsideAlert, model: str, environment: str, known: set[str]) -> str:
    """Why this alert is not taken; empty where it is. What is over is taken from anywhere."""
    if one.labels.get("alertname") == OURS and "key" in one.labels:
        return "it is our own incident, handed back; route it elsewhere"
    if model not in known:
        return f"its label model is {model!r}, which is no model here"
    if one.status == "firing":
        try:
            require_environment(session, environment)
        except BadInput as error:
            return f"its label environment: {error.message}"
    return ""


def _firing(one: OutsideAlert, model: str, environment: str) -> Firing:
    said = one.annotations.get("summary") or one.annotations.get("description")
    name = one.labels.get("alertname", "an alert")
    return Firing(
        model=model, environment=environment, version=None, kind=KIND,
        level=LEVELS.get(one.labels.get("severity", "").casefold(), "info"), title=said or name,
        subject=one.fingerprint, since=min(one.startsAt, clock.now()),
        details={"alertname": name, "labels": one.labels, "annotations": one.annotations, "link": one.generatorURL},
    )  # fmt: skip


def _resolve(session: WriteSession, actor: Actor, mine: str) -> int:
    alert = session.scalars(
        select(Alert).where(Alert.fingerprint == mine, Alert.state == "firing").with_for_update()
    ).one_or_none()
    if alert is None:
        return 0
    resolve(session, actor, alert, why="Alertmanager says that it is over")
    return 1
