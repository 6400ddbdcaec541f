"""How both versions decide about protected groups: the gap of each column in a sentence, then every group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app.components.tables import Cell, badge, lines, small, table
from app.formats import NARROW, format_count, format_decimal, format_share, written
from app.plain_text import plain
from backend.governance.group_rates import FOUR_FIFTHS, verdict_of_ratio

SAYS = {
    "pass": ("four fifths or more", "ok"),
    "fail": ("below four fifths", "attention"),
    "inconclusive": ("open whether four fifths", "inconclusive"),
}


def show_groups(evidence: Mapping[str, Any], *, named: tuple[str, str] | None = None) -> None:
    """Folded unless a gap is below four fifths; nothing where the change is older than this part of the evidence.

    named   what both sides are called; None: by their versions
    """
    found = evidence.get("groups")
    if found is None:
        return
    told, is_bad = _in_short(found)
    with st.expander(f"Groups of people: {plain(told)}", expanded=is_bad):
        if found["known"]:
            _show_known(found, *(named or _versions(evidence)))
        else:
            st.caption(f"How groups of people fare is not known: {plain(found['why'])}.")


def _in_short(found: Mapping[str, Any]) -> tuple[str, bool]:
    """What is said of the gaps in a few words, and whether one is below four fifths."""
    if not found["known"]:
        return "not known", False
    columns = [column["column"] for column in found["columns"]]
    if not found["favourable"]:
        return f"{', '.join(columns)}; which decision is favourable is not declared", False
    says = [verdict_of_ratio(column["after"]["ratio"], FOUR_FIFTHS) for column in found["columns"]]
    failed = [name for name, one in zip(columns, says, strict=True) if one == "fail"]
    if failed:
        return f"{', '.join(failed)} below four fifths", True
    unclear = [name for name, one in zip(columns, says, strict=True) if one != "pass"]
    return (
        f"open of {', '.join(unclear)}" if unclear else f"{', '.join(columns)} four fifths or more"
    ), False


def _versions(evidence: Mapping[str, Any]) -> tuple[str, str]:
    before = f"v{evidence['before']['version']}" if evidence["before"] else "before"
    after = f"v{evidence['after']['version']}"
    return ("now", "then") if before == after else (before, after)


def _show_known(found: Mapping[str, Any], before: str, after: str) -> None:
    table(
        ("gap between groups", before, after, "says"),
        [row for column in found["columns"] for row in _gaps(column, declared=bool(found["favourable"]))],
        caption="gaps between protected groups",
    )
    st.caption(plain(_reading(found)))
    for column in found["columns"]:
        with st.expander(f"Every group of {plain(column['column'])} ({len(column['groups'])})"):
            _show_column(column, found, before, after)


def _reading(found: Mapping[str, Any]) -> str:
    said = {
        "positive": "A positive decision is the favourable one.",
        "negative": "A negative decision is the favourable one.",
        "": "Which decision is favourable is not declared (favourable, in the model's spec), so four fifths cannot be "
        "held against anything; rates are of positive decisions.",
    }[found["favourable"]]
    missing = (
        f" The rows do not hold {', '.join(found['missing'])}: nothing is known of these."
        if found["missing"]
        else ""
    )
    where = written(found["where"][:1].upper() + found["where"][1:])
    return (
        f"{said} {where}, decided by both; 95 % intervals for all pairs of groups at once. A group with fewer "
        f"than {found['fewest']} rows is shown and not judged.{missing}"
    )


def _gaps(column: Mapping[str, Any], *, declared: bool) -> list[list[Cell]]:
    before, after = column["before"], column["after"]
    name = column["column"]
    rows: list[list[Cell]] = []
    if declared:
        ratio = after["ratio"]
        furthest = (
            small(f"{ratio['least']} against {ratio['most']}")
            if ratio
            else small("fewer than two groups have rows enough")
        )
        rows.append(
            [lines(f"{name}: ratio of favourable decisions", furthest), _number(before["ratio"]), _number(ratio),
             badge(*SAYS[verdict_of_ratio(ratio, FOUR_FIFTHS)])]
        )  # fmt: skip
    rows.append(
        [
            lines(f"{name}: difference of rates", None),
            _points(before["difference"]),
            _points(after["difference"]),
            "",
        ]
    )
    if before["odds_difference"] or after["odds_difference"]:
        worst = (after["odds_difference"] or before["odds_difference"])["rate"].replace("_", " ")
        rows.append(
            [lines(f"{name}: equalised odds difference", small(f"of {worst} rates")),
             _points(before["odds_difference"]), _points(after["odds_difference"]), ""]
        )  # fmt: skip
    return rows


def _number(gap: Mapping[str, Any] | None) -> str:
    if gap is None:
        return "not known"
    value, low, high = (format_decimal(gap[name]) for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _points(gap: Mapping[str, Any] | None) -> str:
    """A difference of two rates, in hundredths of the whole."""
    if gap is None:
        return "not known"
    value, low, high = (format_decimal(gap[name] * 100, 1) for name in ("value", "low", "high"))
    return f"{value}{NARROW}points [{low}, {high}]"


def _show_column(column: Mapping[str, Any], found: Mapping[str, Any], before: str, after: str) -> None:
    word = "favourable" if found["favourable"] else "positive"
    table(
        ("group", *(f"{name}, {before} → {after}" for name in (word, "true positives", "false positives"))),
        [
            [lines(group["name"], small(f"{format_count(group['rows'])} rows"),
                   None if group["after"]["favourable"]["judged"] else small("too few to judge")),
             *(_rates(group, rate, after) for rate in ("favourable", "true_positive", "false_positive"))]
            for group in column["groups"]
        ],
        caption=f"groups of {column['column']}",
    )  # fmt: skip
    st.caption(f"True and false positives are of {plain(found['labelled_where'])}, with a known label.")


def _rates(group: Mapping[str, Any], rate: str, after: str) -> Cell:
    """Before and after in one line; below it the interval of what is proposed, and of how many rows."""
    old, new = group["before"][rate], group["after"][rate]
    if new["rate"] is None:
        return "no labels"
    return lines(
        f"{format_share(old['rate'])} → {format_share(new['rate'])}",
        small(
            f"{after}: {format_share(new['low'])} to {format_share(new['high'])} of {format_count(new['of'])}"
        ),
    )
