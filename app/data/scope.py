"""Who looks, as far as it decides what they may see, and for how long an answer is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from itertools import count
from typing import Concatenate, Final, NamedTuple, ParamSpec, TypeVar

from backend.identity.actor import Actor, TeamRole
from backend.identity.roles import Role
from backend.settings import settings

SHORT, LONG = 3, 10  # seconds; an act of one's own is seen at once, others' after this
KEPT: Final = 60
"""Seconds after which even an answer that still holds is read again: nothing of what people may see is kept longer."""

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")

# The newest act of each person and when it was, of this process: a browser's runs are all in one.
_acts: dict[str, tuple[int, float]] = {}
_numbers: Final = count(1)


class Scope(NamedTuple):
    """Who looks, as far as it decides what they may see. Hashable, without names or addresses."""

    person_id: str
    kind: str
    roles: tuple[str, ...]
    acting_for: str | None
    models: frozenset[str] | None = None
    team_roles: tuple[TeamRole, ...] = ()
    acts: int = 0
    """This person's act whose effect others may not see yet, 0 for none: what was kept before is not given to them."""

    def actor(self) -> Actor:
        return Actor(
            self.person_id,
            self.kind,
            frozenset(Role(role) for role in self.roles),
            acting_for=self.acting_for,
            models=self.models,
            team_roles=self.team_roles,
        )

    def alike(self) -> Scope:
        """Whoever may see the same: what is read for them is read once."""
        return self._replace(person_id="")


def scope_of(actor: Actor) -> Scope:
    roles = tuple(sorted(role.value for role in actor.roles))
    acts, at = _acts.get(actor.person_id, (0, 0.0))
    if time.monotonic() - at > KEPT + LONG:
        acts = 0
    return Scope(actor.person_id, actor.kind, roles, actor.acting_for, actor.models, actor.team_roles, acts)


def look_again(actor: Actor) -> None:
    """From the next run on, nothing that was kept for this person is shown to them. Others keep what they have."""
    _acts[actor.person_id] = (next(_numbers), time.monotonic())


def for_all_alike(
    read: Callable[Concatenate[Scope, Asked], Answer],
) -> Callable[Concatenate[Scope, Asked], Answer]:
    """Read what does not depend on who looks, only on what they may see, as nobody in particular.

    Above a cache, everybody with the same rights shares one answer.
    """

    @wraps(read)
    def shared(scope: Scope, *args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
        return read(scope.alike(), *args, **kwargs)

    return shared


def environment() -> str:
    return settings().environment
