"""NannyML itself, which takes ten seconds to import: its definitions and its estimator."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from backend.errors import BadInput
from backend.monitoring.columns import Column
from backend.monitoring.estimation import assess_cbpe, estimate_cbpe, fit_cbpe
from backend.monitoring.performance import measure_performance
from backend.monitoring.profiles import freeze_grids, profile_table
from backend.monitoring.statistics import REGISTRY
from backend.monitoring.windows import windows_between

pytestmark = pytest.mark.slow

WINDOWS = windows_between(
    datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=4), "1d"
)


def scored(rows: int, seed: int, centre: float = 0.0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    score = 1 / (1 + np.exp(-random.normal(centre, 1.5, rows)))
    label = (random.random(rows) < score).astype(int)
    return pd.DataFrame({"score": score, "prediction": (score >= 0.5).astype(int), "label": label})


@pytest.mark.parametrize("name", ["jensen_shannon", "l_infinity", "chi_squared"])
def test_statistics_of_categories_equal_nannyml(name: str) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nannyml.chunk import DefaultChunker
        from nannyml.drift.univariate.methods import FeatureType, MethodFactory
        from nannyml.thresholds import ConstantThreshold

    random = np.random.default_rng(0)
    reference = random.choice(list("abcdefg"), 3000)
    current = random.choice(list("abcdex"), 700)
    key = {"chi_squared": "chi2"}.get(name, name)
    method = MethodFactory.create(
        key, FeatureType.CATEGORICAL, chunker=DefaultChunker(), threshold=ConstantThreshold(upper=0.1),
        computation_params={},
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        method._fit(pd.Series(reference))
        expected = method._calculate(pd.Series(current))
    grids = freeze_grids(pa.table({"x": reference}), [Column("x", "categorical")])
    ours = [profile_table(pa.table({"x": values}), grids)["x"] for values in (reference, current)]
    assert REGISTRY[name].compute(*ours).value == pytest.approx(expected)


def test_estimates_come_near_what_comes_true_one_a_window_and_again_the_same() -> None:
    reference = scored(6000, 0)
    frames = {w: scored(n, i + 1, c) for i, (w, n, c) in enumerate(zip(WINDOWS, (3000, 40, 0, 3000), (0, 0, 0, 2),
                                                                       strict=True))}  # fmt: skip
    fitted = fit_cbpe(reference)
    estimates = estimate_cbpe(fitted, {w: f.drop(columns="label") for w, f in frames.items()})
    assert [(e.window, e.metric) for e in estimates] == [(w, m) for w in WINDOWS for m in fitted.metrics]
    for estimate in estimates:
        frame = frames[estimate.window]
        if len(frame) < 100:
            assert estimate.value is None
            assert f"{len(frame)} rows" in str(estimate.reason)
            continue
        realised = measure_performance(frame["score"], frame["prediction"], frame["label"]).metrics[
            estimate.metric
        ]
        assert estimate.value == pytest.approx(realised.value, abs=0.03)
        assert (estimate.low or 1) < (estimate.value or 0) < (estimate.high or 0)
    assert estimate_cbpe(fit_cbpe(reference), frames) == estimates


def test_an_estimator_is_trusted_where_its_held_out_estimates_held() -> None:
    trust = assess_cbpe(scored(8000, 0))
    assert "accuracy" in trust.trusted
    assert trust.error["accuracy"] <= 0.02
    broken = scored(8000, 1)
    later = broken.index >= 4800
    broken.loc[later, "label"] = 1 - broken.loc[later, "label"]
    assert assess_cbpe(broken).trusted == frozenset()
    assert "too few" in str(assess_cbpe(scored(700, 2)).reason)


def test_a_reference_that_cannot_carry_an_estimator_is_refused_with_the_reason() -> None:
    with pytest.raises(BadInput, match="needs 500"):
        fit_cbpe(scored(100, 0))
    with pytest.raises(BadInput, match="one class"):
        fit_cbpe(scored(1000, 0).assign(label=1))
    with pytest.raises(BadInput, match="no column 'score'"):
        fit_cbpe(scored(1000, 0).drop(columns="score"))
