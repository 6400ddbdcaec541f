"""Explanations: SHAP values a second beside shap.TreeExplainer called alone, and one looked up among ten million.

Times of computing are of the processor, turn by turn: ours with what the model's own process spends, to which the rows
go and from which the values come, as in a job; shap's in this process.
`WARRANT_BENCH_SHARE=0.01` measures with a hundredth of the rows, to see that it works.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import psutil

from benchmarks.figures import Figure, figure, percentile
from benchmarks.small_home import MODEL, make

if TYPE_CHECKING:
    from backend.monitoring.columns import ModelSpec
    from jobs.explaining.versions import PreparedVersion

COLUMNS: Final = 20
EXPLAINED: Final = 4_000
ROUNDS: Final = 5
VALUES: Final = 10_000_000
LOOKUPS: Final = 2_000
CHUNK: Final = 20_000
BEGINS: Final = datetime(2026, 3, 1, tzinfo=UTC)


def measure() -> list[Figure]:
    share = float(os.environ.get("WARRANT_BENCH_SHARE", "1"))
    with a_home():
        make()
        ours, alone = throughput(max(100, int(EXPLAINED * share)))
        rows = max(1_000, int(VALUES * share) // COLUMNS)
        fill(rows)
        times = look_up(rows)
    return [
        figure("SHAP values of trees, explained and stored", ours, "rows/s", rows=max(100, int(EXPLAINED * share)),
               target=0.9 * alone, more_is_better=True, peer="shap.TreeExplainer", peer_value=alone),
        figure("stored explanation looked up, p95", percentile(times, 0.95), "ms", rows=rows * COLUMNS, target=50),
    ]  # fmt: skip


@contextmanager
def a_home() -> Iterator[None]:
    from backend.database.engine import use_database
    from backend.settings import settings

    before = os.environ.get("WARRANT_HOME")
    with TemporaryDirectory(prefix="warrant-bench-") as folder:
        os.environ["WARRANT_HOME"] = folder
        settings.cache_clear()
        try:
            yield
        finally:
            use_database(None)
            os.environ.pop("WARRANT_HOME") if before is None else os.environ.update(WARRANT_HOME=before)
            settings.cache_clear()


def throughput(count: int) -> tuple[float, float]:
    """Rows a second of processor time: from rows to stored explanations, and of shap alone on the same matrix."""
    import shap

    from backend.database.session import writing
    from backend.explain.predictions import store_explanations
    from backend.identity.actor import system_actor

    pipeline, frame, rows, spec = _made(count)
    matrix = pipeline[:-1].transform(rows[[f"f{n}" for n in range(COLUMNS)]])
    alone = shap.TreeExplainer(pipeline[-1])

    def store_all(prepared: PreparedVersion) -> None:
        explained = prepared.explain(rows, because="sample")
        with writing() as session:
            store_explanations(session, system_actor("bench"), explainer=prepared.facts, explained=explained)

    spent: dict[str, list[float]] = {"ours": [], "alone": []}
    with _in_its_process(pipeline, frame, spec) as version:
        for number in range(ROUNDS + 1):
            for name, work in (
                ("alone", lambda: alone.shap_values(matrix)),
                ("ours", lambda: store_all(version)),
            ):
                began = _processor_s()
                work()
                if number:  # the first round warms up
                    spent[name].append(_processor_s() - began)
    return count / median(spent["ours"]), count / median(spent["alone"])


def _processor_s() -> float:
    """Of this process and those that it started."""
    here = psutil.Process()
    return sum(
        (spent := one.cpu_times()).user + spent.system for one in (here, *here.children(recursive=True))
    )


def _made(count: int) -> tuple[Any, pd.DataFrame, pd.DataFrame, ModelSpec]:
    """Boosted trees of `COLUMNS` numbers, what they learned from, rows as the store gives them, what describes them."""
    from backend.monitoring.columns import parse_spec
    from jobs.demo.training import build_pipeline, model_input

    spec = parse_spec({"task": "binary", "features": {f"f{n}": "numeric" for n in range(COLUMNS)}})
    draw = np.random.default_rng(11)
    frame = pd.DataFrame(draw.normal(size=(20_000, COLUMNS)), columns=[f"f{n}" for n in range(COLUMNS)])
    label = (frame["f0"] + frame["f1"] * frame["f2"] + draw.normal(size=len(frame)) > 0).astype("int8")
    pipeline = build_pipeline(spec, {"max_iter": 150, "max_leaf_nodes": 31, "random_state": 1})
    pipeline.fit(model_input(frame, spec), label)
    rows = frame.head(count).assign(
        prediction_id=[f"b{n}" for n in range(count)], ts=pd.Timestamp(BEGINS), environment="production",
        score=0.6, prediction="1",
    )  # fmt: skip
    return pipeline, frame, rows, spec


@contextmanager
def _in_its_process(pipeline: Any, frame: pd.DataFrame, spec: ModelSpec) -> Iterator[PreparedVersion]:
    """As a version of `toy`, opened as jobs open it."""
    import mlflow.sklearn

    from backend.database.session import reading
    from backend.registry.artefacts import artefact_digest
    from backend.registry.tables import Version
    from backend.settings import settings
    from jobs.demo.training import TRUSTED_TYPES
    from jobs.explaining.versions import PreparedVersion
    from jobs.models import open_model
    from jobs.models.explaining import prepared_there

    folder = settings().resolved_home() / "explained"
    mlflow.sklearn.save_model(
        pipeline, str(folder), serialization_format="skops", skops_trusted_types=list(TRUSTED_TYPES),
        pip_requirements=["scikit-learn"],
    )  # fmt: skip
    with reading() as session:
        version = session.get_one(Version, (MODEL, 2))
    with open_model(str(folder), artefact_digest(folder)) as model:
        yield PreparedVersion(version, spec, prepared_there(model, frame, spec), model.classes)


def fill(rows: int) -> None:
    """So many stored explanations of `COLUMNS` values each, as a job leaves them."""
    from backend.database.engine import database
    from backend.database.session import reading
    from backend.explain.predictions import pack
    from backend.explain.tables import Explainer, PredictionExplanation

    with reading() as session:
        explainer = session.query(Explainer).first()
        if explainer is None:
            raise RuntimeError("no explainer is stored yet")
        explainer_id = explainer.id
    draw = np.random.default_rng(12)
    with database().write_engine.connect() as connection:
        for start in range(0, rows, CHUNK):
            values = draw.normal(size=(min(CHUNK, rows - start), COLUMNS))
            connection.execute(
                PredictionExplanation.__table__.insert(),
                [
                    {"model": MODEL, "prediction_id": f"p-{start + place:09d}", "version": 2,
                     "environment": "production", "ts": BEGINS + timedelta(seconds=start + place),
                     "explainer_id": explainer_id, "because": "sample", "computed_at": BEGINS, "base_value": 0.1,
                     "output": 0.1 + float(one.sum()), "gap": 0.0, "contributions": pack(one.tolist()),
                     "inputs": one.round(4).tolist(), "reason_codes": None}
                    for place, one in enumerate(values)
                ],
            )  # fmt: skip
            connection.commit()


def look_up(rows: int) -> list[float]:
    """Milliseconds of one look-up by id each, to the answer as the API gives it, in a session of its own."""
    from backend.database.session import reading
    from backend.explain.predictions import find_stored

    draw = np.random.default_rng(13)
    times = []
    for place in draw.integers(0, rows, LOOKUPS):
        began = time.perf_counter()
        with reading() as session:
            found = find_stored(session, MODEL, f"p-{place:09d}")
            if found is None or len(found.view()["contributions"]) != COLUMNS:
                raise RuntimeError(f"p-{place:09d} was stored and is not found")
        times.append((time.perf_counter() - began) * 1e3)
    return times
