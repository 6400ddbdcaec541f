"""Nothing phones home: all of Warrant at work in a network namespace without routes, with every connection seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.nav import PAGES
from backend.database.session import writing
from backend.identity.people import set_roles
from backend.identity.roles import Role
from tests.browser.conftest import home_of_a_module
from tests.browser.people import give_passwords
from tests.integration.offline import MODEL, attempts
from tests.requirements import require
from tests.worlds import SYSTEM, make_world, register_in_mlflow

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = ("console", "gateway", "worker", "cli")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[Path]:
    """Where the tour wrote what it saw."""
    for tool in ("ip", "strace", "chromium"):
        require(tool)
    folder = tmp_path_factory.mktemp("offline")
    with home_of_a_module(folder, migrated_sqlite):
        world = make_world(folder / "files", versions=2, trained=(1, 2))
        give_passwords()
        with writing() as session:  # whom every page lets in
            set_roles(session, SYSTEM, world.lead.person_id, {Role.ML_LEAD, Role.ADMIN})
        register_in_mlflow(MODEL, 2)
        # A user who is not root becomes it in a namespace of their own, where the system allows that.
        namespace = ["unshare", "--net", *([] if os.getuid() == 0 else ["--map-root-user"])]
        command = f"ip link set lo up && exec {sys.executable} -m tests.integration.offline {folder}"
        done = subprocess.run([*namespace, "sh", "-c", command], cwd=ROOT, capture_output=True, text=True)
        logs = "\n".join(f"--- {name}\n{_end_of(folder / f'{name}.log')}" for name in PROCESSES)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{logs}"
        yield folder


def _end_of(log: Path) -> str:
    return log.read_text()[-4_000:] if log.exists() else ""


@pytest.fixture(scope="module")
def seen(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "seen.json").read_text())
    return found


def test_a_process_that_tries_to_leave_is_seen(folder: Path) -> None:
    """Without this the other tests of this module could not fail."""
    found = attempts(folder / "control.trace")
    assert "192.0.2.7 port 443" in found
    assert "2001:db8::7 port 443" in found
    assert [one for one in found if one.endswith(" port 53")], "the question to a name server"
    assert not [one for one in found if one.endswith(" port 9")], "loopback is allowed"


@pytest.mark.parametrize("process", PROCESSES)
def test_no_process_tries_to_leave(folder: Path, process: str) -> None:
    trace = folder / f"{process}.trace"
    assert "+++" in trace.read_text(), "it was traced to its end"
    assert attempts(trace) == []


def test_the_jobs_that_bring_libraries_along_have_run(seen: dict[str, Any]) -> None:
    """NannyML with the metrics, shap, Evidently; MLflow's alias by the rollback."""
    wanted = ("compute_metrics", "compute_shap", "write_report", "execute_change")
    assert {name: seen["jobs"].get(name) for name in wanted} == dict.fromkeys(wanted, "succeeded")
    assert "MLflow's alias does not follow" not in seen["change"]


def test_no_page_asks_another_machine(seen: dict[str, Any]) -> None:
    assert {f"/{row.path}" for row in PAGES} <= {address.split("?")[0] for address in seen["pages"]}
    assert set(seen["requested"]) <= {"127.0.0.1", "data", "blob"}
    assert seen["refused"] == []
