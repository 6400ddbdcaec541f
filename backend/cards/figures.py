"""Figures that a card's text states: in prose, emphasised or not ("**AUC**: 0.91"), and in tables.

A table states a figure by a row that begins with the metric's name, or by a column that is headed with it. Columns and
rows that speak of something else (training, a baseline, a limit, a segment) state none. Repetitions are bounded: a
hostile text must not make this slow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_NAME: Final = (
    r"(?:ROC|PR)[ _-]?AUC|AUROC|AUPRC|AUC|area under the (?:ROC )?curve|(?:balanced )?accuracy|average[ _]precision|"
    r"precision|recall|F1|MAE|RMSE|MAPE|MSE|mean[ _]absolute[ _]error|root[ _]mean[ _]squared[ _]error|R²|R2|"
    r"Brier(?: score)?|log[ _-]?loss"
)
_NUMBER: Final = r"\d{1,3}(?:\.\d{1,4})? ?%|\d{0,6}\.\d{1,6}|0,\d{1,6}"
_WHERE: Final = (
    r"(?: ?\([^()\n]{0,40}\))?(?: (?:on|in|for|over) (?:(?:the|our|its|all) )?[\w-]{1,20}(?: [\w-]{1,20})?)?"
)
_SAYS: Final = (
    r"(?: (?:of|is|was|are|about|around|at|=|:|remain(?:s|ed)|reach(?:es|ed)|equals|stays at)){0,3}"
)
_PROSE: Final = re.compile(
    rf"\b({_NAME})(?:[ _-]score)?{_WHERE}{_SAYS}[ :=≈~]{{1,4}}({_NUMBER})(?![\w%])", re.IGNORECASE
)
_BEFORE: Final = re.compile(
    rf"\b(?:reach\w{{0,3}}|achiev\w{{0,3}}|attain\w{{0,3}}|has|have|gives?|scor\w{{0,3}}) (?:an? |about )?({_NUMBER}) "
    rf"({_NAME})\b(?! points?)",
    re.IGNORECASE,
)
_NAME_CELL: Final = re.compile(rf"({_NAME})(?:[ _-]score)?(?: ?\([^()]{{0,40}}\))?:?", re.IGNORECASE)
_NUMBER_CELL: Final = re.compile(rf"({_NUMBER})(?: ?[±(\[].{{0,60}})?")
_RULE: Final = re.compile(r"[ \t|:-]{3,2000}")
_OTHER: Final = re.compile(
    r"train|baseline|previous|before|limit|threshold|target|alarm|minimum|maximum|required|low|high|±|interval",
    re.IGNORECASE,
)
_WHOLE: Final = re.compile(
    r"(?:overall|all|total|test|held[ -]?out|validation|model|value|live|whole).{0,40}", re.IGNORECASE
)
_LINK: Final = re.compile(r"\[([^\[\]\n]{0,200})\]\([^()\n]{0,400}\)")
_EMPHASIS: Final = re.compile(r"[*`]|(?<!\w)_{1,3}|_{1,3}(?!\w)|</?[A-Za-z]{1,10}>")


@dataclass(frozen=True)
class Figure:
    """line: counted from 1 in the text that was looked at. words: the figure as it is written there."""

    name: str
    value: float
    words: str
    line: int


def figures_in(text: str) -> Iterator[Figure]:
    """Every figure that a text states, in its order."""
    lines = [_EMPHASIS.sub("", _LINK.sub(r"\1", line)) for line in text.split("\n")]
    header: list[str] = []
    for index, line in enumerate(lines):
        cells = _cells(line)
        if not cells:
            header = []
        elif index + 1 < len(lines) and _is_rule(lines[index + 1]):
            header = cells
            continue
        elif _is_rule(line):
            continue
        found = list(_of_row(cells, header, alone=_stands_alone(lines, index), line=index + 1))
        yield from found or _of_prose(line, index + 1)


def _of_prose(line: str, number: int) -> list[Figure]:
    found = [_figure(one[1], one[2], number) for one in _PROSE.finditer(line)]
    return found or [_figure(one[2], one[1], number) for one in _BEFORE.finditer(line)]


def _of_row(cells: list[str], header: list[str], *, alone: bool, line: int) -> Iterator[Figure]:
    heads = header + [""] * (len(cells) - len(header))
    for at, cell in enumerate(cells):
        name = _NAME_CELL.fullmatch(cell)
        if name is None:
            continue
        values = (
            (head, _NUMBER_CELL.fullmatch(one))
            for head, one in zip(heads[at + 1 :], cells[at + 1 :], strict=False)
        )
        stated = next((one for head, one in values if one and not _OTHER.search(head)), None)
        if stated is not None:
            yield _figure(name[1], stated[1], line)
            return
    if not (alone or (cells and _WHOLE.fullmatch(cells[0]))):
        return
    for head, cell in zip(heads, cells, strict=False):
        name, stated = _NAME_CELL.fullmatch(head), _NUMBER_CELL.fullmatch(cell)
        if name and stated:
            yield _figure(name[1], stated[1], line)


def _stands_alone(lines: list[str], index: int) -> bool:
    """Whether this is the one row of its table."""
    follows = index + 1 < len(lines) and bool(_cells(lines[index + 1]))
    return index >= 2 and _is_rule(lines[index - 1]) and not follows


def _is_rule(line: str) -> bool:
    return "-" in line and "|" in line and _RULE.fullmatch(line) is not None


def _cells(line: str) -> list[str]:
    bare = line.strip()
    return [cell.strip() for cell in bare.strip("|").split("|")] if "|" in bare else []


def _figure(name: str, number: str, line: int) -> Figure:
    value = float(number.replace(",", ".").rstrip("% ")) / (100 if "%" in number else 1)
    return Figure(name, value, number, line)
