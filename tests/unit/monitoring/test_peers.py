"""NannyML itself, which takes ten seconds to import: its definitions. test_estimators.py has its estimators."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from backend.monitoring.columns import Column
from backend.monitoring.profiles import freeze_grids, profile_table
from backend.monitoring.statistics import REGISTRY

pytestmark = pytest.mark.slow


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
