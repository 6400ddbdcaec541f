"""Analyses of windows over HTTP: what to do before there is one, asking, and reading."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from backend.database.session import reading
from backend.queue import JobRun
from jobs.analyse_window import analyse_one
from tests.integration.api.conftest import Callers

START = "2026-03-02T00:00:00Z"
PATH = f"/models/toy/windows/{START}/analysis"


def test_before_there_is_one_the_answer_says_how_to_get_it(callers: Callers) -> None:
    answer = callers.get("viewer", PATH)
    assert answer.status_code == 404
    assert "has not been analysed; POST to this address" in answer.json()["detail"]
    assert callers.get("viewer", "/models/nobody/windows/2026-03-02T00:00:00Z/analysis").status_code == 404
    gone = callers.get("viewer", "/models/toy/windows/2020-01-01T00:00:00Z/analysis")
    assert gone.status_code == 404
    assert "no window of 1d in production that starts at 2020-01-01" in gone.json()["detail"]


@pytest.mark.parametrize("start", ["2026-03-02T00:00:00", "yesterday"])
def test_a_time_without_zone_is_refused(callers: Callers, start: str) -> None:
    path = f"/models/toy/windows/{start}/analysis"
    assert callers.get("viewer", path).status_code == 422
    assert callers.post("on_call", path).status_code == 422


def test_what_was_asked_for_can_be_read(callers: Callers) -> None:
    asked = callers.post("on_call", PATH)
    assert asked.status_code == 202
    with reading() as session:
        run = session.scalars(select(JobRun).where(JobRun.id == asked.json()["run_id"])).one()
        subject, arguments = run.subject, dict(run.arguments)
    analyse_one(subject, arguments)
    found = callers.get("viewer", PATH).json()
    # The window says it has 1,000 rows; none is in the store.
    assert found["reason"] == "the window has no rows with output and label"
    assert found["says"].startswith("What changed cannot be told: ")
    assert (found["window_start"], found["size"], found["version"], found["stale"]) == (
        "2026-03-02T00:00:00Z", "1d", 2, False,
    )  # fmt: skip
    assert set(found) >= {"split", "became_worse", "always_hard", "segments", "happened", "completeness"}
