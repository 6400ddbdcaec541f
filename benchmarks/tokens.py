"""Print a bearer token of one account of the home in the environment: `python -m benchmarks.tokens lead`."""

from __future__ import annotations

import sys

from sqlalchemy import select

from backend.database.session import writing
from backend.identity.sessions import actor_of
from backend.identity.tables import Person
from backend.identity.tokens import create_token

if __name__ == "__main__":
    with writing() as session:
        person = session.scalars(select(Person).where(Person.username == sys.argv[1])).one()
        print(create_token(session, actor_of(person, session_id=None), name="benchmark", valid_days=1)[1])
