"""`warrant audit export`, `sample` and `reindex` as scripts use them."""

from __future__ import annotations

import csv
import io
import json
import re
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result
from starlette.applications import Starlette
from starlette.routing import Mount
from typer.testing import CliRunner

from backend.api.app import create_api
from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.reading import search_entries
from backend.commands.audit_commands import commands
from backend.database.session import reading, writing
from backend.identity.actor import Actor
from backend.identity.command_line import seat
from backend.identity.roles import Role
from backend.identity.tokens import create_token
from backend.registry.service import register_model
from backend.settings import settings
from tests.integration.api.conftest import TestClient
from tests.integration.audit.test_population import add_change, this_year
from tests.integration.cli.conftest import warrant
from tests.worlds import SPEC, SYSTEM, person


@pytest.fixture
def house(migrated_home: Path) -> Path:
    with writing() as session:
        lead = person(session, "lead", Role.ML_LEAD)
        register_model(session, SYSTEM, name="toy", title="Toy", description="", tier="low", spec=SPEC)
        for _ in range(12):
            add_change(session, lead)
        record(session, SYSTEM, Action.CHANGE_APPROVED, object_kind="change", object_id=1, why="=1+1")
    return migrated_home


def test_the_same_seed_prints_the_same_rows(house: Path) -> None:
    arguments = ("audit", "sample", "--period", this_year(), "--n", "5", "--seed", "7", "--json")
    first, second = warrant(*arguments), warrant(*arguments)
    assert (first.code, second.code) == (0, 0)
    one, two = first.document, second.document
    assert one["rows"] == two["rows"]
    assert (one["n"], one["population"], one["in_table"], one["equal"]) == (5, 12, 12, True)
    assert two["entry"] == one["entry"] + 1
    told = warrant("audit", "sample", "--period", this_year(), "--seed", "7").out
    assert "12 changes" in told
    assert "agrees" in told


def test_a_population_that_disagrees_exits_1(house: Path) -> None:
    with writing() as session:
        add_change(session, person(session, "lead2", Role.ML_LEAD), entry=False)
    said = warrant("audit", "sample", "--period", this_year(), "--seed", "7", "--json")
    assert (said.code, said.document["equal"], len(said.document["without_entry"])) == (1, False, 1)


@pytest.mark.parametrize("bad", [("--period", "soon"), ("--as-of", "yesterday"), ("--n", "0")])
def test_a_bad_sample_is_one_line(house: Path, bad: tuple[str, str]) -> None:
    said = warrant("audit", "sample", "--period", "2026", "--seed", "7", *bad)
    assert said.code == 2
    assert said.line.startswith("warrant: ")


def test_the_log_is_searched_as_the_owner_of_the_token_may(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing() as session:
        reviewer = person(session, "rita", Role.COMPLIANCE)
        lead = person(session, "lara", Role.ML_LEAD)
        viewer = person(session, "vera", Role.VIEWER)
        tokens = {one: create_token(session, one, name="cli")[1] for one in (reviewer, lead, viewer)}
        record(session, reviewer, Action.CHANGE_APPROVED, object_kind="change", object_id=2, why="a\nlook")
    served = TestClient(Starlette(routes=[Mount("/api/v1", create_api())]), settings().console)

    def to_console(method: str, url: str, *, timeout: float, **options: Any) -> httpx.Response:
        return served.request(method, url, **options)

    monkeypatch.setattr("httpx.request", to_console)

    def search(*arguments: str, by: Actor = reviewer) -> Result:
        return CliRunner().invoke(commands, ["search", *arguments, "--token", tokens[by]])

    first = json.loads(search("--action", "governance:change", "--limit", "3", "--json").stdout)
    assert [one["action"] for one in first["entries"][:2]] == [Action.CHANGE_APPROVED.value] * 2
    assert first["next"] == first["entries"][-1]["seq"]
    older = search("--action", "governance:change", "--limit", "50", "--before", str(first["next"]), "--json")
    found = json.loads(older.stdout)
    assert (len(found["entries"]), found["next"]) == (11, None)
    assert all(one["seq"] < first["next"] for one in found["entries"])
    approved = ("--action", "governance:change:approve", "--object-kind", "change", "--object-id", "2")
    line = search("--who", "rita", *approved).stdout
    moment = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    assert re.fullmatch(
        rf" +\d+  {moment}  rita  governance:change:approve  change 2  a look\n", line, re.IGNORECASE
    )
    assert "older ones: --before" in search("--limit", "2").stdout
    assert search("--text", "look").stdout == line
    assert search("--text", "look", by=lead).stdout == "no entry matches\n"
    assert search(*approved, by=lead).stdout == line.replace("  a look", "")
    assert search(by=viewer).exit_code == 2
    assert search("--since", "monday").exit_code == 2


def test_the_log_is_written_to_a_file_and_to_standard_output(house: Path, tmp_path: Path) -> None:
    out = tmp_path / "log.csv"
    assert warrant("audit", "export", "--form", "csv", "--out", str(out)).code == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text(), newline="")))
    assert [int(row["seq"]) for row in rows] == list(range(len(rows)))
    assert rows[-1]["why"] == "'=1+1"
    lines = warrant("audit", "export", "--action", "governance:change:approve").out.splitlines()
    assert [json.loads(line)["why"] for line in lines] == ["=1+1"]
    assert warrant("audit", "export", "--form", "xml").code == 2
    assert warrant("audit", "export", "--since", "monday").code == 2
    assert warrant("audit", "reindex", "--json").document["entries"] >= 14


def test_entries_of_the_command_line_say_who_sat_there_and_why(house: Path) -> None:
    sample = (
        "audit",
        "sample",
        "--period",
        this_year(),
        "--seed",
        "7",
        "--why",
        "the yearly audit",
        "--json",
    )
    drawn = warrant(*sample, LOGNAME="mallory", USER="mallory").document
    assert all(one["requested_at"].endswith("Z") for one in drawn["rows"])
    assert drawn["as_of"].endswith("Z")
    assert warrant("audit", "export", "--why", "for the auditor", "--out", str(house / "x")).code == 0
    with reading() as session:
        found = search_entries(session, SYSTEM, text="audit*", routine=True)
    said = {one.action: one.payload for one in found if one.payload}
    for action, why in (
        (Action.SAMPLE_DRAWN, "the yearly audit"),
        (Action.AUDIT_EXPORTED, "for the auditor"),
    ):
        told = said[action.value]
        assert told["why"] == why
        assert told["command_line"] == seat()
    assert told["command_line"]["host"] == socket.gethostname()
    assert "mallory" not in told["command_line"].values()
    assert told["actor_name"] == "Warrant command line"
