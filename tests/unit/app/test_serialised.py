"""A figure that is kept is written as JSON once, and what browsers get is what they got before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io._json
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app.charts.rows import figure_csv, has_rows
from app.charts.serialised import SerialisedFigure
from app.data.kept import until_changed

VALUES = ([1.0, float("nan")], [2.0, 3.0])


def draw_line(values: list[float]) -> go.Figure:
    return go.Figure(go.Scatter(y=values, uid="x"), layout={"height": 123, "title": "NaN"})


def sent_by(ask: Callable[[list[float]], go.Figure]) -> list[Any]:
    """What a page with two such figures has its browser draw."""

    def page(ask, values):  # type: ignore[no-untyped-def]  # its source runs without our imports
        import streamlit as st

        for one in values:
            st.plotly_chart(ask(one), key=str(one))

    found = AppTest.from_function(page, kwargs={"ask": ask, "values": VALUES}).run()
    assert not found.exception
    return [(one.proto.spec, one.proto.id, one.proto.config) for one in found.get("plotly_chart")]


def test_a_kept_figure_is_serialised_once_for_all_who_may_see_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    st.cache_resource.clear()
    encode = plotly.io._json.to_json_plotly
    written: list[Any] = []

    def count(*args: Any, **options: Any) -> str:
        written.append(args)
        return str(encode(*args, **options))

    plain = sent_by(draw_line)
    assert len(plain) == 2 and '"y":[2.0,3.0]' in plain[1][0]
    monkeypatch.setattr("plotly.io._json.to_json_plotly", count)
    ask = until_changed(draw_line)
    for _ in range(3):  # three people
        assert sent_by(ask) == plain
    assert len(written) == 2
    assert len(sent_by(draw_line)) == 2 and len(written) == 4, "what is not kept is written each time"


def test_a_kept_figure_has_the_height_it_was_drawn_with() -> None:
    kept = SerialisedFigure(draw_line([1.0]))
    assert kept.to_dict()["layout"] == {"height": 123}
    assert kept.to_dict().text == draw_line([1.0]).to_json()


def test_the_numbers_of_a_kept_figure_are_those_that_were_drawn() -> None:
    figure = go.Figure([
        go.Heatmap(x=["a", "b"], y=["one", "two", "three"], z=np.arange(6.0).reshape(3, 2)),
        go.Scatter(x=np.array([1, 2]), y=np.array([0.5, 0.25]), name="line", customdata=["said", ""]),
        go.Bar(x=[3.0], y=["=HYPERLINK()"], name="bars"),
    ])  # fmt: skip
    kept = SerialisedFigure(figure)
    assert has_rows(kept) and figure_csv(kept) == figure_csv(figure)
    assert figure_csv(kept).count("\n") == 1 + 6 + 2 + 1
    assert not has_rows(SerialisedFigure(go.Figure()))
