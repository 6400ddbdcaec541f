"""Every operation of the REST API has a command, or says why it has none."""

from __future__ import annotations

import pytest
import typer

from backend.api.app import create_api
from backend.cli import app
from backend.commands.parity import COMMANDS, WITHOUT

OPERATIONS = {
    f"{method.upper()} {path}" for path, methods in create_api().openapi()["paths"].items() for method in methods
}  # fmt: skip


def commands() -> set[str]:
    found: set[str] = set()

    def walk(command: object, before: tuple[str, ...]) -> None:
        inner = getattr(command, "commands", None)
        if inner is None:
            found.add(" ".join(before))
            return
        for name, one in inner.items():
            walk(one, (*before, name))

    walk(typer.main.get_command(app), ())
    return found


def test_every_operation_has_a_command_or_a_reason() -> None:
    missing = sorted(OPERATIONS - COMMANDS.keys() - WITHOUT.keys())
    assert missing == [], "give it a command, or a reason in backend/commands/parity.py"
    assert sorted((COMMANDS.keys() | WITHOUT.keys()) - OPERATIONS) == []
    assert sorted(COMMANDS.keys() & WITHOUT.keys()) == []


def test_the_named_commands_exist() -> None:
    assert sorted(set(COMMANDS.values()) - commands()) == []


@pytest.mark.parametrize("given", [["name"], ["=x"]])
def test_a_field_without_a_value_is_refused(given: list[str]) -> None:
    from backend.commands.api_commands import _fields
    from backend.errors import BadInput

    with pytest.raises(BadInput, match="NAME=VALUE"):
        _fields(given)


def test_fields_are_json_or_text_and_lists_where_they_repeat() -> None:
    from backend.commands.api_commands import _fields

    assert _fields(["limit=5", "model=toy", "state=a", "state=b", 'x={"y": 1}']) == {
        "limit": 5, "model": "toy", "state": ["a", "b"], "x": {"y": 1},
    }  # fmt: skip
