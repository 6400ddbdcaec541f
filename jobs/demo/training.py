"""Train the demo's models, record them in MLflow, and score with the recorded files.

A version is one MLflow model folder. Its digest is taken once, when it is logged, and checked each time
before it is loaded. scikit-learn, skops and MLflow are imported inside the functions that need them: together
they take seconds.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from backend.clock import to_iso
from backend.errors import BadInput
from backend.monitoring.columns import ModelSpec
from backend.registry.artefacts import artefact_digest, check_artefact, file_digest
from backend.registry.mlflow_database import prepare_database
from backend.settings import disable_telemetry
from jobs.demo.flights import ServingPeriod, between

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from sklearn.pipeline import Pipeline

MODEL_FILE: Final = "model.skops"
TRACKING_URI: Final = "MLFLOW_TRACKING_URI"
# What our pipeline holds and skops does not trust by itself: its trees, and scikit-learn's input check as a
# partial. Loading uses this list, never the one that an artefact carries (a crafted artefact would trust
# itself), and only after the digest was checked: a tree with altered node indices reads out of bounds.
TRUSTED_TYPES: Final = (
    "functools.partial",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils.validation.check_array",
)
HELD_OUT_EVERY: Final = 4
BOOTSTRAPS: Final = 200

PARAMETERS: Final[dict[str, Any]] = {
    "max_iter": 150,
    "learning_rate": 0.06,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 100,
    "l2_regularization": 1.0,
    "random_state": 7,
}


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted pipeline and the evidence about it, in one folder that nothing but this run writes."""

    folder: Path  # model.skops
    reference_path: Path  # Parquet: prediction_id, ts, features, score, prediction, label, label_ts
    reference_digest: str
    params: dict[str, Any]
    metrics: dict[str, dict[str, float]]  # held-out: name -> value, low, high (95 %), rows
    training: dict[str, Any]  # digest, from, to, rows, held_out_rows, how


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One MLflow registered version, with all that our registry stores of it."""

    model: str
    version: int
    run_id: str
    uri: str  # the folder its files lie in, where the gateway loads it
    artefact_digest: str
    cutoff: float
    params: dict[str, Any]
    metrics: dict[str, dict[str, float]]
    training: dict[str, Any]
    reference_path: Path
    reference_digest: str


def train(
    frame: pd.DataFrame,
    spec: ModelSpec,
    folder: Path,
    *,
    trained_from: datetime,
    trained_to: datetime,
    params: Mapping[str, Any] | None = None,
) -> Trained:
    """Fit on the labelled rows of [trained_from, trained_to) and score the days that were held out.

    `frame` has `prediction_id`, `ts`, `data_ts`, the spec's features, `label` ("1"/"0"), `status` and
    `label_ts`, in data time. A row counts only if its label was known by `trained_to`. Of the days in the
    period, every fourth is held out: 4 and 7 share no divisor, so all weekdays are in both parts, and whole
    days stay on one side because flights (or answers) of one day resemble each other. The held-out rows are
    the version's reference. Intervals are the 2.5 and 97.5 percentiles of 200 bootstraps that draw whole
    held-out days. Raises `BadInput` when a part is empty or holds one class only.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    params = PARAMETERS | dict(params or {})
    usable = (
        (frame["data_ts"] >= trained_from)
        & (frame["data_ts"] < trained_to)
        & (frame["label_ts"] < trained_to)
        & frame["label"].notna()
    )
    rows = frame[usable]
    number = day_number(rows["data_ts"], spec.timezone)
    held_out = number % HELD_OUT_EVERY == 0
    label = (rows["label"] == "1").astype("int8")
    for name, part in (("training", label[~held_out]), ("held-out", label[held_out])):
        if part.nunique() < 2:
            period = f"{trained_from:%Y-%m-%d} to {trained_to:%Y-%m-%d}"
            raise BadInput(f"the {name} part of {period} lacks a class")

    pipeline = build_pipeline(spec, params)
    with threadpool_limits(
        limits=1, user_api="openmp"
    ):  # on busy cores its spinning threads cost more than they gain
        pipeline.fit(model_input(rows[~held_out], spec), label[~held_out])

    folder.mkdir(parents=True, exist_ok=True)
    dump_pipeline(pipeline, folder / MODEL_FILE)
    names = [column.name for column in spec.features]
    reference = rows.loc[held_out, ["prediction_id", "ts", *names]].copy()
    reference["score"] = predict_scores(pipeline, rows[held_out], spec)
    reference["prediction"] = predictions(reference["score"], spec.cutoff)
    reference[["label", "label_ts"]] = rows.loc[held_out, ["label", "label_ts"]]
    reference_path = folder / "reference.parquet"
    reference.to_parquet(reference_path, index=False)
    return Trained(
        folder=folder,
        reference_path=reference_path,
        reference_digest=file_digest(reference_path),
        params=params,
        metrics=held_out_metrics(
            label[held_out].to_numpy(),
            reference["score"].to_numpy(),
            number[held_out].to_numpy(),
            spec.cutoff,
        ),
        training={
            "digest": frame_digest(rows[["prediction_id", *names, "label"]]),
            "from": to_iso(trained_from),
            "to": to_iso(trained_to),
            "rows": int((~held_out).sum()),
            "held_out_rows": int(held_out.sum()),
            "held_out": f"every {HELD_OUT_EVERY}th day",
        },
    )


def day_number(moments: pd.Series, timezone: str) -> pd.Series:
    """The local calendar day of each moment, counted from 1970-01-01."""
    local = moments.dt.tz_convert(timezone).dt.tz_localize(None)
    number: pd.Series = (local - pd.Timestamp(1970, 1, 1)).dt.days
    return number


def build_pipeline(spec: ModelSpec, params: Mapping[str, Any]) -> Pipeline:
    """Ordinal codes for categories, then boosted trees. Unseen categories count as missing."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OrdinalEncoder

    categorical = [column.name for column in spec.features if column.kind == "categorical"]
    numeric = [column.name for column in spec.features if column.kind == "numeric"]
    encode = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan
    )
    return Pipeline(
        [
            (
                "encode",
                ColumnTransformer(
                    [("categorical", encode, categorical), ("numeric", "passthrough", numeric)],
                    verbose_feature_names_out=False,
                ),
            ),
            (
                "classify",
                HistGradientBoostingClassifier(
                    **params, categorical_features=list(range(len(categorical))), early_stopping=False
                ),
            ),
        ]
    )


def model_input(frame: pd.DataFrame, spec: ModelSpec) -> pd.DataFrame:
    """The spec's features with the types the pipeline was fitted on: text or missing, float or missing.

    Raises `BadInput` that names the missing columns or the column whose values are not numbers.
    """
    missing = [column.name for column in spec.features if column.name not in frame.columns]
    if missing:
        raise BadInput(f"features missing: {', '.join(missing)}")
    columns: dict[str, pd.Series] = {}
    for column in spec.features:
        values = frame[column.name]
        if column.kind == "categorical":
            text = values.astype("object")
            columns[column.name] = text.where(text.notna(), np.nan)
        else:
            try:
                columns[column.name] = values.astype("float64")
            except (TypeError, ValueError):
                raise BadInput(f"feature {column.name}: not every value is a number") from None
    return pd.DataFrame(columns, index=frame.index)


def predict_scores(pipeline: Pipeline, frame: pd.DataFrame, spec: ModelSpec) -> np.ndarray:
    """Probability of the positive class, one a row."""
    return np.asarray(pipeline.predict_proba(model_input(frame, spec))[:, 1], dtype="float64")


def predictions(scores: pd.Series | np.ndarray, cutoff: float) -> np.ndarray:
    """ "1" where the score is at or above the cut-off, else "0"."""
    return np.where(np.asarray(scores) >= cutoff, "1", "0").astype(object)


def held_out_metrics(
    label: np.ndarray, score: np.ndarray, group: np.ndarray, cutoff: float
) -> dict[str, dict[str, float]]:
    """Each metric's value on all rows, with the 2.5 and 97.5 percentiles over bootstraps of whole groups.

    A drawn group counts as often as it was drawn, so every metric is one weighted pass and no rows are copied.
    """
    rng = np.random.default_rng(PARAMETERS["random_state"])
    names, member = np.unique(group, return_inverse=True)
    rank = np.unique(score, return_inverse=True)[1]
    measured = _measure(label, score, rank, np.ones(len(label)), cutoff)
    drawn: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(BOOTSTRAPS):
        times = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))
        for name, value in _measure(label, score, rank, times[member].astype("float64"), cutoff).items():
            drawn[name].append(value)
    return {
        name: {
            "value": value,
            "low": float(np.nanquantile(drawn[name], 0.025)),
            "high": float(np.nanquantile(drawn[name], 0.975)),
            "rows": float(len(label)),
        }
        for name, value in measured.items()
    }


def _measure(
    label: np.ndarray, score: np.ndarray, rank: np.ndarray, weight: np.ndarray, cutoff: float
) -> dict[str, float]:
    """Weighted AUC (ties count half), Brier score and F1; equal to scikit-learn's with `sample_weight`.

    `rank` numbers the distinct scores from 0, ascending. NaN where the weights leave one class only.
    """
    positive = np.bincount(rank, weights=weight * label)
    negative = np.bincount(rank, weights=weight * (1 - label))
    pairs = positive.sum() * negative.sum()
    below = np.cumsum(negative) - negative
    announced = score >= cutoff
    hits = (weight * label)[announced].sum()
    decided = weight[announced].sum() + positive.sum()
    return {
        "roc_auc": float((positive * (below + negative / 2)).sum() / pairs) if pairs else float("nan"),
        "brier": float(np.average((score - label) ** 2, weights=weight)),
        "f1": float(2 * hits / decided) if decided else float("nan"),
    }


def frame_digest(frame: pd.DataFrame) -> str:
    """`sha256:<hex>` of the rows in order: column names, then pandas' 64-bit hash of each row's values."""
    digest = hashlib.sha256(json.dumps([str(name) for name in frame.columns]).encode())
    digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy(dtype="<u8").tobytes())
    return f"sha256:{digest.hexdigest()}"


def dump_pipeline(pipeline: Pipeline, path: Path) -> None:
    """Write skops: a zip of JSON and arrays that loads without unpickling."""
    import skops.io

    skops.io.dump(pipeline, path)


def load_pipeline(folder: Path, digest: str) -> Pipeline:
    """The pipeline of a version folder, after its digest was checked.

    Raises `ArtefactAltered` when the files are not the recorded ones; nothing is loaded from them then.
    """
    check_artefact(folder, digest)
    import skops.io

    return skops.io.load(folder / MODEL_FILE, trusted=list(TRUSTED_TYPES))


def score(folder: Path, frame: pd.DataFrame, spec: ModelSpec, *, digest: str) -> np.ndarray:
    """Scores of all rows from the recorded files; the digest is checked first."""
    return predict_scores(load_pipeline(folder, digest), frame, spec)


def score_history(
    frame: pd.DataFrame,
    spec: ModelSpec,
    periods: Sequence[ServingPeriod],
    versions: Mapping[int, RegisteredVersion],
) -> pd.DataFrame:
    """The rows that some period covers, with `version`, `score` and `prediction` of the version that served then.

    `versions` maps a period's version to what was registered for it; `version` is the registered number.
    """
    parts = []
    for period in periods:
        rows = between(frame, period.start, period.end)
        served = versions[period.version]
        scores = score(Path(served.uri), rows, spec, digest=served.artefact_digest)
        parts.append(
            rows.assign(version=served.version, score=scores, prediction=predictions(scores, served.cutoff))
        )
    return pd.concat(parts, ignore_index=True)


def log_version(
    trained: Trained, spec: ModelSpec, *, model: str, tracking_uri: str, artefacts: Path
) -> RegisteredVersion:
    """Record a trained pipeline as a run and a registered version of `model` in MLflow.

    `tracking_uri` is a server's or `sqlite:///<file>`; `artefacts` is the folder of a new experiment's files
    (used when the experiment does not exist yet). A version of the same training and reference data that is
    registered already is returned, so that a load that was cut off registers nothing twice.
    """
    with _tracked_at(tracking_uri):
        return _log_version(trained, spec, model=model, tracking_uri=tracking_uri, artefacts=artefacts)


@contextmanager
def _tracked_at(tracking_uri: str) -> Iterator[None]:
    """MLflow's own functions speak to this address. It puts the address into the environment, where all that reads
    settings later would take it for the operator's; so what was there is put back."""
    disable_telemetry()
    import mlflow

    before = os.environ.get(TRACKING_URI)
    mlflow.set_tracking_uri(tracking_uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # none, also in the environment
        if before is not None:
            os.environ[TRACKING_URI] = before


def _log_version(
    trained: Trained, spec: ModelSpec, *, model: str, tracking_uri: str, artefacts: Path
) -> RegisteredVersion:
    import mlflow
    import skops.io
    from mlflow.models import infer_signature
    from mlflow.tracking import MlflowClient

    prepare_database(tracking_uri)
    client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
    tags = {f"training_{key}": str(value) for key, value in trained.training.items()}
    tags |= {"reference_digest": trained.reference_digest}
    for known in client.search_model_versions(f"name = '{model}'"):
        if tags.items() <= known.tags.items():
            kept = mlflow.artifacts.download_artifacts(known.source, tracking_uri=tracking_uri)
            return _registered(trained, spec, known, Path(kept).resolve())
    experiment = client.get_experiment_by_name(model)
    if experiment is None:
        artefacts.mkdir(parents=True, exist_ok=True)
        experiment_id = client.create_experiment(model, artifact_location=artefacts.resolve().as_uri())
    else:
        experiment_id = experiment.experiment_id
    pipeline = skops.io.load(trained.folder / MODEL_FILE, trusted=list(TRUSTED_TYPES))
    example = model_input(pd.read_parquet(trained.reference_path).head(100), spec)
    requirements = [
        f"{name}=={installed_version(name)}" for name in ("scikit-learn", "skops", "pandas", "numpy")
    ]
    with mlflow.start_run(
        experiment_id=experiment_id, run_name=f"{model} to {trained.training['to'][:10]}"
    ) as run:
        mlflow.log_params(trained.params | {"cutoff": spec.cutoff})
        mlflow.log_metrics(
            {
                name if part == "value" else f"{name}_{part}": figure
                for name, figures in trained.metrics.items()
                for part, figure in figures.items()
                if part != "rows"
            }
        )
        mlflow.set_tags(tags)
        logged = mlflow.sklearn.log_model(
            pipeline,
            name="model",
            serialization_format="skops",
            skops_trusted_types=list(TRUSTED_TYPES),
            signature=infer_signature(example, pipeline.predict_proba(example)),
            pip_requirements=requirements,
            pyfunc_predict_fn="predict_proba",
            metadata={"cutoff": spec.cutoff, "task": spec.task},
        )
    folder = Path(mlflow.artifacts.download_artifacts(logged.model_uri, tracking_uri=tracking_uri)).resolve()
    digest = artefact_digest(folder)
    if not client.search_registered_models(filter_string=f"name = '{model}'"):
        client.create_registered_model(model)
    registered = client.create_model_version(
        model,
        source=logged.model_uri,
        run_id=run.info.run_id,
        tags=tags | {"artefact_digest": digest},
        model_id=logged.model_id,
    )
    return _registered(trained, spec, registered, folder)


def _registered(trained: Trained, spec: ModelSpec, found: ModelVersion, folder: Path) -> RegisteredVersion:
    return RegisteredVersion(
        model=found.name,
        version=int(found.version),
        run_id=found.run_id,
        uri=str(folder),
        artefact_digest=artefact_digest(folder),
        cutoff=spec.cutoff,
        params=trained.params,
        metrics=trained.metrics,
        training=trained.training,
        reference_path=trained.reference_path,
        reference_digest=trained.reference_digest,
    )
