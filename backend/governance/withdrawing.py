"""Where a change left nothing serving: the target, and MLflow's alias, have to hear that, and may be away.

What is still to be told stands in the database from the transaction on that ended what served. So nobody takes an alias
that names it still for a move made elsewhere, and a later look tells what could not be told: `jobs/withdrawing.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import aliased

from backend.database.session import ReadSession, WriteSession
from backend.deployment.service import champion
from backend.deployment.tables import Deployment, Telling
from backend.deployment.targets import Wanted
from backend.governance.reconciling import LOOK_AGAIN, MLFLOW, is_moving, note_found
from backend.governance.tables import Change
from backend.settings import settings


@dataclass(frozen=True)
class Left:
    """What left service in a place where nothing serves now, and who has not heard that yet."""

    wanted: Wanted
    deployment_id: int
    version: int
    to_tell: tuple[str, ...]


def note_withdrawn(session: WriteSession, change_id: int, deployment: Deployment) -> None:
    """The champion ended, and nothing takes its place: from now on this is to be told. Warrant's gateways follow the
    record by themselves."""
    mirrored = deployment.environment == settings().mirrored_environment
    named = [settings().target] * (settings().target != "gateway") + [MLFLOW] * mirrored
    for name in named:
        note_found(session, change_id, name, key=_nothing(change_id, deployment).key, settled=False)


def left_to_tell(session: ReadSession, model: str, environment: str) -> Left | None:
    """What is to be told of a place; None where something serves there, or everybody has heard."""
    if champion(session, model, environment) is not None:
        return None
    last = last_champion(session, model, environment)
    rows = session.scalars(
        _pending().where(Change.model == model, Change.environment == environment).order_by(Telling.target)
    ).all()
    if last is None or not rows:
        return None
    newest = max(row.change_id for row in rows)
    to_tell = tuple(row.target for row in rows if row.change_id == newest)
    return Left(_nothing(newest, last), last.id, last.version, to_tell)


def claim_withdrawn(session: WriteSession, model: str, environment: str) -> Left | None:
    """`left_to_tell`, and None while a change moves the place. Ask in the transaction just before telling."""
    return None if is_moving(session, model, environment) else left_to_tell(session, model, environment)


def places_left(session: ReadSession, now: datetime) -> list[tuple[str, str]]:
    """Models and environments where nothing serves, and somebody who was told some minutes ago has not heard."""
    serves, moving = aliased(Deployment), aliased(Change)
    rows = session.execute(
        _pending()
        .with_only_columns(Change.model, Change.environment)
        .where(
            Telling.checked_at <= now - LOOK_AGAIN,
            ~select(serves.id)
            .where(serves.model == Change.model, serves.environment == Change.environment,
                   serves.role == "champion", serves.ended_at.is_(None))
            .exists(),
            ~select(moving.id)
            .where(moving.model == Change.model, moving.environment == Change.environment,
                   moving.state == "executing")
            .exists(),
        )
        .distinct()
    )  # fmt: skip
    return sorted((str(model), environment) for model, environment in rows)


def alias_is_left(session: ReadSession, model: str, environment: str, alias: int | None) -> bool:
    """Whether an alias names what left service, and nobody could take it away yet."""
    left = left_to_tell(session, model, environment)
    return left is not None and MLFLOW in left.to_tell and alias == left.version


def last_champion(session: ReadSession, model: str, environment: str) -> Deployment | None:
    """What served last, or was about to."""
    return session.scalars(
        select(Deployment)
        .where(
            Deployment.model == model, Deployment.environment == environment, Deployment.role == "champion"
        )
        .order_by(Deployment.id.desc())
        .limit(1)
    ).one_or_none()  # fmt: skip


def _nothing(change_id: int, deployment: Deployment) -> Wanted:
    return Wanted(change_id, deployment.model, deployment.environment, ())


def _pending() -> Select[Telling]:
    """Tellings of nothing, by their key: one of something names its deployments behind the last hyphen."""
    return (
        select(Telling)
        .join(Change, Change.id == Telling.change_id)
        .where(Telling.settled_at.is_(None), Telling.key.like("change-%-"))
    )
