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
import yaml
from pyarrow import csv
from sqlalchemy import select

from backend import clock
from backend.assurance.tables import Finding
from backend.database.session import reading, writing
from backend.governance.kinds import kinds
from backend.governance.policies import BUILT_IN, store_policy
from backend.governance.policy_document import read_policy
from backend.governance.settling import settle_gates
from backend.governance.tables import Change
from backend.identity.people import create_person
from backend.identity.roles import Role, permissions_of
from backend.identity.tables import Person
from backend.identity.tokens import create_token
from backend.observations.reader import row_counts
from backend.settings import settings
from jobs.commit_spool import commit_once
from tests.browser.installation import put_in_force
from tests.console import running_console
from tests.integration.cli.conftest import Said, warrant
from tests.worlds import SYSTEM, make_world, person

GATED = """
rules:
  - name: all
    rule: {roles: {ml_lead: 1}, gates: [{gate: artefact_scanned}]}
"""

NOW = datetime.now(UTC).replace(microsecond=0)
pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database", ["sqlite"], indirect=True)]


@pytest.fixture
def console(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A console that serves the small world; gives a token for each person."""
    world = make_world(tmp_path / "files")
    with writing() as session:
        people = {
            "on_call": world.on_call,
            "compliance": world.compliance,
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
    assert (plain.code, "governance:change:request" in plain.err) == (2, True)
    plain = warrant("change", "preview", "toy", WARRANT_TOKEN=console["engineer"])
    assert plain.code == 0
    assert "toy returns from v2 to v1 in production" in plain.out
    assert preview["digest"] in plain.out
    shown = run("viewer", "show", number)
    assert shown.document["state"] == "approved"
    read = warrant("change", "show", number, WARRANT_TOKEN=console["viewer"])
    assert "approve, as ml lead" in read.out
    assert asked.document["digest"] in read.out
    signed = warrant("change", "show", number, "--shown", digest, WARRANT_TOKEN=console["viewer"])
    assert signed.document["evidence"] == shown.document["evidence"]


def test_every_kind_of_change_can_be_previewed_and_asked_for(console: dict[str, str], tmp_path: Path) -> None:
    files = {
        "policy": "rules:\n  - name: all\n    rule: {roles: {ml_lead: 2}}\n",
        "monitor": "budget: {pages_per_quarter: 6, rota: night, rota_pages_per_shift: 0.5}\n",
    }
    for kind, text in files.items():
        (tmp_path / f"{kind}.yaml").write_text(text)
    wanted = {
        "rollback": ["toy"], "promote": ["toy", "--to", "1"], "cutoff": ["toy", "--cutoff", "0.4"], "retire": ["toy"],
        "observe": ["toy"],
        "tier": ["toy", "--tier", "low"], "monitor": ["toy", "--subject", str(tmp_path / "monitor.yaml")],
        "policy": ["--subject", str(tmp_path / "policy.yaml")],
    }  # fmt: skip
    assert set(wanted) == {name for name, kind in kinds().items() if not kind.asked_for}

    def say(*words: str) -> Said:
        return warrant("change", *words, "--json", WARRANT_TOKEN=console["engineer"])

    for kind, words in wanted.items():
        seen = say("preview", *words, "--kind", kind)
        assert seen.code == 0, seen.err
        asked = say(
            "request", *words, "--kind", kind, "--digest", seen.document["digest"], "--reason", "tried out"
        )
        assert (asked.code, asked.err) == (0, ""), kind
        with writing() as session:
            change = session.get_one(Change, asked.document["id"])
            assert (change.kind, change.environment) == (
                kind,
                "*" if kind in ("policy", "tier", "observe", "monitor") else "production",
            )
            change.state = "cancelled"
    (tmp_path / "policy.yaml").write_text("rules:\n  - name: all\n    rulez: {}\n")
    refused = warrant(
        "change", "preview", "--kind", "policy", "--subject", str(tmp_path / "policy.yaml"),
        WARRANT_TOKEN=console["engineer"],
    )  # fmt: skip
    assert refused.code == 2
    assert "in line 3" in refused.err
    assert "did you mean 'rule'" in refused.err


def test_a_change_is_followed_from_the_command_line_as_from_its_page(console: dict[str, str]) -> None:
    def run(who: str, *arguments: str) -> Said:
        return warrant("change", *arguments, "--json", WARRANT_TOKEN=console[who])

    def ask(*words: str) -> dict[str, Any]:
        seen = run("engineer", "preview", "toy", *words)
        assert seen.code == 0, seen.err
        digest = seen.document["digest"]
        asked = run("engineer", "request", "toy", *words, "--digest", digest, "--reason", "it degraded")
        assert (asked.code, asked.err) == (0, "")
        return dict(asked.document)

    assert run("viewer", "list", "toy").document == {"changes": [], "next": None}
    first = ask()
    number = str(first["id"])
    assert [one["ref"] for one in run("lead", "list", "--waiting-for-me").document["changes"]] == ["CHG-1"]
    assert run("engineer", "list", "--waiting-for-me").document["changes"] == []
    assert [one["id"] for one in run("viewer", "list", "--state", "waiting").document["changes"]] == [1]
    assert run("lead", "look", number).document == {"news": None}

    back = run("lead", "decide", number, "ask", "--digest", first["digest"], "--comment", "why v1?")
    assert (back.code, back.document["state"]) == (0, "draft")
    assert run("lead", "look", number).document["news"]["state"] == ["waiting", "draft"]
    sent = run(
        "engineer", "resend", number, "--digest", first["request_digest"], "--reason", "it held in May"
    )
    assert (sent.code, sent.document["state"]) == (0, "waiting"), sent.err
    again = run("engineer", "recheck", number)
    assert (again.code, "no gate" in again.line or "gates" in again.line) == (2, True)
    other = run("lead", "cancel", number)
    assert (other.code, "who asked" in other.line) == (2, True)
    assert run("engineer", "cancel", number, "--reason", "not now").document["state"] == "cancelled"

    none = run("on_call", "return", "toy")
    assert (none.code, none.document) == (1, {"way_back": None})
    taken = run("on_call", "return", "toy", "--digest", "sha256:other", "--reason", "it degraded")
    assert (taken.code, "no return is agreed" in taken.line) == (2, True)

    stale = run("on_call", "preview", "toy").document["digest"]
    by_token = run("on_call", "break-glass", "toy", "--digest", stale, "--reason", "it burns")
    assert (by_token.code, "in the console" in by_token.line) == (2, True)
    document = yaml.safe_load(BUILT_IN.read_text())
    for entry in document["rules"]:
        entry["rule"]["tokens"] = True
    put_in_force(document)
    seen = run("on_call", "preview", "toy").document
    assert seen["cannot_break_glass"] is None
    broken = run("on_call", "break-glass", "toy", "--digest", seen["digest"], "--reason", "it burns")
    assert (broken.code, broken.document["state"], broken.document["break_glass"]) == (0, "approved", True)
    burnt = str(broken.document["id"])
    rollout = run("on_call", "rollout", burnt)
    assert (rollout.code, rollout.document["stages"]) == (0, [])
    paused = run("on_call", "rollout", burnt, "pause")
    assert (paused.code, "only a rollout that runs is told something" in paused.line) == (2, True)
    own = run("on_call", "review", burnt, "justified", "--comment", "it burned")
    assert own.code == 2
    refused = run("compliance", "review", burnt, "perhaps", "--comment", "it burned")
    assert refused.code == 2


def test_an_inconclusive_gate_is_accepted_from_the_command_line(console: dict[str, str]) -> None:
    def run(who: str, *arguments: str) -> Said:
        return warrant("change", *arguments, "--json", WARRANT_TOKEN=console[who])

    with writing() as session:
        lead = session.scalars(select(Person).where(Person.username == "lead")).one()
        document = read_policy(GATED)
        change = Change(
            kind="policy", environment="*", subject={}, summary="a policy", requested_by=lead.id,
            requested_at=clock.now(), reason="for a test", policy={"roles": {}}, bound={}, gates=[], evidence={},
            request_digest="", digest="", expires_at=clock.now(), state="executed",
        )  # fmt: skip
        session.add(change)
        session.flush()
        store_policy(session, SYSTEM, document, change_id=change.id, note="for a test")
    seen = run("engineer", "preview", "toy").document["digest"]
    asked = run("engineer", "request", "toy", "--digest", seen, "--reason", "it degraded").document
    result = {
        "gate": "artefact_scanned", "title": "Scanned", "required": True, "verdict": "inconclusive",
        "text": "cut \x1b[2J",
    }  # fmt: skip
    with writing() as session:
        settled = settle_gates(session, SYSTEM, asked["id"], revision=1, results=[result], flips=None)
        assert settled is not None
        asked["digest"] = settled.digest
    number, digest = str(asked["id"]), asked["digest"]
    paused = run("lead", "decide", number, "approve", "--digest", digest)
    assert (paused.code, "artefact scanned" in paused.line.replace("_", " ")) == (2, True)
    read = warrant("change", "show", number, WARRANT_TOKEN=console["viewer"])
    assert "inconclusive" in read.out
    assert "\x1b" not in read.out, "what others wrote does not steer a terminal"
    taken = run(
        "lead",
        "decide",
        number,
        "approve",
        "--digest",
        digest,
        "--accept",
        "artefact_scanned",
        "--comment",
        "read it",
    )
    assert (taken.code, taken.document["decisions"][0]["accepted"]) == (0, ["artefact_scanned"]), taken.err


def test_the_inventory_and_its_findings_say_by_exit_code_whether_something_is_overdue(
    console: dict[str, str],
) -> None:
    listed = warrant("inventory", "list", "--json", WARRANT_TOKEN=console["viewer"])
    assert listed.code == 0
    assert [one["model"] for one in listed.document["models"]] == ["toy"]
    with writing() as session:
        owner = session.scalars(select(Person).where(Person.username == "engineer")).one()
        session.add(
            Finding(
                model="toy", title="it leaks", detail="so", severity="high", owner_id=owner.id, owners=[owner.id],
                due_at=clock.now() - timedelta(days=1), opened_at=clock.now(),
            )
        )  # fmt: skip
    late = warrant("inventory", "findings", WARRANT_TOKEN=console["viewer"])
    assert late.code == 1
    assert "OVERDUE" in late.out
    assert warrant("inventory", "list", "--needing", WARRANT_TOKEN=console["viewer"]).code == 1
    whose = ("inventory", "data-owner", "toy", "1", "--owner", "lead", "--why", "they collected it")
    told = warrant(*whose, "--json", WARRANT_TOKEN=console["engineer"])
    assert (told.code, told.document["version"], bool(told.document["data_owner"])) == (0, 1, True), told.err
    refused = warrant(*whose, WARRANT_TOKEN=console["viewer"])
    assert (refused.code, "registry:version:register" in refused.err) == (2, True), refused.err


def test_tokens_sessions_and_jobs_that_are_let_in(console: dict[str, str]) -> None:
    with writing() as session:
        admin = person(session, "admin", Role.ADMIN)
        robot = create_person(
            session, SYSTEM, username="robot", display_name="Robot", roles={Role.VIEWER}, kind="service",
            owner_id=admin.person_id,
        )  # fmt: skip
        own, raw = create_token(session, admin, name="cli", scopes=permissions_of(admin.roles))
        wide = create_token(session, admin, name="wide")[1]

    def run(*arguments: str, by: str = raw) -> Said:
        return warrant(*arguments, "--json", WARRANT_TOKEN=by)

    add = ("ci-trust", "add", "flights", "--issuer", "https://gitlab.com", "--audience", "w", "--account", robot.id,
           "--claim", "project_path=acme/flights", "--claim", "ref=main", "--scope", "registry:model:read")  # fmt: skip
    refused = run(*add, by=wide)
    assert (refused.code, "made for identity:person:manage" in refused.line) == (2, True)
    (rule,) = run(*add).document["rules"]
    assert rule["claims"] == {"project_path": ["acme/flights"], "ref": ["main"]}
    assert run("ci-trust", "end", rule["id"], "--why", "moved").document["rules"][0]["ended_at"]
    assert "project_path=acme/flights" in warrant("ci-trust", "list", WARRANT_TOKEN=raw).out
    listed = run("token", "list").document["tokens"]
    assert [one["name"] for one in listed if one["open"]] == ["wide", "cli"]
    assert run("session", "list").document == {"sessions": []}
    assert run("session", "end", "all", "--person", admin.person_id).document == {"ended": 0}
    assert run("token", "revoke", own.id, "--why", "done").code == 0
    assert run("token", "list").code == 2
