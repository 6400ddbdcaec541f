"""Monitors and figures of one's own by the command line, against a console process that serves."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from backend.database.session import writing
from backend.identity.tokens import create_token
from backend.registry.tables import Model
from tests.console import running_console
from tests.integration.cli.conftest import warrant
from tests.worlds import make_world

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database", ["sqlite"], indirect=True)]
DEFINITION = """
name: traffic
level: page
when: {kind: volume, statistic: rows, threshold: {kind: constant, side: below, value: 100000}}
"""


def test_a_monitor_is_tried_out_stored_and_listed_and_kpis_are_sent(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path / "files")
    with writing() as session:
        token = create_token(session, world.lead, name="cli")[1]
    file = tmp_path / "traffic.yaml"
    file.write_text(DEFINITION)
    kpis = tmp_path / "kpis.csv"
    noon = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    kpis.write_text(f"ts,name,value,segment,id\n{noon},revenue,12.5,shop=north,1\n{noon},revenue,8,,2\n")
    with running_console(tmp_path) as running:
        monkeypatch.setenv("WARRANT_PUBLIC_URL", running.url)
        monkeypatch.setenv("WARRANT_TOKEN", token)
        tried = warrant("monitor", "replay", "toy", str(file))
        assert (tried.code, tried.out.splitlines()[0]) == (0, "page when rows is below 100000")
        assert "the model may cause 0.33 false pages a month" in tried.out
        assert warrant("monitor", "list", "toy").out.startswith("toy has no monitors of its own")
        made = warrant("monitor", "create", "toy", str(file), "--why", "we need it", "--json")
        assert made.document["definition"]["name"] == "traffic"
        listed = warrant("monitor", "list", "toy", "--json").document
        assert [one["key"] for one in listed["monitors"]] == [made.document["key"]]
        assert f"{made.document['key']}  active" in warrant("monitor", "list", "toy").out
        refused = warrant("monitor", "create", "toy", str(file))
        assert (refused.code, "give this one another name" in refused.line) == (2, True)
        with writing() as session:
            session.execute(update(Model).values(tier="high"))
        guarded = warrant("monitor", "create", "toy", str(file))
        assert (guarded.code != 0, "changed only by an approved change" in guarded.line) == (True, True)
        file.write_text("name: [")
        assert "is not readable as YAML" in warrant("monitor", "replay", "toy", str(file)).line
        assert (
            "2 rows stored, 0 were there already, 0 had" in warrant("ingest", "toy", str(kpis), "--kpis").out
        )
        again = warrant("ingest", "toy", str(kpis), "--kpis", "--json").document
        assert again == {"rows_new": 0, "rows_known": 2, "rows_replaced": 0}
        lines = tmp_path / "kpis.jsonl"
        lines.write_text(json.dumps({"ts": noon, "name": "revenue", "value": 9, "id": "2"}))
        changed = warrant("ingest", "toy", str(lines), "--kpis", "--json").document
        assert changed["rows_replaced"] == 1
        both = warrant("ingest", "toy", str(kpis), "--kpis", "--labels")
        assert "two kinds of rows" in both.line
