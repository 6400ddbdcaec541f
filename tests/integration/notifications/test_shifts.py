"""Who is on call, set in the console: validated, on the record, told, and taken as a file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed, NotFound
from backend.governance.yaml_text import read_yaml, write_yaml
from backend.notifications.contacts import About, parse_contacts, reached
from backend.notifications.rotas import on_call
from backend.notifications.shifts import (
    add_shift,
    contacts_now,
    list_shifts,
    remove_shift,
    replace_shifts,
    shifts_document,
)
from backend.settings import settings
from tests.worlds import World, make_world

CONTACTS = """
channels:
  pager: {kind: alertmanager, url: "http://pager"}
  team: {kind: alertmanager, url: "http://team"}
routes:
  - {name: serious, when: {severity: [SEV-1]}, to: [team]}
rotas:
  fixed: {shifts: [{who: Eve, channel: team, days: [sun]}]}
"""
NIGHT: dict[str, Any] = {
    "who": "Ada",
    "channel": "pager",
    "from": "20:00",
    "to": "08:00",
    "zone": "Europe/Berlin",
}
AT_NIGHT = datetime(2026, 6, 1, 22, tzinfo=UTC)  # a Monday
BY_DAY = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    (tmp_path / "contacts.yaml").write_text(CONTACTS)
    monkeypatch.setenv("WARRANT_CONTACTS", str(tmp_path / "contacts.yaml"))
    settings.cache_clear()
    return make_world(tmp_path / "files")


def about(severity: int) -> About:
    return About(severity, "high", "toy", "production", "", acknowledged=False, begun={})


def told(severity: int, at: datetime) -> set[tuple[str, str]]:
    with reading() as session:
        return {(one.channel, one.route) for one in reached(contacts_now(session), about(severity), at)}


def put(world: World, rota: str = "primary", route: str | None = None, **other: Any) -> int:
    with writing() as session:
        return add_shift(session, world.on_call, rota=rota, shift=NIGHT | other, route=route).id


def entries(action: str) -> int:
    with reading() as session:
        query = select(func.count()).select_from(AuditEntry).where(AuditEntry.action == action)
        return int(session.scalar(query) or 0)


def test_whoever_is_on_shift_is_told_in_these_hours_and_is_named(world: World) -> None:
    number = put(world)
    assert put(world) == number, "the same again is one"
    assert told(3, AT_NIGHT) == {("pager", "primary")}
    assert told(3, BY_DAY) == set()
    assert told(1, BY_DAY) == {("team", "serious")}
    with reading() as session:
        people = {one.rota: one.people for one in on_call(contacts_now(session), AT_NIGHT)}
    assert people == {"fixed": (), "primary": ("Ada",)}
    assert entries("alerting:rota:set") == 1
    with writing() as session:
        remove_shift(session, world.on_call, number)
    assert told(3, AT_NIGHT) == set()
    assert entries("alerting:rota:remove") == 1
    with writing() as session, pytest.raises(NotFound):
        remove_shift(session, world.on_call, number)


def test_a_rota_that_answers_a_route_is_told_of_its_incidents_alone(world: World) -> None:
    put(world, route="serious")
    assert told(3, AT_NIGHT) == set()
    assert told(1, AT_NIGHT) == {("team", "serious"), ("pager", "primary")}
    with writing() as session, pytest.raises(BadInput, match="answers route 'serious'; all of its shifts do"):
        add_shift(session, world.on_call, rota="primary", shift=NIGHT | {"who": "Bo"})


@pytest.mark.parametrize(
    ("given", "rota", "reason"),
    [
        ({"channel": "fax"}, "primary", "'fax' is no channel of the contacts; there are pager, team"),
        ({"zone": "Mars"}, "primary", "there is no time zone 'Mars'"),
        ({"from": "25:00"}, "primary", "from: String should match"),
        ({"days": ["someday"]}, "primary", "days.0: "),
        ({"who": " "}, "primary", "who: "),
        ({}, "fixed", "the contacts file has a rota 'fixed'"),
        ({}, "No Name!", "primary|String should match"),
    ],
)
def test_what_does_not_hold_is_refused_with_the_reason(
    world: World, given: dict[str, Any], rota: str, reason: str
) -> None:
    with pytest.raises(BadInput, match=reason):
        put(world, rota, **given)
    with reading() as session:
        assert list_shifts(session, world.viewer) == []


def test_a_viewer_puts_nobody_on_call(world: World) -> None:
    with writing() as session, pytest.raises(NotAllowed):
        add_shift(session, world.viewer, rota="primary", shift=NIGHT)


def test_shifts_go_out_as_a_file_and_come_back(world: World) -> None:
    first = put(world)
    put(world, who="Bo", days=["sat", "sun"])
    with reading() as session:
        text = write_yaml(shifts_document(session, world.viewer))
    with_shifts = parse_contacts(CONTACTS.split("rotas:")[0] + text)
    assert [one.who for one in with_shifts.rotas["primary"].shifts] == ["Ada", "Bo"]
    document = read_yaml(text)
    del document["rotas"]["primary"]["shifts"][1]
    with writing() as session:
        assert replace_shifts(session, world.lead, document) == 1
    with reading() as session:
        assert [one.id for one in list_shifts(session, world.viewer)] == [first], "what is the same stays"
    with writing() as session, pytest.raises(BadInput, match="`rotas` alone"):
        replace_shifts(session, world.lead, {"channels": {}})


def test_a_channel_that_left_the_file_is_said_where_somebody_counts_on_it(world: World) -> None:
    put(world)
    path = settings().contacts
    assert path is not None
    path.write_text(CONTACTS.replace("  pager:", "  other:"))
    with reading() as session:
        (_, primary) = on_call(contacts_now(session), AT_NIGHT)
    assert primary.problem == "the contacts have no channel pager: nobody is told by it"
