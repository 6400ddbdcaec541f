"""Changes of a pack: what was asked for, what each decider saw as it was stored, what was decided and done."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import rfc8785
from sqlalchemy import ColumnElement, inspect, select

from backend import clock
from backend.audit.change_checks import lacking_approvals
from backend.audit.change_entries import Told, told_of
from backend.audit.population import ChangeRow, change_rows
from backend.audit.receipts import NotSignedYet, receipt, receipts_of_change
from backend.database.session import ReadSession
from backend.deployment.tables import Deployment
from backend.documents import (
    Block,
    Bullets,
    Code,
    Heading,
    Paragraph,
    Sheet,
    Span,
    Table,
    plain,
    standalone_html,
)
from backend.governance import machine
from backend.governance.as_shown import held_against_log
from backend.governance.deciding import quorum_reached
from backend.governance.digests import digest_of
from backend.governance.tables import (
    Change,
    Condition,
    Decision,
    ExternalCheck,
    Review,
    RolloutStep,
    Snapshot,
)
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.packs.container import safe_name
from backend.packs.draft import Draft
from backend.packs.scope import Subject

_LISTED: Final = (
    "change", "kind", "model", "environment", "summary", "state", "from_version", "to_version", "requested_by",
    "requested_at", "approvals", "rejections", "break_glass", "finished_at", "outcome", "digest",
)  # fmt: skip
_PARTS: Final = ("evidence", "gates", "policy", "bound")


def add_changes(draft: Draft, session: ReadSession, maker: Actor, subject: Subject) -> list[dict[str, Any]]:
    """Add `changes/` and `gates/`. Gives a row a change, as `changes/changes.csv` has it, oldest first."""
    rows = session.scalars(select(Change).where(Change.id.in_(subject.changes)).order_by(Change.id)).all()
    people = {one.requested_by for one in rows} | {
        person for one in rows for each in one.decisions for person in (each.person_id, each.on_behalf_of)
    }
    names = names_of(session, people)
    draft.name(*people)
    then = {one.change: one for one in change_rows(session, maker, subject.changes, as_of=subject.as_of)}
    listed = []
    for change in rows:
        decisions = [one for one in change.decisions if one.decided_at < subject.as_of]
        folder = f"changes/CHG-{change.id}"
        draft.add_json(f"{folder}/change.json", _document(session, change, decisions, names, subject.as_of))
        told = told_of(session, [change.id]).get(change.id, [])
        _add_seen(draft, session, change, decisions, names, folder, subject.as_of, told)
        if change.gates:
            draft.add_json(f"gates/CHG-{change.id}.json", _gates(change, decisions, names))
        _add_receipts(draft, session, maker, change.id, folder, subject.as_of)
        _judge(draft, session, change, decisions, folder, subject, told)
        listed.append(_row(change, decisions, names, then.get(change.id), subject.as_of))
    if listed:
        draft.add_csv("changes/changes.csv", _LISTED, listed)
    return listed


def _row(
    change: Change, decisions: list[Decision], names: dict[str, str], then: ChangeRow | None, as_of: datetime
) -> dict[str, Any]:
    """`then`: what the log says of it by that moment; None where no entry names it."""
    ended = change.finished_at is not None and change.finished_at < as_of
    return {
        "change": f"CHG-{change.id}", "kind": change.kind, "model": change.model, "environment": change.environment,
        "summary": then.summary if then else change.summary,
        "state": then.state if then and not ended else machine.WORDS.get(change.state, change.state),  # type: ignore[call-overload]
        "from_version": change.from_version, "to_version": change.to_version,
        "requested_by": names.get(change.requested_by, change.requested_by), "requested_at": change.requested_at,
        "approvals": then.approvals if then else _counted(change, decisions),
        "rejections": sum(one.verdict == "reject" for one in decisions), "break_glass": change.break_glass,
        "finished_at": change.finished_at if ended else None, "outcome": change.outcome if ended else "",
        "digest": change.digest,
    }  # fmt: skip


def _counted(change: Change, decisions: list[Decision]) -> int:
    """Where no entry tells: those of today's revision."""
    mine = (one for one in decisions if one.revision == change.revision and one.retracted_at is None)
    return sum(one.verdict == "approve" for one in mine)


def _document(
    session: ReadSession, change: Change, decisions: list[Decision], names: dict[str, str], as_of: datetime
) -> dict[str, Any]:
    """Everything that is stored of the change and hangs on it."""
    review = session.get(Review, change.id)
    begun = select(Deployment.id).where(Deployment.started_at < as_of)
    return {
        **{key: value for key, value in _columns(change).items() if key not in _PARTS},
        **{key: getattr(change, key) for key in _PARTS},
        "requested_by_name": names.get(change.requested_by),
        "decisions": [
            {"person": one.person_id, "name": names.get(one.person_id), "on_behalf_of": one.on_behalf_of,
             "verdict": one.verdict, "comment": one.comment, "role": one.role, "revision": one.revision,
             "seen_digest": one.seen_digest, "accepted_gates": one.accepted, "decided_at": one.decided_at,
             "signed_in_at": one.signed_in_at,
             "retracted_at": one.retracted_at, "retracted_because": one.retracted_because}
            for one in decisions
        ],
        "review": _review_then(review, as_of),
        "conditions": _all(session, Condition, change.id, Condition.deployment_id.in_(begun)),
        "rollout": _all(session, RolloutStep, change.id, RolloutStep.started_at < as_of),
        "external_checks": _all(session, ExternalCheck, change.id, ExternalCheck.reported_at < as_of),
        "deployments": _all(session, Deployment, change.id, Deployment.started_at < as_of),
        "as_it_is": None if clock.now() <= as_of else f"read after {clock.to_iso(as_of)}; the log says what was then",
    }  # fmt: skip


def _add_seen(
    draft: Draft, session: ReadSession, change: Change, decisions: list[Decision], names: dict[str, str],
    folder: str, as_of: datetime, told: list[Told],
) -> None:  # fmt: skip
    """What was shown under each digest that somebody signed, as stored, and the same to be read."""
    shown = session.scalars(
        select(Snapshot)
        .where(Snapshot.change_id == change.id, Snapshot.created_at < as_of)
        .order_by(Snapshot.created_at, Snapshot.digest)
    ).all()
    altered: dict[str, str] = {}
    untold: dict[str, str] = {}
    for one in shown:
        short = one.digest.removeprefix("sha256:")[:16]
        path = draft.add(f"{folder}/seen/{safe_name(short)}.json", rfc8785.dumps(one.document) + b"\n")
        held = held_against_log(one.digest, one.document, told)
        under = f"What was shown of CHG-{change.id} under {one.digest[:19]}…"
        if held.altered:
            altered[one.digest] = held.altered
            draft.gap("high", f"{under} {held.altered}", path)
        elif held.untold:
            untold[one.digest] = held.untold
            draft.gap("low", f"{under} is what was signed, but {held.untold}", path)
    known = {one.digest for one in shown} - altered.keys()
    for decision in decisions:
        if decision.seen_digest not in known:
            draft.gap("high", f"What {names.get(decision.person_id, decision.person_id)} saw when deciding on "
                      f"CHG-{change.id} is not stored as it was", f"{folder}/change.json")  # fmt: skip
    if shown:
        sheet = Sheet(f"CHG-{change.id} as its deciders saw it", f"CHG-{change.id}", change.digest, as_of)
        blocks = as_seen(change, [(one.digest, one.document) for one in shown], decisions, names, altered,
                         untold)  # fmt: skip
        draft.add(f"{folder}/as-seen.html", standalone_html(sheet, blocks))


def as_seen(
    change: Change, shown: list[tuple[str, dict[str, Any]]], decisions: list[Decision], names: dict[str, str],
    altered: Mapping[str, str], untold: Mapping[str, str],
) -> list[Block]:  # fmt: skip
    """Each state of a change that somebody was shown, and who said what on it. `altered`: digests of those that are
    not what was shown, and why; `untold`: what of others nobody can tell any more."""
    blocks: list[Block] = [Heading(1, plain(f"CHG-{change.id}: {change.summary}"))]
    for digest, document in shown:
        blocks += [
            Heading(2, plain(f"Shown under {digest}")),
            *(
                [Paragraph((Span(f"ALTERED SINCE: what is kept {altered[digest]}.", bold=True),))]
                if digest in altered
                else []
            ),
            *(
                [Paragraph(plain(f"Not all of this can be told: {untold[digest]}."))]
                if digest in untold
                else []
            ),
            Paragraph(
                plain(f"{document.get('summary')} ({document.get('kind')}, {document.get('environment')})")
            ),
            Paragraph((Span("Reason: ", bold=True), Span(str(document.get("reason") or "")))),
        ]
        said = [one for one in decisions if one.seen_digest == digest]
        blocks.append(
            Bullets(tuple((Paragraph(plain(_said(one, names))),) for one in said)) if said
            else Paragraph(plain("Nobody decided on this state."))
        )  # fmt: skip
        gates = [one for one in document.get("gates") or [] if isinstance(one, dict)]
        if gates:
            blocks.append(gate_table(gates))
        evidence = document.get("evidence")
        if isinstance(evidence, dict):
            blocks.append(Heading(3, plain("Evidence")))
            blocks += [
                block
                for name in sorted(evidence)
                for block in (Heading(4, plain(name.replace("_", " "))), Code(_pretty(evidence[name])))
            ]
        blocks += [Heading(3, plain("Bound to the approval")), Code(_pretty(document.get("bound")))]
    return blocks


def gate_table(gates: list[dict[str, Any]]) -> Table:
    """Results of gates, as they were found."""
    return Table(
        (plain("gate"), plain("verdict"), plain("what was found")),
        tuple(
            (plain(str(one.get("gate"))), plain(str(one.get("verdict"))), plain(str(one.get("text") or "")))
            for one in gates
        ),
        (2, 1, 5),
    )


def _said(one: Decision, names: dict[str, str]) -> str:
    lent = f" on behalf of {names.get(one.on_behalf_of, one.on_behalf_of)}" if one.on_behalf_of else ""
    accepted = f" Accepted as not known: {', '.join(one.accepted)}." if one.accepted else ""
    if one.signed_in_at is not None:
        accepted += f" Signed in freshly at {one.signed_in_at:%Y-%m-%d %H:%M:%S} UTC."
    if one.retracted_at is not None:
        accepted += f" Taken back {one.retracted_at:%Y-%m-%d %H:%M:%S} UTC: {one.retracted_because}"
    return (
        f"{names.get(one.person_id, one.person_id)}{lent} ({one.role}): {one.verdict}, "
        f"{one.decided_at:%Y-%m-%d %H:%M:%S} UTC. {one.comment}{accepted}"
    )


def _gates(change: Change, decisions: list[Decision], names: dict[str, str]) -> dict[str, Any]:
    return {
        "change": f"CHG-{change.id}", "model": change.model, "to_version": change.to_version,
        "rule": {"name": change.policy.get("name"), "revision": change.policy.get("revision"),
                 "gates": change.policy.get("gates")},
        "evaluated_at": change.gates_at, "digest": digest_of(change.gates), "results": change.gates,
        "accepted_although_not_known": [
            {"by": names.get(one.person_id), "gates": one.accepted} for one in decisions if one.accepted
        ],
    }  # fmt: skip


def _add_receipts(
    draft: Draft, session: ReadSession, maker: Actor, change_id: int, folder: str, as_of: datetime
) -> None:
    for line in receipts_of_change(session, maker, change_id):
        if line.at >= clock.to_iso(as_of):
            continue
        action = safe_name(line.action.split(":", 1)[-1].replace(":", "-"))
        try:
            draft.add(f"{folder}/receipts/{line.seq}-{action}.tlog-proof", receipt(session, maker, line.seq))
        except NotSignedYet:
            draft.gap(
                "medium",
                f"Entry {line.seq} ({line.action}) of CHG-{change_id} is not in a signed head yet",
                folder,
            )


def _judge(
    draft: Draft,
    session: ReadSession,
    change: Change,
    decisions: list[Decision],
    folder: str,
    subject: Subject,
    told: list[Told],
) -> None:
    """What speaks against how the change was made."""
    name, where = f"CHG-{change.id}", f"{folder}/change.json"
    if change.break_glass:
        review = session.get(Review, change.id)
        if review is None or review.reviewed_at is None or review.reviewed_at >= subject.as_of:
            draft.gap("high", f"{name} was executed without decisions, and nobody has reviewed it", where)
        elif review.verdict != "justified":
            draft.gap(
                "high",
                f"{name} was executed without decisions, and its review found that not justified",
                where,
            )
        else:
            draft.gap("low", f"{name} was executed without decisions; its review found that justified", where)
    elif change.state == "executed" and change.way_back_id is None:
        if not quorum_reached(change):
            draft.gap("high", f"{name} was executed with fewer approvals than its rule asks for", where)
        if lacks := lacking_approvals(change, told):
            draft.gap("high", f"{name} was executed, and {lacks}", where)
    if change.state == "failed":
        draft.gap("medium", f"{name} failed: {change.outcome or 'no reason is stored'}", where)
    failed = [str(one.get("gate")) for one in change.gates if one.get("verdict") == "fail"]
    if failed and change.state == "executed":
        draft.gap(
            "medium", f"{name} was executed although gates failed: {', '.join(failed)}", f"gates/{name}.json"
        )
    for one in session.scalars(select(Condition).where(Condition.change_id == change.id)):
        if one.state == "broken":
            draft.gap("high", f"A condition of {name} does not hold: {one.gate}: {one.text}", where)


def _review_then(review: Review | None, as_of: datetime) -> dict[str, Any] | None:
    """The review as it was owed then: nobody had given it who did so later."""
    if review is None:
        return None
    found = _columns(review)
    if review.reviewed_at is not None and review.reviewed_at >= as_of:
        found |= {"verdict": None, "comment": "", "reviewed_by": None, "reviewed_at": None}
    return found


def _all(
    session: ReadSession, table: type[Any], change_id: int, *then: ColumnElement[bool]
) -> list[dict[str, Any]]:
    rows = session.scalars(
        select(table).where(table.change_id == change_id, *then).order_by(*inspect(table).primary_key)
    )
    return [_columns(one) for one in rows]


def _columns(row: Any) -> dict[str, Any]:
    return {one.key: getattr(row, one.key) for one in inspect(type(row)).column_attrs}


def _pretty(document: Any) -> str:
    from backend.packs.draft import json_text

    return json_text(document).rstrip("\n")
