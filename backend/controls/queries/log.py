"""Whether the record itself is whole: verified, signed, kept elsewhere, and kept long enough."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Text, and_, cast, false, func, or_, select

from backend import clock
from backend.alerting.tables import Incident
from backend.assurance.tables import Finding, Validation
from backend.audit.findings import GAP, NO_CHANGE, NOT_ANCHORED, NOT_INTACT, NOT_SIGNED
from backend.audit.reconciliation import CURSOR
from backend.audit.state import known_places
from backend.audit.tables import (
    AuditAnchor,
    AuditCheckpoint,
    AuditCursor,
    AuditEntry,
    AuditFinding,
    AuditVerification,
)
from backend.controls.evidence import Evidence, Link, Question
from backend.controls.queries.answers import aged, count, missing, model_link, moved_since, not_shown
from backend.controls.queries.registry import query
from backend.data_rights.tables import DataRule
from backend.deployment.tables import Deployment
from backend.governance.tables import Change
from backend.registry.tables import Version
from backend.settings import settings

HANGING: Final = (
    ("change", Change), ("deployment", Deployment), ("incident", Incident), ("validation", Validation),
    ("finding", Finding),
)  # fmt: skip
"""Kinds of objects of the log that are about a model by a column of theirs."""


def _found(asked: Question, *kinds: str) -> AuditFinding | None:
    """A finding about the log that was open at the moment asked about."""
    return asked.session.scalars(
        select(AuditFinding)
        .where(
            AuditFinding.kind.in_(kinds), AuditFinding.opened_at <= asked.at,
            (AuditFinding.closed_at.is_(None)) | (AuditFinding.closed_at > asked.at),
        )
        .order_by(AuditFinding.id)
        .limit(1)
    ).first()  # fmt: skip


def _against(found: AuditFinding) -> Evidence:
    link = Link("audit_finding", str(found.id), f"finding {found.id} of the log")
    return Evidence("contradicted", found.title, found.opened_at, (link,), str(found.id))


@query("log_verified", "The whole log was verified", about="log")
def log_verified(asked: Question, *, max_age_days: float = 2) -> Evidence:
    """The newest verification of every entry: recomputed hashes, signatures and order."""
    damaged = _found(asked, NOT_INTACT, GAP)
    if damaged is not None:
        return _against(damaged)
    last = asked.session.scalars(
        select(AuditVerification)
        .where(AuditVerification.at <= asked.at)
        .order_by(AuditVerification.id.desc())
        .limit(1)
    ).first()
    if last is None:
        return missing(
            "the log has not been verified; `warrant audit verify` does it, and a worker every six hours"
        )
    link = Link("log", str(last.size), f"{last.size:,} entries")
    if not last.ok:
        return Evidence("contradicted", f"verification found: {last.problem}", last.at, (link,), str(last.id))
    told = f"{last.size:,} entries recomputed, intact to {last.at:%Y-%m-%d %H:%M:%S UTC}"
    return aged(asked, last.at, max_age_days, told, links=(link,))


@query("log_signed", "The head of the log is signed", about="log")
def log_signed(asked: Question, *, max_age_days: float = 0.05) -> Evidence:
    """The newest signed head, and that signing it is not refused."""
    refused = _found(asked, NOT_SIGNED)
    if refused is not None:
        return _against(refused)
    last = asked.session.scalars(
        select(AuditCheckpoint)
        .where(AuditCheckpoint.at <= asked.at)
        .order_by(AuditCheckpoint.id.desc())
        .limit(1)
    ).first()
    if last is None:
        return missing("no head of the log has been signed; a worker does it every five minutes")
    link = Link("checkpoint", str(last.id), f"checkpoint {last.id}")
    told = f"{last.size:,} entries signed at {last.at:%Y-%m-%d %H:%M:%S UTC}"
    return aged(asked, last.at, max_age_days, told, links=(link,))


@query("log_anchored", "A signed head is held elsewhere", about="log")
def log_anchored(asked: Question, *, max_age_days: float = 1) -> Evidence:
    """The newest signed head that a place of the settings holds: a witness or a tag. Whoever writes to the database
    can put in a row about a place; one that the settings do not name counts for nothing."""
    refused = _found(asked, NOT_ANCHORED)
    if refused is not None:
        return _against(refused)
    named = [
        and_(AuditAnchor.kind == kind, AuditAnchor.place == place) for kind, place in sorted(known_places())
    ]
    last = asked.session.scalars(
        select(AuditAnchor)
        .where(AuditAnchor.at <= asked.at, or_(false(), *named))
        .order_by(AuditAnchor.id.desc())
        .limit(1)
    ).first()
    if last is None and named:
        return missing("no place that the settings name holds a signed head of the log yet")
    if last is None:
        return missing(
            "no head of the log is held elsewhere: set WARRANT_AUDIT_WITNESSES or WARRANT_AUDIT_GIT"
        )
    link = Link("checkpoint", str(last.checkpoint_id), f"checkpoint {last.checkpoint_id}")
    told = f"checkpoint {last.checkpoint_id} is held by a {last.kind.replace('_', ' ')}"
    return aged(asked, last.at, max_age_days, told, links=(link,))


@query("log_matches", "The log agrees with what happened", about="house", moment="now")
def log_matches(asked: Question, *, max_age_days: float = 2) -> Evidence:
    """Findings of reconciliation that are not closed: gaps, service without a change, moves outside, clocks."""
    found = asked.session.scalars(
        select(AuditFinding)
        .where(
            AuditFinding.opened_at <= asked.at, AuditFinding.level != "info",
            (AuditFinding.closed_at.is_(None)) | (AuditFinding.closed_at > asked.at),
        )
        .order_by(AuditFinding.id)
    ).all()  # fmt: skip
    links = tuple(Link("audit_finding", str(one.id), f"finding {one.id} of the log") for one in found[:10])
    mark = ",".join(str(one.id) for one in found)
    grave = [one for one in found if one.level == "page" or one.kind == NO_CHANGE]
    if grave:
        told = f"{count(len(found), 'finding')} open: {grave[0].title}"
        return Evidence("contradicted", told, grave[0].opened_at, links, mark)
    if found:
        told = f"{count(len(found), 'finding')} open: {found[0].title}"
        return Evidence("stale", told, found[0].opened_at, links, mark)
    cursor = asked.session.get(AuditCursor, CURSOR)
    if cursor is None:
        return missing("the log has not been compared with what happened yet")
    return aged(asked, cursor.moved_at, max_age_days, "nothing about the log waits for a person")


@query("entries_about_model", "What happened to it is in the log")
def entries_about_model(asked: Question) -> Evidence:
    """Entries of the log about the model, its versions, changes and incidents."""
    number, moments = 0, []
    versions = select(Version.version).where(Version.model == asked.name)
    wanted: list[tuple[str, Any]] = [
        ("model", [asked.name]),
        ("version", [f"{asked.name}/{one}" for one in asked.session.scalars(versions)]),
    ]
    wanted += [(kind, select(cast(one.id, Text)).where(one.model == asked.name)) for kind, one in HANGING]
    for kind, ids in wanted:  # one after the other, each by the index: together they would read the whole log
        found = asked.session.execute(
            select(func.count(), func.max(AuditEntry.at)).where(
                AuditEntry.object_kind == kind, AuditEntry.object_id.in_(ids),
                AuditEntry.at <= clock.to_iso(asked.at),
            )
        ).one()  # fmt: skip
        number += found[0]
        moments += [found[1]] if found[1] else []
    if not moments:
        return missing("the log holds no entry about it", model_link(asked.name))
    at = clock.from_iso(max(moments))
    return Evidence(
        "present",
        f"{number:,} entries, the last at {at:%Y-%m-%d %H:%M:%S UTC}",
        at,
        (model_link(asked.name),),
    )


def _rule(asked: Question) -> DataRule | Evidence | None:
    rule = asked.session.get(DataRule, asked.name)
    if rule is not None and rule.updated_at > asked.at:
        return moved_since(asked, "the rule of its data", rule.updated_at)
    return rule


@query("log_kept", "Entries kept at least {min_days} days")
def log_kept(asked: Question, *, min_days: int = 183) -> Evidence:
    """For how long the clear text of entries about the model is kept: by its rule or by the settings of the house,
    whichever is shorter. Without either nobody has said it. Entries and proofs are never removed."""
    rule = _rule(asked)
    if isinstance(rule, Evidence):
        return rule
    of_rule, of_house = rule.payloads_days if rule is not None else None, settings().audit_keep_payloads_days
    days = min((one for one in (of_rule, of_house) if one is not None), default=None)
    at, link = rule.updated_at if rule is not None else None, model_link(asked.name)
    whose = "by the settings of the house" if days != of_rule else "by the rule of its data"
    if days is not None and days < min_days:
        told = f"their clear text goes after {days:,} days {whose}, and {min_days:,} are asked for"
        return Evidence("contradicted", told, at, (link,), str(days))
    if days is None and rule is None:
        return not_shown("nobody has set for how long their clear text is kept; nothing removes it yet", link)
    told = (
        f"their clear text is kept {days:,} days {whose}"
        if days
        else "the rule sets no end for their clear text"
    )
    return Evidence("present", told, at, (link,), str(days))


@query("predictions_kept", "Predictions kept at least {min_days} days")
def predictions_kept(asked: Question, *, min_days: int = 183) -> Evidence:
    """For how long predictions and labels of the model are kept."""
    rule = _rule(asked)
    if isinstance(rule, Evidence):
        return rule
    if asked.model is None or not asked.model.described:
        return missing("its predictions do not come here", model_link(asked.name))
    if rule is None:
        return not_shown(
            "nobody has set for how long they are kept; nothing removes them yet", model_link(asked.name)
        )
    days = rule.predictions_days
    if days is not None and days < min_days:
        told = f"they go after {days:,} days, and {min_days:,} are asked for"
        return Evidence(
            "contradicted", told, rule.updated_at if rule else None, (model_link(asked.name),), str(days)
        )
    told = f"they are kept {days:,} days" if days else "the rule sets no end for them"
    return Evidence("present", told, rule.updated_at, (model_link(asked.name),), str(days))
