"""Ingest and changes by the command line, against a console process that serves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv
from sqlalchemy import select

from backend import clock
from backend.database.session import reading, writing
from backend.governance.tables import Change
from backend.identity.tokens import create_token
from backend.observations.reader import row_counts
from backend.settings import settings
from jobs.commit_spool import commit_once
from tests.console import running_console
from tests.integration.cli.conftest import Said, warrant
from tests.worlds import make_world

NOW = datetime.now(UTC).replace(microsecond=0)
pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database", ["sqlite"], indirect=True)]


@pytest.fixture
def console(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A console that serves the small world; gives a token for each person."""
    world = make_world(tmp_path / "files")
    with writing() as session:
        people = {
            "lead": world.lead,
            "other": world.other_lead,
            "engineer": world.engineer,
            "viewer": world.viewer,
        }
        tokens = {name: create_token(session, actor, name="cli")[1] for name, actor in people.items()}
    with running_console(tmp_path) as running:
        monkeypatch.setenv("WARRANT_PUBLIC_URL", running.url)
        yield tokens


def rows(first: int, count: int = 3) -> list[dict[str, Any]]:
    return [
        {"prediction_id": f"p-{number}", "ts": clock.to_iso(NOW - timedelta(hours=number)), "version": 2,
         "score": 0.25, "prediction": "0", "distance": number + 0.5, "carrier": "UA"}
        for number in range(first, first + count)
    ]  # fmt: skip


def write(path: Path, wanted: list[dict[str, Any]]) -> Path:
    match path.suffix:
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(wanted), path)
        case ".csv":
            csv.write_csv(pa.Table.from_pylist(wanted), path)
        case ".jsonl":
            path.write_text("\n".join(json.dumps(row) for row in wanted) + "\n\n")
        case _:
            path.write_text(json.dumps({"predictions": wanted}))
    return path


def test_files_are_sent_whole_or_not_at_all(console: dict[str, str], tmp_path: Path) -> None:
    token = console["engineer"]

    def ingest(path: Path, *more: str) -> Said:
        return warrant("ingest", "toy", str(path), *more, "--json", WARRANT_TOKEN=token)

    for index, ending in enumerate(("parquet", "csv", "jsonl", "json")):
        path = write(tmp_path / f"rows.{ending}", rows(10 * index))
        said = ingest(path)
        assert (said.code, said.document, said.err) == (0, {"rows_new": 3, "rows_known": 0}, ""), ending
        assert ingest(path).document == {"rows_new": 0, "rows_known": 3}
        bad = rows(100)
        bad[1]["score"] = 7.5
        refused = ingest(write(tmp_path / f"bad.{ending}", bad))
        assert refused.code == 2
        assert refused.line.startswith(
            "warrant: bad row: row 1 (counted from 0), column 'score': a binary score"
        )
    commit_once("tests")
    assert row_counts(settings().observations, "toy").predictions == 12

    labels = tmp_path / "labels.csv"
    labels.write_text(
        "prediction_id,label,status,label_ts\n"
        f"p-0,1,known,{clock.to_iso(NOW)}\n"
        f"p-1,,will_not_come,{clock.to_iso(NOW)}\n"
    )
    assert ingest(labels, "--labels").document == {"rows_new": 2, "rows_known": 0}
    changed = write(tmp_path / "changed.jsonl", [{**rows(0)[0], "score": 0.9}])
    assert "already stored: 'p-0'" in ingest(changed).line

    (tmp_path / "torn.jsonl").write_text('{"prediction_id": "a"}\n{"prediction_id":')
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and nothing more")
    (tmp_path / "torn.csv").write_text("a,b\n1,2,3\n")
    (tmp_path / "latin.jsonl").write_bytes(b'{"carrier": "\xe9"}')
    for name, says in (("torn.jsonl", "line 2 is not JSON"), ("torn.parquet", "not readable as"),
                       ("torn.csv", "not readable as CSV"), ("latin.jsonl", "cannot be read")):  # fmt: skip
        said = ingest(tmp_path / name)
        assert said.code == 2
        assert says in said.line

    wrong = warrant("ingest", "toy", str(tmp_path / "rows.csv"), WARRANT_TOKEN="wrt_wrong")
    assert (wrong.code, "unknown, revoked or expired" in wrong.line) == (2, True)
    viewer = warrant("ingest", "toy", str(tmp_path / "rows.csv"), WARRANT_TOKEN=console["viewer"])
    assert (viewer.code, "observations:batch:ingest" in viewer.line) == (2, True)
    nobody = warrant("ingest", "none", str(tmp_path / "rows.csv"), WARRANT_TOKEN=token)
    assert (nobody.code, "no model named 'none'" in nobody.line) == (2, True)


def test_a_change_is_previewed_asked_for_and_decided_by_somebody_else(console: dict[str, str]) -> None:
    def run(who: str, *arguments: str) -> Said:
        return warrant("change", *arguments, "--json", WARRANT_TOKEN=console[who])

    preview = run("lead", "preview", "toy").document
    assert (preview["from_version"], preview["to_version"]) == (2, 1)
    stale = run("lead", "request", "toy", "--digest", "sha256:other", "--reason", "it degraded")
    assert (stale.code, "changed since you looked" in stale.line) == (2, True)
    asked = run("lead", "request", "toy", "--digest", preview["digest"], "--reason", "it degraded")
    assert (asked.code, asked.document["state"]) == (0, "waiting")
    number, digest = str(asked.document["id"]), asked.document["digest"]

    own = run("lead", "decide", number, "approve", "--digest", digest)
    assert (own.code, "somebody else has to decide" in own.line) == (2, True)
    viewer = run("viewer", "decide", number, "approve", "--digest", digest)
    assert viewer.code == 2
    other = run("other", "decide", number, "approve", "--digest", "sha256:other")
    assert (other.code, "changed since you looked" in other.line) == (2, True)
    with reading() as session:
        assert session.scalars(select(Change.state)).all() == ["waiting"]
    decided = run("other", "decide", number, "approve", "--digest", digest)
    assert (decided.code, decided.document["state"]) == (0, "approved")

    plain = warrant("change", "preview", "toy", WARRANT_TOKEN=console["viewer"])
    assert plain.code == 0
    assert "rollback toy: version 2 -> 1 in production" in plain.out
    assert preview["digest"] in plain.out
    shown = warrant("change", "show", number, WARRANT_TOKEN=console["viewer"])
    assert shown.document["state"] == "approved"
