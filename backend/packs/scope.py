"""What a pack is about: a model, a version, a change or a period; and what of the record belongs to that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.audit.population import parse_period, population_of, told_models
from backend.audit.tables import AuditEntry
from backend.database.many import among
from backend.database.session import ReadSession
from backend.deployment.tables import Deployment
from backend.errors import BadInput, NotAllowed
from backend.governance.reading import get_change
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.reach import see
from backend.identity.roles import Permission
from backend.monitoring.tables import WindowState
from backend.registry.service import get_model, get_version
from backend.registry.tables import Model, Version

KINDS: Final[dict[str, str]] = {
    "model": "a model, from its first day on",
    "version": "one version of a model",
    "change": "one change, with what its deciders saw",
    "period": "the changes of a period: 2026Q3, 2026-07, 2026 or 2026-07-01..2026-09-30",
}
MOST_CHANGES: Final = 500
MOST_CARDS: Final = 8


@dataclass(frozen=True)
class Scope:
    """What was asked for. `model` is set but for the whole house; `change` and `period` belong to their kinds."""

    kind: str
    model: str | None = None
    version: int | None = None
    change: int | None = None
    period: str = ""

    @property
    def about(self) -> str:
        """In words."""
        if self.kind == "model":
            return f"model {self.model}"
        if self.kind == "version":
            return f"version {self.version} of {self.model}"
        if self.kind == "change":
            return f"change CHG-{self.change}" + (f" of {self.model}" if self.model else " of the house")
        return f"period {self.period}" + (f" of {self.model}" if self.model else ", the whole house")

    def as_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "model": self.model, "version": self.version, "change": self.change,
                "period": self.period}  # fmt: skip


def scope_of(
    session: ReadSession, viewer: Actor, *, kind: str, model: str | None = None, version: int | None = None,
    change: int | None = None, period: str = "",
) -> Scope:  # fmt: skip
    """A scope that names something the viewer may see. Raises `BadInput`, `NotFound`, `NotAllowed`."""
    see(session, viewer)
    given = {"model": model, "version": version, "change": change, "period": period.strip() or None}
    wanted = {"model": ["model"], "version": ["model", "version"], "change": ["change"], "period": ["period"]}
    if kind not in wanted:
        raise BadInput(f"a pack is about {', '.join(KINDS)}, not {kind!r}", field="kind")
    allowed = {*wanted[kind], *(["model"] if kind in ("period", "change") else [])}
    for name, value in given.items():
        if (name in wanted[kind] and value is None) or (name not in allowed and value is not None):
            raise BadInput(f"a pack about a {kind} names {' and '.join(wanted[kind])}", field=name)
    if kind == "change":
        model = get_change(session, viewer, int(change or 0)).model
    elif model is not None:
        get_model(session, viewer, model)
    if kind == "version":
        get_version(session, viewer, str(model), int(version or 0))
    if model is None and viewer.models_with(Permission.MAKE_PACKS) is not None:
        raise NotAllowed("you may see some models only: name one of them for a pack about a period")
    name = parse_period(period).name if kind == "period" else ""
    return Scope(kind, model, version if kind == "version" else None, change, name)


@dataclass(frozen=True)
class Subject:
    """What of the record belongs to a scope at a moment. Changes and versions ascend.

    start, end   of the period; of the other kinds since ever, and `as_of`
    cards        (model, version): whose cards are in the pack
    lost         changes that by the log belong to the scope, and that the table does not have so
    unplaced     how many changes the log has of which neither entry nor row tells any more what they are about
    left_out     what belongs to the scope and is not in the pack, in words
    """

    scope: Scope
    environment: str
    as_of: datetime
    is_now: bool
    start: datetime | None
    end: datetime
    models: tuple[str, ...]
    versions: tuple[tuple[str, int], ...]
    changes: tuple[int, ...]
    cards: tuple[tuple[str, int], ...]
    left_out: tuple[str, ...]
    lost: tuple[int, ...] = ()
    unplaced: int = 0

    @property
    def whole_model(self) -> bool:
        """Whether everything about its models belongs to it, and not only what is about a version or a change."""
        return self.scope.kind in ("model", "period")


def subject_of(
    session: ReadSession, viewer: Actor, scope: Scope, *, as_of: datetime, is_now: bool, environment: str
) -> Subject:
    """As far as the viewer may see. is_now: `as_of` is the moment at which it was asked for, and no earlier one."""
    see(session, viewer)
    start, end = None, as_of
    left_out: list[str] = []
    if scope.kind == "period":
        found = parse_period(scope.period)
        start, end = found.start, min(found.end, as_of)
    changes = _changes(session, viewer, scope, as_of)
    if len(changes) > MOST_CHANGES:
        left_out.append(
            f"{len(changes) - MOST_CHANGES} changes, the oldest: a pack has {MOST_CHANGES} at most"
        )
        changes = changes[-MOST_CHANGES:]
    rows = list(session.scalars(select(Change).where(Change.id.in_(changes)).order_by(Change.id)))
    models = _models(session, scope, rows, start, end)
    versions = _versions(session, scope, rows, models, as_of)
    cards = _carded(session, scope, rows, versions, start, end)
    lost, unplaced = _lost(session, viewer, scope, start, end)
    if len(cards) > MOST_CARDS:
        left_out.append(
            f"cards of {len(cards) - MOST_CARDS} earlier versions: a pack has {MOST_CARDS} at most"
        )
        cards = cards[-MOST_CARDS:]
    return Subject(
        scope, environment, as_of, is_now, start, end, tuple(models), tuple(versions), tuple(changes), tuple(cards),
        tuple(left_out), lost, unplaced,
    )  # fmt: skip


def _changes(session: ReadSession, viewer: Actor, scope: Scope, as_of: datetime) -> list[int]:
    if scope.kind == "change":
        return [int(scope.change or 0)]
    query = select(Change.id).where(Change.requested_at < as_of).order_by(Change.id)
    if scope.model is not None:
        query = query.where(Change.model == scope.model)
    if scope.kind == "version":
        query = query.where((Change.to_version == scope.version) | (Change.from_version == scope.version))
    if scope.kind == "period":
        known = population_of(session, viewer, parse_period(scope.period), as_of=as_of)
        query = query.where(among(Change.id, [*known.in_log, *known.without_entry]))
    return list(session.scalars(query))


def _lost(
    session: ReadSession, viewer: Actor, scope: Scope, start: datetime | None, end: datetime
) -> tuple[tuple[int, ...], int]:
    """Changes whose entry places them here and whose row is gone, or is of another model now; how many are of nobody.

    What an entry does not tell is the version: of a pack about one, changes of the whole model are looked for.
    """
    if scope.kind == "change":
        return (), 0
    within = [AuditEntry.at < clock.to_iso(end)]
    if start is not None:
        within.append(AuditEntry.at >= clock.to_iso(start))
    told, unplaced = told_models(session, tuple(within))
    reach = viewer.models_with(Permission.MAKE_PACKS)
    here = sorted(
        number
        for number, model in told.items()
        if scope.model in (None, model) and (reach is None or model in reach)
    )
    table, rows = Change.__table__, dict[int, str | None]()  # the table itself, past the viewer's reach
    for at in range(0, len(here), 500):
        known = select(table.c.id, table.c.model).where(table.c.id.in_(here[at : at + 500]))
        rows.update({row.id: row.model for row in session.execute(known)})
    return tuple(one for one in here if one not in rows or rows[one] != told[one]), len(unplaced)


def _models(
    session: ReadSession, scope: Scope, changes: list[Change], start: datetime | None, end: datetime
) -> list[str]:
    if scope.model is not None:
        return [scope.model]
    if scope.kind == "change":
        return []
    served = select(Deployment.model).where(
        Deployment.started_at < end, Deployment.ended_at.is_(None) | (Deployment.ended_at >= (start or end))
    )
    watched = select(WindowState.model).where(WindowState.start >= (start or end), WindowState.start < end)
    found = (
        {one.model for one in changes if one.model}
        | set(session.scalars(served))
        | set(session.scalars(watched.distinct()))
    )
    return sorted(session.scalars(select(Model.name).where(Model.name.in_(found))))


def _versions(
    session: ReadSession, scope: Scope, changes: list[Change], models: list[str], as_of: datetime
) -> list[tuple[str, int]]:
    if scope.kind == "version":
        return [(str(scope.model), int(scope.version or 0))]
    if scope.kind == "change":
        named = {
            one for change in changes for one in (change.from_version, change.to_version) if one is not None
        }
        return [(model, one) for model in models for one in sorted(named)]
    rows = session.execute(
        select(Version.model, Version.version)
        .where(Version.model.in_(models), Version.trained_at < as_of)
        .order_by(Version.model, Version.version)
    )
    return [(model, version) for model, version in rows]


def _carded(
    session: ReadSession, scope: Scope, changes: list[Change], versions: list[tuple[str, int]],
    start: datetime | None, end: datetime,
) -> list[tuple[str, int]]:  # fmt: skip
    """Versions whose card belongs in: the one it is about; else those that served then or were to."""
    if scope.kind in ("version", "change"):
        return versions
    served = session.execute(
        select(Deployment.model, Deployment.version)
        .where(
            Deployment.started_at < end,
            Deployment.ended_at.is_(None) | (Deployment.ended_at >= (start or end)),
        )
        .distinct()
    )
    wanted = {(model, version) for model, version in served}
    wanted |= {(one.model, one.to_version) for one in changes if one.model and one.to_version is not None}
    found = [one for one in versions if one in wanted]
    return found or versions[-1:]


def moment_of(text: str | None) -> datetime | None:
    """An as-of moment as people write it. Raises `BadInput`."""
    if not text:
        return None
    try:
        return clock.from_iso(text)
    except ValueError as error:
        raise BadInput(f"write the moment as 2026-10-01T00:00:00Z, not {text!r}", field="as_of") from error
