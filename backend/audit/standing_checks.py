"""Roles, teams, tiers of models and revisions of the policy that are not those of the last entry that set them.

They decide who may decide, and under which rule: whoever writes to the database would begin with them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select

from backend.audit.actions import Action
from backend.audit.entries_about import Said, entries_about
from backend.audit.rows import parsed
from backend.audit.tables import AuditEntry, AuditPayload
from backend.database.session import ReadSession
from backend.governance.digests import digest_of
from backend.governance.tables import Policy
from backend.identity.tables import Person, TeamMember, TeamModel
from backend.registry.recorded import tier_otherwise
from backend.registry.tables import Model

# What sets it, and what the entry calls it.
_ROLES: Final = {Action.PERSON_CREATED.value: "roles", Action.ROLES_CHANGED.value: "after"}
_POLICIES: Final = {Action.POLICY_REPLACED.value: "digest"}


@dataclass(frozen=True)
class Unset:
    """`subject` tells it from others for ever. Accounts are named by their opaque id."""

    subject: str
    title: str
    model: str | None = None


def unset_standing(session: ReadSession) -> Iterator[Unset]:
    """Every account whose roles, every model whose tier and every revision of the policy that no entry set so."""
    said = _last(session, "person", _ROLES)
    for row in session.scalars(select(Person).order_by(Person.id)):
        roles = sorted(one.role for one in row.roles)
        if row.id not in said:
            if roles:
                yield Unset(
                    f"account {row.id} unmade",
                    f"the account {row.id} ({', '.join(roles)}) that no entry made",
                )
        elif (known := said[row.id]) is not None and sorted(known[1]) != roles:
            yield Unset(
                f"account {row.id} roles {' '.join(roles)}",
                f"the account {row.id} has the roles {', '.join(roles) or 'none'}, and entry {known[0]} says "
                f"{', '.join(sorted(known[1])) or 'none'}",
            )
    yield from _unset_teams(session)
    models = {one.name: one for one in session.scalars(select(Model).order_by(Model.name))}
    for name, told in tier_otherwise(session, models.values()).items():
        yield Unset(f"model {name} tier {models[name].tier}", told, name)
    yield from _unset_policies(session)


def _unset_teams(session: ReadSession) -> Iterator[Unset]:
    """Roles in a team, and teams of models, that no entry gave so."""
    held: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in session.scalars(select(TeamMember)):
        held[row.person_id, row.team_id].add(row.role)
    people = session.scalars(select(Person.id)).all()
    told: dict[tuple[str, str], Said] = {}
    erased: set[str] = set()  # who has an entry that does not tell any more of which team it is
    for person, said in entries_about(session, "person", people, (Action.TEAM_ROLES_CHANGED,)).items():
        told.update({(person, str(one.payload.get("team"))): one for one in said if one.payload is not None})
        erased |= {person} if any(one.payload is None for one in said) else set()
    for person, team in sorted(held.keys() | told.keys()):
        roles, entry = sorted(held[person, team]), told.get((person, team))
        after = sorted(entry.payload["after"]) if entry is not None and entry.payload is not None else []
        if roles != after and person not in erased:
            yield Unset(
                f"account {person} team {team} {' '.join(roles)}",
                f"the account {person} has the roles {', '.join(roles) or 'none'} in the team {team}, and "
                f"{f'entry {entry.seq}' if entry else 'the log'} says {', '.join(after) or 'none'}",
            )
    owned = {row.model: row.team_id for row in session.scalars(select(TeamModel))}
    names = session.scalars(select(Model.name)).all()
    for model, moves in entries_about(session, "model", names, (Action.MODEL_MOVED,)).items():
        payload = moves[-1].payload
        now = owned.pop(model, None)
        if payload is not None and payload.get("after") != now:
            yield Unset(
                f"model {model} team", f"{model} is in another team than entry {moves[-1].seq} says", model
            )
    for model in sorted(owned):
        yield Unset(f"model {model} team", f"{model} is in a team to which no entry gave it", model)


def _unset_policies(session: ReadSession) -> Iterator[Unset]:
    """Revisions that no entry put in force, that differ from what one did, or whose row is gone. The built-in one has
    neither row nor entry."""
    said = _last(session, "policy", _POLICIES)
    for row in session.scalars(select(Policy).order_by(Policy.revision)):
        if str(row.revision) not in said:
            yield Unset(
                f"policy {row.revision} unmade",
                f"revision {row.revision} of the policy is in the table, and no entry put it in force",
            )
            continue
        known, digest = said.pop(str(row.revision)), digest_of(row.document)
        if digest != row.digest or (known is not None and known[1] != digest):
            yield Unset(
                f"policy {row.revision} altered {digest} {row.digest}",
                f"revision {row.revision} of the policy is not the document that was put in force: it gives {digest}, "
                f"its row says {row.digest}" + (f", and entry {known[0]} {known[1]}" if known else ""),
            )
    for revision in said:
        yield Unset(
            f"policy {revision} gone",
            f"revision {revision} of the policy was put in force by the log, and its row is gone",
        )


def _last(session: ReadSession, kind: str, actions: dict[str, str]) -> dict[str, tuple[int, Any] | None]:
    """Number and word of the last entry about each object that sets it; None where its payload was erased."""
    last: Sequence[Any] = session.execute(
        select(AuditEntry.object_id, func.max(AuditEntry.seq).label("seq"))
        .where(AuditEntry.object_kind == kind, AuditEntry.action.in_(list(actions)))
        .group_by(AuditEntry.object_id)
    ).all()
    found: dict[str, tuple[int, Any] | None] = {one.object_id: None for one in last}
    numbers = sorted(one.seq for one in last)
    for at in range(0, len(numbers), 500):
        rows = session.execute(
            select(AuditEntry.object_id, AuditEntry.seq, AuditEntry.action, AuditPayload.payload)
            .join(AuditPayload, AuditPayload.seq == AuditEntry.seq)
            .where(AuditEntry.seq.in_(numbers[at : at + 500]))
        )
        for object_id, seq, action, payload in rows:
            value = parsed(payload.encode()).get(actions[action])
            found[object_id] = (seq, value) if value is not None else None
    return found
