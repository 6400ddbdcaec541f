"""Figures as a table, on the terminal and in `docs/benchmarks.md`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.figures import Figure

PAGE: Final = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- results: begin -->\n", "<!-- results: end -->\n"
_HEADINGS: Final = ("figure", "value", "target", "met", "peer", "ratio", "rows")


def as_table(figures: Sequence[Figure]) -> str:
    """A Markdown table, its columns aligned."""
    rows = [_HEADINGS, *(_cells(one) for one in figures)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADINGS))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    machines: dict[str, str] = {}
    for one in figures:
        machines.setdefault(one.get("benchmark", one["name"]), f"{one['measured_on']}, {one['machine']}")
    notes = [f"{name}: {machine}" for name, machine in machines.items()]
    reasons = [f"{one['name']} was not measured: {one['reason']}" for one in figures if "reason" in one]
    return "\n".join([*lines, "", *(f"- {line}" for line in [*notes, *reasons]), ""])


def write_table(figures: Sequence[Figure], benchmarks: Sequence[str] = (), page: Path = PAGE) -> None:
    """Put the table between the marks of the page."""
    if page.exists():
        page.write_text(with_table(page.read_text(), figures, benchmarks))


def with_table(text: str, figures: Sequence[Figure], benchmarks: Sequence[str] = ()) -> str:
    """The page's text with the table of these figures, and which of the benchmarks have none."""
    before, rest = text.split(BEGIN)
    known = {one.get("benchmark") for one in figures}
    missing = [
        f"- {name}: no figure is kept; `make bench NAME={name}` measures it\n"
        for name in benchmarks
        if name not in known
    ]
    return f"{before}{BEGIN}{as_table(figures)}{''.join(missing)}{END}{rest.split(END)[1]}"


def _cells(one: Figure) -> tuple[str, ...]:
    met = {True: "yes", False: "no", None: "-"}[one["met"]]
    peer = "-" if one["peer"] is None else f"{one['peer']}: {_number(one['peer_value'])} {one['unit']}"
    ratio = "-" if one["ratio"] is None else f"{one['ratio']:g}"
    target = "-" if one["target"] is None else f"{_number(one['target'])} {one['unit']}"
    value = "-" if one["value"] is None else f"{_number(one['value'])} {one['unit']}"
    return (one["name"], value, target, met, peer, ratio, _number(one["rows"]))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,g}" if abs(value) < 1000 else f"{value:,.0f}"
