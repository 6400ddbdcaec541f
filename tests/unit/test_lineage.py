"""Which code trained a version: the checkout's commit, and the files of a program that is not ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.monitoring.columns import parse_spec
from backend.registry.artefacts import file_digest
from backend.registry.tables import Model
from backend.retraining.plan import Wish
from backend.retraining.tables import RetrainingRun
from jobs.retraining import registering
from jobs.retraining.registering import code_revision, lineage_of
from jobs.retraining.training import program_files
from jobs.retraining.work import Work
from tests.integration.retraining.conftest import Here
from tests.worlds import SPEC


def lineage(files: dict[str, str]) -> dict[str, str]:
    found: dict[str, Any] = {
        "extract": {"digest": "sha256:rows", "store_versions": {"predictions": 3, "labels": 4}},
        "train": {"versions": {"python": "3.11"}, "program": files},
    }
    plan = Wish("command", {"program": "nightly"}).plan()
    run = RetrainingRun(id="retrain-1", change_id=1)
    return lineage_of(Work(Here(), "register", run, plan, Model(name="toy"), parse_spec(SPEC), None, found))  # type: ignore[arg-type]


def test_a_program_of_somebodys_own_is_named_by_the_files_of_its_command(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("print(1)\n")
    before = program_files([sys.executable, str(script), "--trees", "300"])
    assert set(before) == {sys.executable, str(script)}
    assert before[str(script)] == file_digest(script)
    first = lineage(before)
    assert first["program"] == "nightly"
    assert f"{script} {file_digest(script)}" in first["program_files"]
    script.write_text("print(2)\n")
    assert lineage(program_files([sys.executable, str(script)]))["program_digest"] != first["program_digest"]
    assert "program_digest" not in lineage({})


def test_a_checkout_whose_files_are_others_is_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> str:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        return subprocess.run(
            ["git", *who, *words], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    git("init", "-q")
    (tmp_path / "code.py").write_text("1\n")
    git("add", ".")
    git("commit", "-qm", "one")
    git("tag", "v1")
    monkeypatch.setattr(registering, "ROOT", tmp_path)
    commit = git("rev-parse", "HEAD").strip()
    assert code_revision() == commit
    (tmp_path / "code.py").write_text("2\n")
    assert code_revision() == f"{commit}-dirty"
