"""Segments of profiles and of performance are the same rows under the same names."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from backend.monitoring.columns import parse_spec
from backend.monitoring.profiles import freeze_grids
from backend.monitoring.references import add_segments, measure_reference
from backend.monitoring.segments import ALL, measure_parts, profile_parts, segment_grids

SPEC = parse_spec(
    {
        "task": "binary", "segments": ["shop", "seats", "fare"],
        "features": {"shop": "categorical", "seats": "numeric", "fare": "numeric"},
    }
)  # fmt: skip


def rows(count: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    shop = np.array([f"s{number}" for number in random.geometric(0.1, count)], dtype=object)
    shop[:5] = None
    fare = random.lognormal(size=count)
    fare[:7] = [np.nan, np.inf, -np.inf, 1e9, -5.0, 0.0, fare.max()]
    return pa.table(
        {
            "shop": pa.array(shop.tolist()), "seats": random.integers(0, 6, count), "fare": fare,
            "score": random.random(count), "prediction": random.choice(["0", "1"], count),
            "label": random.choice(["0", "1"], count), "part": np.zeros(count, dtype=np.int64),
        }
    )  # fmt: skip


def test_profiles_and_performance_part_the_rows_alike() -> None:
    grids = freeze_grids(rows(3000, 1), SPEC.columns)
    by = segment_grids(SPEC, grids)
    current = rows(1500, 2)
    parts = profile_parts(current, grids, "part", by)[0]
    counted = {segment: columns["score"].rows for segment, columns in parts.items() if segment != ALL}
    measured = {segment: one.rows for segment, one in measure_parts(SPEC, current, by).items()}
    assert measured == counted
    assert {"shop=other", "shop=missing", "seats=3", "fare=missing", "fare=other"} <= set(counted)
    for column in by:
        assert sum(n for segment, n in counted.items() if segment.startswith(f"{column}=")) == 1500


def test_a_reference_keeps_the_segments_that_windows_can_be_held_against() -> None:
    table = rows(3000, 1)
    measured = add_segments(measure_reference(table.to_pandas(), SPEC), table, SPEC)
    assert all(columns["score"].rows >= SPEC.min_rows for columns in measured.segments.values())
    assert set(measured.segment_performance) == set(measured.segments)
    assert "shop=s1" in measured.segments
    assert "shop=missing" not in measured.segments
