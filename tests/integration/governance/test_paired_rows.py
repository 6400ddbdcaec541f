"""Scoring the same rows with two versions, for each task, and what is said where that cannot be done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backend import clock
from backend.governance.flips import count_flips
from backend.governance.paired_metrics import compare
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.registry.artefacts import artefact_digest, file_digest
from backend.registry.tables import Version
from jobs import paired_rows
from jobs.paired_rows import score_rows

FEATURES = {"distance": "numeric", "carrier": "categorical"}


@pytest.fixture(autouse=True)
def _shap() -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        import shap  # noqa: F401


def frame_of(count: int, seed: int) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    carrier = draw.choice(["AA", "B6", "UA"], count).astype(object)
    carrier[draw.uniform(0, 1, count) < 0.05] = None
    return pd.DataFrame({"distance": draw.uniform(50, 3000, count), "carrier": carrier})


def label_of(task: str, frame: pd.DataFrame, seed: int) -> Any:
    draw = np.random.default_rng(seed + 50)
    far = frame["distance"].to_numpy() / 3000 + draw.normal(0, 0.1, len(frame))
    if task == "regression":
        return far * 100
    return (
        np.where(far < 0.3, "early", np.where(far < 0.7, "on time", "late"))
        if task == "multiclass"
        else far > 0.5
    )


def version(folder: Path, task: str, number: int, *, wrong: float = 0.0) -> tuple[ModelSpec, Version]:
    """A fitted pipeline in a folder, and its reference of 700 rows; `wrong` of its training labels are shuffled."""
    import skops.io
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = frame_of(700, number)
    label = label_of(task, frame, number)
    taught = np.array(label)
    mixed = np.random.default_rng(number).uniform(0, 1, len(frame)) < wrong
    taught[mixed] = np.random.default_rng(9).permutation(taught[mixed])
    columns = ColumnTransformer(
        [
            ("far", StandardScaler(), ["distance"]),
            ("who", OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
        ]
    )
    learner = Ridge() if task == "regression" else LogisticRegression()
    pipeline = make_pipeline(columns, learner).fit(frame, taught)
    own = folder / f"v{number}"
    own.mkdir(parents=True)
    skops.io.dump(pipeline, own / "model.skops")
    reference = folder / f"reference-{number}.parquet"
    frame.assign(label=[str(int(one)) if task == "binary" else str(one) for one in label]).to_parquet(
        reference
    )
    spec = parse_spec({"task": task, "features": FEATURES, "segments": ["carrier"]})
    return spec, Version(
        model="toy", version=number, run_id="", uri=str(own), artefact_digest=artefact_digest(own), cutoff=0.5,
        trained_at=clock.now(), parameters={}, metrics={}, training={}, reference_path=str(reference),
        reference_digest=file_digest(reference), card_path="", card_digest="",
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_worse_version_is_seen_for_each_task(home: Path, tmp_path: Path, task: str) -> None:
    spec, good = version(tmp_path, task, 1)
    _, bad = version(tmp_path, task, 2, wrong=0.9)
    found = score_rows(spec, "production", before=good, before_cutoff=0.5, after=bad, after_cutoff=0.5)
    assert found.pairs is not None, found.missing
    assert found.answers is True
    assert (found.pairs.source, found.pairs.rows) == ("reference", 700)
    assert len(found.pairs.before.measured.latency_ms) == paired_rows.LATENCY_ROUNDS
    assert found.pairs.after.measured.loaded_bytes > 0
    difference = compare(spec, found.pairs, resamples=200)
    assert difference.low is not None and difference.high is not None, difference.reason
    worse = difference.low > 0 if task == "regression" else difference.high < 0
    assert worse, difference
    flips = count_flips(spec, found.pairs, reasons=found.reasons)
    assert sum(flips["counts"].values()) == 700
    assert {part["value"] for part in flips["segments"]} == {"AA", "B6", "UA", "missing"}
    assert (flips["reasons"]["share"] is not None) == (task == "binary"), flips["reasons"]


def test_rows_are_bounded_and_the_newest_of_the_reference(home: Path, tmp_path: Path) -> None:
    spec, one = version(tmp_path, "binary", 1)
    _, other = version(tmp_path, "binary", 2)
    found = score_rows(spec, "x", before=one, before_cutoff=0.5, after=other, after_cutoff=0.5, most=100)
    assert found.pairs is not None
    assert found.pairs.ids[0] == "reference row 600"
    assert found.pairs.rows == 100


def test_where_nothing_serves_the_candidate_is_tried_alone(home: Path, tmp_path: Path) -> None:
    spec, one = version(tmp_path, "binary", 1)
    found = score_rows(spec, "production", before=None, before_cutoff=None, after=one, after_cutoff=0.5)
    assert (found.pairs, found.answers) == (None, True)
    assert "nothing serves in production" in found.missing


def test_a_reference_that_is_not_the_recorded_one_is_not_used(home: Path, tmp_path: Path) -> None:
    spec, one = version(tmp_path, "binary", 1)
    _, other = version(tmp_path, "binary", 2)
    Path(other.reference_path).write_bytes(Path(one.reference_path).read_bytes())
    found = score_rows(spec, "production", before=one, before_cutoff=0.5, after=other, after_cutoff=0.5)
    assert found.pairs is None
    assert "not the recorded ones" in found.missing


def test_a_champion_that_is_gone_is_said_and_the_candidate_still_answers(home: Path, tmp_path: Path) -> None:
    spec, one = version(tmp_path, "binary", 1)
    _, other = version(tmp_path, "binary", 2)
    one.uri = str(tmp_path / "gone")
    found = score_rows(spec, "production", before=one, before_cutoff=0.5, after=other, after_cutoff=0.5)
    assert (found.pairs, found.answers) == (None, True)
    assert "version 1 cannot be loaded: the artefact folder" in found.missing


def test_a_candidate_that_needs_another_column_does_not_answer(home: Path, tmp_path: Path) -> None:
    _, one = version(tmp_path, "binary", 1)
    narrow = parse_spec({"task": "binary", "features": {"distance": "numeric"}})
    found = score_rows(narrow, "production", before=None, before_cutoff=None, after=one, after_cutoff=0.5)
    assert found.answers is False
    assert "carrier" in found.answers_not
