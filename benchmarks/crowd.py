"""Make people and machines that use an installation: `python -m benchmarks.crowd`, into the home of the environment.

Prints one JSON document: of each person the role and a session, as the cookie of a browser that has signed in; of
each client a bearer token. They are made as the sign-in page and the page Account make them, without their limits on
how many may come from one address in a minute.
"""

from __future__ import annotations

import json
import sys

from benchmarks.visits import CLIENTS, PEOPLE


def make() -> dict[str, list[tuple[str, str]]]:
    """(role, session token) of each person, (role, bearer token) of each client."""
    from backend.audit.sealing import make_keys
    from backend.clock import now
    from backend.database.session import writing
    from backend.identity.roles import Role
    from backend.identity.sessions import actor_of, open_session
    from backend.identity.tables import Person, PersonRole
    from backend.identity.tokens import create_token

    made: dict[str, list[tuple[str, str]]] = {"people": [], "clients": []}
    with writing() as session:
        for group, sizes in (("people", PEOPLE), ("clients", CLIENTS)):
            for role in [role for role, many in sizes.items() for _ in range(many)]:
                name = f"bench-{group}-{len(made[group])}"
                person = Person(
                    username=name,
                    display_name=name,
                    created_at=now(),
                    roles=[PersonRole(role=Role(role).value)],
                )
                session.add(person)
                session.flush()
                make_keys(session, [person.id])
                if group == "people":
                    secret = open_session(session, person, address=None, user_agent="benchmark").token
                else:
                    actor = actor_of(person, session_id=None)
                    secret = create_token(session, actor, name="benchmark", valid_days=1)[1]
                made[group].append((role, secret))
    return made


if __name__ == "__main__":
    json.dump(make(), sys.stdout)
