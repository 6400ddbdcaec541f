"""Explains a version with SHAP on rows of its reference data.

TreeExplainer is exact for trees that split on thresholds. For trees that split on sets of categories it gives wrong
numbers without saying so (shap 0.51 reads the bit sets as thresholds), so its values are used only when they add up to
what the model answers, as SHAP values must. Otherwise a permutation explainer asks the model itself.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from backend.database.session import reading, writing
from backend.errors import BadInput
from backend.explain.service import Contribution, Explanation, ranked, store_explanation
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.queue import COMPUTE_SHAP
from backend.registry.artefacts import file_digest
from backend.registry.service import get_model, get_version
from backend.settings import settings
from jobs.runtime import Run, workflow

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

STEPS = ("explain_and_store",)

TREE_ROWS: Final = 2000
ASKED_ROWS: Final = 200
BACKGROUND_ROWS: Final = 50
SEED: Final = 7
# Of the largest output: rounding in single precision stays far below, a wrong reading of a tree far above.
ADDITIVITY: Final = 1e-4


@workflow(COMPUTE_SHAP)
def compute_shap(run: Run) -> None:
    """Explain version `arguments["version"]` of the model that is the run's subject."""
    run.progress(0.1, "loading the version and shap")
    run.step("explain_and_store", explain_and_store, run, run.subject, int(run.arguments["version"]))


def explain_and_store(run: Run, model: str, number: int) -> int:
    """Returns how many rows were explained."""
    import pandas as pd

    from backend.serving.loader import Loader, load_estimator

    with reading() as session:
        spec = parse_spec(get_model(session, run.actor, model).spec)
        version = get_version(session, run.actor, model, number)
    reference = Path(version.reference_path)
    if file_digest(reference) != version.reference_digest:
        raise BadInput(
            f"the reference data of {model} version {number} are not the recorded ones: {reference}"
        )
    folder = Loader(settings().resolved_home() / "jobs" / "artefacts", tracking_uri=settings().mlflow).fetch(
        version.uri, version.artefact_digest
    )
    pipeline = load_estimator(folder)
    run.progress(0.3, "computing SHAP values")
    explanation = explain(pipeline, pd.read_parquet(reference), spec, model=model, version=number)
    with writing() as session:
        run.require_owned(session)
        store_explanation(session, run.actor, explanation=explanation)
    return explanation.rows


def explain(
    pipeline: Any, reference: pd.DataFrame, spec: ModelSpec, *, model: str, version: int
) -> Explanation:
    """Mean |SHAP| a column over rows drawn from the reference (fixed seed), in the unit of the model's raw output.

    Classifiers: log-odds (`decision_function`), probability where there is none. Several classes: the mean over them.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    frame = _input(reference, spec)
    # Thousands of small predictions: threads that wait for each other cost more than they do.
    with threadpool_limits(limits=1):
        values, base, used, method = _tree_values(pipeline, frame) or _asked_values(pipeline, frame)
    size = np.abs(values)
    mean_abs = size.mean(axis=0) if size.ndim == 2 else size.mean(axis=(0, 2))
    contributions = [
        Contribution(
            column.name,
            float(mean_abs[position]),
            _direction(used[column.name].to_numpy("float64"), values[:, position])
            if column.kind == "numeric" and values.ndim == 2
            else None,
        )
        for position, column in enumerate(spec.features)
    ]
    return Explanation(model, version, len(used), method, base, tuple(ranked(contributions)))


def explain_rows(pipeline: Any, rows: pd.DataFrame, others: pd.DataFrame, spec: ModelSpec) -> np.ndarray:
    """SHAP values (n, features) of at most `ASKED_ROWS` rows, in their order, in the unit of the model's raw output.

    others   rows that stand for what is usual, for models that no tree explainer knows
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    frame = _input(rows.reset_index(drop=True), spec)
    with threadpool_limits(limits=1):
        values, _, used, _ = _tree_values(pipeline, frame) or _asked_values(
            pipeline, frame, _input(others, spec)
        )
    ordered = np.empty_like(values)
    ordered[used.index.to_numpy()] = values
    return ordered


def _input(reference: pd.DataFrame, spec: ModelSpec) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    columns: dict[str, Any] = {}
    for column in spec.features:
        if column.name not in reference:
            raise BadInput(f"the reference data lack the feature {column.name}")
        values = reference[column.name]
        if column.kind == "numeric":
            columns[column.name] = values.astype("float64")
        else:
            text = values.astype("object")
            columns[column.name] = text.where(text.notna(), np.nan)
    return pd.DataFrame(columns, index=reference.index)


def _output(estimator: Any) -> Callable[[Any], np.ndarray]:
    """What is explained: the raw score of a classifier, the prediction of a regressor."""
    for name in ("decision_function", "predict_proba", "predict"):
        if hasattr(estimator, name):
            answer: Callable[[Any], np.ndarray] = getattr(estimator, name)
            return answer
    raise BadInput(f"a {type(estimator).__name__} neither scores nor predicts")


def _encoded(pipeline: Any, frame: pd.DataFrame) -> tuple[np.ndarray, list[int]] | None:
    """The matrix that the pipeline's last step sees, and where each column of `frame` is in it.

    None when its steps before the last do not give exactly one number for each column.
    """
    import numpy as np

    steps = getattr(pipeline, "steps", None)
    if not steps or len(steps) < 2:
        return None
    try:
        matrix = np.asarray(pipeline[:-1].transform(frame), dtype="float64")
        names = [str(name) for name in pipeline[:-1].get_feature_names_out()]
    except (AttributeError, ValueError, TypeError):
        return None
    if sorted(names) != sorted(frame.columns) or matrix.shape[1] != len(names):
        return None
    return matrix, [names.index(name) for name in frame.columns]


def _tree_values(pipeline: Any, frame: pd.DataFrame) -> tuple[np.ndarray, float, pd.DataFrame, str] | None:
    """TreeExplainer's values, or None when it does not know the model or its values do not add up."""
    import numpy as np
    import shap

    used = frame.sample(min(len(frame), TREE_ROWS), random_state=SEED)
    encoded = _encoded(pipeline, used)
    if encoded is None:
        return None
    matrix, where = encoded
    estimator = pipeline[-1]
    try:
        explainer = shap.TreeExplainer(estimator)
        values = np.asarray(explainer.shap_values(matrix), dtype="float64")
        base = np.asarray(explainer.expected_value, dtype="float64").reshape(-1)
    except Exception:  # noqa: BLE001 - shap raises bare Exceptions for what it does not know
        return None
    output = np.asarray(_output(estimator)(matrix), dtype="float64")
    if values.ndim != 2 or output.ndim != 1 or len(base) != 1:
        return None
    missing = np.abs(values.sum(axis=1) + base[0] - output).max()
    if missing > ADDITIVITY * max(1.0, np.abs(output).max()):
        return None
    return values[:, where], float(base[0]), used, "shap TreeExplainer, exact"


def _asked_values(
    pipeline: Any, frame: pd.DataFrame, others: pd.DataFrame | None = None
) -> tuple[np.ndarray, float, pd.DataFrame, str]:
    """Values from asking the model with columns replaced by those of background rows, in permuted order."""
    import numpy as np
    import shap

    used = frame.sample(min(len(frame), ASKED_ROWS), random_state=SEED)
    others = frame if others is None else others
    background = others.sample(min(len(others), BACKGROUND_ROWS), random_state=SEED + 1)
    encoded, encoded_background = _encoded(pipeline, used), _encoded(pipeline, background)
    if encoded is not None and encoded_background is not None:
        ask, (rows, where), (behind, _) = _output(pipeline[-1]), encoded, encoded_background
    else:
        ask, rows, behind = _through_codes(pipeline, used, background)
        where = list(range(frame.shape[1]))
    # Two orders of the columns, each walked forth and back.
    explainer = shap.PermutationExplainer(
        ask, shap.maskers.Independent(behind, max_samples=len(behind)), seed=SEED
    )
    result = explainer(rows, max_evals=2 * (2 * rows.shape[1] + 1), silent=True)
    values = np.asarray(result.values, dtype="float64")
    base = float(np.asarray(result.base_values, dtype="float64")[0].mean())
    method = f"shap PermutationExplainer, {len(behind)} background rows of the reference"
    return values[:, where], base, used, method


def _through_codes(
    pipeline: Any, used: pd.DataFrame, background: pd.DataFrame
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray, np.ndarray]:
    """The whole pipeline as a function of numbers: categories become codes, and names again before it is asked."""
    import numpy as np
    import pandas as pd

    levels: dict[int, pd.Index] = {}
    matrices = [np.empty(part.shape, dtype="float64") for part in (used, background)]
    for position, name in enumerate(used.columns):
        if used[name].dtype == object:
            levels[position] = pd.Index(pd.concat([used[name], background[name]]).dropna().unique())
        for part, matrix in zip((used, background), matrices, strict=True):
            codes = levels[position].get_indexer(pd.Index(part[name])) if position in levels else part[name]
            matrix[:, position] = codes
    output = _output(pipeline)

    def ask(numbers: np.ndarray) -> np.ndarray:
        columns: dict[str, Any] = {}
        for position, name in enumerate(used.columns):
            if position in levels:
                codes = numbers[:, position].astype("int64")
                names = np.append(levels[position].to_numpy(dtype=object), np.nan)  # code -1: missing
                columns[name] = names[codes]
            else:
                columns[name] = numbers[:, position]
        return np.asarray(output(pd.DataFrame(columns)), dtype="float64")

    return ask, matrices[0], matrices[1]


def _direction(values: np.ndarray, effects: np.ndarray) -> float | None:
    """Pearson correlation over rows with a value; None where either does not vary."""
    import numpy as np

    known = np.isfinite(values)
    if known.sum() < 3 or np.ptp(values[known]) == 0 or np.ptp(effects[known]) == 0:
        return None
    return float(np.clip(np.corrcoef(values[known], effects[known])[0, 1], -1.0, 1.0))
