"""Who looks, as far as it decides what they may see, and for how long an answer is kept."""

from __future__ import annotations

from typing import NamedTuple

from backend.identity.actor import Actor
from backend.identity.roles import Role
from backend.settings import settings

SHORT, LONG = 3, 10  # seconds; an action of one's own clears them all


class Scope(NamedTuple):
    """Who looks, as far as it decides what they may see. Hashable, without names or addresses."""

    person_id: str
    kind: str
    roles: tuple[str, ...]
    acting_for: str | None
    models: frozenset[str] | None = None

    def actor(self) -> Actor:
        return Actor(
            self.person_id,
            self.kind,
            frozenset(Role(role) for role in self.roles),
            acting_for=self.acting_for,
            models=self.models,
        )


def scope_of(actor: Actor) -> Scope:
    roles = tuple(sorted(role.value for role in actor.roles))
    return Scope(actor.person_id, actor.kind, roles, actor.acting_for, actor.models)


def environment() -> str:
    return settings().environment
