"""`warrant gate` as a pipeline runs it: by its exit code, against a console that serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.database.session import writing
from backend.identity.tokens import create_token
from tests.console import running_console
from tests.integration.cli.conftest import warrant
from tests.worlds import make_world

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database", ["sqlite"], indirect=True)]


def test_the_exit_code_says_whether_to_go_on(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path / "files")
    with writing() as session:
        token = create_token(session, world.viewer, name="ci")[1]
    with running_console(tmp_path) as running:
        monkeypatch.setenv("WARRANT_PUBLIC_URL", running.url)
        allowed = warrant("gate", "toy", "2", "--environment", "production", WARRANT_TOKEN=token)
        assert (allowed.code, allowed.out.splitlines()[0]) == (0, "toy version 2 in production: allowed")
        waiting = warrant("gate", "toy", "1", "--json", WARRANT_TOKEN=token)
        assert (waiting.code, waiting.document["answer"]) == (1, "waiting")
        assert waiting.document["reasons"][0] == "no change asks to bring version 1 into production"
        for arguments in (("toy", "9"), ("none", "1"), ("toy", "zero"), ("toy",)):
            assert warrant("gate", *arguments, WARRANT_TOKEN=token).code == 2, arguments
        assert warrant("gate", "toy", "1").code == 2
