"""Parts of retraining that need no database: trainers by name, thinning of curves, hints of leaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backend.errors import BadInput
from backend.monitoring.columns import parse_spec
from backend.retraining.plan import Plan, Wish, check_plan
from backend.retraining.steps import MOST_POINTS, thinned
from backend.retraining.trainers import PROGRAM_TRAINER, TRAINERS
from backend.settings import settings
from jobs.retraining.training import TrainingFailed, parameters_of
from jobs.retraining.validating import check_against, check_leaks, check_schema
from jobs.trainers.base import trainers
from tests.worlds import SPEC


def rows(count: int = 400) -> pd.DataFrame:
    draw = np.random.default_rng(3)
    times = pd.date_range("2026-01-01", periods=count, freq="h", tz="UTC")
    return pd.DataFrame(
        {"prediction_id": [f"p{one}" for one in range(count)], "ts": times, "label_ts": times + pd.Timedelta("1d"),
         "distance": draw.uniform(0, 100, count), "carrier": draw.choice(["AA", "UA"], count),
         "label": draw.choice(["0", "1"], count)}
    )  # fmt: skip


def test_every_trainer_that_is_offered_is_there_and_takes_the_parameters_it_is_offered_with() -> None:
    known = trainers()
    assert {one.name for one in TRAINERS} == set(known)
    for one in TRAINERS:
        if one.name == PROGRAM_TRAINER:
            continue  # a plan names a program of the worker's settings instead
        assert set(one.example) <= set(known[one.name].parameters), one.name


def program_plan(**parameters: Any) -> Plan:
    return Wish(PROGRAM_TRAINER, parameters).plan()


def test_a_plan_names_a_program_and_the_host_says_what_that_runs(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = program_plan(program="nightly", settings={"trees": 300})
    check_plan(plan, "binary")
    with pytest.raises(
        TrainingFailed, match="knows no program 'nightly'; WARRANT_TRAINER_PROGRAMS names none"
    ):
        parameters_of(plan)
    monkeypatch.setenv("WARRANT_TRAINER_PROGRAMS", '{"nightly": ["python3", "/opt/train.py"]}')
    settings.cache_clear()
    assert parameters_of(plan) == {"argv": ["python3", "/opt/train.py"], "settings": {"trees": 300}}
    for wrong in ({"argv": ["sh", "-c", "id"]}, {"program": "nightly", "argv": ["sh"]}, {}):
        with pytest.raises(BadInput, match="name a `program` of WARRANT_TRAINER_PROGRAMS"):
            check_plan(program_plan(**wrong), "binary")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**20, "\ud800", {"deep": [2**60]}])
def test_parameters_that_have_no_digest_are_refused_in_words(value: Any) -> None:
    with pytest.raises(BadInput, match="parameters: they hold what has no digest") as refused:
        Wish("xgboost_boosting", {"rounds": value}).plan()
    assert refused.value.details["field"] == "parameters"


def test_a_long_curve_is_thinned_and_keeps_its_last_point() -> None:
    points = [{"step": at} for at in range(5 * MOST_POINTS)]
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS
    assert kept[-1] == points[-1]


def test_a_schema_says_which_column_does_not_fit() -> None:
    spec = parse_spec(SPEC)
    assert [one.verdict for one in check_schema(rows(), spec)] == ["pass"]
    odd = rows().assign(distance=np.nan, prediction_id="same")
    found = {one.column: one.text for one in check_schema(odd, spec)}
    assert found == {
        "distance": "distance: it has no value at all",
        "prediction_id": "prediction_id: an id is there twice",
    }


def test_what_gives_the_label_away_is_told() -> None:
    spec = parse_spec(SPEC)
    assert [one.verdict for one in check_leaks(rows(), spec)] == ["pass"]
    frame = rows()
    known = check_leaks(frame.assign(distance=frame["label"].astype(float), carrier=frame["label"]), spec)
    assert [(one.verdict, one.column) for one in known] == [("warn", "distance"), ("fail", "carrier")]
    early = check_leaks(frame.assign(label_ts=frame["ts"] - pd.Timedelta("1h")), spec)
    assert "before the prediction" in early[0].text


def test_values_beyond_what_was_learned_from_are_told() -> None:
    spec, before = parse_spec(SPEC), rows()
    now = rows().assign(distance=lambda one: one["distance"] + 80, carrier="B6")
    assert [one.verdict for one in check_against(before, before, spec, "it")] == ["pass"]
    assert {one.column for one in check_against(now, before, spec, "it") if one.name == "ranges"} == {
        "distance", "carrier",
    }  # fmt: skip
    gone = before.assign(distance=before["distance"].where(before.index % 2 == 0))
    assert [one.name for one in check_against(gone, before, spec, "it")] == ["nulls"]
