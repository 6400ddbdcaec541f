"""Objectives in the database: defining, revising and retiring them, each with its audit entry."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from sqlalchemy import ColumnElement, case, delete, func, select
from sqlalchemy.exc import IntegrityError

from backend import clock
from backend.alerting.service import fingerprint, resolve
from backend.alerting.tables import Alert
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.base import new_id
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, ChangedSinceSeen, Conflict, NotFound
from backend.governance.direct_edits import refuse_direct_edit
from backend.identity.actor import Actor
from backend.identity.reach import allow, see
from backend.identity.roles import Permission
from backend.registry.service import get_model
from backend.slo.lint import lint
from backend.slo.objectives import Objective
from backend.slo.openslo import parse_openslo
from backend.slo.openslo_writing import write_openslo
from backend.slo.tables import ObjectiveRevision, ObjectiveState, SliCount

KIND = "slo"
ABSENT = "slo_absent"
MOST_OBJECTIVES = 50  # of one model
WORST_FIRST = ("breach", "no_data", "ok")
_WORD = func.coalesce(ObjectiveState.state, "no_data")
LONGEST_WHY = 2000
LONGEST_DOCUMENT = 100_000
EVENTS = ("page", "ticket")


def define_objective(
    session: WriteSession, actor: Actor, *, objective: Objective, why: str = ""
) -> ObjectiveRevision:
    """Store an objective; it is counted and judged from the next minute on.

    Raises `Conflict` for a name that another objective of the model has, `OnlyByChange` where the policy guards it.
    """
    allow(session, actor, Permission.WRITE_OBJECTIVES)
    _check_place(session, actor, objective)
    if len(_present(session, objective.model, objective.environment)) >= MOST_OBJECTIVES:
        raise Conflict(f"{objective.model} has {MOST_OBJECTIVES} objectives; retire one that nobody needs")
    row = _row(actor, objective, key=new_id("slo"), number=1, why=why)
    return _add(session, actor, row, Action.OBJECTIVE_DEFINED, before=None)


def revise_objective(
    session: WriteSession, actor: Actor, key: str, *, objective: Objective, seen: int, why: str = ""
) -> ObjectiveRevision:
    """Store another definition as the next revision; `seen` is the one that the person looked at.

    Counts stay where the indicator and its slices are the same; else they are counted anew.
    """
    allow(session, actor, Permission.WRITE_OBJECTIVES)
    row = _seen(session, actor, key, seen)
    _check_place(session, actor, objective)
    if (objective.model, objective.environment) != (row.model, row.environment):
        raise BadInput("an objective stays with its model and environment; define another one there")
    before = known_objective(row)
    if row.state == "active" and before == objective:
        return row
    if before is None or _counted(before) != _counted(objective):
        _forget_counts(session, key)
    row.superseded_at = clock.now()
    session.flush()
    return _add(
        session, actor, _row(actor, objective, key=key, number=row.number + 1, why=why),
        Action.OBJECTIVE_REVISED, before=row,
    )  # fmt: skip


def retire_objective(
    session: WriteSession, actor: Actor, key: str, *, seen: int, why: str
) -> ObjectiveRevision:
    """Stop judging it; what fires by it is resolved, its revisions and counts stay readable. Again: nothing."""
    allow(session, actor, Permission.WRITE_OBJECTIVES)
    row = _seen(session, actor, key, seen)
    if row.state == "retired":
        return row
    if not why.strip():
        raise BadInput("write why it is retired: others will read it", field="why")
    row.superseded_at = clock.now()
    session.flush()
    gone = ObjectiveRevision(
        key=key, number=row.number + 1, model=row.model, environment=row.environment, name=row.name,
        document=row.document, state="retired", why=_short(why), made_by=actor.person_row, made_at=clock.now(),
    )  # fmt: skip
    added = _add(session, actor, gone, Action.OBJECTIVE_RETIRED, before=row)
    for kind, subject in _subjects(key):
        mine = fingerprint(row.model, row.environment, kind, subject)
        for alert in session.scalars(select(Alert).where(Alert.fingerprint == mine, Alert.state == "firing")):
            resolve(session, actor, alert, why="the objective was retired")
    session.execute(delete(ObjectiveState).where(ObjectiveState.objective == key))
    return added


def list_objectives(
    session: ReadSession,
    viewer: Actor,
    *,
    model: str | None = None,
    environment: str | None = None,
    retired: bool = False,
) -> list[ObjectiveRevision]:
    """Objectives as they are now, by model and name."""
    wanted = _wanted(session, viewer, model=model, environment=environment, retired=retired)
    query = select(ObjectiveRevision).where(*wanted)
    return list(session.scalars(query.order_by(ObjectiveRevision.model, ObjectiveRevision.name)))


def worst_objectives(
    session: ReadSession,
    viewer: Actor,
    *,
    model: str | None = None,
    environment: str | None = None,
    state: str | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> list[ObjectiveRevision]:
    """Active objectives as they are now: those in breach first, then those without data, of each those with the least
    budget left. `state`: breach, no_data or ok."""
    wanted = _wanted(session, viewer, model=model, environment=environment)
    if state is not None:
        wanted.append(_WORD.in_((state,)))
    order = (
        case({name: place for place, name in enumerate(WORST_FIRST)}, value=_WORD),
        func.coalesce(ObjectiveState.remaining, 2.0),
        ObjectiveRevision.model,
        ObjectiveRevision.name,
    )
    return list(
        session.scalars(
            select(ObjectiveRevision)
            .outerjoin(ObjectiveState, ObjectiveState.objective == ObjectiveRevision.key)
            .where(*wanted)
            .order_by(*order)
            .limit(limit)
            .offset(offset)
        )
    )


def count_objectives(
    session: ReadSession, viewer: Actor, *, model: str | None = None, environment: str | None = None
) -> int:
    """How many `worst_objectives` there are."""
    wanted = _wanted(session, viewer, model=model, environment=environment)
    return session.scalar(select(func.count()).select_from(ObjectiveRevision).where(*wanted)) or 0


def count_states(
    session: ReadSession, viewer: Actor, *, model: str | None = None, environment: str | None = None
) -> dict[str, int]:
    """{state: how many of `worst_objectives` are in it}, of states that any is in."""
    query = (
        select(_WORD, func.count())
        .select_from(ObjectiveRevision)
        .outerjoin(ObjectiveState, ObjectiveState.objective == ObjectiveRevision.key)
        .where(*_wanted(session, viewer, model=model, environment=environment))
        .group_by(_WORD)
    )
    return {str(word): int(count) for word, count in session.execute(query)}


def _wanted(
    session: ReadSession,
    viewer: Actor,
    *,
    model: str | None,
    environment: str | None,
    retired: bool = False,
) -> list[ColumnElement[bool]]:
    see(session, viewer)
    wanted: list[ColumnElement[bool]] = [ObjectiveRevision.superseded_at.is_(None)]
    if model is not None:
        get_model(session, viewer, model)
        wanted.append(ObjectiveRevision.model == model)
    if environment is not None:
        wanted.append(ObjectiveRevision.environment == environment)
    if not retired:
        wanted.append(ObjectiveRevision.state == "active")
    return wanted


def get_objective(session: ReadSession, viewer: Actor, key: str) -> ObjectiveRevision:
    """The present revision of an objective."""
    see(session, viewer)
    row = session.scalars(
        select(ObjectiveRevision).where(
            ObjectiveRevision.key == key, ObjectiveRevision.superseded_at.is_(None)
        )
    ).one_or_none()
    if row is None:
        raise NotFound("there is no such objective that you may see")
    get_model(session, viewer, row.model)
    return row


def objective_revisions(
    session: ReadSession, viewer: Actor, key: str, *, limit: int | None = None, offset: int = 0
) -> list[ObjectiveRevision]:
    """Every revision of an objective, newest first."""
    get_objective(session, viewer, key)
    query = (
        select(ObjectiveRevision)
        .where(ObjectiveRevision.key == key)
        .order_by(ObjectiveRevision.number.desc())
    )
    return list(session.scalars(query.limit(limit).offset(offset)))


def objective_of(row: ObjectiveRevision) -> Objective:
    """The definition of a revision. Documents were checked when they were stored, and are kept once read."""
    return _read(row.document)


@lru_cache(maxsize=4096)
def _read(document: str) -> Objective:
    return parse_openslo(document)[0]


def known_objective(row: ObjectiveRevision) -> Objective | None:
    """Its definition; None where the stored text, perhaps of an earlier release, does not read any more."""
    try:
        return objective_of(row)
    except BadInput:
        return None


def _check_place(session: ReadSession, actor: Actor, objective: Objective) -> None:
    model = get_model(session, actor, objective.model)
    refuse_direct_edit(session, actor, model, objective.environment, what="objectives")
    for remark in lint(objective):
        if remark.level == "error":
            raise BadInput(f"{objective.name}: {remark.text}", field="document")
    if objective.slice_s is not None and objective.slice_s % 60:
        raise BadInput(
            f"{objective.name}: events are counted by the minute, so a slice is a number of whole minutes; "
            f"{objective.slice_s} s is none",
            field="slice_s",
        )


def _counted(objective: Objective) -> tuple[object, ...]:
    return (
        objective.sli, objective.budgeting, objective.slice_s, objective.slice_target, objective.counts_maintenance,
    )  # fmt: skip


def _forget_counts(session: WriteSession, key: str) -> None:
    session.execute(delete(SliCount).where(SliCount.objective == key))
    session.execute(delete(ObjectiveState).where(ObjectiveState.objective == key))


def _subjects(key: str) -> Sequence[tuple[str, str]]:
    """What alerts of an objective are about: (kind, subject) of `backend.alerting.service.Firing`."""
    return (*((KIND, f"{key}/{severity}") for severity in EVENTS), (ABSENT, key))


def _row(actor: Actor, objective: Objective, *, key: str, number: int, why: str) -> ObjectiveRevision:
    document = write_openslo([objective])
    if len(document) > LONGEST_DOCUMENT:
        raise BadInput(f"an objective is at most {LONGEST_DOCUMENT:,} characters of OpenSLO")
    return ObjectiveRevision(
        key=key, number=number, model=objective.model, environment=objective.environment, name=objective.name,
        document=document, state="active", why=_short(why), made_by=actor.person_row, made_at=clock.now(),
    )  # fmt: skip


def _short(why: str) -> str:
    if len(why) > LONGEST_WHY:
        raise BadInput(f"why: write at most {LONGEST_WHY} characters", field="why")
    return why.strip()


def _present(session: ReadSession, model: str, environment: str) -> list[str]:
    return list(
        session.scalars(
            select(ObjectiveRevision.key).where(
                ObjectiveRevision.model == model, ObjectiveRevision.environment == environment,
                ObjectiveRevision.superseded_at.is_(None), ObjectiveRevision.state == "active",
            )
        )
    )  # fmt: skip


def _seen(session: WriteSession, actor: Actor, key: str, seen: int) -> ObjectiveRevision:
    """The present revision, locked, if it is the one that was looked at."""
    there = get_objective(session, actor, key)
    model = get_model(session, actor, there.model)
    refuse_direct_edit(session, actor, model, there.environment, what="objectives")
    row = session.scalars(
        select(ObjectiveRevision)
        .where(ObjectiveRevision.key == key, ObjectiveRevision.superseded_at.is_(None))
        .with_for_update()
    ).one_or_none()
    if row is None or row.number != seen:
        raise ChangedSinceSeen("somebody has changed this objective since you looked at it", seen=seen)
    return row


def _add(
    session: WriteSession,
    actor: Actor,
    row: ObjectiveRevision,
    action: Action,
    *,
    before: ObjectiveRevision | None,
) -> ObjectiveRevision:
    clash = f"{row.model} has an objective named {row.name!r}; give this one another name"
    taken = session.scalars(
        select(ObjectiveRevision.key).where(
            ObjectiveRevision.model == row.model, ObjectiveRevision.environment == row.environment,
            ObjectiveRevision.name == row.name, ObjectiveRevision.superseded_at.is_(None),
            ObjectiveRevision.state == "active", ObjectiveRevision.key != row.key,
        )
    ).first()  # fmt: skip
    if taken is not None and row.state == "active":
        raise Conflict(clash)
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        raise Conflict(f"{clash}, or look again: somebody else has just changed it") from error
    record(
        session, actor, action, object_kind="objective", object_id=row.key, why=row.why,
        payload={"model": row.model, "environment": row.environment, "revision": row.number, "state": row.state,
                 "document": row.document, "before": None if before is None else before.document},
    )  # fmt: skip
    return row
