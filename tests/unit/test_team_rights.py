"""A right that a role in a team gives is asked by `allow`, which keeps the session to the models of the team; `require`
is for rights of the whole house, and refuses who has one in a team alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import backend
from backend.errors import NotAllowed
from backend.identity.actor import Actor, TeamRole
from backend.identity.roles import GIVEN_IN_TEAMS, OF_THE_HOUSE, Permission, Role, permissions_in_team

ROOT = Path(backend.__file__).parent
HOUSE = {f"Permission.{one.name}" for one in OF_THE_HOUSE}
OWN = ("identity",)  # people, sessions and tokens: of no model


def test_services_ask_for_what_a_team_gives_by_narrowing_the_session() -> None:
    loose = [
        f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}"
        for path in sorted(ROOT.rglob("*.py"))
        if path.relative_to(ROOT).parts[0] not in OWN
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "require"
        and node.args
        and ast.unparse(node.args[0]).startswith("Permission.")
        and ast.unparse(node.args[0]) not in HOUSE
    ]
    assert loose == []


def test_what_is_held_in_a_team_is_held_for_its_models_alone() -> None:
    held = TeamRole("team_a", Role.ML_LEAD, frozenset({"toy"}))
    limited = Actor("p", "person", frozenset(), models=frozenset({"toy"}), team_roles=(held,))
    both = Actor("p", "person", frozenset({Role.VIEWER}), team_roles=(held,))
    for actor in (limited, both):
        assert actor.may(Permission.DECIDE_CHANGE)
        assert actor.may_about(Permission.DECIDE_CHANGE, "toy")
        assert not actor.may_about(Permission.DECIDE_CHANGE, "other")
        assert not actor.may_about(Permission.DECIDE_CHANGE, None)
        assert actor.models_with(Permission.DECIDE_CHANGE) == {"toy"}
        assert Role.ML_LEAD in actor.roles_about("toy")
        assert Role.ML_LEAD not in actor.roles_about("other") | actor.roles_about(None)
        with pytest.raises(NotAllowed, match="for the whole house"):
            actor.require(Permission.DECIDE_CHANGE)
    assert limited.models_with(Permission.READ_MODELS) == {"toy"}
    assert both.models_with(Permission.READ_MODELS) is None


def test_a_role_for_the_house_is_as_ever() -> None:
    lead = Actor("p", "person", frozenset({Role.ML_LEAD}))
    lead.require(Permission.DECIDE_CHANGE)
    assert lead.models_with(Permission.DECIDE_CHANGE) is None
    assert lead.may_about(Permission.DECIDE_CHANGE, None)


def test_no_role_in_a_team_reaches_the_whole_house() -> None:
    assert Role.ADMIN not in GIVEN_IN_TEAMS
    for role in GIVEN_IN_TEAMS:
        assert permissions_in_team(role).isdisjoint(OF_THE_HOUSE)
