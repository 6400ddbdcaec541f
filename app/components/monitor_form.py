"""The inputs of a monitor: what it looks at, when that is too much, how often, and how loud it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st
import yaml

from app.plain_text import plain
from app.words import metric_word, statistic_word
from backend.errors import BadInput
from backend.monitoring.monitor_history import VOLUME
from backend.monitoring.monitors import LEVELS, MOST_WINDOWS, OF_HISTORY, THRESHOLDS, Figure, bad_side

MOST_ROWS = 6
KIND_WORDS = {
    "drift": "drift of an input", "prediction": "drift of predictions", "quality": "data quality",
    "realised": "realised performance", "estimated": "estimated performance", "volume": "traffic",
    "kpi": "a figure of your own", "fairness": "fairness between groups",
    "attribution": "what it leans on",
}  # fmt: skip
THRESHOLD_WORDS = {
    "calibrated": "Warrant's calibrated limit", "limit": "the calibrated limit, times", "constant": "a fixed value",
    "sigma": "deviations from its mean", "quantile": "a quantile of its past",
    "p_value": "a p-value against its past",
}  # fmt: skip
NUMBER = {
    "limit": ("times the limit", 1.5), "constant": ("value", 0.2), "sigma": ("deviations", 3.0),
    "quantile": ("quantile", 0.99), "p_value": ("p-value", 0.05),
}  # fmt: skip
LABELS = {
    "name": "Name", "level": "Level", "size": "Windows of", "windows.fire": "In so many",
    "windows.of": "of the last windows", "clear_after": "Ends after clean windows", "min_rows": "Fewest rows",
    "min_completeness": "Fewest labels, %",
}  # fmt: skip
"""{a definition's key: its input}"""
CONDITION_LABELS = {
    "kind": "Look at", "column": "Column", "statistic": "Statistic", "segment": "Among",
    "threshold.kind": "is beyond", "threshold.side": "side", "threshold.value": "value", "threshold.clear": "ends at",
    "threshold.points": "of the last values",
}  # fmt: skip
_PLACE = re.compile(r"when(?:\.(?:all|any)(?:\[(?P<index>\d+)\])?)?(?:\.(?P<field>[a-z.]+))?")
MATCH_WORDS = {"all": "all of them hold", "any": "any of them holds"}
FIRST = ("realised", "estimated", "drift", "prediction", "quality", "roc_auc", "mae", "psi", "missing_rate")
"""What is offered first, in this order."""


def figure_words(figure: Figure) -> str:
    """A figure in the console's words: `realised AUC`, `PSI of distance where carrier=AA`."""
    spoken = metric_word if figure.kind in ("realised", "estimated") else statistic_word
    return figure._replace(statistic=spoken(figure.statistic)).words()


def by_label(message: str) -> str:
    """What is wrong with a definition, its place said by the label of the input: `Condition 2, value: ...`."""
    path, colon, rest = message.partition(": ")
    if path in LABELS:
        return f"“{LABELS[path]}”: {rest}"
    found = _PLACE.fullmatch(path)
    if not colon or found is None:
        return message
    number, field = found["index"], found["field"] or ""
    where = f"Condition {int(number) + 1}" if number is not None else "The condition"
    label = CONDITION_LABELS.get(field)
    return f"{where}, “{label}”: {rest}" if label else f"{where}: {rest}"


def is_flat(definition: Mapping[str, Any]) -> bool:
    """Whether the form can show it: one condition, or one group of them."""
    when = definition.get("when")
    if not isinstance(when, Mapping):
        return False
    parts = next((when[match] for match in ("all", "any") if match in when), [when])
    return 0 < len(parts) <= MOST_ROWS and all("statistic" in part for part in parts)


def monitor_inputs(
    key: str, given: Mapping[str, Any] | None, *, sizes: Sequence[str], min_rows: int,
    figures: Callable[[str], Sequence[Figure]],
) -> dict[str, Any]:  # fmt: skip
    """Draw the inputs, filled with `given`; the definition they make. `key` names what is edited."""
    given = given or {}
    as_text = st.toggle(
        "Write it as YAML", value=bool(given) and not is_flat(given), key=f"{key}:yaml",
        help="The form shows one group of conditions; YAML can nest them.",
    )  # fmt: skip
    if as_text:
        return _text_input(key, given)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("Name", given.get("name", ""), key=f"{key}:name", max_chars=100, width=320)
        level = _select("Level", LEVELS, given.get("level", "ticket"), f"{key}:level", width=110)
        size = _select("Windows of", sizes, given.get("size"), f"{key}:size", width=110)
    offered = figures(size)
    when = given.get("when") or {}
    match = "any" if "any" in when else "all"
    parts = list(when.get(match, [when] if when else [])) if is_flat(given) else []
    parts, lost = _carried(key, size, parts, offered)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        count = int(
            st.number_input("Conditions", 1, MOST_ROWS, max(len(parts), 1), key=f"{key}:count", width=130)
        )
        if count > 1:
            match = _select(
                "Fires when", tuple(MATCH_WORDS), match, f"{key}:match", words=MATCH_WORDS, width=200
            )
    read = [
        condition_inputs(f"{key}:{size}:{index}", parts[index] if index < len(parts) else {}, offered)
        for index in range(count)
    ]
    for index, words in lost.items():
        if index < count:
            st.caption(
                f"Condition {index + 1}: {plain(words)} is not computed of windows of {plain(size)}; "
                "choose another figure."
            )
    st.session_state[f"{key}:said"] = read
    windows = given.get("windows") or {}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        fire = _whole("In so many", windows.get("fire", 1), f"{key}:fire", 1, MOST_WINDOWS)
        of = _whole("of the last windows", windows.get("of", 1), f"{key}:of", fire, MOST_WINDOWS)
        clear_after = _whole("Ends after clean windows", given.get("clear_after", 1), f"{key}:clear", 1)
        rows = _whole("Fewest rows", given.get("min_rows", min_rows), f"{key}:rows", 1)
        share = st.number_input(
            "Fewest labels, %", 0, 100, round(100 * given.get("min_completeness", 0.8)), key=f"{key}:labels", width=150
        )  # fmt: skip
    return {
        "name": name, "level": level, "size": size, "when": read[0] if count == 1 else {match: read},
        "windows": {"fire": fire, "of": of}, "clear_after": clear_after, "min_rows": rows,
        "min_completeness": share / 100,
    }  # fmt: skip


def _carried(
    key: str, size: str, parts: list[Any], offered: Sequence[Figure]
) -> tuple[list[Any], dict[int, str]]:
    """The conditions to begin with in windows of this size: those written of the other size where they exist here too;
    and, by index, the figures that do not."""
    begun = f"{key}:begun"
    kept = st.session_state.get(begun)
    if kept is None or kept[0] != size:
        said = parts if kept is None else st.session_state.get(f"{key}:said", parts)
        lost = {}
        if kept is not None:
            for index, part in enumerate(said):
                figure = Figure(*(str(part.get(name, "")) for name in Figure._fields))
                if figure not in offered:
                    lost[index] = figure_words(figure)
            said = [{} if index in lost else part for index, part in enumerate(said)]
        st.session_state[begun] = kept = (size, said, lost)
    return list(kept[1]), dict(kept[2])


def condition_inputs(key: str, given: Mapping[str, Any], figures: Sequence[Figure]) -> dict[str, Any]:
    """One condition. A choice that depends on another has that in its key, so that it begins anew with it."""
    mine = Figure(*(str(given.get(name, "")) for name in Figure._fields))
    offered = list(figures) if not given or mine in figures else [mine, *figures]
    with st.container(horizontal=True, vertical_alignment="bottom", key=f"condition:{key}"):
        kinds = sorted({one.kind for one in offered}, key=_first)
        kind = _select("Look at", kinds, mine.kind, f"{key}:kind", words=KIND_WORDS, width=190)
        offered = [one for one in offered if one.kind == kind]
        key += f":{kind}"
        columns = sorted({one.column for one in offered})
        column = columns[0]
        if columns != [""]:
            column = _select(
                "Column", columns, mine.column, f"{key}:column", words={"": "whole window"}, width=160
            )
        offered, key = [one for one in offered if one.column == column], f"{key}:{column}"
        names = sorted({one.statistic for one in offered}, key=_first)
        spoken = {name: figure_words(Figure("", "", name)) for name in names}
        if kind in ("realised", "estimated"):
            spoken = {name: metric_word(name) for name in names}
        statistic = _select("Statistic", names, mine.statistic, f"{key}:statistic", words=spoken, width=160)
        segments = sorted({one.segment for one in offered if one.statistic == statistic})
        segment = segments[0]
        if len(segments) > 1:
            segment = _select("Among", segments, mine.segment, f"{key}:{statistic}:segment", words={"": "all rows"},
                              width=190)  # fmt: skip
        figure = Figure(kind, column, statistic, segment)
        threshold = threshold_inputs(
            f"{key}:{statistic}", given.get("threshold") or {} if figure == mine else {}, figure
        )
    return {name: value for name, value in figure._asdict().items() if value} | {"threshold": threshold}


def threshold_inputs(key: str, given: Mapping[str, Any], figure: Figure) -> dict[str, Any]:
    """How a value is too much."""
    judged = figure.kind != "kpi" and figure != VOLUME
    kinds = [kind for kind in THRESHOLD_WORDS if judged or kind not in ("calibrated", "limit")]
    kind = _select(
        "is beyond", kinds, given.get("kind"), f"{key}:threshold", words=THRESHOLD_WORDS, width=230
    )
    if kind == "calibrated":
        return {"kind": kind}
    given = given if given.get("kind") == kind else {}
    key += f":{kind}"
    threshold: dict[str, Any] = {"kind": kind}
    if kind != "limit":
        sides = ("above", "below", "either") if kind in ("sigma", "p_value") else ("above", "below")
        threshold["side"] = _select(
            "side", sides, given.get("side", bad_side(figure)), f"{key}:side", width=100
        )
    label, usual = NUMBER[kind]
    threshold["value"] = st.number_input(
        plain(label), value=float(given.get("value", usual)), format="%.6g", key=f"{key}:value", width=130
    )
    if kind in OF_HISTORY:
        threshold["points"] = _whole("of the last values", given.get("points", 28), f"{key}:points", 5)
    threshold["clear"] = st.number_input(
        "ends at (optional)", value=given.get("clear"), format="%.6g", key=f"{key}:until", width=150,
        help="A milder number: what fires goes on until the value is back within it.",
    )  # fmt: skip
    return threshold


def _text_input(key: str, given: Mapping[str, Any]) -> dict[str, Any]:
    written = yaml.safe_dump(dict(given), sort_keys=False) if given else _EXAMPLE
    with st.container(key=f"yaml:{key}"):
        text = st.text_area("Definition", written, height=320, key=f"{key}:text")
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadInput(f"the definition is not readable as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise BadInput("write a mapping with name, level and when")
    return found


def _select(
    label: str, options: Sequence[str], given: Any, key: str, *, words: Mapping[str, str] | None = None, width: int
) -> str:  # fmt: skip
    index = list(options).index(given) if given in options else 0
    spoken = words or {}
    return str(
        st.selectbox(
            plain(label), list(options), index=index, key=key, width=width, format_func=lambda one: spoken.get(one, one)
        )
    )  # fmt: skip


def _first(name: str) -> tuple[int, str]:
    return (FIRST.index(name) if name in FIRST else len(FIRST)), name


def _whole(label: str, given: Any, key: str, least: int, most: int | None = None) -> int:
    """A whole number of at least `least`; one that another input has pushed below it follows it."""
    if key in st.session_state and (st.session_state[key] or 0) < least:
        st.session_state[key] = least
    place = {} if key in st.session_state else {"value": max(int(given), least)}
    return int(st.number_input(plain(label), least, most, key=key, width=170, **place))


_EXAMPLE = """name: drift while performance falls
level: page
when:
  all:
    - {kind: realised, statistic: roc_auc, threshold: {kind: calibrated}}
    - any:
        - {kind: drift, column: NAME, statistic: psi, threshold: {kind: constant, side: above, value: 0.2, clear: 0.1}}
        - {kind: quality, column: NAME, statistic: missing_rate, threshold: {kind: sigma, value: 4, points: 28}}
windows: {fire: 2, of: 3}
clear_after: 2
"""
assert set(THRESHOLD_WORDS) == set(THRESHOLDS)  # noqa: S101 - each has a word
