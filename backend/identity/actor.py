"""Who acts: the explicit second argument of every service that changes something, or that reads for someone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from backend.errors import NotAllowed
from backend.identity.roles import OF_THE_HOUSE, Permission, Role, permissions_in_team, permissions_of


class TeamRole(NamedTuple):
    """A role that somebody has for the models of one team, and for no others."""

    team: str  # its id
    role: Role
    models: frozenset[str]


@dataclass(frozen=True)
class Actor:
    """A person, a service account or one of Warrant's own processes, as known for this one request."""

    person_id: str
    kind: str  # person | service | system
    roles: frozenset[Role]  # for the whole house
    session_id: str | None = None
    request_id: str | None = None
    address: str | None = None
    acting_for: str | None = None  # the owner whose rights a service account borrows
    display_name: str = ""
    seat: dict[str, str] | None = field(
        default=None, hash=False
    )  # of the command line: login, account and host
    models: frozenset[str] | None = None  # None: every model; else only these (backend.identity.reach)
    scopes: frozenset[Permission] | None = None  # of a token: what it may do of what its holder may
    signed_in_at: datetime | None = None  # of a session: when its person last proved who they are
    is_limited: bool = (
        False  # of a token: it is for some models, and does nothing that concerns the whole house
    )
    team_roles: tuple[TeamRole, ...] = ()

    @property
    def is_token(self) -> bool:
        """Whether an API token acts: nobody proved just now who they are."""
        return (self.session_id or "").startswith("tok_")

    def may(self, permission: Permission) -> bool:
        """Whether it is held at all: for the whole house, or for the models of some team."""
        return self.may_in_house(permission) or bool(self._teams_with(permission))

    def may_in_house(self, permission: Permission) -> bool:
        """Whether it is held for everything there is."""
        return self.is_in_scope(permission) and permission in permissions_of(self.roles)

    def may_about(self, permission: Permission, model: str | None) -> bool:
        """Whether it is held for this model; without one, for the whole house."""
        held = self.models_with(permission)
        return self.may(permission) and (held is None or model in held)

    def models_with(self, permission: Permission) -> frozenset[str] | None:
        """The models for which it is held, None for all of them."""
        if self.may_in_house(permission) or not self.team_roles:
            return self.models
        held = frozenset().union(*(one.models for one in self._teams_with(permission)))
        return held if self.models is None else held & self.models

    def roles_about(self, model: str | None) -> frozenset[Role]:
        """The roles that somebody has where this model is concerned; without one, where the whole house is."""
        return self.roles | {one.role for one in self.team_roles if model in one.models}

    @property
    def every_role(self) -> frozenset[Role]:
        """Every role, for the whole house or for a team: what a page says of somebody."""
        return self.roles | {one.role for one in self.team_roles}

    def require(self, permission: Permission) -> None:
        """Raise `NotAllowed` unless it is held for the whole house, naming the permission and who has it.

        What concerns one model asks `backend.identity.reach.allow`, by which a role in its team is enough.
        """
        if not self.may_in_house(permission):
            self._refuse(permission)

    def require_some(self, permission: Permission) -> None:
        """Raise `NotAllowed` unless it is held for the house or for some team; what is read is narrowed elsewhere."""
        if not self.may(permission):
            self._refuse(permission)

    def require_scope(self, permission: Permission) -> None:
        """Raise `NotAllowed` for a token that was not made for it; the right itself is asked elsewhere, being one's own
        or lent."""
        if not self.is_in_scope(permission):
            self._refuse(permission)

    def is_in_scope(self, permission: Permission) -> bool:
        """Whether a token was made for it; of somebody without a token always. Asked by itself where the right is not
        the permission: one that was lent, or what is one's own.
        """
        named = self.scopes is None or permission in self.scopes
        return named and not (self.is_limited and permission in OF_THE_HOUSE)

    def _teams_with(self, permission: Permission) -> list[TeamRole]:
        if not self.is_in_scope(permission):
            return []
        return [one for one in self.team_roles if permission in permissions_in_team(one.role)]

    def _refuse(self, permission: Permission) -> None:
        if not self.is_in_scope(permission):
            raise NotAllowed(
                f"this token was not made for {permission.value}; make one that is, on the page Account",
                permission=permission.value,
            )
        from backend.identity.roles import GRANTS

        holders = ", ".join(
            role.value for role, grants in GRANTS.items() if permission in grants and role is not Role.SYSTEM
        )
        house = ", for the whole house" if self.team_roles else ""
        raise NotAllowed(
            f"this needs the permission {permission.value}, which comes with: {holders or 'no role'}{house}",
            permission=permission.value,
        )

    @property
    def person_row(self) -> str | None:
        """The id of this actor's row among people; None for Warrant's own processes, which have none."""
        return None if self.kind == "system" else self.person_id

    @property
    def people(self) -> frozenset[str]:
        """Everyone whose hand this is: the account itself and the owner it acts for."""
        return frozenset({self.person_id} | ({self.acting_for} if self.acting_for else set()))


def system_actor(process: str, *, address: str | None = None, request_id: str | None = None) -> Actor:
    """One of Warrant's own processes, such as `worker` or `gateway`; with the request that it acts on, if one came."""
    return Actor(
        person_id=f"system:{process}",
        kind="system",
        roles=frozenset({Role.SYSTEM}),
        display_name=f"Warrant {process}",
        address=address,
        request_id=request_id,
    )
