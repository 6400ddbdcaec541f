"""Joint drift: what every detector of it must do, and what each alone sees."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from backend.monitoring.columns import Column
from backend.monitoring.joint import DETECTORS, JointDetector, Sample, read_sample
from backend.monitoring.joint.correlation_change import CorrelationChange
from backend.monitoring.joint.domain_classifier import DomainClassifier, tell_apart
from backend.monitoring.joint.moments import Frame, Moments, freeze_frame, sampling_factor, sum_moments
from backend.monitoring.joint.pca_reconstruction import PcaReconstruction

COLUMNS = [*(Column(name, "numeric") for name in "abcd"), Column("kind", "categorical")]
every_detector = pytest.mark.parametrize("detector", DETECTORS.values(), ids=DETECTORS)


def rows(count: int, seed: int, correlation: float = 0.8) -> pd.DataFrame:
    """Each column has the same distribution whatever `correlation` of a and b is."""
    random = np.random.default_rng(seed)
    a, e, c, d = random.normal(size=(4, count))
    b = correlation * a + np.sqrt(1 - correlation**2) * e
    return pd.DataFrame({"a": a, "b": b, "c": c, "d": d, "kind": random.choice(list("xyz"), count)})


def sample(frame: pd.DataFrame) -> Sample:
    return read_sample(frame, COLUMNS)


@cache
def fitted(detector: type[JointDetector], count: int = 1500) -> JointDetector:
    return detector().fit(sample(rows(count, 0)))


@every_detector
def test_a_planted_joint_change_that_no_column_shows_alone_is_a_ticket(detector: type[JointDetector]) -> None:
    found = fitted(detector).score(sample(rows(1000, 1, correlation=-0.8)))
    assert (found.verdict, found.level) == ("alarm", "ticket")
    assert found.value is not None and found.threshold is not None
    assert found.text


@every_detector
def test_a_quiet_window_is_ok_and_gets_the_same_answer_again(detector: type[JointDetector]) -> None:
    window = sample(rows(1000, 2))
    first = fitted(detector).score(window)
    assert (first.verdict, first.level, first.reason) == ("ok", None, None)
    assert detector().fit(sample(rows(1500, 0))).score(window) == first


@every_detector
def test_small_empty_and_hollow_windows_have_an_answer(detector: type[JointDetector]) -> None:
    ready = fitted(detector)
    assert ready.score(sample(rows(0, 1))).verdict == "no_data"
    few = ready.score(sample(rows(30, 1)))
    assert (few.verdict, few.value, few.reason) == (
        "inconclusive",
        None,
        "the window has 30 rows and 50 are needed",
    )
    hollow = ready.score(sample(rows(200, 1).assign(a=None, b=np.nan, c=np.inf, d="?", kind=None)))
    assert hollow.verdict == "inconclusive"
    assert set(hollow.details["left_out"]) >= {"a", "b", "c", "d"}


@every_detector
def test_a_vanished_column_is_named_and_the_others_are_still_looked_at(detector: type[JointDetector]) -> None:
    found = fitted(detector).score(sample(rows(500, 1, correlation=-0.8).drop(columns="c")))
    assert found.verdict == "alarm"
    assert found.details["left_out"] == ["c"]


@every_detector
def test_a_reference_of_30_rows_is_inconclusive_and_says_what_is_needed(
    detector: type[JointDetector],
) -> None:
    found = fitted(detector, 30).score(sample(rows(500, 1)))
    assert found.verdict == "inconclusive"
    assert "the reference has 30 rows and 250 are needed" in str(found.reason)


@every_detector
def test_wild_values_missing_ones_and_unseen_categories_break_nothing(detector: type[JointDetector]) -> None:
    window = rows(1000, 3)
    window.loc[0, "a"], window.loc[1, "b"], window.loc[2, "c"] = 1e6, np.inf, np.nan
    window.loc[3, "kind"], window.loc[4, "kind"] = "never seen", None
    assert fitted(detector).score(sample(window)).verdict == "ok"


@every_detector
def test_one_wild_value_does_not_hide_a_joint_change(detector: type[JointDetector]) -> None:
    window = rows(1000, 3, correlation=-0.8)
    window.loc[0, ["a", "b"]] = 1e6
    assert fitted(detector).score(sample(window)).verdict == "alarm"


@pytest.mark.parametrize("size", [1e-310, 1e-200, 1e-13, 1e140, 1e149])
@every_detector
def test_tiny_and_huge_numbers_and_a_constant_column_have_an_answer(
    detector: type[JointDetector], size: float
) -> None:
    def scaled(seed: int, correlation: float = 0.8) -> Sample:
        frame = rows(1000, seed, correlation)
        return sample(frame.assign(a=frame["a"] * size, b=frame["b"] * size, d=7.5))

    fit = detector().fit(scaled(0))
    assert fit.score(scaled(1)).verdict in ("ok", "inconclusive")
    changed = fit.score(scaled(2, -0.8))
    assert changed.verdict == "alarm" or size < 1e-100


@every_detector
def test_the_registry_describes_itself(detector: type[JointDetector]) -> None:
    assert DETECTORS[detector.name] is detector
    assert detector.title and detector.formula


@pytest.mark.parametrize("detector", [CorrelationChange, PcaReconstruction])
def test_quiet_windows_seldom_alarm(detector: type[JointDetector]) -> None:
    alarms = looked = 0
    for seed in range(10):
        ready = detector().fit(sample(rows(1500, 1000 + seed)))
        for window in range(20):
            alarms += ready.score(sample(rows(300, 2000 + 20 * seed + window))).verdict == "alarm"
            looked += 1
    assert alarms / looked <= 0.02


def test_heavy_tails_seldom_alarm() -> None:
    """Products of such columns vary far more than those of normal ones."""

    def wild(count: int, seed: int) -> Sample:
        frame = rows(count, seed)
        return sample(
            frame.assign(**{name: np.sinh(3 * frame[name]) for name in "abc"}, d=frame["d"].round())
        )

    ready = CorrelationChange().fit(wild(3000, 0))
    assert sum(ready.score(wild(200, 50 + seed)).verdict == "alarm" for seed in range(60)) <= 1


def test_the_sampling_factor_is_one_for_normal_pairs_and_what_draws_show_for_others() -> None:
    normal = sample(rows(20_000, 1))
    moments = sum_moments(normal, freeze_frame(normal))
    np.testing.assert_allclose(sampling_factor(normal, moments)[np.triu_indices(4, 1)], 1.0, atol=0.1)

    def mixed(count: int, seed: int) -> Sample:
        random = np.random.default_rng(seed)
        size = random.choice([0.3, 2.0], count)  # columns without correlation that are large together
        return sample(rows(count, seed, 0.0).assign(a=lambda f: f.a * size, b=lambda f: f.b * size))

    whole = mixed(20_000, 2)
    frame = freeze_frame(whole)
    factor = sampling_factor(whole, sum_moments(whole, frame))[0, 1]
    drawn = [sum_moments(mixed(400, 100 + seed), frame).correlations()[0, 1] for seed in range(300)]
    assert factor == pytest.approx(400 * float(np.var(np.arctanh(drawn))), rel=0.25)
    assert factor > 1.3


def test_days_that_differ_widen_the_limit() -> None:
    """The correlation changes from day to day in the reference; that is no drift."""
    random = np.random.default_rng(5)
    days = [rows(200, seed, correlation=0.5 + random.normal(0, 0.15)) for seed in range(20)]
    reference = sample(pd.concat(days, ignore_index=True))
    blocks = [np.arange(200 * day, 200 * (day + 1)) for day in range(20)]
    window = sample(rows(2000, 77, correlation=0.68))
    plain = sample(rows(4000, 6, correlation=0.5))
    assert CorrelationChange().fit(plain).score(window).verdict == "alarm"
    assert CorrelationChange().fit(reference, blocks).score(window).verdict == "ok"


def test_a_pair_that_changed_is_named_with_both_correlations() -> None:
    found = fitted(CorrelationChange).score(sample(rows(1000, 1, correlation=0.2)))
    first = found.details["pairs"][0]
    assert first["columns"] == ["a", "b"]
    assert first["reference"] == pytest.approx(0.8, abs=0.03)
    assert first["current"] == pytest.approx(0.2, abs=0.1)
    assert found.details["pairs_changed"] == 1
    assert "correlation of a and b from 0.79 to 0.23 (limit ±0.10), 1,000 rows" in found.text


def test_merged_moments_equal_the_moments_of_all_rows() -> None:
    frame = rows(1000, 3)
    frame.loc[::7, "a"] = np.nan
    frame.loc[5, "b"] = 1e9
    whole = sample(frame)
    ruler = freeze_frame(whole)
    merged = sum_moments(sample(frame[:300]), ruler).merge(sum_moments(sample(frame[300:]), ruler))
    expected = sum_moments(whole, ruler)
    np.testing.assert_array_equal(merged.rows, expected.rows)
    np.testing.assert_allclose(merged.correlations(), expected.correlations(), rtol=1e-12)
    again = Moments.from_json(merged.to_json())
    np.testing.assert_array_equal(again.correlations(), merged.correlations())
    with pytest.raises(ValueError, match="different frames"):
        merged.merge(sum_moments(whole, freeze_frame(sample(frame[:10]))))


def test_correlations_are_pearsons_over_complete_pairs() -> None:
    frame = rows(500, 4)
    frame.loc[::5, "a"] = np.nan
    straight = Frame(tuple("abcd"), ((-1e3, 1e3),) * 4, ((-1e3, 1e3),) * 4)
    ours = sum_moments(sample(frame), straight).correlations()
    np.testing.assert_allclose(ours, frame[list("abcd")].corr().to_numpy(), rtol=1e-9)


def test_the_classifier_names_the_columns_it_used() -> None:
    found = fitted(DomainClassifier).score(sample(rows(500, 1, correlation=-0.8)))
    assert set(list(found.details["columns"])[:2]) == {"a", "b"}


def test_a_window_that_changes_within_itself_is_told_apart_the_wrong_way_round() -> None:
    found = fitted(DomainClassifier).score(sample(rows(500, 1).sort_values("a")))
    assert found.value is not None and found.value < 0.4
    assert found.verdict == "alarm"


def test_a_column_that_names_the_time_is_called_out() -> None:
    frame = rows(1500, 0).assign(c=np.arange(1500))
    found = DomainClassifier().fit(sample(frame)).score(sample(rows(500, 1)))
    assert found.verdict == "inconclusive"
    assert "mostly by c" in str(found.reason)


def test_columns_are_read_from_arrow_as_from_pandas() -> None:
    frame = pd.DataFrame(
        {"a": ["1.5", "x", None], "kind": [1.0, 2.5, np.nan], "c": [[1], [2], [3]], "d": [True, False, True]}
    )
    columns = [Column("a", "numeric"), Column("kind", "categorical"), Column("c", "numeric"),
               Column("d", "categorical"), Column("gone", "numeric")]  # fmt: skip
    for source in (frame, pa.Table.from_pandas(frame)):
        read = read_sample(source, columns)
        np.testing.assert_array_equal(read.numeric["a"], [1.5, np.nan, np.nan])
        assert list(read.categorical["kind"]) == ["1", "2.5", None]
        assert list(read.categorical["d"]) == ["true", "false", "true"]
        assert np.isnan(read.numeric["c"]).all() and np.isnan(read.numeric["gone"]).all()


@pytest.mark.slow
def test_without_clipping_the_values_are_nannymls() -> None:
    import warnings

    reference, window = rows(2000, 0), rows(700, 1, correlation=0.3)
    window.loc[:20, "kind"] = "new"
    for frame in (reference, window):
        frame.loc[::11, "c"] = np.nan
        frame.loc[1::13, "kind"] = np.nan
    names = [column.name for column in COLUMNS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nannyml import DataReconstructionDriftCalculator, DomainClassifierCalculator

        pca = DataReconstructionDriftCalculator(column_names=names, chunk_number=1).fit(reference.copy())
        rebuilt = pca.calculate(window.copy()).filter(period="analysis").to_df()
        told = DomainClassifierCalculator(feature_column_names=names, chunk_number=1).fit(reference.copy())
        apart = told.calculate(window.copy()).filter(period="analysis").to_df()
    ours = PcaReconstruction(clip=False).fit(sample(reference)).score(sample(window))
    assert ours.value == pytest.approx(float(rebuilt[("reconstruction_error", "value")].iloc[0]), rel=1e-9)
    auroc, _ = tell_apart(sample(reference), sample(window))
    assert auroc == pytest.approx(float(apart[("domain_classifier_auroc", "value")].iloc[0]), rel=1e-9)
