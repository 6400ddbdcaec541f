"""Who looks, as far as it decides what they may see, and for how long an answer is kept."""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import NamedTuple

from backend.identity.actor import Actor, TeamRole
from backend.identity.roles import Role
from backend.settings import settings

SHORT, LONG = 3, 10  # seconds; an act of one's own is seen at once, others' after this

_acts: Counter[str] = Counter()  # by person, of this process: a browser's runs are all in one
_acting = Lock()


class Scope(NamedTuple):
    """Who looks, as far as it decides what they may see. Hashable, without names or addresses."""

    person_id: str
    kind: str
    roles: tuple[str, ...]
    acting_for: str | None
    models: frozenset[str] | None = None
    team_roles: tuple[TeamRole, ...] = ()
    acts: int = (
        0  # how often this person has acted here: what was kept for them before is not asked for again
    )

    def actor(self) -> Actor:
        return Actor(
            self.person_id,
            self.kind,
            frozenset(Role(role) for role in self.roles),
            acting_for=self.acting_for,
            models=self.models,
            team_roles=self.team_roles,
        )


def scope_of(actor: Actor) -> Scope:
    roles = tuple(sorted(role.value for role in actor.roles))
    acts = _acts[actor.person_id]
    return Scope(actor.person_id, actor.kind, roles, actor.acting_for, actor.models, actor.team_roles, acts)


def look_again(actor: Actor) -> None:
    """From the next run on, nothing that was kept for this person is shown to them. Others keep what they have."""
    with _acting:
        _acts[actor.person_id] += 1


def environment() -> str:
    return settings().environment
