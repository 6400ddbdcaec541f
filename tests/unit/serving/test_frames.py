"""Rows as they are asked for, as the frame that a model takes."""

from __future__ import annotations

from backend.observations.schema import Kind
from backend.serving.frames import frame_of


def test_columns_have_the_types_of_their_kinds_in_the_order_asked_for_and_what_is_lacking_is_missing() -> (
    None
):
    kinds: dict[str, Kind] = {"distance": "numeric", "carrier": "categorical", "origin": "categorical"}
    found = frame_of([{"distance": 1, "carrier": "AA", "other": 3.0}, {}], ("carrier", "distance"), kinds)
    assert list(found.columns) == ["carrier", "distance"]
    assert [str(one) for one in found.dtypes] == ["object", "float64"]
    assert found["carrier"].isna().tolist() == found["distance"].isna().tolist() == [False, True]
