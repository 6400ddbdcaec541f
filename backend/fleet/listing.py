"""The list of models: filtered, counted, sorted and cut into pages by the database, whatever their number.

How a model stands by its windows is read from one stored row (`backend.monitoring.standings`); what fires, what serves
and whether the newest window is too old are asked in the same statement, so `level` here is `level` on the overview.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, case, func, literal, null, or_, select

from backend import clock
from backend.alerting.service import worst_by_model
from backend.alerting.tables import Alert, Incident, graver_first
from backend.database.many import among
from backend.database.session import ReadSession
from backend.database.types import UtcDateTime
from backend.deployment.tables import Deployment
from backend.errors import BadInput
from backend.fleet.tables import ModelTag
from backend.fleet.tags import tags_of
from backend.governance import policy_rules
from backend.identity.actor import Actor
from backend.identity.reach import see
from backend.identity.tables import Person, Team, TeamModel
from backend.monitoring.health import NO_DATA, WORST_FIRST, State, live_state, too_old
from backend.monitoring.tables import ModelStanding
from backend.registry.tables import Model

FILTERS: Final = ("text", "owner", "tier", "team", "tag", "health", "environment")
COLUMNS: Final = (
    "health", "figure", "since", "trend", "champion", "owner", "team", "tags", "tier", "incidents", "labels",
)  # fmt: skip
SORTS: Final = ("need", "name", "tier", "owner", "team", "incidents", "since")
NONE: Final = "-"
"""In place of an owner or a team: models that have none"""
MOST: Final = 500
"""Rows of one page at most"""
MOST_CHOICES: Final = 500
TIERS: Final = tuple(reversed(policy_rules.TIERS))
Several = Select[*tuple[Any, ...]]
"""A query for rows of any columns"""


@dataclass(frozen=True)
class Wanted:
    """What is asked of the list. Values of one filter are alternatives, filters are conditions; empty: all.

    owner   user names; team  names; of both `NONE` for models without
    health  of page, attention, unknown, ok
    """

    text: str = ""
    owner: Sequence[str] = ()
    tier: Sequence[str] = ()
    team: Sequence[str] = ()
    tag: Sequence[str] = ()
    health: Sequence[str] = ()
    sort: str = "need"
    descending: bool = False


@dataclass(frozen=True)
class Figure:
    """A value against its limit; of a column where `column` names one."""

    statistic: str
    column: str
    value: float
    threshold: float | None
    unit: str = ""


@dataclass(frozen=True)
class FleetRow:
    """One model of the list; `level`, `word`, `because` and `since` as on the overview."""

    model: str
    title: str
    tier: str
    enforcement: str
    owner: str | None
    team: str | None
    tags: tuple[str, ...]
    level: str
    word: str
    because: str
    since: datetime | None
    figure: Figure | None
    metric: str
    history: tuple[tuple[float | None, str], ...]
    version: int | None
    serving_since: datetime | None
    alerts: int
    incidents: int
    completeness: float | None
    computed_at: datetime | None


@dataclass(frozen=True)
class FleetPage:
    """Rows of one page; `total` match the filters, `known` are there at all. `levels` counts what matches every filter
    but that of health."""

    rows: tuple[FleetRow, ...]
    total: int
    known: int
    levels: dict[str, int] = field(default_factory=dict)


def list_fleet(
    session: ReadSession, viewer: Actor, environment: str, wanted: Wanted, *, offset: int = 0, limit: int | None = 50
) -> FleetPage:  # fmt: skip
    """A page of the models that the viewer may see. `limit` None: all that match, for files and choices."""
    see(session, viewer)
    if wanted.sort not in SORTS:
        raise BadInput(f"sort: {wanted.sort!r} is none of {', '.join(SORTS)}", field="sort")
    now = clock.now()
    level = _level(environment, now)
    counted = _matching(select(level.label("health"), func.count()), environment, wanted)
    levels: dict[str, int] = {one: count for one, count in session.execute(counted.group_by("health"))}  # noqa: C416
    total = sum(count for one, count in levels.items() if not wanted.health or one in wanted.health)
    known = session.scalar(select(func.count()).select_from(Model)) or 0
    query = _matching(_rows(level, environment), environment, wanted)
    if wanted.health:
        query = query.where(level.in_(list(wanted.health)))
    query = query.order_by(*_order(wanted, level, environment, now)).offset(offset)
    found = session.execute(query if limit is None else query.limit(min(limit, MOST))).all()
    return FleetPage(tuple(_filled(session, viewer, environment, found, now)), total, known, levels)


def names_matching(session: ReadSession, viewer: Actor, environment: str, wanted: Wanted) -> list[str]:
    """Every model that matches, by name: what an act on all of them is about."""
    see(session, viewer)
    level = _level(environment, clock.now())
    query = _matching(select(Model.name), environment, wanted)
    if wanted.health:
        query = query.where(level.in_(list(wanted.health)))
    return list(session.scalars(query.order_by(Model.name)))


def choices(session: ReadSession, viewer: Actor) -> dict[str, list[tuple[str, str]]]:
    """What the filters can be set to: (value, label) of owners, teams and tags that models the viewer sees have."""
    see(session, viewer)
    owners = (
        select(Person.username, Person.display_name)
        .where(Person.id.in_(select(Model.owner_id).where(Model.owner_id.is_not(None))))
        .order_by(Person.display_name, Person.username)
    )
    teams = select(Team.name).where(Team.id.in_(select(TeamModel.team_id))).order_by(Team.name)
    tags = select(ModelTag.tag).distinct().order_by(ModelTag.tag)
    return {
        "owner": [(one, label) for one, label in session.execute(owners.limit(MOST_CHOICES))],
        "team": [(one, one) for one in session.scalars(teams.limit(MOST_CHOICES))],
        "tag": [(one, one) for one in session.scalars(tags.limit(MOST_CHOICES))],
    }


def environments(session: ReadSession, viewer: Actor) -> list[str]:
    """Where any model that the viewer sees serves or served, by name."""
    see(session, viewer)
    return list(session.scalars(select(Deployment.environment).distinct().order_by(Deployment.environment)))


def _matching(query: Several, environment: str, wanted: Wanted) -> Several:
    """The query over models with what hangs on each, kept to those that match every filter but that of health."""
    query = (
        query.select_from(Model)
        .outerjoin(
            Deployment,
            and_(Deployment.model == Model.name, Deployment.environment == environment, Deployment.role == "champion",
                 Deployment.ended_at.is_(None)),
        )
        .outerjoin(
            ModelStanding,
            and_(ModelStanding.model == Model.name, ModelStanding.environment == environment),
        )
        .outerjoin(Person, Person.id == Model.owner_id)
        .outerjoin(TeamModel, TeamModel.model == Model.name)
        .outerjoin(Team, Team.id == TeamModel.team_id)
    )  # fmt: skip
    text = wanted.text.strip().lower()
    if text:
        tagged = select(ModelTag.model).where(ModelTag.tag.contains(text, autoescape=True))
        query = query.where(
            or_(
                func.lower(Model.name).contains(text, autoescape=True),
                func.lower(Model.title).contains(text, autoescape=True), Model.name.in_(tagged),
            )
        )  # fmt: skip
    if wanted.tier:
        query = query.where(Model.tier.in_(list(wanted.tier)))
    for column, values in ((Person.username, wanted.owner), (Team.name, wanted.team)):
        if values:
            named = [one for one in values if one != NONE]
            query = query.where(
                or_(column.in_(named), column.is_(None) if NONE in values else literal(False))
            )
    if wanted.tag:
        query = query.where(
            Model.name.in_(select(ModelTag.model).where(among(ModelTag.tag, list(wanted.tag))))
        )
    return query


def _firing(environment: str) -> tuple[ColumnElement[bool], ...]:
    return (Alert.model == Model.name, Alert.state == "firing", Alert.environment == environment)


def _worst(environment: str) -> ColumnElement[Any]:
    """The level of the worst alert that fires at a model; NULL where none does."""
    query = select(Alert.level).where(*_firing(environment)).order_by(graver_first()).limit(1)
    return query.correlate(Model).scalar_subquery()


def _level(environment: str, now: datetime) -> ColumnElement[str]:
    """page | attention | unknown | ok: as `health.live_state`, then the stored standing unless it is out of date."""
    worst = _worst(environment)
    return case(
        (worst == "page", "page"), (Deployment.state == "failed", "page"), (worst == "ticket", "attention"),
        (Deployment.id.is_(None), "unknown"), (ModelStanding.stale_at.is_(None), "unknown"),
        (ModelStanding.stale_at < literal(now, UtcDateTime()), "unknown"),
        (ModelStanding.version.is_distinct_from(Deployment.version), "unknown"), else_=ModelStanding.level,
    )  # fmt: skip


def _since(environment: str, now: datetime) -> ColumnElement[Any]:
    """Since when a model is as `_said` says, to sort by; NULL where that is not known."""
    worst = _worst(environment)
    fired = (
        select(Alert.fired_at).where(*_firing(environment)).order_by(graver_first(), Alert.since, Alert.id)
        .limit(1).correlate(Model).scalar_subquery()
    )  # fmt: skip
    return case(
        (worst == "page", fired), (Deployment.state == "failed", Deployment.started_at), (worst == "ticket", fired),
        (Deployment.id.is_(None), null()), (ModelStanding.stale_at.is_(None), null()),
        (ModelStanding.stale_at < literal(now, UtcDateTime()), ModelStanding.last_end),
        (ModelStanding.version.is_distinct_from(Deployment.version),
         func.coalesce(Deployment.serving_at, Deployment.started_at)),
        else_=ModelStanding.since,
    )  # fmt: skip


def _incidents(environment: str) -> ColumnElement[int]:
    query = select(func.count()).select_from(Incident).where(
        Incident.model == Model.name, Incident.state == "open", Incident.environment == environment
    )  # fmt: skip
    return query.correlate(Model).scalar_subquery()


def _rows(level: ColumnElement[str], environment: str) -> Several:
    return select(
        Model.name, Model.title, Model.tier, Model.enforcement, Person.display_name.label("owner"),
        Team.name.label("team"), level.label("health"), _incidents(environment).label("incidents"),
        Deployment, ModelStanding,
    )  # fmt: skip


def _order(
    wanted: Wanted, level: ColumnElement[str], environment: str, now: datetime
) -> list[ColumnElement[Any]]:
    """What the sort names, and by name within it. What has no value comes last either way."""
    since = _since(environment, now)
    keys: dict[str, list[ColumnElement[Any]]] = {
        "need": [case({one: at for at, one in enumerate(WORST_FIRST)}, value=level, else_=9)],
        "name": [func.lower(Model.name)],
        "tier": [case({one: at for at, one in enumerate(TIERS)}, value=Model.tier, else_=9)],
        "owner": [func.lower(Person.display_name)],
        "team": [func.lower(Team.name)],
        "incidents": [-_incidents(environment)],
        "since": [since],
    }  # fmt: skip
    first = keys[wanted.sort][0]
    ordered = [first.is_(None), first.desc() if wanted.descending else first.asc()]
    if wanted.sort == "need":
        ordered += [since.is_(None), since.asc()]
    return [*ordered, Model.name.asc()]


def _filled(
    session: ReadSession, viewer: Actor, environment: str, found: Sequence[Any], now: datetime
) -> list[FleetRow]:
    names = [row.name for row in found]
    fires = worst_by_model(session, viewer, names, environment)
    tags = tags_of(session, viewer, names)
    rows = []
    for row in found:
        worst, many = fires.get(row.name, (None, 0))
        level, word, because, since = _said(row.Deployment, row.ModelStanding, worst, now)
        standing = row.ModelStanding
        rows.append(
            FleetRow(
                model=row.name, title=row.title, tier=row.tier, enforcement=row.enforcement, owner=row.owner,
                team=row.team, tags=tags.get(row.name, ()), level=level, word=word, because=because, since=since,
                figure=_figure(worst, standing), metric=standing.metric if standing else "",
                history=tuple((value, verdict) for value, verdict in standing.history) if standing else (),
                version=row.Deployment.version if row.Deployment else None,
                serving_since=(row.Deployment.serving_at or row.Deployment.started_at) if row.Deployment else None,
                alerts=many, incidents=row.incidents, completeness=standing.completeness if standing else None,
                computed_at=standing.computed_at if standing else None,
            )
        )  # fmt: skip
    return rows


def _said(
    champion: Deployment | None, standing: ModelStanding | None, worst: Alert | None, now: datetime
) -> State:
    """The words for what `_level` says."""
    live = live_state(champion, worst)
    if live is not None or champion is None:
        return live or NO_DATA
    if standing is None or standing.stale_at is None:
        return NO_DATA
    if standing.stale_at < now:
        return too_old(standing.last_end)
    if standing.version != champion.version:
        since = champion.serving_at or champion.started_at
        return "unknown", "not judged", f"v{champion.version} has no judged window yet", since
    return standing.level, standing.word, standing.because, standing.since


def _figure(worst: Alert | None, standing: ModelStanding | None) -> Figure | None:
    """What the worst alert is about, where it has a value and a limit; else what the standing kept."""
    if worst is not None and worst.level in ("page", "ticket"):
        told = worst.details
        value, limit = told.get("value"), told.get("threshold")
        if isinstance(value, int | float) and isinstance(limit, int | float):
            statistic = str(told.get("statistic") or worst.kind)
            return Figure(statistic, str(told.get("column") or ""), float(value), float(limit))
    if standing is None or not standing.figure:
        return None
    return Figure(**standing.figure)
