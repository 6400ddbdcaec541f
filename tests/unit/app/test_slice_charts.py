"""The figures of the slices page: what is inside, elsewhere and in the reference, and which column fell most."""

from __future__ import annotations

from typing import Any

from app.charts.slices import MOST_SLICES, slices_figure, values_figure


def one_slice(text: str, effect: float, **more: Any) -> dict[str, Any]:
    return {
        "conditions": [{"text": text, "column": "c"}], "inside": 0.52, "outside": 0.71, "reference_inside": 0.69,
        "rows": 300, "share": 0.1, "effect": effect,
    } | more  # fmt: skip


def cell(value: str, now: float | None, before: float | None, rows: int = 100) -> dict[str, Any]:
    return {"value": value, "metric": now, "reference_metric": before, "rows": rows, "share": 0.2}


def test_a_slice_stands_beside_elsewhere_and_its_own_reference_with_its_cost() -> None:
    figure = slices_figure([one_slice("shop = north", 0.043)], metric="AUC", scale=100, unit="points")
    found = {one.name: list(one.x) for one in figure.data if one.name}
    assert found["inside"] == [0.52] and found["elsewhere"] == [0.71]
    assert found["inside, in the reference"] == [0.69]
    (cost,) = (one for one in figure.data if one.type == "bar")
    assert list(cost.x) == [4.3] and list(cost.text) == ["4.3 worse"]
    assert "300 rows, 10.0\u202f% of the window" in cost.customdata[0]


def test_a_slice_without_rows_in_the_reference_has_no_mark_of_it() -> None:
    figure = slices_figure([one_slice("x", 0.1, reference_inside=None)], metric="AUC", scale=1, unit="")
    assert next(list(one.x) for one in figure.data if one.name == "inside, in the reference") == [None]


def test_so_many_slices_are_drawn_and_none_is_said() -> None:
    many = [one_slice(f"x = {number}", 0.1) for number in range(MOST_SLICES + 5)]
    figure = slices_figure(many, metric="AUC", scale=1, unit="")
    assert len(next(one for one in figure.data if one.type == "bar").x) == MOST_SLICES
    assert (
        "No slice stands out" in slices_figure([], metric="AUC", scale=1, unit="").layout.annotations[0].text
    )


def test_the_column_that_fell_most_comes_first_whichever_way_is_up() -> None:
    segments = [
        {"column": "calm", "cells": [cell("a", 0.70, 0.71)]},
        {"column": "fell", "cells": [cell("b", 0.60, 0.71), cell("c", 0.72, 0.71, rows=500)]},
        {"column": "few", "cells": [cell("d", None, None)]},
    ]
    up = values_figure(segments, metric="AUC", upwards=True)
    assert [one.text for one in up.layout.annotations] == ["fell", "calm"]
    assert list(up.data[0].y) == ["c", "b"], "most rows on top"
    down = values_figure(segments, metric="RMSE", upwards=False)
    assert [one.text for one in down.layout.annotations] == ["fell", "calm"]
    risen = [
        {"column": "calm", "cells": [cell("a", 0.70, 0.71)]},
        {"column": "rose", "cells": [cell("b", 0.9, 0.7)]},
    ]
    assert values_figure(risen, metric="RMSE", upwards=False).layout.annotations[0].text == "rose"
    assert values_figure(risen, metric="AUC", upwards=True).layout.annotations[0].text == "calm"
