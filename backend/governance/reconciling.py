"""Targets, and MLflow's alias, that did not hear what the record says: found again, and told again, until they do.

The last change that moved a model in an environment owns it there. Only what is still that change's is told, under the
same key as its own run told it, so a target that did hear does nothing. Code that tells: `jobs/reconcile_target.py`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, or_, select

from backend import clock
from backend.addresses import without_credentials
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.deployment.service import champion, mark_serving
from backend.deployment.tables import Deployment, Telling
from backend.deployment.targets import Wanted, wanted_of
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.settings import settings

MLFLOW: Final = "mlflow"
LOOK_AGAIN: Final = timedelta(minutes=5)  # at a target that was found as it should be


def places_due(session: ReadSession, now: datetime, *, target: str) -> list[tuple[str, str]]:
    """Models and environments to look at: not known to be as they should, or looked at some minutes ago.

    Warrant's gateways follow the record by themselves: there, only what none was seen to serve, or a late alias.
    """
    owners = (
        select(Deployment.model, Deployment.environment, func.max(Deployment.change_id).label("change_id"))
        .where(Deployment.change_id.is_not(None))
        .group_by(Deployment.model, Deployment.environment)
        .subquery()
    )
    found = session.execute(
        select(owners.c.model, owners.c.environment, Deployment.state, Telling)
        .join(
            Deployment,
            (Deployment.model == owners.c.model)
            & (Deployment.environment == owners.c.environment)
            & (Deployment.role == "champion")
            & Deployment.ended_at.is_(None),
        )
        .outerjoin(Telling, (Telling.change_id == owners.c.change_id) & Telling.target.in_((target, MLFLOW)))
        .order_by(owners.c.model, owners.c.environment)
    ).all()
    executing = set(
        session.execute(select(Change.model, Change.environment).where(Change.state == "executing"))
    )
    looked: dict[tuple[str, str], dict[str, Telling]] = {}
    waiting: set[tuple[str, str]] = set()
    for model, environment, state, telling in found:
        place = (model, environment)
        rows = looked.setdefault(place, {})
        if telling is not None:
            rows[telling.target] = telling
        if state == "starting":
            waiting.add(place)
    return [
        place
        for place, rows in looked.items()
        if place not in executing
        and (
            place in waiting
            or any(row.settled_at is None for row in rows.values())
            or (target != "gateway" and (target not in rows or rows[target].checked_at <= now - LOOK_AGAIN))
        )
    ]


def owner_of(session: ReadSession, model: str, environment: str) -> Change | None:
    """The last change that moved this model in this environment; None where no change did."""
    last = session.scalar(
        select(func.max(Deployment.change_id)).where(
            Deployment.model == model, Deployment.environment == environment
        )
    )
    return session.get_one(Change, last) if last is not None else None


def claim_target(session: WriteSession, model: str, environment: str) -> Wanted | None:
    """What may be told now: the record of the change that owns it. None while a change moves it, or nothing serves.

    Ask in the transaction just before telling. A change whose execution begins afterwards waits until the caller's
    run has ended; one that has begun is seen here.
    """
    if is_moving(session, model, environment):
        return None
    owner = owner_of(session, model, environment)
    if owner is None or champion(session, model, environment) is None:
        return None
    return wanted_of(session, owner.id, model, environment)


def is_moving(session: WriteSession, model: str, environment: str) -> bool:
    """Whether a change is being executed there. What is approved is locked: it begins behind the caller."""
    moving = session.scalars(
        select(Change)
        .where(
            Change.model == model, Change.environment == environment, Change.state.in_(("approved", "executing"))
        )
        .with_for_update()
    ).all()  # fmt: skip
    return any(one.state == "executing" for one in moving)


def claim_alias(session: WriteSession, model: str, environment: str) -> Deployment | None:
    """The champion whose alias its change could not set; None where it could, another change moves it, or the
    alias is of another environment."""
    if environment != settings().mirrored_environment:
        return None
    wanted = claim_target(session, model, environment)
    serving = champion(session, model, environment)
    if wanted is None or serving is None or serving.change_id != wanted.change_id:
        return None
    row = session.get(Telling, (wanted.change_id, MLFLOW))
    return serving if row is not None and row.settled_at is None else None


def alias_is_pending(session: ReadSession, serving: Deployment, alias: int | None) -> bool:
    """Whether an alias is late, and not moved: its change could not set it, and it names what that change knew."""
    if serving.change_id is None:
        return False
    row = session.get(Telling, (serving.change_id, MLFLOW))
    change = session.get_one(Change, serving.change_id)
    known = (None, serving.version, change.from_version, change.to_version)
    return row is not None and row.settled_at is None and alias in known


def note_told_again(
    session: WriteSession, actor: Actor, change_id: int, target: str, *, key: str, why: str
) -> None:
    """Written just before it is told: where the telling is lost, the next look finds that and says it again."""
    row = _row(session, change_id, target, key)
    row.told_again_at, row.settled_at, row.problem = clock.now(), None, without_credentials(why)
    row.told_again += 1
    session.flush()
    record(
        session, actor, Action.TARGET_TOLD_AGAIN, object_kind="change", object_id=change_id,
        payload={"target": target, "key": key}, why=why,
    )  # fmt: skip


def note_found(
    session: WriteSession, change_id: int, target: str, *, key: str, settled: bool, problem: str = ""
) -> None:
    """How a look found it."""
    row = _row(session, change_id, target, key)
    row.problem = "" if settled else without_credentials(problem)
    row.settled_at = (row.settled_at or row.checked_at) if settled else None
    session.flush()


def note_serves(session: WriteSession, actor: Actor, wanted: Wanted) -> None:
    """The target has it all: what was `starting` serves."""
    for part in wanted.parts:
        deployment = session.get_one(Deployment, part.deployment_id)
        if deployment.ended_at is None:
            mark_serving(session, actor, deployment)


def _row(session: WriteSession, change_id: int, target: str, key: str) -> Telling:
    row = session.get(Telling, (change_id, target))
    if row is None:
        row = Telling(change_id=change_id, target=target, key=key, problem="", told_again=0)
        session.add(row)
    if row.key != key:
        row.key, row.settled_at = key, None
    row.checked_at = clock.now()
    return row


def tellings_of(session: ReadSession, change_id: int) -> list[Telling]:
    """What was not as it should be under this change, or was told again."""
    return list(
        session.scalars(
            select(Telling)
            .where(
                Telling.change_id == change_id,
                or_(Telling.told_again > 0, (Telling.settled_at.is_(None)) & (Telling.problem != "")),
            )
            .order_by(Telling.target)
        )
    )
