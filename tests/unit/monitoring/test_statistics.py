import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, ks_2samp, wasserstein_distance

from backend.errors import NotFound
from backend.monitoring.columns import Column
from backend.monitoring.profiles import Profile, freeze_grids, profile_table
from backend.monitoring.statistics import REGISTRY, Result, find_statistic


def profiles(reference: Any, current: Any, kind: Any = "numeric") -> tuple[Profile, Profile]:
    tables = [pa.table({"x": pa.array(values)}) for values in (reference, current)]
    grids = freeze_grids(tables[0], [Column("x", kind)])
    return profile_table(tables[0], grids)["x"], profile_table(tables[1], grids)["x"]


def compute(name: str, reference: Any, current: Any, kind: Any = "numeric") -> Result:
    return REGISTRY[name].compute(*profiles(reference, current, kind))


def value(name: str, reference: Any, current: Any, kind: Any = "numeric") -> float:
    found = compute(name, reference, current, kind).value
    assert found is not None
    return found


def draws() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(11)
    normal = random.normal(size=5000)
    shifted = random.normal(0.3, 1.2, 2000)
    return {
        "normal": (normal, shifted),
        "far shift": (normal, random.normal(4, 1, 2000)),
        "one outlier now": (normal, np.append(shifted, 1e6)),
        "one outlier in the reference": (np.append(normal, 1e4), shifted),
        "long tail": (random.lognormal(sigma=1.2, size=6000), random.lognormal(0.2, 1.2, 3000)),
        "many zeros": (
            np.where(random.random(6000) < 0.6, 0, random.exponential(size=6000)),
            np.where(random.random(3000) < 0.5, 0, random.exponential(1.3, size=3000)),
        ),
        "whole minutes": (
            random.integers(-20, 200, 5000).astype(float),
            random.integers(-10, 210, 3000).astype(float),
        ),
        "few values": (random.integers(0, 9, 4000).astype(float), random.integers(1, 10, 900).astype(float)),
    }


@pytest.mark.parametrize("case", draws())
def test_ks_is_within_half_a_point_of_scipy(case: str) -> None:
    reference, current = draws()[case]
    assert value("kolmogorov_smirnov", reference, current) == pytest.approx(
        ks_2samp(reference, current).statistic, abs=0.005
    )


@pytest.mark.parametrize("case", draws())
def test_wasserstein_is_within_one_percent_of_scipy(case: str) -> None:
    reference, current = draws()[case]
    exact = wasserstein_distance(reference, current)
    found = compute("wasserstein", reference, current)
    assert found.details["distance"] == pytest.approx(exact, rel=0.01)
    assert found.value == pytest.approx(exact / reference.std(), rel=0.01)


def test_psi_is_the_sum_of_its_definition_by_hand() -> None:
    # shares 0.5 0.3 0.2 against 0.2 0.3 0 0.5, zeros replaced by 0.0001
    by_hand = (0.2 - 0.5) * math.log(0.2 / 0.5) + (0.0001 - 0.2) * math.log(0.0001 / 0.2)
    by_hand += (0.5 - 0.0001) * math.log(0.5 / 0.0001)
    reference, current = list("aaaaabbbcc"), list("aabbbddddd")
    assert value("psi", reference, current, "categorical") == pytest.approx(by_hand)


def test_jensen_shannon_is_the_base_two_distance_by_hand() -> None:
    reference, current = list("aaaaabbbcc"), list("aabbbddddd")
    expected = jensenshannon([0.5, 0.3, 0.2, 0], [0.2, 0.3, 0, 0.5], base=2)
    assert value("jensen_shannon", reference, current, "categorical") == pytest.approx(expected)
    assert value("jensen_shannon", ["a"] * 5, ["b"] * 5, "categorical") == pytest.approx(1)
    assert value("jensen_shannon", reference, reference, "categorical") == 0


def test_chi_squared_equals_the_contingency_table_of_scipy() -> None:
    reference, current = list("aaaaabbbcc") * 20, list("aabbbccccd") * 9
    found = compute("chi_squared", reference, current, "categorical")
    exact = chi2_contingency([[100, 60, 40, 0], [18, 27, 36, 9]], correction=False)
    assert found.value == pytest.approx(exact.statistic)
    assert found.details["p"] == pytest.approx(exact.pvalue)
    assert compute("chi_squared", ["a"] * 5, ["a"] * 9, "categorical").details["p"] == 1


def test_l_infinity_looks_at_each_unseen_category() -> None:
    reference, current = list("aaaaabbbbb"), list("aaaabbbbxy")
    found = compute("l_infinity", reference, current, "categorical")
    assert found.value == pytest.approx(0.1)
    assert found.details["exact"]


def test_one_outlier_of_a_million_does_not_hide_a_shift_of_two_sigma() -> None:
    random = np.random.default_rng(0)
    reference, shifted = random.normal(size=5000), random.normal(2, 1, 1000)
    for name in ("psi", "jensen_shannon", "kolmogorov_smirnov"):
        clean, spoilt = value(name, reference, shifted), value(name, reference, np.append(shifted, 1e6))
        assert spoilt == pytest.approx(clean, rel=0.02)
    assert value("psi", reference, np.append(shifted, 1e6)) > 2


def test_rates_count_what_their_names_say() -> None:
    reference = [float(v) for v in np.random.default_rng(0).random(400)]
    current = [None, float("nan"), 0.5, 0.5, 7.0, float("inf"), -3.0, 0.2, 0.3, 0.4]
    assert value("missing_rate", reference, current) == pytest.approx(0.2)
    assert value("out_of_range_rate", reference, current) == pytest.approx(3 / 8)
    found = compute("unseen_rate", list("aaabbb"), ["a", "z", "z", None, "b"], "categorical")
    assert found.value == pytest.approx(0.5)
    assert found.details["values"] == {"z": 2}


def test_rare_categories_are_expected_to_bring_new_ones() -> None:
    found = compute(
        "unseen_rate", [f"id{i}" for i in range(500)], [f"id{i}" for i in range(400, 900)], "categorical"
    )
    assert found.details["expected"] == pytest.approx(1)


def test_a_stuck_column_is_told_from_a_narrow_one() -> None:
    reference = np.random.default_rng(0).normal(size=1000)
    assert value("constant_value", reference, [0.25] * 100) == 1
    assert value("constant_value", reference, [0.25] * 99 + [0.2500001]) < 1
    assert value("constant_value", list("abc") * 9, ["b"] * 60, "categorical") == 1


@pytest.mark.parametrize(
    ("name", "kind"), [(s.name, kind) for s in REGISTRY.values() for kind in s.applies_to]
)
def test_nothing_to_compare_is_a_reason_and_never_zero(name: str, kind: Any) -> None:
    some, none = pa.array([1.0, 2.0] * 30), pa.nulls(60, pa.float64())
    cases = {"no rows": (some, some.slice(0, 0)), "no reference": (some.slice(0, 0), some)}
    if REGISTRY[name].name != "missing_rate":
        cases |= {"all null now": (some, none), "all null then": (none, some)}
    for case, (reference, current) in cases.items():
        found = compute(name, reference, current, kind)
        assert found.value is None, case
        assert found.reason, case


@pytest.mark.parametrize("name", REGISTRY)
def test_a_statistic_of_a_column_with_itself_finds_no_drift(name: str) -> None:
    statistic = find_statistic(name)
    x = np.random.default_rng(0).integers(0, 300, 2000)
    for kind in statistic.applies_to:
        if statistic.family == "drift":
            assert value(name, x, x, kind) == pytest.approx(0, abs=1e-9)
    assert len(statistic.formula) > 40


def test_an_unknown_statistic_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(NotFound, match="kolmogorov_smirnov"):
        find_statistic("ks")
