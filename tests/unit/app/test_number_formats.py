"""No page, component or chart writes a number in a way of its own: `app.formats` does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from app import words
from app.formats import (
    UNKNOWN,
    format_bytes,
    format_latency,
    format_metric,
    format_points,
    format_rate,
    gini_beside,
)  # fmt: skip
from backend.settings import Settings

ROOT = Path(__file__).parents[3]
FILES = sorted([*(ROOT / "app").rglob("*.py"), *(ROOT / "pages").rglob("*.py")])
HOME_MADE = re.compile(r"(\.\d|[eEf%]$|^\+)")
"""Digits, signs, exponents and per cents. Thousands in a count (`,`) and a number as it was set (`g`) are one way."""
ON_PLOTLY = re.compile(r"%\{[^}|]*:[^}]*\}|^[+,~]*\.\d+[~efgs%r]*$")
COORDINATES = {
    "app/plain_figure.py": "places in a picture",
    "app/charts/sparklines.py": "places in a picture",
    "app/components/progress.py": "the width of a bar, in a style",
    "app/theme.py": "the opacity of a colour",
}
"""Numbers that no person reads."""


def home_made(source: str) -> list[str]:
    """Format specifications, d3 formats, `%` and `round` by which a text writes numbers itself."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FormattedValue) and isinstance(node.format_spec, ast.JoinedStr):
            spec = "".join(str(one.value) for one in node.format_spec.values if isinstance(one, ast.Constant))
            if HOME_MADE.search(spec) and "%" not in spec.rstrip("%"):
                found.append(spec)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and ON_PLOTLY.search(node.value):
            found.append(node.value)
        elif (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Mod)
            and isinstance(node.left, ast.Constant)
        ):
            found += re.findall(r"%[\d.]*[dfge]", str(node.left.value))
    return found


@pytest.mark.parametrize(
    "source",
    [
        'f"{x:.2f}"',
        'f"{x:.1%}"',
        'f"{x:+.3g}"',
        'f"{x:,.0f}"',
        '"%{y:.3f}"',
        '"%.2f" % x',
        'axis(tickformat=".0%")',
    ],
)
def test_the_walk_finds_what_it_looks_for(source: str) -> None:
    assert home_made(source)


def test_the_walk_leaves_counts_dates_and_set_numbers() -> None:
    assert home_made('f"{n:,} {at:%Y-%m-%d} {hours:g} {name:>3}" + "%{x}" + "100 %"') == []


def test_every_number_is_written_by_the_formats() -> None:
    own = {}
    for file in FILES:
        name = str(file.relative_to(ROOT))
        if name != "app/formats.py" and name not in COORDINATES and (found := home_made(file.read_text())):
            own[name] = found
    assert own == {}


def test_exceptions_are_still_there_and_needed() -> None:
    for name in COORDINATES:
        assert home_made((ROOT / name).read_text()), name


@pytest.mark.parametrize(
    ("value", "of", "text"),
    [
        (1.0, "roc_auc", "1.000"), (0.6431, "AUC", "0.643"), (0.18234, "psi", "0.18"), (12.345, "PSI", "12.35"),
        (0.0021, "PSI", "<0.01"), (0, "PSI", "0.00"), (0.18234, "jensen_shannon", "0.182"),
    ],
)  # fmt: skip
def test_auc_has_three_decimals_and_psi_two(value: float, of: str, text: str) -> None:
    assert format_metric(value, of=of) == text


def test_gini_stands_beside_auc_alone_and_where_it_is_wished() -> None:
    assert gini_beside(0.643, of="roc_auc", wished=True) == " (Gini 0.286)"
    assert gini_beside(0.643, of="accuracy", wished=True) == ""
    assert gini_beside(0.643, of="roc_auc", wished=False) == gini_beside(None, of="AUC", wished=True) == ""


def test_a_metric_is_told_with_its_gini_and_its_change_in_its_own_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(words, "settings", lambda: Settings(show_gini=True))
    assert words.metric_text("roc_auc", 0.643) == "0.643 (Gini 0.286)"
    monkeypatch.setattr(words, "settings", Settings)
    assert words.metric_text("roc_auc", 0.643) == "0.643"
    assert words.metric_change("roc_auc", 0.64, 0.58) == "\u22126.0 points"
    assert words.metric_change("mae", 12.0, 12.3) == "+0.300"


def test_changes_are_told_in_points_and_rates_with_what_they_are_of() -> None:
    assert format_points(0.64, 0.578) == "\u22126.2 points"
    assert format_points(0.64, 0.6401) == "+<0.1 points"
    assert format_points(0.5, 0.5) == "no change"
    assert format_points(None, 0.5) == UNKNOWN
    assert format_rate(23, 741).replace("\u202f", " ") == "3.1 % (23 of 741)"
    assert format_rate(0, 0) == UNKNOWN
    assert format_latency(0.1824).replace("\u202f", " ") == "182 ms"
    assert [format_bytes(n).replace("\u202f", " ") for n in (640, 41_300, 1_234_567, 325_000_000, 3_400_000_000)] == [
        "640 B", "41 kB", "1.2 MB", "325.0 MB", "3.4 GB",
    ]  # fmt: skip
