"""Monitors that a person writes: conditions on stored figures, beside the thresholds Warrant calibrates itself.

    condition   one figure (kind, column, statistic, segment) beyond a threshold
    all, any    conditions together; they nest
    fire, of    how many of the last windows must be beyond it (M of N), the newest among them
    clear       a milder threshold, and how many clean windows in a row, end it (hysteresis)

A definition is a JSON document; `parse_monitor` checks it and `Monitor.to_json` writes it back. `monitor_replay`
says when a monitor would have fired, and the live path asks the same function.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple, cast, get_args

from backend.errors import BadInput
from backend.monitoring.fairness.measures import GAPS
from backend.monitoring.tables import ATTRIBUTION

Level = Literal["page", "ticket", "info"]
Side = Literal["above", "below", "either"]
ThresholdKind = Literal["constant", "sigma", "quantile", "p_value", "limit", "calibrated"]
Match = Literal["all", "any"]

LEVELS: tuple[Level, ...] = get_args(Level)
SIDES: tuple[Side, ...] = get_args(Side)
THRESHOLDS: tuple[ThresholdKind, ...] = get_args(ThresholdKind)
OF_HISTORY = ("sigma", "quantile", "p_value")
"""Thresholds taken from the figure's own last points."""

PAGING_KINDS = frozenset({"realised", "estimated", "quality", "volume", "kpi"})
"""Kinds of figures that may wake a person. Drift of inputs and of predictions alone never does."""

OF_COLUMNS = frozenset({"drift", "prediction", "quality", ATTRIBUTION})
"""Kinds whose column is one of the model's, or one of its rules."""

FEWEST_POINTS, MOST_POINTS = 5, 500
MOST_WINDOWS = 100
MOST_CONDITIONS = 20
DEEPEST = 4
LONGEST_NAME = 100


class Figure(NamedTuple):
    """Which stored value of each window: `column` "" is the whole window, `segment` "" all rows."""

    kind: str
    column: str
    statistic: str
    segment: str = ""

    def words(self) -> str:
        of = f" of {self.column}" if self.column else ""
        within = f" where {self.segment}" if self.segment else ""
        kind = f"{self.kind} " if self.kind in ("realised", "estimated") else ""
        return f"{kind}{self.statistic}{of}{within}"


@dataclass(frozen=True)
class Threshold:
    """When a value is beyond what is accepted.

    constant    `value` itself
    sigma       mean of the last `points` values, and `value` standard deviations (ddof 1) from it
    quantile    the `value` quantile of the last `points` values; from below, its mirror 1 − `value`
    p_value     the share of the last `points` values that are at least as extreme, (1 + k) / (n + 1), is at most
                `value`: exact for a figure that goes on as before (Vovk et al., conformal prediction)
    limit       the calibrated limit, moved to `value` times its distance from the reference's value
    calibrated  the verdict Warrant gave

    The last values end before the window that is judged. `clear` is the same number, milder: what fires stays until
    the value is within that.
    """

    kind: ThresholdKind
    side: Side
    value: float = 0.0
    clear: float | None = None
    points: int = 0

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {"kind": self.kind}
        if self.kind != "calibrated":
            document |= {"side": self.side, "value": self.value}
        if self.clear is not None:
            document["clear"] = self.clear
        if self.points:
            document["points"] = self.points
        return document

    def words(self) -> str:
        """`above 0.2, until it is back at 0.15`."""
        where = {"above": "above", "below": "below", "either": "either side of"}[self.side]
        last = f"the last {self.points} values"
        said = {
            "constant": f"{where} {self.value:g}",
            "sigma": f"more than {self.value:g} standard deviations {where.replace(' of', '')} the mean of {last}",
            "quantile": f"{where} the {_tail(self.value, self.side):.3g} quantile of {last}",
            "p_value": f"as extreme, {where.replace(' of', '')}, as at most {self.value:.3g} of {last}",
            "limit": f"beyond {self.value:g} times its calibrated limit",
            "calibrated": "beyond its calibrated limit",
        }[self.kind]
        return said if self.clear is None else f"{said}, until it is back within {self.clear:g}"


@dataclass(frozen=True)
class Condition:
    figure: Figure
    threshold: Threshold

    def to_json(self) -> dict[str, Any]:
        document = {k: v for k, v in self.figure._asdict().items() if v or k in ("kind", "statistic")}
        return {**document, "threshold": self.threshold.to_json()}

    def words(self) -> str:
        return f"{self.figure.words()} is {self.threshold.words()}"


@dataclass(frozen=True)
class Composite:
    """Several parts of which all, or any, must hold.

    A part without a value is left out of `any`: the others decide. `all` is unknown without it, unless another part
    does not hold: then neither do all.
    """

    match: Match
    parts: tuple[Condition | Composite, ...]

    def to_json(self) -> dict[str, Any]:
        return {self.match: [part.to_json() for part in self.parts]}

    def words(self) -> str:
        joined = f" {'and' if self.match == 'all' else 'or'} "
        return joined.join(
            f"({part.words()})" if isinstance(part, Composite) else part.words() for part in self.parts
        )


Rule = Condition | Composite


@dataclass(frozen=True)
class Monitor:
    """A checked definition.

    size              size of the windows it looks at: "1h", "1d", ...
    fire, of          fires when the newest window and `fire` of the last `of` windows hold; windows that could not
                      be judged do not count as holding
    clear_after       clean windows in a row that end it
    min_rows          a figure of fewer rows is not judged
    min_completeness  a realised figure of a smaller share of labels is not judged
    """

    name: str
    level: Level
    size: str
    rule: Rule
    fire: int = 1
    of: int = 1
    clear_after: int = 1
    min_rows: int = 50
    min_completeness: float = 0.8

    @property
    def conditions(self) -> tuple[Condition, ...]:
        return tuple(_conditions(self.rule))

    @property
    def figures(self) -> frozenset[Figure]:
        return frozenset(condition.figure for condition in self.conditions)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name, "level": self.level, "size": self.size, "when": self.rule.to_json(),
            "windows": {"fire": self.fire, "of": self.of}, "clear_after": self.clear_after,
            "min_rows": self.min_rows, "min_completeness": self.min_completeness,
        }  # fmt: skip

    def words(self) -> str:
        """The whole monitor as one sentence."""
        often = "" if self.of == 1 else f", in {self.fire} of the last {self.of} windows"
        until = "" if self.clear_after == 1 else f"; ends after {self.clear_after} clean windows"
        return f"{self.level} when {self.rule.words()}{often}{until}"

    def may_page(self, *, trusted: frozenset[str] | None = None) -> bool:
        """Whether it holds by more than drift alone.

        trusted   metrics whose estimates may page; None: all. An estimator that was wrong may not page alone.
        """
        return _needs_evidence(self.rule, trusted)


def parse_monitor(
    document: Any, *, sizes: tuple[str, ...], min_rows: int = 50, columns: Collection[str] | None = None
) -> Monitor:
    """Check a definition.

    sizes      the sizes of the model's windows; the first is what a definition without `size` looks at
    min_rows   what the model's spec says
    columns    the model's own, and its rules; None: not checked

    Raises `BadInput` that names the key, what was found and what is accepted.
    """
    known = ("name", "level", "size", "when", "windows", "clear_after", "min_rows", "min_completeness")
    body = _mapping(document, "the monitor", known)
    name = body.get("name")
    if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME:
        raise BadInput(f"name: write 1 to {LONGEST_NAME} characters that say what it watches")
    if "when" not in body:
        raise BadInput("when: missing; write a condition, or {all: [...]} or {any: [...]} of conditions")
    rule = _rule(body["when"], "when", 0)
    if sum(1 for _ in _conditions(rule)) > MOST_CONDITIONS:
        raise BadInput(f"when: a monitor has at most {MOST_CONDITIONS} conditions; make it two monitors")
    if columns is not None:
        _refuse_strangers(rule, "when", columns)
    windows = _mapping(body.get("windows", {}), "windows", ("fire", "of"))
    of = _whole(windows, "windows.of", "of", 1, 1, MOST_WINDOWS)
    monitor = Monitor(
        name=name.strip(),
        level=cast(Level, _one_of(body, "level", "level", LEVELS)),
        size=_one_of({"size": body.get("size", sizes[0])}, "size", "size", sizes),
        rule=rule,
        fire=_whole(windows, "windows.fire", "fire", of, 1, of),
        of=of,
        clear_after=_whole(body, "clear_after", "clear_after", 1, 1, MOST_WINDOWS),
        min_rows=_whole(body, "min_rows", "min_rows", min_rows, 1, 10**9),
        min_completeness=_number(body, "min_completeness", "min_completeness", 0.0, 1.0, default=0.8),
    )
    if monitor.level == "page" and not monitor.may_page():
        raise BadInput(
            "level: drift of inputs or predictions alone never pages. Choose ticket, or put it together with a "
            "realised or estimated figure under “all”, so that it pages only when performance falls too"
        )
    return monitor


def _rule(value: Any, path: str, depth: int) -> Rule:
    if isinstance(value, Mapping) and ({"all", "any"} & set(value)):
        if len(value) != 1 or depth == DEEPEST:
            wrong = (
                f"is nested deeper than {DEEPEST}"
                if depth == DEEPEST
                else "holds all or any, and nothing else"
            )
            raise BadInput(f"{path}: a group {wrong}")
        match, parts = next(iter(value.items()))
        if not isinstance(parts, list) or not parts:
            raise BadInput(f"{path}.{match}: write a list of conditions")
        read = tuple(_rule(part, f"{path}.{match}[{i}]", depth + 1) for i, part in enumerate(parts))
        return Composite(cast(Match, match), read)
    body = _mapping(value, path, (*Figure._fields, "threshold"))
    for key in ("kind", "statistic"):
        if not isinstance(body.get(key), str) or not body[key]:
            raise BadInput(f"{path}.{key}: missing; name a {key} of which points are stored, such as "
                           f"{'drift' if key == 'kind' else 'psi'}")  # fmt: skip
    texts = [body.get(key, "") for key in Figure._fields]
    for key, text in zip(Figure._fields, texts, strict=True):
        if not isinstance(text, str):
            raise BadInput(f"{path}.{key}: {text!r} is not a text")
    figure = Figure(*texts)
    if "threshold" not in body:
        raise BadInput(f"{path}.threshold: missing; write {{kind: constant, side: above, value: 0.2}}")
    return Condition(figure, _threshold(body["threshold"], f"{path}.threshold", figure))


def _refuse_strangers(rule: Rule, path: str, columns: Collection[str]) -> None:
    """Raises `BadInput`, with the nearest name, for a condition on a column that the model does not have."""
    if isinstance(rule, Composite):
        for i, part in enumerate(rule.parts):
            _refuse_strangers(part, f"{path}.{rule.match}[{i}]", columns)
        return
    name = rule.figure.column
    if not name or rule.figure.kind not in OF_COLUMNS or name in columns:
        return
    near = get_close_matches(name, list(columns), n=1, cutoff=0.0)
    hint = f"; the nearest is {near[0]!r}" if near else ""
    raise BadInput(f"{path}.column: the model has no column {name!r}{hint}")


def _threshold(value: Any, path: str, figure: Figure) -> Threshold:
    body = _mapping(value, path, ("kind", "side", "value", "clear", "points"))
    kind = cast(ThresholdKind, _one_of(body, f"{path}.kind", "kind", THRESHOLDS))
    usual = bad_side(figure)
    if kind == "calibrated":
        if set(body) - {"kind"}:
            raise BadInput(f"{path}: a calibrated threshold has no value of yours; for a stricter or milder one "
                           "write {kind: limit, value: 1.5}")  # fmt: skip
        return Threshold(kind, usual)
    side = cast(Side, _one_of({"side": body.get("side", usual)}, f"{path}.side", "side", SIDES))
    if side == "either" and kind not in ("sigma", "p_value"):
        raise BadInput(
            f"{path}.side: either goes with sigma and p_value; write above or below, or two conditions"
        )
    if kind == "limit" and side != usual:
        raise BadInput(f"{path}.side: the calibrated limit of {figure.words()} lies {usual}")
    low, high = {
        "constant": (-math.inf, math.inf), "sigma": (0.1, 100.0), "quantile": (0.5, 1.0), "p_value": (0.0, 0.5),
        "limit": (0.1, 100.0),
    }[kind]  # fmt: skip
    number = _number(body, f"{path}.value", "value", low, high)
    clear = None if body.get("clear") is None else _number(body, f"{path}.clear", "clear", low, high)
    sign = -1 if kind == "p_value" or (kind == "constant" and side == "below") else 1
    if clear is not None and sign * clear > sign * number:
        raise BadInput(f"{path}.clear: {clear:g} is stricter than {number:g}; it would end before it fires")
    points = 0
    if kind in OF_HISTORY:
        points = _whole(body, f"{path}.points", "points", 28, FEWEST_POINTS, MOST_POINTS)
    elif "points" in body:
        raise BadInput(f"{path}.points: goes with {', '.join(OF_HISTORY)}; {kind} looks at no earlier values")
    least = (2 if side == "either" else 1) / (points + 1)
    if kind == "p_value" and least > number:
        raise BadInput(
            f"{path}.value: of {points} values the smallest p-value is {least:.3g}, so {number:g} is never reached; "
            f"take at least {math.ceil(least * (points + 1) / number - 1) if number else MOST_POINTS} points"
        )
    return Threshold(kind, side, number, clear, points)


def bad_side(figure: Figure) -> Side:
    """On which side a value is worse: below for metrics of which more is better, rows, the order of attributions, and
    figures of the user's own, else above."""
    from backend.monitoring.performance import DEFINITIONS

    known = DEFINITIONS.get(figure.statistic) if figure.kind in ("realised", "estimated") else None
    if known is not None:
        return "above" if known.lower_is_better else "below"
    gap = GAPS.get(figure.statistic) if figure.kind == "fairness" else None
    if gap is not None:
        return "below" if gap.below else "above"
    if figure.kind == ATTRIBUTION:
        return "below" if figure.statistic == "ndcg" else "above"
    return "below" if figure.kind == "kpi" or figure[:3] == ("volume", "", "rows") else "above"


def _conditions(rule: Rule) -> Iterator[Condition]:
    if isinstance(rule, Condition):
        yield rule
    else:
        for part in rule.parts:
            yield from _conditions(part)


def _needs_evidence(rule: Rule, trusted: frozenset[str] | None) -> bool:
    """Whether the rule can hold only together with a figure that may wake someone: that is, whether it is false
    where all those are false. `any` needs it of every part, `all` of one."""
    if isinstance(rule, Composite):
        found = (_needs_evidence(part, trusted) for part in rule.parts)
        return any(found) if rule.match == "all" else all(found)
    kind, statistic = rule.figure.kind, rule.figure.statistic
    if kind == "estimated" and trusted is not None:
        return statistic in trusted
    return kind in PAGING_KINDS


def _tail(quantile: float, side: Side) -> float:
    return 1 - quantile if side == "below" else quantile


def _mapping(value: Any, path: str, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadInput(f"{path}: write a mapping with {', '.join(known)}, not {value!r}")
    strange = sorted(str(key) for key in set(value) - set(known))
    if strange:
        raise BadInput(f"{path}: {strange[0]!r} is not known here; there are {', '.join(known)}")
    return value


def _one_of(body: Mapping[str, Any], path: str, key: str, accepted: tuple[str, ...]) -> str:
    value = body.get(key)
    if value not in accepted:
        found = "missing" if value is None else f"{value!r}"
        raise BadInput(f"{path}: {found}; write one of {', '.join(accepted)}")
    return str(value)


def _whole(body: Mapping[str, Any], path: str, key: str, default: int, low: int, high: int) -> int:
    value = body.get(key, default)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadInput(f"{path}: {value!r} is not a whole number from {low} to {high}")
    return value


def _number(
    body: Mapping[str, Any], path: str, key: str, low: float, high: float, *, default: float | None = None
) -> float:
    value = body.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadInput(f"{path}: {'missing' if value is None else repr(value)}; write a number")
    if not low <= value <= high:
        raise BadInput(f"{path}: {value:g} is not from {low:g} to {high:g}")
    return float(value)
