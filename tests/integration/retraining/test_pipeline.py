"""The pipeline from rows in the store to a promotion that waits, step by step in this process."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from backend import clock
from backend.alerting.tables import Alert
from backend.audit.verification import verify
from backend.cards.versions import newest_card
from backend.data_rights.extraction import NoPurpose
from backend.data_rights.rules import set_rule
from backend.database.session import reading, writing
from backend.explain.tables import ShapSummary
from backend.governance.tables import Change
from backend.registry.tables import Version
from backend.retraining.running import cancel_run
from backend.retraining.steps import begin_step, end_step
from backend.retraining.tables import RetrainingStep
from jobs.open_retraining import close_lost
from jobs.retraining.work import RetrainingCancelled, ValidationFailed, folder_of, forget_rows
from jobs.trainers.contract import BadJob
from tests.integration.retraining.conftest import (
    ROWS,
    Here,
    ask,
    begin,
    plan,
    run_of,
    step_of,
    store_rows,
    take,
)
from tests.worlds import World, register_in_mlflow


def test_rows_become_a_version_with_its_lineage_whose_promotion_waits(trained: World) -> None:
    register_in_mlflow("toy", 2)
    run = begin(ask(trained.engineer))
    found = take(run.id)
    assert (found["extract"]["labelled"], found["extract"]["completeness"]) == (ROWS, 1.0)
    assert {name: part["rows"] for name, part in found["split"].items()} == {
        "train": 420,
        "valid": 90,
        "test": 90,
    }
    assert found["split"]["train"]["to"] < found["split"]["valid"]["from"] < found["split"]["test"]["from"]
    assert step_of(run.id, "train").curve, "the trainer's metrics.jsonl is the live curve"
    assert step_of(run.id, "train").peak_memory_bytes
    assert all(step_of(run.id, name).state == "finished" for name in found)

    with reading() as session:
        version = session.get_one(Version, ("toy", 3))
        change = session.get_one(Change, found["open_promotion"]["change"])
        card, explained = newest_card(session, "toy", 3), session.get_one(ShapSummary, ("toy", 3))
        told = session.scalars(select(Alert).where(Alert.kind == "retraining")).one()
    assert (version.trained_by, version.artefact_digest) == (
        trained.engineer.person_id,
        found["train"]["digest"],
    )
    lineage = {
        "parent": "2",
        "change": f"CHG-{run.change_id}",
        "run": run.id,
        "digest": found["extract"]["digest"],
    }
    assert lineage.items() <= version.training.items()
    assert {"code_revision", "environment", "data_version", "as_of"} <= set(version.training)
    assert version.metrics["roc_auc"]["rows"] == 90
    assert (change.kind, change.to_version, change.state) == ("promote", 3, "checking")
    assert change.requested_by == trained.engineer.person_id
    assert card is not None
    assert "nobody has read it yet" in card.text
    assert (card.state, explained.rows) == ("draft", 90)
    assert f"CHG-{change.id} waits" in told.title

    again = take(run.id)
    assert again == found, "what has finished is not done twice"
    with writing() as session:
        session.get_one(Change, change.id).state = "rejected"
    close_lost(Here())  # type: ignore[arg-type]
    with reading() as session:
        assert session.get_one(Alert, told.id).state == "resolved"
    forget_rows(run.id)
    kept = {path.name for path in folder_of(run.id).glob("*.parquet")}
    assert kept == {"reference.parquet"}, "copies of rows go, what the version is bound to stays"
    assert verify().ok


def test_champion_and_candidate_are_compared_on_rows_that_the_candidate_did_not_learn_from(
    trained: World,
) -> None:
    run = begin(ask(trained.engineer))
    found = take(run.id, "extract", "validate", "split", "train", "evaluate")["evaluate"]
    assert found["same_rows"]["metrics"][0]["rows"] == 90
    assert found["same_rows"]["source"] == "reference"
    kept = set(pq.read_schema(folder_of(run.id) / "reference.parquet").names)
    assert kept == {"ts", "distance", "carrier", "label", "score", "prediction"}, "no id of a prediction"
    assert found["same_rows"]["metrics"][0]["low"] is not None
    assert found["calibration"]["rows"] == 90
    assert found["cost"]["after"]["latency_ms"] > 0
    assert found["size"]["after"] > 0
    assert sum(found["flips"]["counts"].values()) == found["flips"]["rows"]


def test_a_failed_validation_trains_nothing_and_says_what_is_wrong(trained: World) -> None:
    store_rows(200, seed=6, unlabelled=190)
    run = begin(ask(trained.engineer, plan(least_labelled=0.9)))
    take(run.id, "extract")
    with pytest.raises(ValidationFailed, match=r"76\.2% of the rows have a label; 90% are needed"):
        take(run.id, "validate")
    step = step_of(run.id, "validate")
    assert (step.state, step.result["checks"][1]["verdict"]) == ("failed", "fail")
    with reading() as session:
        assert session.get(RetrainingStep, (run.id, "train")) is None
    assert not (folder_of(run.id) / "out").exists()


def test_parameters_that_the_trainer_does_not_take_are_refused_before_a_row_is_read(world: World) -> None:
    run = begin(ask(world.engineer, plan(parameters={"max_itr": 5})))
    with pytest.raises(BadJob, match="sklearn_boosting has no max_itr; it has checkpoint_every"):
        take(run.id, "extract")
    assert step_of(run.id, "extract").state == "failed"


def test_what_every_attempt_at_a_step_took_is_added_up(world: World) -> None:
    run = begin(ask(world.engineer))
    for state, seconds, gpu_seconds in (
        ("failed", 10.0, 20.0),
        ("cancelled", 1.0, 2.0),
        ("finished", 5.0, 5.0),
    ):
        with writing() as session:
            begin_step(session, run.id, "train")
            end_step(session, run.id, "train", state, seconds=seconds, result={"gpu_seconds": gpu_seconds})
    assert (step_of(run.id, "train").seconds, step_of(run.id, "train").gpu_seconds) == (16.0, 27.0)


def test_rows_are_those_whose_labels_were_known_at_the_time(trained: World) -> None:
    run = begin(
        ask(
            trained.engineer,
            plan(as_of=clock.now().replace(hour=0, minute=0, second=0), window_s=86_400.0 * 10),
        )
    )
    found = take(run.id, "extract")["extract"]
    assert 150 < found["labelled"] <= 220


def test_rows_are_taken_for_a_recorded_purpose_alone(trained: World) -> None:
    with writing() as session:
        set_rule(session, trained.compliance, model="toy", purposes=["monitoring"], why="no longer")
    run = begin(ask(trained.engineer))
    with pytest.raises(NoPurpose, match="not recorded for retraining"):
        take(run.id, "extract")
    assert not list(folder_of(run.id).glob("*.parquet"))


def test_cancelling_ends_a_trainer_within_five_seconds(trained: World) -> None:
    endless = {"max_iter": 100_000, "early_stopping_rounds": 0, "checkpoint_every": 1, "min_samples_leaf": 5}
    run = begin(ask(trained.engineer, plan(parameters=endless)))
    take(run.id, "extract", "split")
    asked: list[float] = []

    def cancel() -> None:
        while not (folder_of(run.id) / "out" / "metrics.jsonl").exists():
            time.sleep(0.05)
        with writing() as session:
            cancel_run(session, trained.on_call, run.id, reason="a slip")
        asked.append(time.monotonic())

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(RetrainingCancelled):
        take(run.id, "train")
    thread.join()
    assert time.monotonic() - asked[0] < 5
    assert step_of(run.id, "train").state == "cancelled"
    assert step_of(run.id, "train").result["gpu_seconds"] == 0.0, "what it cost is kept"
    assert not Path(folder_of(run.id), "out", "artefact").exists()
    assert run_of(run.id).cancel_reason == "a slip"
