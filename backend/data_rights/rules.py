"""What a model's data may be used for, how long they are kept, and who does not want to be learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import func, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.data_rights.tables import DataRule, OptOut
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, NotFound
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.monitoring.columns import parse_spec
from backend.observations.pseudonyms import pseudonym
from backend.registry.service import get_model

PURPOSES: Final[dict[str, str]] = {
    "prediction": "answering the requests themselves",
    "monitoring": "watching how the model does",
    "retraining": "learning the next version",
    "explanation": "explaining single predictions",
}
LONGEST_BASIS: Final = 4000
MOST_DAYS: Final = 36_600


def set_rule(
    session: WriteSession,
    actor: Actor,
    *,
    model: str,
    purposes: Sequence[str],
    basis: str = "",
    predictions_days: int | None = None,
    explanations_days: int | None = None,
    payloads_days: int | None = None,
    why: str,
) -> DataRule:
    """Replace what holds for a model's data. None: kept as long as nobody says otherwise. Raises `BadInput`."""
    actor.require(Permission.SET_DATA_RULES)
    get_model(session, actor, model)
    unknown = sorted(set(purposes) - PURPOSES.keys())
    if unknown:
        raise BadInput(f"{unknown[0]!r} is no purpose; those are {', '.join(PURPOSES)}", field="purposes")
    days = {
        "predictions_days": predictions_days,
        "explanations_days": explanations_days,
        "payloads_days": payloads_days,
    }
    for name, value in days.items():
        if value is not None and not 1 <= value <= MOST_DAYS:
            raise BadInput(f"{name} is 1 to {MOST_DAYS:,} days, or left out: for ever", field=name)
    if not why.strip():
        raise BadInput("write why: others will read it", field="why")
    row = session.get(DataRule, model, with_for_update=True)
    before = _as_dict(row) if row is not None else None
    if row is None:
        row = DataRule(model=model, purposes=[])
        session.add(row)
    row.purposes = [name for name in PURPOSES if name in purposes]
    row.basis = basis.strip()[:LONGEST_BASIS]
    row.predictions_days, row.explanations_days, row.payloads_days = days.values()
    row.updated_by, row.updated_at = actor.person_id, clock.now()
    session.flush()
    record(
        session, actor, Action.DATA_RULE_SET, object_kind="model", object_id=model, why=why.strip(),
        payload={"before": before, "after": _as_dict(row)},
    )  # fmt: skip
    return row


def rule_of(session: ReadSession, viewer: Actor, model: str) -> DataRule | None:
    """The rule of a model, or None where nobody has written one."""
    get_model(session, viewer, model)
    return session.get(DataRule, model)


def opt_out(session: WriteSession, actor: Actor, *, model: str, value: str, why: str = "") -> OptOut:
    """From now on no extraction for training holds rows of this person. `value` is what the subject column holds.

    Only a keyed digest of it is stored. Raises `BadInput` where the model names no subject.
    """
    actor.require(Permission.REQUEST_DATA)
    token = _token(session, actor, model, value)
    row = session.scalars(select(OptOut).where(OptOut.model == model, OptOut.token == token)).one_or_none()
    if row is not None and row.withdrawn_at is None:
        return row
    if row is None:
        row = OptOut(model=model, token=token, since=clock.now())
        session.add(row)
    row.since, row.withdrawn_at = clock.now(), None
    session.flush()
    record(session, actor, Action.OPTED_OUT, object_kind="model", object_id=model, why=why,
           payload={"opt_out": row.id})  # fmt: skip
    return row


def opt_in(session: WriteSession, actor: Actor, *, model: str, value: str, why: str = "") -> OptOut:
    """The person agrees again. Raises `NotFound` where they had not opted out."""
    actor.require(Permission.REQUEST_DATA)
    token = _token(session, actor, model, value)
    row = session.scalars(
        select(OptOut).where(OptOut.model == model, OptOut.token == token, OptOut.withdrawn_at.is_(None))
    ).one_or_none()
    if row is None:
        raise NotFound(f"nobody with this value has opted out of {model}")
    row.withdrawn_at = clock.now()
    session.flush()
    record(session, actor, Action.OPTED_IN, object_kind="model", object_id=model, why=why,
           payload={"opt_out": row.id})  # fmt: skip
    return row


def opted_out(session: ReadSession, model: str) -> frozenset[str]:
    """The tokens of who has opted out of a model: pseudonyms of what the subject column holds."""
    return frozenset(
        session.scalars(select(OptOut.token).where(OptOut.model == model, OptOut.withdrawn_at.is_(None)))
    )


def count_opt_outs(session: ReadSession, viewer: Actor, model: str) -> int:
    """How many people have opted out of a model."""
    get_model(session, viewer, model)
    query = select(func.count()).where(OptOut.model == model, OptOut.withdrawn_at.is_(None))
    return session.scalar(query) or 0


def _token(session: ReadSession, actor: Actor, model: str, value: str) -> str:
    spec = parse_spec(get_model(session, actor, model).spec)
    if not spec.subject:
        raise BadInput(f"the spec of {model} declares no `subject` column, so nobody can be told apart")
    if not value.strip():
        raise BadInput(f"write what the column {spec.subject} holds for this person", field="value")
    return pseudonym(model, value.strip())


def _as_dict(row: DataRule) -> dict[str, object]:
    return {
        "purposes": row.purposes, "basis": row.basis, "predictions_days": row.predictions_days,
        "explanations_days": row.explanations_days, "payloads_days": row.payloads_days,
    }  # fmt: skip
