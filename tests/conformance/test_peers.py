"""The compatibility names against the installed libraries, on the same frames."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.monitoring.peers import PEERS
from backend.monitoring.peers import evidently as ours_evidently
from backend.monitoring.peers import nannyml as ours_nannyml

pytestmark = pytest.mark.slow

FRAMES = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@st.composite
def numbers(draw: Any, least: int = 12) -> tuple[pd.Series, pd.Series]:
    """Two columns of numbers: several shapes, ties, gaps, infinities and sizes on both sides of 1,000."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    sizes = [draw(st.sampled_from([least, 40, 300, 999, 1000, 1001, 3000])) for _ in range(2)]
    shape = draw(st.sampled_from(["normal", "tail", "whole", "few", "many whole"]))
    sides = []
    for rows, shift in zip(sizes, (0.0, draw(st.sampled_from([0.0, 0.2, 3.0]))), strict=True):
        if shape == "normal":
            x = random.normal(shift, 1, rows)
        elif shape == "tail":
            x = random.lognormal(shift, 1.3, rows)
        elif shape == "whole":
            x = np.round(random.normal(shift * 10, 12, rows))
        elif shape == "few":
            x = random.integers(0, 4 + int(shift), rows).astype(float)
        else:
            x = random.integers(0, 500, rows).astype(float)
        if draw(st.booleans()):
            x[random.random(rows) < 0.05] = np.nan
        sides.append(x)
    if draw(st.booleans()):
        sides[1][0] = np.inf
    whole = shape in ("whole", "few", "many whole") and all(np.isfinite(side).all() for side in sides)
    then, now = (pd.Series(side.astype("int64") if whole else side, name="x") for side in sides)
    return then, now


@st.composite
def categories(draw: Any) -> tuple[pd.Series, pd.Series]:
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    levels = draw(st.sampled_from([1, 2, 3, 12, 60]))
    sides = []
    for new in (0, draw(st.sampled_from([0, 0, 2]))):
        rows = draw(st.sampled_from([20, 150, 1000, 1001, 2500]))
        p = random.dirichlet(np.ones(levels + new))
        values = np.array([f"v{i:02d}" for i in range(levels + new)], dtype=object)[
            random.choice(levels + new, rows, p=p)
        ]
        if draw(st.booleans()):
            values[random.random(rows) < 0.1] = None
        sides.append(pd.Series(values, name="x"))
    return sides[0], sides[1]


def evidently_itself(name: str, then: pd.Series, now: pd.Series, kind: str) -> Any:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        from evidently.legacy.calculations.stattests.registry import get_stattest
        from evidently.legacy.core import ColumnType

        column_type = ColumnType.Numerical if kind == "numeric" else ColumnType.Categorical
        then, now = (side.replace([-np.inf, np.inf], np.nan).dropna() for side in (then, now))
        test = get_stattest(then, now, column_type, None if name == "default" else name)
        return test(then.copy(), now.copy(), column_type, None)


def agree_with_evidently(name: str, then: pd.Series, now: pd.Series, kind: Any, tolerance: float) -> None:
    ours = ours_evidently.compute(name, then, now, kind)
    try:
        theirs = evidently_itself(name, then, now, kind)
    except (ValueError, TypeError, ZeroDivisionError):
        assert ours.value is None
        assert ours.reason
        return
    if np.isnan(theirs.drift_score):
        assert ours.value is None
        return
    assert ours.value == pytest.approx(theirs.drift_score, rel=1e-9, abs=tolerance)
    assert ours.threshold == theirs.actual_threshold
    near = abs(theirs.drift_score - theirs.actual_threshold) <= tolerance + 1e-12
    assert near or ours.alarm == theirs.drifted


NUMERIC = [n for n, r in ours_evidently.RULES.items() if "numeric" in r.kinds]
CATEGORICAL = [n for n, r in ours_evidently.RULES.items() if "categorical" in r.kinds and n != "TVD"]


@pytest.mark.parametrize("name", [*NUMERIC, "default"])
@FRAMES
@given(data=st.data())
def test_numbers_equal_evidently(name: str, data: Any) -> None:
    # Up to 20 rows Evidently counts the exact law of Cramér-von Mises in single precision.
    agree_with_evidently(
        name, *data.draw(numbers()), "numeric", 1e-6 if name == "cramer_von_mises" else 1e-12
    )


@pytest.mark.parametrize("name", [*CATEGORICAL, "default"])
@FRAMES
@given(data=st.data())
def test_categories_equal_evidently(name: str, data: Any) -> None:
    # A distance of equal columns is the root of a rounding error: 1e-16 becomes 1e-8.
    agree_with_evidently(name, *data.draw(categories()), "categorical", 3e-8)


def test_the_permutation_p_of_total_variation_is_near_evidentlys() -> None:
    random = np.random.default_rng(0)
    then, now = (pd.Series(random.choice(list("abcd"), rows)) for rows in (120, 90))
    theirs = evidently_itself("TVD", then, now, "categorical")
    assert ours_evidently.compute("TVD", then, now).value == pytest.approx(theirs.drift_score, abs=0.011)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1.5, 2, None] * 9), pd.Series(range(10)), pd.Series(range(11)), pd.Series(list("abab") * 9),
        pd.Series([f"t{i}" for i in range(30)]), pd.Series([True, False] * 9),
        pd.Series(list("ab") * 9, dtype="category"),
    ],
)  # fmt: skip
def test_types_are_those_evidently_infers(column: pd.Series) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.core.datasets import infer_column_type
    theirs = {"num": "numeric", "cat": "categorical"}.get(infer_column_type(column).value, "other")
    found = ours_evidently.infer_kind(column)
    assert (found if found in ("numeric", "categorical") else "other") == theirs


def nannyml_itself(name: str, then: pd.Series, now: pd.Series) -> Any:
    """(value, upper threshold, alert) of the calculator's method, as the calculator makes it."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        from nannyml.base import _column_is_continuous
        from nannyml.chunk import DefaultChunker
        from nannyml.drift.univariate.calculator import DEFAULT_THRESHOLDS
        from nannyml.drift.univariate.methods import FeatureType, MethodFactory

        kind = FeatureType.CONTINUOUS if _column_is_continuous(then) else FeatureType.CATEGORICAL
        method = MethodFactory.create(
            key=name, feature_type=kind, chunker=DefaultChunker(), threshold=DEFAULT_THRESHOLDS[name],
            **({"computation_params": {}} if kind == FeatureType.CONTINUOUS else {}),
        ).fit(then)  # fmt: skip
        value = method.calculate(now)
        return value, method.upper_threshold_value, bool(method.alert(value))


def agree_with_nannyml(name: str, then: pd.Series, now: pd.Series) -> None:
    ours = ours_nannyml.compute(name, then, now)
    try:
        value, upper, alert = nannyml_itself(name, then, now)
    except (ValueError, TypeError, ZeroDivisionError, IndexError):
        assert ours.value is None
        assert ours.reason
        return
    if np.isnan(value):
        assert ours.value is None
        return
    assert ours.value == pytest.approx(value, rel=1e-9, abs=3e-8)
    if name != "chi2":
        assert ours.threshold == pytest.approx(upper, rel=1e-9, abs=3e-8)
    if abs(value - (upper or 0)) > 1e-7:
        assert ours.alarm == alert


@pytest.mark.parametrize("name", [n for n, (_, kinds, *_) in ours_nannyml.FITS.items() if "numeric" in kinds])
@FRAMES
@given(data=st.data())
def test_numbers_equal_nannyml(name: str, data: Any) -> None:
    agree_with_nannyml(name, *data.draw(numbers()))


@pytest.mark.parametrize(
    "name", [n for n, (_, kinds, *_) in ours_nannyml.FITS.items() if "categorical" in kinds]
)
@FRAMES
@given(data=st.data())
def test_categories_equal_nannyml(name: str, data: Any) -> None:
    agree_with_nannyml(name, *data.draw(categories()))


@pytest.mark.parametrize("name", ["kolmogorov_smirnov", "wasserstein"])
def test_large_references_are_binned_as_nannyml_bins_them(name: str) -> None:
    random = np.random.default_rng(0)
    then = pd.Series(random.normal(size=12_000), name="x")
    for shift in (0.0, 5.0, -4.0):
        agree_with_nannyml(name, then, pd.Series(random.normal(shift, 1, 900), name="x"))


def test_every_name_belongs_to_a_library_and_says_its_rule() -> None:
    assert {name.split(":")[0] for name in PEERS} == {"evidently", "nannyml"}
    assert all(peer.name.startswith(peer.library) and peer.rule and peer.formula for peer in PEERS.values())
