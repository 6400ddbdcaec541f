"""Charts of documents: what is drawn is what was measured, in black and white, and nothing of a writer runs."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader

from backend.documents import Chart, Line, Sheet, chart_svg, html_of
from backend.documents.chart import lay_out
from backend.documents.pdf import pdf_of

SHEET = Sheet("Plots", "plots/1", "sha256:" + "ab" * 32, datetime(2026, 3, 1, 9, 5, 7, tzinfo=UTC))
DAY = 86_400.0
HOSTILE = '<script>alert(1)</script> & "x" ]]>'


def chart(*values: float | None, marks: tuple[tuple[float, float], ...] = (), name: str = "AUC") -> Chart:
    return Chart(
        f"{name} of toy", (Line(name, tuple((DAY * at, one) for at, one in enumerate(values))),), marks
    )


def test_a_value_lies_where_its_ticks_say() -> None:
    drawn = lay_out(chart(0.4, 0.75, 1.0))
    assert drawn is not None
    ((_, dash, (run,)),) = drawn.paths
    assert (dash, [x for x, _ in run]) == ("solid", [0.0, 0.5, 1.0])
    ticks = {float(label): y for y, label in drawn.y_ticks}
    assert (run[0][1], run[-1][1]) == pytest.approx((ticks[0.4], ticks[1.0]))
    assert drawn.x_ticks[0] == (0.0, "1970-01-01")


def test_what_is_not_known_breaks_the_line() -> None:
    drawn = lay_out(chart(1.0, None, 2.0, 3.0, float("nan"), 4.0))
    assert drawn is not None
    assert [len(run) for run in drawn.paths[0][2]] == [1, 2, 1]
    assert lay_out(chart(None, float("inf"))) is None
    assert "nothing was measured" in chart_svg(chart(None))


def test_counts_have_whole_ticks_from_zero() -> None:
    drawn = lay_out(chart(0.0, 0.0, 0.0))
    assert drawn is not None
    assert [label for _, label in drawn.y_ticks] == ["0", "1"]


@given(st.lists(st.none() | st.floats(-1e12, 1e12), max_size=20))
def test_everything_lies_within_the_chart(values: list[float | None]) -> None:
    drawn = lay_out(chart(*values))
    if drawn is not None:
        for _, _, runs in drawn.paths:
            assert all(-1e-6 <= part <= 1 + 1e-6 for run in runs for place in run for part in place)


def test_an_svg_is_a_picture_and_nothing_else() -> None:
    svg = chart_svg(chart(1.0, 2.0, marks=((DAY, 2.0),), name=HOSTILE))
    tags = {one.tag.rpartition("}")[2] for one in ET.fromstring(svg).iter()}  # noqa: S314 - our own text
    assert tags == {"svg", "title", "rect", "text", "polyline"}
    assert "<script" not in svg
    assert {one for one in ("black", "white", "#ccc") if one in svg} == {"black", "white", "#ccc"}
    assert "alarm: filled square" in svg
    assert svg in html_of([chart(1.0, 2.0, marks=((DAY, 2.0),), name=HOSTILE)])


def test_a_pdf_draws_lines_and_names_them_and_is_the_same_each_time() -> None:
    blocks = [chart(0.5, 0.6, None, 0.7, marks=((DAY, 0.6),)), chart(None), chart(3.0)]
    body = pdf_of(SHEET, blocks)
    assert body == pdf_of(SHEET, blocks)
    (page,) = PdfReader(io.BytesIO(body)).pages
    text = page.extract_text()
    assert "AUC: solid; alarm: filled square" in text
    assert "nothing was measured" in text
    assert not page.images
