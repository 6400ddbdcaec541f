"""Counting the rows that violate declared rules, and judging the counts against the reference's.

One scan counts all rules in all windows (and segments), as an Ibis expression that DuckDB, PostgreSQL and Spark run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.datatypes as dt

from backend.errors import BadInput
from backend.monitoring.evaluate import PAGE_RATE, Level, Point
from backend.monitoring.grids import Grid
from backend.monitoring.placement import double, place_segment, place_time, read_category, read_number
from backend.monitoring.rules import STATISTIC, Node, Rule
from backend.monitoring.thresholds import WINDOW_ALPHA, noise_limit, rate_limit
from backend.monitoring.windows import Window

FLOOR = 0.005

Value = Any  # an ibis value expression


@dataclass(frozen=True)
class RuleCount:
    """Of `rows` rows, how many violate a rule and for how many it is unknown. Counts of one rule add up."""

    rows: int = 0
    violated: int = 0
    unknown: int = 0

    def __add__(self, other: RuleCount) -> RuleCount:
        return RuleCount(self.rows + other.rows, self.violated + other.violated, self.unknown + other.unknown)

    @property
    def known(self) -> int:
        return self.rows - self.unknown

    @property
    def rate(self) -> float | None:
        """Violations among the rows for which the rule is known."""
        return self.violated / self.known if self.known else None


Counts = dict[tuple[int, str], dict[str, RuleCount]]
"""{(index of the window, segment): {text of the rule: count}}. Without windows the index is 0, without segment ""."""


def count_rules(
    table: Any,
    rules: Sequence[Rule],
    *,
    windows: Sequence[Window] | None = None,
    ts_column: str = "ts",
    group: str | None = None,
    segment: tuple[str, Grid] | None = None,
) -> Counts:
    """Count every rule in every window and segment, in one scan of `table`.

    table    an Ibis table, a pyarrow Table or a pandas frame; a column it lacks makes its rules unknown
    group    an integer column with the index of each row's window, instead of `windows`; negative for none
    segment  a column and its grid on the reference; the segments are those of `place_segment`

    Rows outside all windows are left out, and windows without rows. Raises `BadInput` when `ts_column` holds no times.
    """
    if not rules or (windows is not None and not windows):
        return {}
    source = table if isinstance(table, ibis.Table) else ibis.memtable(table)
    backend: str = source.get_backend().name if isinstance(table, ibis.Table) else "duckdb"
    keys: dict[str, Value] = {"w": ibis.literal(0, "int64"), "s": ibis.literal(0, "int64")}
    spans: list[tuple[int, int]] = [(0, 1)]
    names = [""]
    if windows is not None:
        keys["w"], spans = place_time(_times(source, ts_column), windows, backend)
    if group is not None:
        keys["w"] = (source[group] >= 0).ifelse(source[group], ibis.null("int64"))
    if segment is not None and segment[0] in source.columns:
        keys["s"], names = place_segment(source[segment[0]], segment[1], backend)
    elif segment is not None:
        names = ["missing"]
    picked = source.select(**keys, **{f"r{i}": _holds(source, rule, backend) for i, rule in enumerate(rules)})
    picked = picked.filter(picked.w.notnull())
    sums = {"n": picked.count()}
    for i in range(len(rules)):
        held = picked[f"r{i}"]
        sums[f"v{i}"] = (~held).ifelse(1, 0).fill_null(0).sum()
        sums[f"u{i}"] = held.isnull().ifelse(1, 0).sum()
    found = picked.group_by("w", "s").aggregate(**sums).to_pyarrow().to_pylist()
    counts: Counts = {}
    for row in found:
        here = {
            rule.text: RuleCount(row["n"], int(row[f"v{i}"]), int(row[f"u{i}"]))
            for i, rule in enumerate(rules)
        }
        places = (
            [row["w"]]
            if group is not None
            else [index for index, (first, last) in enumerate(spans) if first <= row["w"] < last]
        )
        for index in places:
            key = (index, names[row["s"]])
            before = counts.get(key)
            counts[key] = (
                here if before is None else {text: before[text] + more for text, more in here.items()}
            )
    return counts


@dataclass(frozen=True)
class UsualRules:
    """What a reference says of the spec's rules.

    counts  of all its rows, by the text of the rule
    noise   the violation rates of its own windows, by the text of the rule
    """

    rules: tuple[Rule, ...]
    counts: Mapping[str, RuleCount]
    noise: Mapping[str, tuple[float, ...]]
    min_rows: int

    def judge(self, current: Mapping[str, RuleCount]) -> list[Point]:
        """A point for every rule of one window."""
        return judge_rules(self.rules, self.counts, current, min_rows=self.min_rows, noise=self.noise)


def measure_rules(
    rules: Sequence[Rule], reference: Any, windows: Sequence[Window], *, min_rows: int
) -> UsualRules:
    """Count the rules on reference rows and on its own windows by the clock; without windows there is no noise."""
    noise: dict[str, list[float]] = {}
    for counts in count_rules(reference, rules, windows=windows).values() if windows else ():
        for text, count in counts.items():
            if count.rate is not None and count.known >= min_rows:
                noise.setdefault(text, []).append(count.rate)
    return UsualRules(
        tuple(rules),
        count_rules(reference, rules).get((0, ""), {}),
        {text: tuple(rates) for text, rates in noise.items()},
        min_rows,
    )


def judge_rules(
    rules: Sequence[Rule],
    reference: Mapping[str, RuleCount],
    current: Mapping[str, RuleCount],
    *,
    min_rows: int,
    noise: Mapping[str, Sequence[float]] | None = None,
    alpha: float = WINDOW_ALPHA,
) -> list[Point]:
    """A point for every rule, by the text of the rule; a rule that `current` has no count for has no rows.

    noise  violation rates of quiet windows by rule: the reference's own windows
    alpha  the chance that any rule alarms in an unchanged window

    An alarm is a break of data quality from 10 points above the reference's rate on, as for other such statistics.
    """
    usual = noise or {}
    return [
        _judge(
            rule, reference.get(rule.text, RuleCount()), current.get(rule.text, RuleCount()),
            min_rows=min_rows, noise=tuple(usual.get(rule.text, ())), alpha=alpha / len(rules),
        )
        for rule in rules
    ]  # fmt: skip


def _judge(
    rule: Rule, then: RuleCount, now: RuleCount, *, min_rows: int, noise: tuple[float, ...], alpha: float
) -> Point:
    details = {
        "rule": rule.text,
        "violated": now.violated,
        "unknown": now.unknown,
        "reference_rate": then.rate,
    }
    title = f"Violations of {rule.text}"

    def without(verdict: Any, reason: str) -> Point:
        return Point(
            column=rule.text, statistic=STATISTIC, family="quality", value=None, threshold=None, verdict=verdict,
            rows_reference=then.known, rows_current=now.known, text=f"{title}: {reason}", reason=reason,
            details=details,
        )  # fmt: skip

    if now.rows == 0:
        return without("no_data", "the window has no rows")
    for count, side in ((now, "the window"), (then, "the reference")):
        if count.known < min_rows:
            reason = f"{side} has {count.known} rows in which it is known and {min_rows} are needed"
            return without("inconclusive", reason)
    value, rate = now.violated / now.known, then.violated / then.known
    limit = max(
        rate + FLOOR,
        rate_limit(then.violated, then.known, now.known, alpha=alpha),
        noise_limit(noise) or 0.0,
    )
    fired = value > limit
    broken = fired and value - rate >= PAGE_RATE
    level: Level | None = None if not fired else "page" if broken else "ticket"
    text = f"{title} from {rate:.1%} to {value:.1%} (limit {limit:.1%}), {now.known:,} rows"
    if now.unknown:
        text += f"; unknown for {now.unknown:,}"
    return Point(
        column=rule.text, statistic=STATISTIC, family="quality", value=value, threshold=limit,
        verdict="alarm" if fired else "ok", rows_reference=then.known, rows_current=now.known, text=text,
        level=level, details={**details, "break": broken},
    )  # fmt: skip


def _times(source: Any, name: str) -> Value:
    if name not in source.columns:
        raise BadInput(f"the data have no column {name!r}, which holds the time of each row")
    kind = source[name].type()
    if not (kind.is_timestamp() or kind.is_date()):
        raise BadInput(f"the column {name!r} holds {kind}, not times")
    if kind.is_timestamp() and kind.scale == 9:  # DuckDB's epoch_us knows no nanoseconds with a zone
        return source[name].cast(dt.Timestamp(timezone=kind.timezone, scale=6))
    return source[name]


def _holds(source: Any, rule: Rule, backend: str) -> Value:
    """Whether the rule holds, as a nullable boolean."""
    columns: dict[str, Value] = {}
    for column in rule.columns:
        there = column.name in source.columns
        if column.kind == "numeric":
            number = read_number(source[column.name], backend)[0] if there else ibis.null("float64")
            columns[column.name] = _number(number)
        else:
            columns[column.name] = _category(source[column.name], backend) if there else ibis.null("string")
    return _build(rule.condition, columns)


def _category(value: Value, backend: str) -> Value:
    read = read_category(value, backend)
    text = ibis.null("string") if read.text is None else read.text
    cases = [] if read.cell is None else [(read.cell < 0, ibis.null("string"))]
    if read.number is not None:
        number = read.number
        whole = (number.abs() < double(1e15)) & (number == number.floor().cast("float64"))
        written = whole.ifelse(number.floor().cast("int64").cast("string"), number.cast("string"))
        cases.append((number.notnull(), written))
    return ibis.cases(*cases, else_=text) if cases else text


def _build(node: Node, columns: Mapping[str, Value]) -> Value:
    if node.op == "column":
        return columns[node.parts[0]]
    if node.op == "constant":
        value = node.parts[0]
        return ibis.literal(value) if node.type == "text" else double(float(value))
    first, *rest = [_build(part, columns) for part in node.parts]
    match node.op:
        case "null":
            return first.isnull()
        case "not":
            return ~first
        case "neg":
            return -first
        case "abs":
            return first.abs()
        case "lower":
            return first.lower()
        case "length":
            return first.length().cast("float64")
        case "in":
            return _any(first == value for value in rest)
        case "and":
            for value in rest:
                first = first & value
            return first
        case "or":
            return _any([first, *rest])
        case "==":
            return first == rest[0]
        case "!=":
            return first != rest[0]
        case "<":
            return first < rest[0]
        case "<=":
            return first <= rest[0]
        case ">":
            return first > rest[0]
        case ">=":
            return first >= rest[0]
        case "+":
            return _number(first + rest[0])
        case "-":
            return _number(first - rest[0])
        case "*":
            return _number(first * rest[0])
        case "/":  # by zero: unknown, not an error
            return _number(first / rest[0].nullif(double(0.0)))
        case _:
            divisor = rest[0].nullif(double(0.0))
            return _number(first - (first / divisor).floor().cast("float64") * divisor)


def _any(values: Any) -> Value:
    first, *rest = values
    for value in rest:
        first = first | value
    return first


def _number(value: Value) -> Value:
    """NaN is no value: without this it would count as larger than any number."""
    return value.isnan().ifelse(ibis.null("float64"), value)
