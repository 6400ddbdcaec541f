"""What the rules of retention let go, asked of holds each time. The job `keep_data` does it every day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import CursorResult, delete, or_, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.erasure import RETENTION, erase_payloads
from backend.audit.log import record
from backend.audit.retention import STAY, not_taken_yet
from backend.audit.tables import AuditEntry, AuditPayload
from backend.data_rights.tables import DataRule, PredictionExplanation
from backend.database.session import ReadSession, WriteSession
from backend.holds.payloads import kept_payloads
from backend.holds.rows import kept_rows
from backend.identity.actor import Actor
from backend.identity.roles import Permission

AT_ONCE = 5_000
CHUNK = 500


@dataclass(frozen=True)
class Due:
    """One model whose rule lets something go. A day is the first that is kept; None: nothing is let go."""

    model: str
    predictions_before: date | None
    explanations_days: int | None
    payloads_days: int | None


def models_to_trim(session: ReadSession) -> list[Due]:
    """Every model with a rule that has an end, by name."""
    today = clock.now().date()
    return [
        Due(
            rule.model,
            today - timedelta(days=rule.predictions_days) if rule.predictions_days else None,
            rule.explanations_days,
            rule.payloads_days,
        )
        for rule in session.scalars(select(DataRule).order_by(DataRule.model))
        if rule.predictions_days or rule.explanations_days or rule.payloads_days
    ]


def trim_rows(session: WriteSession, actor: Actor, due: Due) -> dict[str, int]:
    """Let explanations and payloads of a model go that are older than its rule keeps them, but for what is held.

    Payloads are those of entries about the model and its versions; what people decided hangs on changes and is not
    among them. Gives how many by kind.
    """
    actor.require(Permission.ERASE_PAYLOADS)
    counts: dict[str, int] = {}
    if due.explanations_days:
        counts["explanations"] = _trim_explanations(session, due.model, due.explanations_days)
    if due.payloads_days:
        counts["payloads"] = len(
            erase_payloads(
                session, actor, _old_payloads(session, due.model, due.payloads_days),
                why=f"retention of {due.model}: payloads are kept for {due.payloads_days} days",
                subject=f"{RETENTION}-{due.model}",
            )
        )  # fmt: skip
    return {name: number for name, number in counts.items() if number}


def _trim_explanations(session: WriteSession, model: str, days: int) -> int:
    kept = kept_rows(session, model)
    if kept.hold is not None:
        return 0
    mine = PredictionExplanation.model == model
    old = session.scalars(
        select(PredictionExplanation.prediction_id).where(
            mine, PredictionExplanation.computed_at < clock.now() - timedelta(days=days)
        )
    )
    ids, count = sorted(set(old) - kept.ids), 0
    for start in range(0, len(ids), CHUNK):
        some = PredictionExplanation.prediction_id.in_(ids[start : start + CHUNK])
        done: CursorResult[Any] = session.execute(delete(PredictionExplanation).where(mine, some))  # type: ignore[assignment]
        count += done.rowcount
    return count


def record_trimmed(session: WriteSession, actor: Actor, model: str, counts: dict[str, int]) -> None:
    """Put into the log what retention let go; nothing where it was nothing."""
    if counts:
        record(
            session, actor, Action.DATA_TRIMMED, object_kind="model", object_id=model, payload={"counts": counts},
            why="older than the model's rule keeps it",
        )  # fmt: skip


def _old_payloads(session: ReadSession, model: str, days: int) -> list[int]:
    """Entries about the model and its versions that have a payload still, which no hold keeps and no system that
    follows the log has still to take; what rows are compared with stays, and what records rules and erasures."""
    before = clock.now() - timedelta(days=days)
    kept = [one for one in (kept_payloads(session), not_taken_yet(session, before)) if one is not None]
    query = (
        select(AuditEntry.seq)
        .join(AuditPayload, AuditPayload.seq == AuditEntry.seq)
        .where(
            AuditEntry.at < clock.to_iso(before),
            *(~one for one in kept),
            AuditEntry.action.not_in([*STAY, Action.DATA_TRIMMED, Action.DATA_RULE_SET]),
            or_(
                (AuditEntry.object_kind == "model") & (AuditEntry.object_id == model),
                (AuditEntry.object_kind == "version")
                & AuditEntry.object_id.startswith(f"{model}/", autoescape=True),
            ),
        )
        .order_by(AuditEntry.seq)
        .limit(AT_ONCE)
    )
    return list(session.scalars(query))
