"""All that one page has to answer at 3 am, in order, read once: the plain page, REST and the report all show this."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.alerting.actions_offered import Offer, offers
from backend.alerting.answers import answers_lately, availability_words, latency_words, unseen_words
from backend.alerting.answers_around import answers_around, answers_between, answers_over
from backend.alerting.incident_alerts import Tally, alerts_of_incident, tally_alerts
from backend.alerting.incidents import get_incident
from backend.alerting.mitigation import LENGTHS, watch_words
from backend.alerting.muting import Mute, muting_now, shown_state
from backend.alerting.runbook import StepDone, steps_done
from backend.alerting.sources import LEVELS
from backend.alerting.suspects import Suspect, suspects
from backend.alerting.tables import Alert, Incident
from backend.alerting.timeline import Event, began, changed_within
from backend.database.session import ReadSession, hold
from backend.deployment.tables import GatewayReport
from backend.governance.authority import possible_deciders
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.monitoring.columns import parse_spec
from backend.monitoring.health import ModelHealth, health_of
from backend.monitoring.page_points import Series, point_series, predicted_series, request_series
from backend.monitoring.words import metric_word, named_in_words
from backend.registry.service import get_model

MOST_SIMILAR: Final = 5
WINDOWS_SHOWN: Final = 28
MOST_NAMED: Final = 10


@dataclass(frozen=True)
class Similar:
    """A past incident of the same model and area, and how it ended. `shared`: of its alerts that fired here too."""

    incident: Incident
    shared: int

    @property
    def lasted(self) -> timedelta:
        return (self.incident.closed_at or clock.now()) - self.incident.opened_at


@dataclass(frozen=True)
class Brief:
    """What is known of one incident, for one viewer, at one moment.

    alerts    those that say what it is, the worst and oldest first, with what mutes each (by id); `tally` counts all
    sentence  what, since when, before and now, whether callers see errors, in figures
    impact    rows of (what, told)
    names     of people, by id; `deciders` could approve a change now
    """

    incident: Incident
    at: datetime
    began: datetime
    alerts: tuple[Alert, ...]
    tally: Tally
    mutes: dict[int, Mute]
    health: ModelHealth | None
    sentence: str
    impact: tuple[tuple[str, str], ...]
    suspects: tuple[Suspect, ...]
    changed: tuple[Event, ...]
    series: tuple[Series, ...]  # over windows
    answers: tuple[Series, ...]  # of requests around it
    offers: tuple[Offer, ...]
    names: dict[str, str]
    deciders: tuple[str, ...]
    similar: tuple[Similar, ...]
    done: dict[str, StepDone]  # steps of its causes, by their words

    @property
    def firing(self) -> list[Alert]:
        return [one for one in self.alerts if one.state == "firing"]

    def state_of(self, alert: Alert) -> str:
        return shown_state(alert, self.mutes.get(alert.id))


def read_brief(session: ReadSession, viewer: Actor, incident_id: int) -> Brief:
    """Raises `NotFound` for an incident that the viewer may not see."""
    incident = get_incident(session, viewer, incident_id)
    hold(session, get_model(session, viewer, incident.model) if incident.model else None)
    alerts = _worst_first(alerts_of_incident(session, viewer, incident_id))
    changed = changed_within(session, viewer, incident)
    health = health_of(session, viewer, incident.model, incident.environment) if incident.model else None
    people = {incident.acknowledged_by, incident.assigned_to, incident.opened_by, incident.severity_by}
    return Brief(
        incident, clock.now(), began(session, incident), tuple(alerts),
        tally_alerts(session, viewer, incident_id), muting_now(session).of_all(alerts), health,
        sentence_of(session, viewer, incident, alerts, health), tuple(_impact(session, viewer, incident, alerts)),
        tuple(suspects(session, viewer, incident, alerts, changed)), tuple(changed),
        tuple(series_of(session, viewer, incident, alerts, health)),
        tuple(answers_around(session, viewer, incident)), tuple(offers(session, viewer, incident, alerts, health)),
        names_of(session, people), tuple(one.display_name for one in possible_deciders(session)),
        tuple(similar(session, viewer, incident)), steps_done(session, incident_id),
    )  # fmt: skip


def similar(session: ReadSession, viewer: Actor, incident: Incident) -> list[Similar]:
    """Those that are over, of its model and area; first those in which the same alerts fired, then the latest."""
    mine = select(Alert.fingerprint).where(Alert.incident_id == incident.id)
    past = session.scalars(
        select(Incident)
        .where(
            Incident.model == incident.model, Incident.area == incident.area, Incident.state == "closed",
            Incident.id != incident.id, Incident.phase != "merged", Incident.opened_at < incident.opened_at,
        )
        .order_by(Incident.opened_at.desc())
        .limit(50)
    ).all()  # fmt: skip
    rows = session.execute(
        select(Alert.incident_id, Alert.fingerprint)
        .where(Alert.incident_id.in_([one.id for one in past]), Alert.fingerprint.in_(mine))
        .distinct()
    ).all()  # fmt: skip
    count = Counter(number for number, _ in rows)
    shared = [Similar(one, count[one.id]) for one in past]
    return sorted(shared, key=lambda one: -one.shared)[:MOST_SIMILAR]


def callers_words(session: ReadSession, viewer: Actor, incident: Incident) -> str:
    """Whether callers see errors, by the last reading; unknown is said."""
    if not incident.model:
        return "not known"
    lately = answers_lately(session, viewer, incident.model, incident.environment, over_at=incident.closed_at)
    share, unseen = lately.availability, unseen_words(lately)
    failed = "" if share is None else f"{1 - share:.2%} of requests failed"
    if unseen:
        return f"whether callers see errors is {unseen}{f'; before, {failed}' if lately.failed else ''}"
    if share is None:
        return "whether callers see errors is not known"
    slow = f", but {latency_words(lately)}" if lately.is_slow else ""
    if not lately.failed:
        return f"callers see no errors{slow} ({lately.when})"
    return f"callers see errors: {failed} ({lately.when})"


def _worst_first(alerts: list[Alert]) -> list[Alert]:
    return sorted(
        alerts, key=lambda one: (one.state == "resolved", LEVELS.index(one.level), one.since, one.id)
    )


def sentence_of(
    session: ReadSession,
    viewer: Actor,
    incident: Incident,
    alerts: list[Alert],
    health: ModelHealth | None,
    when: Callable[[datetime], str] = clock.to_words,
) -> str:
    """What, since when, before and now, whether callers see errors; `when` writes a moment."""
    firing = [one for one in alerts if one.state == "firing"]
    start = began(session, incident)
    what = f"{named_in_words(incident.title)}, since {when(start)}"
    parts = [what[:1].upper() + what[1:]]
    about_performance = any(one.kind in ("realised", "estimated") for one in firing)
    if health is not None and health.value is not None and not about_performance:
        told = "estimated" if health.estimated else "by labels"
        before = "" if health.reference is None else f" ({health.reference:.3g} in the reference)"
        parts.append(f"{metric_word(health.metric)} is {health.value:.3g}{before}, {told}")
    parts.append(callers_words(session, viewer, incident))
    if incident.state == "open" and not firing:
        parts.append("nothing fires any more")
    watched = watch_words(incident)
    if watched:
        parts.append(f"CHG-{incident.mitigated_by_change} was executed and has to end it. {watched}")
    return "; ".join(parts) + "."


def _impact(
    session: ReadSession, viewer: Actor, incident: Incident, alerts: list[Alert]
) -> list[tuple[str, str]]:
    told: list[tuple[str, str]] = []
    firing = [one for one in alerts if one.state == "firing" or incident.state == "closed"]
    segments = sorted({str(one.details["segment"]) for one in firing if one.details.get("segment")})
    whole = any(not one.details.get("segment") for one in firing)
    rows = max(
        (int(one.details.get("window_rows") or one.details.get("rows") or 0) for one in firing), default=0
    )
    if incident.model and firing:
        who = "every prediction" if whole or not segments else f"predictions of {' and '.join(segments)}"
        told.append(("for whom", f"{who}{f': {rows:,} in the window' if rows else ''}"))
    if not incident.model:
        told += [("for whom", one) for one in (_without_gateway(session, incident, firing),) if one]
    told += [("error budget", one) for one in budgets_of(firing)]
    if incident.model:
        lately = answers_lately(
            session, viewer, incident.model, incident.environment, over_at=incident.closed_at
        )
        told.append(("answers", availability_words(lately)))
        if latency_words(lately):
            told.append(("waiting", latency_words(lately)))
        model = get_model(session, viewer, incident.model)
        told.append(("model", f"{model.title or model.name}, tier {model.tier}, {incident.environment}"))
    return told


def _without_gateway(session: ReadSession, incident: Incident, alerts: Iterable[Alert]) -> str:
    """Whom a gateway that is down served; empty where none is."""
    gone = {str(one.details.get("gateway")): one for one in alerts if one.source == "gateway"}
    if not gone:
        return ""
    if all(one.details.get("others") for one in gone.values()):
        return "requests that went to it; others answer in its place"
    served = session.scalars(
        select(GatewayReport.model)
        .where(
            GatewayReport.gateway_id.in_(gone), GatewayReport.environment == incident.environment,
            GatewayReport.version.is_not(None),
        )
        .distinct()
        .order_by(GatewayReport.model)
    ).all()  # fmt: skip
    if not served:
        return "not known: it told of no model that it served"
    more = f" and {len(served) - MOST_NAMED} more" if len(served) > MOST_NAMED else ""
    return f"every prediction of {', '.join(served[:MOST_NAMED])}{more}"


def budgets_of(alerts: Iterable[Alert]) -> list[str]:
    """What is left of the budgets that these alerts are about."""
    return [budget_words(one) for one in alerts if one.details.get("remaining") is not None]


def budget_words(alert: Alert) -> str:
    """What is left of the budget of the objective that an alert is about."""
    left, name = float(alert.details["remaining"]), alert.details.get("name", "")
    return f"{name}: {left:.1%} left" if left > 0 else f"{name}: gone, overspent by {-left:,.0%}"


def series_of(
    session: ReadSession, viewer: Actor, incident: Incident, alerts: list[Alert], health: ModelHealth | None
) -> list[Series]:
    """Requests, errors, latency, performance with its band, the predicted rate, and missing values of the column that
    fires: on one time axis."""
    if not incident.model:
        return []
    size = _size_of(session, viewer, incident, alerts)
    length = LENGTHS.get(size, timedelta(days=7))
    until = min(incident.closed_at or clock.now(), incident.opened_at + 4 * length)
    since = until - WINDOWS_SHOWN * length
    asked, *rest = _of_windows(session, viewer, incident, alerts, health, since, until)
    found = [asked, *answers_over(session, viewer, incident, since, until), *rest]
    return [one for one in found if is_known(one)]


def series_between(
    session: ReadSession, viewer: Actor, incident: Incident, alerts: list[Alert], health: ModelHealth | None,
    since: datetime, until: datetime,
) -> list[Series]:  # fmt: skip
    """The same of a range: how requests were answered, in steps as short as are kept, and what windows that begin in
    it say."""
    if not incident.model:
        return []
    length = LENGTHS.get(_size_of(session, viewer, incident, alerts))
    asked, *rest = _of_windows(session, viewer, incident, alerts, health, since, until)
    asked = asked._replace(name="requests of each window")
    windows = [one._replace(length=length) for one in (asked, *rest)]
    found = [*answers_between(session, viewer, incident, since, until), *windows]
    return [one for one in found if is_known(one)]


def is_known(one: Series) -> bool:
    """Whether any point has a value."""
    return any(value is not None for _, value, *_ in one.points)


def _size_of(session: ReadSession, viewer: Actor, incident: Incident, alerts: list[Alert]) -> str:
    """Of the windows that its alerts tell of; otherwise those of its model."""
    sizes = [one.details.get("size") for one in alerts if one.details.get("size")]
    return str(sizes[0] if sizes else get_model(session, viewer, str(incident.model)).spec["window"])


def _of_windows(
    session: ReadSession, viewer: Actor, incident: Incident, alerts: list[Alert], health: ModelHealth | None,
    since: datetime, until: datetime,
) -> list[Series]:  # fmt: skip
    """Of windows that begin in the time: requests, performance, the predicted rate, missing values."""
    spec = get_model(session, viewer, str(incident.model)).spec
    place: dict[str, Any] = {
        "model": incident.model, "environment": incident.environment,
        "size": _size_of(session, viewer, incident, alerts), "since": since, "until": until,
    }  # fmt: skip
    metric = next((str(one.details["statistic"]) for one in alerts if one.kind in ("realised", "estimated")
                   and one.details.get("statistic")), health.metric if health else "")  # fmt: skip
    column = next((str(one.details["column"]) for one in alerts if one.details.get("column")), None)
    found = [request_series(session, **place)]
    for kind in ("realised", "estimated"):
        one = point_series(session, **place, kinds=(kind,), statistic=metric)
        found.append(
            one._replace(name=f"{metric_word(metric)} {'by labels' if kind == 'realised' else 'estimated'}")
        )
    found.append(predicted_series(session, **place, spec=parse_spec(spec)))
    if column is not None:
        one = point_series(session, **place, kinds=("quality",), statistic="missing_rate", column=column)
        found.append(one._replace(name=f"missing share of {column}"))
    return found
