"""A drawn figure comes with its numbers, unless the page links to them or there is nothing."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest


def page(empty: bool, rows: bool) -> None:
    import plotly.graph_objects as go

    from app.charts.frame import empty_figure
    from app.components.charts import draw

    figure = empty_figure("Nothing", "Wait.") if empty else go.Figure(go.Bar(x=["a"], y=[1.0], name="one"))
    draw(figure, "what one is", key="one", rows=rows)


@pytest.mark.parametrize(("empty", "rows", "offered"), [(False, True, 1), (True, True, 0), (False, False, 0)])
def test_the_numbers_of_a_figure_are_offered(empty: bool, rows: bool, offered: int) -> None:
    test = AppTest.from_function(page, kwargs={"empty": empty, "rows": rows}, default_timeout=60).run()
    assert not test.exception
    assert len(test.get("plotly_chart")) == 1
    assert len(test.get("download_button")) == offered
