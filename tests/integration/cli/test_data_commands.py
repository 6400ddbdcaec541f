"""`warrant data` against a console process that serves: ask, fetch, explain, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import writing
from backend.identity.roles import Role, permissions_of
from backend.identity.tokens import create_token
from tests.console import running_console
from tests.integration.cli.conftest import Said, warrant
from tests.integration.data_rights.conftest import (
    SUBJECT_SPEC,
    approve,
    carry_out,
    describe,
    ids_of,
    move_spool,
    send,
)
from tests.worlds import World, make_world, person

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database", ["sqlite"], indirect=True)]


@pytest.fixture
def world(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = make_world(tmp_path / "files")
    describe(SUBJECT_SPEC)
    with running_console(tmp_path) as running:
        monkeypatch.setenv("WARRANT_PUBLIC_URL", running.url)
        yield made


def test_rows_are_handed_out_erased_and_explained_by_commands(world: World, tmp_path: Path) -> None:
    with writing() as session:
        token = create_token(
            session, world.compliance, name="cli", scopes=permissions_of(world.compliance.roles)
        )[1]
        other = create_token(session, world.engineer, name="cli")[1]
    send({"p1": "Ada", "p2": "Bob"})
    move_spool()

    def data(*arguments: str, by: str = token) -> Said:
        return warrant("data", *arguments, WARRANT_TOKEN=by)

    assert data("erase", "--model", "toy", "--subject", "Ada", "--reason", "so", by=other).code != 0
    assert data("erase", "--reason", "so").code == 2
    with writing() as session:
        one, two = (
            record(
                session,
                world.compliance,
                Action.METRICS_REQUESTED,
                object_kind="model",
                object_id="toy",
                why="he",
            )
            for _ in range(2)
        )
    texts = data("erase", "--entry", str(one), "--entry", str(two), "--reason", "it names somebody", "--json")
    assert (texts.code, texts.document["how"]) == (0, f"2 entries of the log: {one}, {two}"), texts.err
    assert data("erase", "--entry", "0", "--model", "toy", "--reason", "so").code == 2
    explained = data("explain", "toy", "p1", "--json")
    assert (explained.code, explained.document["score"]) == (0, 0.7), explained.err
    assert data("explain", "toy", "p1", "--out", str(tmp_path / "why.pdf")).code == 0
    assert (tmp_path / "why.pdf").read_bytes().startswith(b"%PDF")
    assert data("explain", "toy", "p1", "--out", str(tmp_path / "why.doc")).code == 2

    for kind in ("access", "erase"):
        asked = data(kind, "--model", "toy", "--subject", "Ada", "--reason", "she wrote", "--json")
        assert (asked.code, asked.document["how"]) == (0, "by the column passenger"), asked.err
        request = asked.document["id"]
        change = asked.document["change_id"]
        approve(world, _named(request))
        carry_out(change)
        if kind == "access":
            out = tmp_path / "rows.json"
            assert data("access", "--request", request, "--out", str(out)).code == 0
            assert [row["prediction_id"] for row in json.loads(out.read_text())["rows"]["predictions"]] == [
                "p1"
            ]
    assert ids_of(ids=["p1", "p2"]) == ["p2"]
    assert "was erased" in data("explain", "toy", "p1").line


def test_a_request_that_was_sent_back_is_sent_again_withdrawn_and_rejected_by_commands(world: World) -> None:
    with writing() as session:
        token = create_token(
            session, world.compliance, name="cli", scopes=permissions_of(world.compliance.roles)
        )[1]
        decider = create_token(session, world.lead, name="cli")[1]

    def change(*arguments: str, by: str = token) -> Said:
        return warrant("change", *arguments, WARRANT_TOKEN=by)

    def asked_and_sent_back() -> str:
        made = warrant("data", "erase", "--model", "toy", "--prediction", "p1", "--reason", "wrote", "--json",
                       WARRANT_TOKEN=token)  # fmt: skip
        number = str(made.document["change_id"])
        digest = change("show", number, "--json").document["digest"]
        assert (
            change("decide", number, "ask", "--digest", digest, "--comment", "which?", by=decider).code == 0
        )
        return number

    number = asked_and_sent_back()
    assert f"you: can send it again (warrant change resend {number})" in change("show", number).out
    assert "you: can reject it" in change("show", number, by=decider).out
    assert "only who asked" in change("resend", number, by=decider).line
    told = change("resend", number)
    assert (told.code, "needs 1 x ml lead" in told.out) == (0, True), told.err
    digest = told.out.split()[-1]
    assert "waiting" in change("resend", number, "--digest", digest, "--reason", "of 3 May").out
    other = asked_and_sent_back()
    assert "cancelled" in change("cancel", other, "--reason", "twice").out
    third = asked_and_sent_back()
    signed = change("show", third, "--json").document["digest"]
    rejected = change("decide", third, "reject", "--digest", signed, "--comment", "no letter", by=decider)
    assert "rejected" in rejected.out, rejected.err


def test_holds_are_placed_listed_and_released_by_commands(world: World) -> None:
    with writing() as session:
        token = create_token(
            session, world.compliance, name="cli", scopes=permissions_of(world.compliance.roles)
        )[1]
        other = create_token(session, person(session, "legal", Role.COMPLIANCE), name="cli")[1]

    def hold(*arguments: str, by: str = token) -> Said:
        return warrant("hold", *arguments, WARRANT_TOKEN=by)

    assert hold("place", "predictions", "tyo", "--reason", "a case").code != 0
    placed = hold("place", "person", "Ada", "--model", "toy", "--reason", "a case", "--json")
    assert placed.code == 0, placed.err
    number = str(placed.document[0]["id"])
    assert "Ada" not in placed.out
    assert placed.document[0]["predictions"] == 0
    assert hold("release", number, "--why", "over").code != 0
    assert hold("list").out.startswith(f"hold {number}: person psn_")
    assert hold("release", number, "--why", "over", by=other).code == 0
    assert "nothing is on hold" in hold("list").out


def _named(request_id: str):  # type: ignore[no-untyped-def]
    from backend.data_rights.tables import DataRequest
    from backend.database.session import reading

    with reading() as session:
        return session.get_one(DataRequest, request_id)
