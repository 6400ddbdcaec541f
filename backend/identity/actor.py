"""Who acts: the explicit second argument of every service that changes something, or that reads for someone."""

from __future__ import annotations

from dataclasses import dataclass, field

from backend.errors import NotAllowed
from backend.identity.roles import Permission, Role, permissions_of


@dataclass(frozen=True)
class Actor:
    """A person, a service account or one of Warrant's own processes, as known for this one request."""

    person_id: str
    kind: str  # person | service | system
    roles: frozenset[Role]
    session_id: str | None = None
    request_id: str | None = None
    address: str | None = None
    acting_for: str | None = None  # the owner whose rights a service account borrows
    display_name: str = ""
    seat: dict[str, str] | None = field(
        default=None, hash=False
    )  # of the command line: login, account and host
    models: frozenset[str] | None = None  # None: every model; else only these (backend.identity.reach)

    def may(self, permission: Permission) -> bool:
        return permission in permissions_of(self.roles)

    def require(self, permission: Permission) -> None:
        """Raise `NotAllowed` naming the permission and who has it."""
        if not self.may(permission):
            from backend.identity.roles import GRANTS

            holders = ", ".join(
                role.value
                for role, grants in GRANTS.items()
                if permission in grants and role is not Role.SYSTEM
            )
            raise NotAllowed(
                f"this needs the permission {permission.value}, which comes with: {holders or 'no role'}",
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


def system_actor(process: str) -> Actor:
    """One of Warrant's own processes, such as `worker` or `gateway`."""
    return Actor(
        person_id=f"system:{process}",
        kind="system",
        roles=frozenset({Role.SYSTEM}),
        display_name=f"Warrant {process}",
    )
