"""The Python client against a console that serves: rows in, metrics, a change asked for and decided, the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from warrant_client import BadInput, Conflict, NotAllowed, NotSignedIn, Warrant

from backend import clock
from backend.database.engine import use_database
from backend.database.session import writing
from backend.identity.tokens import create_token
from tests.console import running_console
from tests.integration.cli.conftest import warrant
from tests.integration.governance.conftest import UNGATED, put_in_force
from tests.worlds import make_world

COMMANDS = (
    ("whoami",),
    ("model", "list"),
    ("model", "show", "toy"),
    ("jobs", "list"),
    ("incident", "alerts"),
    ("monitor", "compute", "toy"),
    ("import", "moves"),
    ("costs", "show"),
)
pytestmark = pytest.mark.slow


def test_from_rows_to_a_decision_and_its_entries(migrated_home: Path, tmp_path: Path) -> None:
    world = make_world(tmp_path / "files")
    with writing() as session:
        put_in_force(session, world, UNGATED)
        lead, engineer = (
            create_token(session, one, name="client")[1] for one in (world.lead, world.engineer)
        )
    at = clock.to_iso(datetime.now(UTC) - timedelta(hours=1))
    row = {"prediction_id": "p-1", "ts": at, "version": 2, "score": 0.25, "features": {"distance": 1.5}}
    with (
        running_console(tmp_path) as console,
        Warrant(console.url, engineer) as mine,
        Warrant(console.url, lead) as theirs,
    ):
        assert mine.operations.me()["name"] == "Engineer"
        for known in (0, 1):
            assert mine.observations.ingest_predictions("toy", {"predictions": [row]})["rows_known"] == known
        with pytest.raises(Conflict):
            mine.observations.ingest_predictions("toy", {"predictions": [{**row, "score": 0.5}]})
        with pytest.raises(BadInput, match="prediction"):
            mine.observations.ingest_predictions("toy", {"predictions": [{"ts": at}]})
        assert mine.models.compute_metrics("toy")
        seen = mine.changes.preview(kind="rollback", model="toy")
        asked = mine.changes.ask(
            {"kind": "rollback", "model": "toy", "reason": "it fell", "digest": seen["digest"]}
        )
        shown = theirs.changes.change(asked["id"])
        with pytest.raises(NotAllowed):
            mine.changes.decision(asked["id"], {"verdict": "approve", "digest": shown["digest"]})
        theirs.changes.decision(
            asked["id"], {"verdict": "approve", "comment": "agreed", "digest": shown["digest"]}
        )
        assert asked["id"] in [one["id"] for one in mine.changes.changes_pages(limit=1)]
        actions = [one["action"] for one in theirs.audit.entries_pages(limit=2)]
        assert "governance:change:approve" in actions
        for command in COMMANDS:
            said = warrant(*command, "--json", WARRANT_TOKEN=engineer, WARRANT_PUBLIC_URL=console.url)
            assert said.code == 0, (command, said.err)
            assert said.document
        raw = ("api", "GET", "/changes", "--field", "limit=1")
        told = warrant(*raw, WARRANT_TOKEN=engineer, WARRANT_PUBLIC_URL=console.url)
        assert told.document["changes"][0]["id"] == asked["id"]
        with Warrant(console.url, "wrt_wrong") as nobody, pytest.raises(NotSignedIn):
            nobody.models.models()
    use_database(None)
