"""The picture of lineage: a box for each thing, a line for each step, and what nobody recorded is not left out."""

from __future__ import annotations

from app.charts.lineage import lineage_figure
from app.components.lineage import lineage_list
from backend.assurance.lineage import Lineage, Node

FOUND = Lineage(
    [
        Node("data:1", "data", "0a1b2c", "1,000 rows"), Node("code:?1", "code", "not recorded", known=False),
        Node("run:r1", "run", "<r1>"), Node("version:1", "version", "v1", version=1),
        Node("version:2", "version", "v2", version=2), Node("change:7", "change", "CHG-7", change_id=7),
    ],
    [("data:1", "run:r1"), ("code:?1", "run:r1"), ("run:r1", "version:1"), ("run:r1", "version:2"),
     ("version:1", "change:7")],
    2,
)  # fmt: skip


def test_a_box_for_each_thing_and_a_line_for_each_step() -> None:
    shapes = lineage_figure(FOUND).layout.shapes
    boxes = [one for one in shapes if one.type == "rect"]
    assert len(boxes) == len(FOUND.nodes)
    assert len(shapes) - len(boxes) == len(FOUND.edges)
    assert [one.line.dash for one in boxes].count("dot") == 1


def test_names_are_text_and_never_markup() -> None:
    texts = " ".join(one.text for one in lineage_figure(FOUND).layout.annotations)
    assert "&lt;r1&gt;" in texts
    assert "<r1>" not in texts
    assert "&lt;r1&gt;" in str(lineage_list(FOUND, "toy"))


def test_the_list_says_of_each_version_what_led_to_it_and_what_became_of_it() -> None:
    first, second = str(lineage_list(FOUND, "toy")).split("<strong>v2</strong>")
    for part in ("1,000 rows", "not recorded", "CHG-7", "/change?id=7"):
        assert part in first, part
    assert "1,000 rows" in second
    assert "CHG-7" not in second


def test_without_versions_it_says_what_to_do() -> None:
    assert "Register one" in lineage_figure(Lineage()).layout.annotations[0].text
