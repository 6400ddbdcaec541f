"""`warrant analyse` against a console that serves and a worker that runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backend import clock
from backend.database.session import writing
from backend.identity.roles import Role
from backend.identity.tokens import create_token
from tests.console import running_console
from tests.integration.cli.conftest import Said, warrant
from tests.integration.monitoring.conftest import ago, make_monitored, sample
from tests.integration.monitoring.test_analysis import worse_in
from tests.processes import ModuleProcess
from tests.worlds import person

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database", ["sqlite"], indirect=True)]


@pytest.fixture
def token(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """On-call's token for a console whose model fell yesterday where shop is north."""
    shopper = make_monitored(tmp_path / "files", reference_rows=3000)
    rows = worse_in(sample(ago(1), 1500, seed=3), "north")
    shopper.predict(rows)
    shopper.label(rows)
    shopper.compute()
    with writing() as session:
        _, secret = create_token(session, person(session, "oncall", Role.ON_CALL), name="cli")
    with running_console(tmp_path) as running:
        monkeypatch.setenv("WARRANT_PUBLIC_URL", running.url)
        yield secret


def analyse(token: str, *more: str) -> Said:
    return warrant("analyse", "shopper", "--window", clock.to_iso(ago(1)), *more, WARRANT_TOKEN=token)


def test_a_window_is_analysed_on_request_and_its_worst_slice_told(token: str, tmp_path: Path) -> None:
    late = analyse(token, "--wait", "0")
    assert late.code == 2
    assert "is not done after 0 s; see that a worker runs" in late.line
    worker = ModuleProcess(tmp_path / "worker.log", "jobs.worker").start()
    try:
        found = analyse(token, "--json")
    finally:
        worker.stop()
    assert found.code == 0, found.err + worker.log()
    document = found.document
    (condition,) = document["became_worse"]["slices"][0]["conditions"]
    assert (condition["column"], condition["text"]) == ("shop", "shop = north")
    assert (document["stale"], document["reason"], document["window_start"]) == (
        False,
        None,
        clock.to_iso(ago(1)).replace(".000000", ""),
    )
    # Now it is stored: nobody has to work for it again.
    told = analyse(token, "--wait", "0")
    assert told.code == 0
    lines = told.out.splitlines()
    assert lines[0].startswith("roc_auc fell by ")
    assert any(line.startswith("  Behaviour within segments: +") for line in lines)
    assert any(line.startswith("Became worse: ") and "slices beyond chance" in line for line in lines)
    assert any(line.startswith("  shop = north: roc_auc 0.") for line in lines)


def test_windows_that_are_not_there_are_refused_in_one_line(token: str) -> None:
    gone = warrant("analyse", "shopper", "--window", "2020-01-01T00:00:00Z", WARRANT_TOKEN=token)
    assert gone.code == 2
    assert "no window of 1d in production that starts at 2020-01-01" in gone.line
