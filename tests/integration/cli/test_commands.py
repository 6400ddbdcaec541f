"""Exit codes, one JSON document on stdout, one line on stderr."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.engine import database as opened
from backend.database.session import writing
from tests.integration.cli.conftest import warrant
from tests.worlds import SYSTEM


def log_some() -> None:
    for number in range(3):
        with writing() as session:
            record(session, SYSTEM, Action.DEMO_LOADED, object_kind="workload", object_id=str(number))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("bogus",), "No such command 'bogus'"),
        (("ingest", "toy"), "Missing argument 'file'"),
        (("change", "decide", "x", "approve", "--digest", "d"), "change_id"),
        (("change", "request", "toy", "--reason", "r"), "--digest"),
        (("ingest", "toy", "none.parquet", "--token", "wrt_x", "--json"), "there is no file none.parquet"),
        (
            ("ingest", "toy", "README.md", "--token", "wrt_x"),
            "send Parquet, CSV, JSON or JSON Lines, not .md",
        ),
        (("change", "preview", "toy"), "no API token"),
        (("demo", "fault", "gremlins"), "there is no fault 'gremlins'"),
        (("audit", "verify", "--json"), "there is no audit log"),
        (("setup-link",), "warrant db upgrade"),
    ],
)
def test_what_is_wrong_with_a_command_is_one_line(home: Path, arguments: tuple[str, ...], says: str) -> None:
    said = warrant(*arguments)
    assert said.code == 2
    assert said.line.startswith("warrant: ")
    assert says in said.line


def test_a_console_that_is_away_is_said(home: Path) -> None:
    said = warrant("change", "preview", "toy", "--token", "wrt_x", WARRANT_PORT="9")
    assert said.code == 2
    assert "the console at http://localhost:9 does not answer" in said.line


def test_upgrading_twice_is_upgrading_once(home: Path) -> None:
    for _ in range(2):
        said = warrant("db", "upgrade", "--json")
        assert (said.code, said.document) == (0, {"upgraded": True})
    empty = warrant("audit", "verify", "--json")
    assert (empty.code, empty.document["ok"], empty.document["size"]) == (0, True, 0)


def test_verifying_names_the_first_altered_entry_and_exits_1(database: str) -> None:
    log_some()
    fine = warrant("audit", "verify", "--json")
    assert (fine.code, fine.document["ok"], fine.document["size"], fine.err) == (0, True, 3, "")
    assert "intact: 3 entries" in warrant("audit", "verify").out

    engine = opened().write_engine
    with engine.connect() as connection:
        if database == "sqlite":
            connection.exec_driver_sql("DROP TRIGGER IF EXISTS audit_entries_no_update")
            names = connection.exec_driver_sql(
                "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            ).scalars()
            for name in names.all():
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        else:
            connection.exec_driver_sql("ALTER TABLE audit_entries DISABLE TRIGGER ALL")
        connection.exec_driver_sql(
            "UPDATE audit_entries SET leaf = replace(leaf, 'demo', 'demi') WHERE seq = 1"
        )
        connection.commit()
    broken = warrant("audit", "verify", "--json")
    assert (broken.code, broken.document["ok"], broken.document["problem"]["seq"]) == (1, False, 1)
    told = warrant("audit", "verify")
    assert told.code == 1
    assert "NOT intact" in told.out
    assert "entry 1" in told.out


def test_a_log_that_was_dropped_is_broken_and_not_absent(home: Path) -> None:
    warrant("db", "upgrade")
    log_some()
    opened().dispose()
    (home / "warrant.db").unlink()
    assert warrant("audit", "verify", "--json").code == 1


def test_help_is_there_for_every_command(home: Path) -> None:
    assert warrant("--help").code == 0
    for arguments in (("audit", "verify"), ("ingest",), ("change", "preview"), ("change", "request"),
                      ("change", "decide"), ("demo", "fault"), ("db", "upgrade")):  # fmt: skip
        said = warrant(*arguments, "--help")
        assert (said.code, said.err) == (0, "")


def test_the_help_of_a_change_names_every_kind_that_can_be_asked_for() -> None:
    from backend.commands.change_commands import KINDS
    from backend.governance.kinds import kinds

    here = {
        name for name, kind in kinds().items() if not kind.asked_for
    }  # the others have commands of their own
    assert set(KINDS.replace(" or ", ", ").split(", ")) == here
