"""Embedding columns: their mean, a linear classifier, and whatever else a list of floats may hold."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from backend.monitoring.embeddings import (
    FittedEmbedding,
    Vectors,
    compare_embedding,
    fit_embedding,
    read_vectors,
)
from backend.monitoring.evaluate import Point

DIMENSION = 16
MIX = np.random.default_rng(9).normal(size=(DIMENSION, DIMENSION)) / 4


def vectors(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Correlated dimensions, with a mean far from zero."""
    return np.random.default_rng(seed).normal(size=(count, DIMENSION)) @ MIX + 3 + shift


def column(values: object) -> Vectors:
    return read_vectors(pa.table({"e": pa.array(list(values))}), "e", DIMENSION)  # type: ignore[call-overload]


@cache
def fitted() -> FittedEmbedding:
    found = fit_embedding("e", column(vectors(2000, 0)))
    assert isinstance(found, FittedEmbedding)
    return found


def compared(window: Vectors) -> dict[str, Point]:
    return {point.statistic: point for point in compare_embedding(fitted(), "e", window)}


def test_a_window_like_the_reference_is_ok() -> None:
    found = compared(column(vectors(500, 1)))
    assert {point.verdict for point in found.values()} == {"ok"}
    assert found["embedding_shift"].value == pytest.approx(1.0, abs=0.5)
    assert found["embedding_classifier"].value == pytest.approx(0.5, abs=0.06)
    assert compared(column(vectors(500, 1))) == found


def test_a_moved_mean_alarms_both_as_a_ticket() -> None:
    found = compared(column(vectors(500, 1, shift=0.5)))
    for name in ("embedding_shift", "embedding_classifier"):
        assert (found[name].verdict, found[name].level) == ("alarm", "ticket")
    assert found["embedding_shift"].details["effect"] > 0.3


def test_quiet_means_seldom_alarm_in_few_and_many_dimensions() -> None:
    from backend.monitoring.embeddings import _judge_shift

    fired = 0
    for seed in range(4):
        wide = np.random.default_rng(seed).normal(size=(1000, 200))
        for values, count in ((vectors(1000, 50 + seed), DIMENSION), (wide, 200)):
            reference = read_vectors(pa.table({"e": list(values)}), "e", count)
            ready = fit_embedding("e", reference, [np.arange(200 * i, 200 * i + 200) for i in range(5)])
            assert isinstance(ready, FittedEmbedding)
            for window in range(25):
                random = np.random.default_rng(1000 * seed + window)
                quiet = (
                    vectors(100, 7000 + 100 * seed + window)
                    if count == DIMENSION
                    else random.normal(size=(100, 200))
                )
                z = (quiet - ready.mean) / ready.scale
                fired += _judge_shift(ready, z, alpha=0.005).verdict == "alarm"
    assert fired / 200 <= 0.02


def test_days_that_differ_widen_the_limit() -> None:
    random = np.random.default_rng(2)
    days = [vectors(100, seed, shift=random.normal(0, 0.4)) for seed in range(20)]
    blocks = [np.arange(100 * day, 100 * day + 100) for day in range(20)]
    known = fit_embedding("e", column(np.concatenate(days)), blocks)
    window = column(vectors(300, 77, shift=0.5))
    assert compare_embedding(known, "e", window)[1].verdict == "ok"
    assert compared(window)["embedding_shift"].verdict == "alarm"


def test_missing_broken_and_misfit_vectors_have_a_place_and_stop_nothing() -> None:
    values: list[object] = list(vectors(500, 3))
    values[0], values[1] = None, [np.nan] * DIMENSION
    values[2], values[3] = [np.inf] * DIMENSION, [1.0, 2.0]
    read = column(values)
    assert (read.rows, len(read.values), read.null, read.broken, read.misfit) == (500, 496, 1, 2, ((2, 1),))
    np.testing.assert_array_equal(read.places, np.arange(4, 500))
    assert {point.verdict for point in compared(read).values()} == {"ok"}
    assert read.told == "1 missing, 2 with NaN or infinity, 1 of length 2"


def test_a_changed_dimension_is_an_alarm_that_says_so() -> None:
    found = compared(column(np.ones((300, 8))))
    unusable = found["embedding_unusable"]
    assert (unusable.verdict, unusable.value) == ("alarm", 1.0)
    assert "300 of length 8" in unusable.text
    assert found["embedding_shift"].verdict == "inconclusive"
    assert "300 of length 8" in str(found["embedding_shift"].reason)


def test_absent_null_and_text_columns_are_unusable_and_not_an_error() -> None:
    for table in (
        pa.table({"x": [1] * 200}),
        pa.table({"e": pa.nulls(200)}),
        pa.table({"e": ["text"] * 200}),
        pa.table({"e": [1.5] * 200}),
        pa.table({"e": [[None] * DIMENSION] * 200}),
        pd.DataFrame({"e": [None] * 200}),
        pd.DataFrame({"e": ["text"] * 200}),
    ):
        read = read_vectors(table, "e", DIMENSION)
        assert (read.rows, len(read.values)) == (200, 0)
        assert compared(read)["embedding_unusable"].verdict == "alarm"


def test_small_and_empty_windows_and_references_are_inconclusive() -> None:
    assert {point.verdict for point in compared(column([])).values()} == {"no_data"}
    assert {point.verdict for point in compared(column(vectors(20, 1))).values()} == {"inconclusive"}
    small = fit_embedding("e", column(vectors(30, 1)))
    assert small == "the reference has 30 usable vectors and 250 are needed"
    assert {point.reason for point in compare_embedding(small, "e", column(vectors(500, 1)))} == {small}


def test_vectors_are_read_alike_from_arrow_and_pandas() -> None:
    values = vectors(10, 1)
    frame = pd.DataFrame({"e": list(values.astype("float32"))})
    fixed = pa.table({"e": pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), DIMENSION)})
    for source in (frame, pa.Table.from_pandas(frame), fixed):
        read = read_vectors(source, "e")
        assert read.dimension == DIMENSION
        np.testing.assert_allclose(read.values, values, rtol=1e-6)
