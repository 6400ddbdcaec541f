"""What the rules of retention let go, asked of holds each time. The job `keep_data` does it every day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import or_, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.erasure import RETENTION, erase_payloads
from backend.audit.log import record
from backend.audit.staying import too_old
from backend.audit.tables import AuditEntry
from backend.data_rights.tables import DataRule
from backend.database.session import ReadSession, WriteSession
from backend.explain.predictions import forget_explanations, older_explanations
from backend.explain.reports import forget_reports
from backend.holds.rows import any_hold_on_rows, kept_rows
from backend.holds.service import held
from backend.identity.actor import Actor
from backend.identity.roles import Permission

AT_ONCE = 5_000


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
    """Let explanations and reports of a model go that are older than its rule keeps them, but for what is held. A
    report draws rows of its window, and goes with the oldest of them. Gives how many by kind."""
    actor.require(Permission.ERASE_PAYLOADS)
    counts: dict[str, int] = {}
    if due.predictions_before is not None:
        counts["reports"] = _trim_reports(session, due.model, due.predictions_before)
    if due.explanations_days or due.predictions_before is not None:
        counts["explanations"] = _trim_explanations(session, due)
    return {name: number for name, number in counts.items() if number}


def trim_payloads(session: WriteSession, actor: Actor, due: Due) -> int:
    """Let `AT_ONCE` payloads go that are older than the rule keeps them, the oldest first. Gives how many: with fewer,
    none are left.

    They are those of entries about the model and its versions, every batch taken in among them; what people decided
    hangs on changes and is not.
    """
    actor.require(Permission.ERASE_PAYLOADS)
    if not due.payloads_days:
        return 0
    gone = erase_payloads(
        session, actor, _old_payloads(session, due.model, due.payloads_days),
        why=f"retention of {due.model}: payloads are kept for {due.payloads_days} days",
        subject=f"{RETENTION}-{due.model}",
    )  # fmt: skip
    return len(gone)


def _trim_reports(session: WriteSession, model: str, before: date) -> int:
    """A hold on any rows of the model keeps them all, whoever is drawn in them; so does one on its windows."""
    if any_hold_on_rows(session, model) is not None or held(session, "windows", model) is not None:
        return 0
    return forget_reports(session, model, before=datetime.combine(before, time(), UTC))


def _trim_explanations(session: WriteSession, due: Due) -> int:
    """An explanation holds the inputs of its row: it goes by its own age, and at the latest with the row."""
    kept = kept_rows(session, due.model)
    if kept.hold is not None:
        return 0
    days, rows = due.explanations_days, due.predictions_before
    old = older_explanations(
        session, due.model,
        computed_before=clock.now() - timedelta(days=days) if days else None,
        made_before=datetime.combine(rows, time(), UTC) if rows else None,
    )  # fmt: skip
    return forget_explanations(session, due.model, sorted(old - kept.ids))


def record_trimmed(session: WriteSession, actor: Actor, model: str, counts: dict[str, int]) -> None:
    """Put into the log what retention let go; nothing where it was nothing."""
    if counts:
        record(
            session, actor, Action.DATA_TRIMMED, object_kind="model", object_id=model, payload={"counts": counts},
            why="older than the model's rule keeps it",
        )  # fmt: skip


def _old_payloads(session: ReadSession, model: str, days: int) -> list[int]:
    """Entries about the model and its versions whose payloads go by their age."""
    about = or_(
        (AuditEntry.object_kind == "model") & (AuditEntry.object_id == model),
        (AuditEntry.object_kind == "version") & AuditEntry.object_id.startswith(f"{model}/", autoescape=True),
    )
    return list(
        session.scalars(too_old(session, clock.now() - timedelta(days=days)).where(about).limit(AT_ONCE))
    )
