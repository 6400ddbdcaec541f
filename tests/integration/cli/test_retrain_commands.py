"""`warrant retrain` against a console process that serves: from the preview to a run cancelled or begun again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from backend.cli import app
from backend.database.session import reading, writing
from backend.governance.tables import Change
from backend.identity.tokens import create_token
from backend.settings import settings
from tests.console import running_console
from tests.integration.retraining.conftest import begin, close, describe, run_of
from tests.worlds import World, make_world

pytestmark = pytest.mark.slow
PLAN = ("toy", "--trainer", "sklearn_boosting", "--window", "60d", "--hours", "0.5")


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The small world, its model of the low tier; commands act for its engineer."""
    made = make_world(tmp_path / "files")
    describe(made)
    with writing() as session:
        token = create_token(session, made.engineer, name="cli")[1]
    with running_console(tmp_path) as running:
        monkeypatch.setenv("WARRANT_PUBLIC_URL", running.url)
        monkeypatch.setenv("WARRANT_TOKEN", token)
        settings.cache_clear()
        yield made


def retrain(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["retrain", *arguments])


def document(*arguments: str) -> Any:
    found = retrain(*arguments, "--json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def test_a_retraining_is_previewed_asked_for_followed_cancelled_and_begun_again(
    world: World, tmp_path: Path
) -> None:
    file = tmp_path / "parameters.yaml"
    file.write_text("max_iter: 50\nmin_samples_leaf: 5\n")
    wanted = (*PLAN, "--parameters", str(file), "--set", "max_iter=20")
    told = retrain("preview", *wanted)
    assert (told.exit_code, "it goes ahead at once" in told.stdout) == (0, True), told.output
    seen = document("preview", *wanted)
    assert seen["plan"]["parameters"] == {"max_iter": 20, "min_samples_leaf": 5}
    space = tmp_path / "search.yaml"
    space.write_text("space: {learning_rate: {type: float, low: 0.05, high: 0.5}}\ntrials: 3\nminutes: 20\n")
    assert "up to 3 trials within 20 min" in retrain("preview", *PLAN, "--search", str(space)).stdout
    assert retrain("list").stdout.startswith("nothing was retrained yet")

    as_seen = ("--as-of", seen["plan"]["as_of"], "--digest", seen["digest"])
    moved = retrain("ask", *PLAN, *as_seen, "--reason", "winter timetable")
    assert (moved.exit_code, "changed since you looked" in moved.output) == (2, True), moved.output
    asked = retrain("ask", *wanted, *as_seen, "--reason", "winter timetable")
    assert (asked.exit_code, "its run is retrain-1" in asked.stdout) == (0, True), asked.output
    with reading() as session:
        change = session.get_one(Change, 1)
    assert (change.kind, change.reason) == ("retrain", "winter timetable")

    run = begin(change)
    assert run.id in retrain("list", "--model", "toy").stdout
    shown = retrain("show", run.id, "--log")
    assert (shown.exit_code, "Take the rows out of the store" in shown.stdout) == (0, True)
    assert document("cancel", run.id, "--reason", "wrong window")["state"] == "cancelled"
    assert run_of(run.id).cancel_reason == "wrong window"
    refused = retrain("resume", run.id)
    assert (refused.exit_code, "only a failed run is begun again" in refused.output) == (2, True)

    asked = document("ask", *PLAN, "--reason", "winter timetable")
    with reading() as session:
        change = session.get_one(Change, asked["id"])
    run = begin(change)
    close(run.id, "failed")
    failed = retrain("show", run.id)
    assert (failed.exit_code, "failed" in failed.stdout) == (1, True)
    assert retrain("resume", run.id).exit_code == 0
    assert run_of(run.id).state == "queued"
    refuse_in_one_line()
    with writing() as session:
        viewer = create_token(session, world.viewer, name="cli")[1]
    assert retrain("ask", *PLAN, "--reason", "mine", "--token", viewer).exit_code == 2


def refuse_in_one_line() -> None:
    for arguments, said in (
        (("preview", *PLAN, "--set", "max_iter"), "--set max_iter: write NAME=VALUE"),
        (("preview", "toy", "--trainer", "oracle"), "oracle"),
        (("show", "retrain-99"), "there is no retraining"),
    ):
        refused = retrain(*arguments)
        assert (refused.exit_code, said in refused.output) == (2, True), refused.output
        assert len(refused.output.splitlines()) == 1
