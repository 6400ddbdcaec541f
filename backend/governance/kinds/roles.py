"""The rules by which sign-on providers' groups give roles, replaced by a change that somebody else approves."""

from __future__ import annotations

from typing import Any, Final

from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput
from backend.governance import errors
from backend.governance.digests import digest_of
from backend.governance.kinds import Asked, Kind, Proposal, register
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.providers import providers
from backend.identity.role_rules import (
    Document,
    moved_by,
    read_rules,
    require_administrable,
    rules_in_force,
    store_rules,
)
from backend.identity.roles import Permission

ASKED_FOR: Final = "on the page People, with `warrant roles propose`, or with POST /api/v1/role-rules/changes"


def propose_roles(session: ReadSession, viewer: Actor, asked: Asked) -> Proposal:
    """Other rules, as YAML in `subject["document"]`; bound to those that they replace."""
    if set(asked.subject) != {"document"} or asked.to_version is not None or asked.to_cutoff is not None:
        raise BadInput("a change of kind roles has a document, and nothing else", field="subject")
    if asked.model is not None:
        raise BadInput("role rules are of no model", field="model")
    wanted = read_rules(asked.subject["document"])
    now = rules_in_force(session)
    if wanted.as_dict() == now.document.as_dict():
        raise errors.NothingToChange("these are the role rules that are in force")
    require_administrable(session, wanted)
    return Proposal(
        asked=asked, model=None, tier="high",
        summary=f"the rules that give roles by sign-on move from revision {now.revision} to {now.revision + 1}",
        bound={"replaces": now.digest, "role rules": digest_of(wanted.as_dict())},
        evidence={
            "schema": 2, "kind": "roles", "model": None,
            "texts": {"before": now.document.as_yaml(), "after": wanted.as_yaml()},
            "cautions": _cautions(session, wanted),
        },
    )  # fmt: skip


def _cautions(session: ReadSession, wanted: Document) -> list[str]:
    """How many would gain and lose what. Nobody is named: evidence is kept for ever."""
    told = []
    moved = moved_by(session, wanted)
    for word, when in (("lose", "at once"), ("gain", "when they sign on next")):
        counts: dict[str, int] = {}
        for one in moved:
            for role in one.loses if word == "lose" else one.gains:
                counts[role.value] = counts.get(role.value, 0) + 1
        told += [
            f"{count} {'person' if count == 1 else 'people'} would {word} {role} {when}"
            for role, count in sorted(counts.items())
        ]
    unknown = sorted({one.provider for one in wanted.rules} - set(providers()))
    return told + [f"there is no sign-on provider {name}: its rules give nothing" for name in unknown]


def apply_roles(session: WriteSession, actor: Actor, change: Change) -> str:
    revision, taken = store_rules(
        session, actor, read_rules(change.subject["document"]), change_id=change.id, note=change.reason
    )
    lost = f"; {taken} {'person' if taken == 1 else 'people'} lost a role" if taken else ""
    return f"revision {revision} of the role rules is in force{lost}"


def request_role_rules(
    session: WriteSession, actor: Actor, *, document: str, reason: str, seen_digest: str
) -> Change:
    """Ask for other rules; somebody else decides. Raises `ChangedSinceSeen` unless `seen_digest` is the preview's."""
    from backend.governance.asking import draft_change, send_change

    actor.require(Permission.MANAGE_PEOPLE)
    asked: Any = Asked("roles", "*", subject={"document": document})
    change = draft_change(session, actor, asked, reason=reason, seen_digest=seen_digest)
    send_change(session, change)
    return change


ROLES = register(
    Kind(
        "roles",
        "Role rules",
        "Replaces the rules that give roles by what a sign-on provider says; two persons, always. No accounts.",
        propose_roles,
        rollout=False,
        apply=apply_roles,
        people_only=True,
        asked_for=ASKED_FOR,
        right=Permission.MANAGE_PEOPLE,
        right_to_cancel=Permission.MANAGE_PEOPLE,
    )
)
