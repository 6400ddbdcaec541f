"""Lists of the API come in parts that follow each other, and a member of a team gets parts of what is theirs."""

from __future__ import annotations

from typing import Any

import pytest

from backend import clock
from backend.alerting.incident_list import list_incidents
from backend.alerting.tables import Incident
from backend.database.session import reading, writing
from backend.identity.people import person_by_id
from backend.identity.roles import Permission, Role
from backend.identity.sessions import actor_of
from backend.identity.teams import make_team, move_model, set_team_roles
from backend.identity.tokens import create_token
from tests.integration.api.conftest import Callers
from tests.worlds import add_model, person

MODELS = [f"m{number}" for number in range(5)]


@pytest.fixture
def callers(sqlite_callers: Callers) -> Callers:
    return sqlite_callers


def parts(callers: Callers, who: str, path: str, key: str, **query: Any) -> list[list[Any]]:
    found, offset = [], 0
    while True:
        answer = callers.get(who, path, limit=2, offset=offset, **query).json()
        found.append(answer[key])
        if answer["next"] is None:
            return found
        assert answer["next"] == offset + 2
        offset = answer["next"]


def test_models_come_two_at_a_time_and_once_each(callers: Callers) -> None:
    for name in MODELS:
        add_model(callers.world, name, versions=1)
    found = parts(callers, "viewer", "/models", "models")
    assert [len(one) for one in found] == [2, 2, 2]
    assert [model["name"] for one in found for model in one] == [*MODELS, "toy"]
    versions = parts(callers, "viewer", "/models/toy", "versions")
    assert [one["version"] for part in versions for one in part] == [2, 1]


def test_a_member_of_a_team_gets_parts_of_its_models_alone(callers: Callers) -> None:
    admin = callers.actors["admin"]
    for name in MODELS:
        add_model(callers.world, name, versions=1)
    with writing() as session:
        team = make_team(session, admin, name="Pricing")
        for name in ("m1", "m2", "m4"):
            move_model(session, admin, model=name, team_id=team.id, why="theirs")
        row = person(session, "member")
        set_team_roles(session, admin, team.id, row.person_id, {Role.ML_LEAD})
        member = actor_of(person_by_id(session, row.person_id), session_id=None)
        callers.actors["member"] = member
        every = [one for one in Permission if member.may(one)]
        callers.tokens["member"] = create_token(session, member, name="tests", scopes=every)[1]
    with writing() as session:
        for name in MODELS:
            session.add(
                Incident(model=name, environment="production", area="model", title=name, severity=2,
                         opened_at=clock.now())
            )  # fmt: skip
    found = parts(callers, "member", "/models", "models")
    assert [one["name"] for part in found for one in part] == ["m1", "m2", "m4"]
    found = parts(callers, "member", "/inventory", "models", sort="name")
    assert [one["model"] for part in found for one in part] == ["m1", "m2", "m4"]
    answer = callers.get("member", "/inventory", needing=True).json()
    assert answer["known"] == 3
    found = parts(callers, "member", "/incidents", "incidents")
    assert sorted(one["model"] for part in found for one in part) == ["m1", "m2", "m4"]
    assert [one["name"] for one in callers.get("viewer", "/models", team="Pricing").json()["models"]] == [
        "m1",
        "m2",
        "m4",
    ]


def test_incidents_that_are_open_come_before_those_that_are_over_across_parts(callers: Callers) -> None:
    with writing() as session:
        for number in range(7):
            over = number % 2 == 0
            session.add(
                Incident(
                    model="toy", environment="production", area=f"area {number}", title=str(number),
                    severity=1 + number % 3,
                    opened_at=clock.now(), state="closed" if over else "open",
                    closed_at=clock.now() if over else None,
                )
            )  # fmt: skip
            session.flush()
    with reading() as session:
        whole = [one.title for one in list_incidents(session, callers.world.viewer, limit=100).incidents]
        cut = [
            one.title
            for first in range(0, 8, 2)
            for one in list_incidents(session, callers.world.viewer, limit=2, offset=first).incidents
        ]
    assert cut == whole
    assert len(set(whole)) == 7
    assert set(whole[:3]) == {"1", "3", "5"}
    assert whole[3:] == ["6", "4", "2", "0"]


def test_people_say_where_the_next_part_begins(callers: Callers) -> None:
    found = parts(callers, "admin", "/people", "people")
    names = [one["username"] for part in found for one in part]
    assert names == sorted(set(names))
    assert all(len(part) == 2 for part in found[:-1])
    assert callers.get("admin", "/people", limit=501).status_code == 422
    assert callers.get("admin", "/people").json()["next"] is None
