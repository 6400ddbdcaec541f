"""Rows that nobody waits for any more are not scored, and a model that hangs is told from one that is busy."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.observations.spool import all_logs, read_log
from backend.observations.spool_log import SpoolLog
from backend.serving import scoring
from backend.serving.board import Beside, Board, Entry
from backend.serving.errors import ScoringFailed, TimedOut
from backend.serving.metrics import GatewayMetrics
from backend.serving.record import Target
from backend.serving.scoring import Job, Scorer
from backend.serving.tallies import Tallies
from tests.unit.serving.test_shadowing import Slow, rows, serving

HERE = {"environment": "production"}


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow()
    yield made
    made.go.set()


def test_rows_that_waited_too_long_are_not_scored_and_not_stored(tmp_path: Path, slow: Slow) -> None:
    metrics, model = GatewayMetrics("production"), serving(slow)
    with SpoolLog(tmp_path / "spool") as spool:
        scorer = Scorer(spool, Tallies(), metrics, environment="production", max_waiting_rows=1000)
        first, late, patient = (
            Job(model, rows(1, "first")),
            Job(model, rows(3, "late")),
            Job(model, rows(2, "patient")),
        )
        late.expires_at = time.monotonic() + 0.1
        scorer.submit(first)
        deadline = time.monotonic() + 10
        while metrics.registry.get_sample_value("warrant_waiting_rows", HERE) and time.monotonic() < deadline:
            time.sleep(0.01)  # until the first one is being scored
        scorer.submit(late)
        scorer.submit(patient)
        assert metrics.registry.get_sample_value("warrant_waiting_rows", HERE) == 5
        time.sleep(0.2)
        slow.go.set()
        assert all(isinstance(one, TimedOut) for one in late.done.result(10))
        assert [one["prediction_id"] for one in patient.done.result(10)] == ["patient0", "patient1"]  # type: ignore[index]
        scorer.close()
    stored = {
        found.row["prediction_id"] for path in all_logs(tmp_path / "spool") for found in read_log(path).rows
    }
    assert stored == {"first0", "patient0", "patient1"}


@pytest.mark.parametrize("chance", [math.nan, math.inf, 1.5])
def test_an_answer_that_is_no_probability_is_a_failure_of_the_canary_and_the_champion_answers(
    tmp_path: Path, slow: Slow, chance: float
) -> None:
    """A score that is not there used to be a negative decision, and the canary a success."""

    class Broken(Slow):
        def predict_proba(self, frame: Any) -> Any:
            return np.tile([1 - chance, chance], (len(frame), 1))

    slow.go.set()
    metrics, tallies = GatewayMetrics("production"), Tallies()
    champion = replace(serving(slow), target=Target("toy", 8, 1, "champion", 0.5, "", "sha256:1", {}, 1.0))
    canary = replace(serving(Broken()), target=Target("toy", 9, 2, "canary", 0.5, "", "sha256:2", {}, 0.5))
    tallies.follow(Board({"toy": Entry(champion, champion.target, beside=(Beside(canary.target, canary),))}))
    with SpoolLog(tmp_path / "spool") as spool:
        scorer = Scorer(spool, tallies, metrics, environment="production", max_waiting_rows=1000)
        tried, alone = Job(canary, rows(2), champion), Job(canary, rows(1, "alone"))
        scorer.submit(tried, alone)
        answers = tried.done.result(10)
        assert [(one["role"], one["score"]) for one in answers] == [("champion", 0.3)] * 2  # type: ignore[index]
        assert all(isinstance(one, ScoringFailed) for one in alone.done.result(10))
        scorer.close()
    counted = tallies.take()
    ids = canary.target.deployment_id, champion.target.deployment_id
    assert (counted[ids[0], ids[0]].rows, counted[ids[0], ids[0]].failed) == (3, 3)
    assert (counted[ids[1], ids[0]].rows, counted[ids[1], ids[0]].failed) == (2, 0)


class Lossy(Slow):
    """Leaves a row out where there are several."""

    def predict_proba(self, frame: Any) -> Any:
        return super().predict_proba(frame)[: max(1, len(frame) - 1)]


class Blind(Slow):
    """Knows no answer to some rows, by what it is asked."""

    def predict_proba(self, frame: Any) -> Any:
        chances = super().predict_proba(frame)
        chances[frame["distance"].to_numpy() == 3] = math.nan
        return chances


def test_one_row_without_an_answer_is_named_and_its_batch_is_not_stored(tmp_path: Path) -> None:
    blind = Blind()
    blind.go.set()
    batch = [replace(one, features={"distance": float(number)}) for number, one in enumerate(rows(8, "row"))]
    with SpoolLog(tmp_path / "spool") as spool:
        scorer = Scorer(
            spool, Tallies(), GatewayMetrics("production"), environment="production", max_waiting_rows=1000
        )
        job = Job(serving(blind), batch, rows=range(100, 108))
        sound = Job(serving(blind), batch[:3], rows=range(3))
        scorer.submit(job, sound)
        told = job.done.result(10)
        assert [type(one) for one in told] == [ScoringFailed] * 8
        assert (told[0].message, told[0].details["row"]) == (  # type: ignore[union-attr]
            "instances[103]: the model failed on this row: ValueError: it gave nan, which is no probability; "
            "nothing of the batch was stored", 103,
        )  # fmt: skip
        assert [one["prediction_id"] for one in sound.done.result(10)] == ["row0", "row1", "row2"]  # type: ignore[index]
        scorer.close()


@pytest.mark.parametrize("broken", ["the model", "our own work"])
def test_a_pass_that_goes_wrong_ends_its_own_requests_and_no_thread(
    tmp_path: Path, slow: Slow, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    lossy, metrics = Lossy(), GatewayMetrics("production")
    for one in (slow, lossy):
        one.go.set()
    with SpoolLog(tmp_path / "spool") as spool:
        scorer = Scorer(spool, Tallies(), metrics, environment="production", max_waiting_rows=1000)
        with monkeypatch.context() as patch:
            if broken == "our own work":
                patch.setattr(metrics, "count_scored", lambda *_: 1 / 0)
            bad = Job(serving(lossy if broken == "the model" else slow), rows(3, "bad"))
            scorer.submit(bad)
            assert [type(one) for one in bad.done.result(10)] == [ScoringFailed] * 3
        good = Job(serving(slow), rows(2, "good"))
        scorer.submit(good)
        assert [one["prediction_id"] for one in good.done.result(10)] == ["good0", "good1"]  # type: ignore[index]
        assert scorer.trouble() is None
        scorer.close()


def test_a_model_that_hangs_is_trouble_and_a_scorer_without_work_is_not(
    tmp_path: Path, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "STUCK_AFTER_S", 0.1)
    with SpoolLog(tmp_path / "spool") as spool:
        scorer = Scorer(
            spool, Tallies(), GatewayMetrics("production"), environment="production", max_waiting_rows=1000
        )
        time.sleep(0.2)
        assert scorer.trouble() is None
        job = Job(serving(slow), rows(1))
        scorer.submit(job)
        time.sleep(0.3)
        assert "has not answered" in (scorer.trouble() or "")
        slow.go.set()
        job.done.result(10)
        time.sleep(0.1)
        assert scorer.trouble() is None
        scorer.close()
        assert scorer.trouble() == "the thread that scores has ended"
