"""Declared rules: what the language accepts and refuses, how rows are counted, when a count alarms."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from backend.errors import BadInput
from backend.monitoring.columns import Column
from backend.monitoring.evaluate import Point
from backend.monitoring.grids import freeze_grids
from backend.monitoring.rule_counts import RuleCount, count_rules, judge_rules
from backend.monitoring.rules import parse_rule, parse_rules
from backend.monitoring.windows import windows_between

COLUMNS = [
    Column("price", "numeric"), Column("cost", "numeric"), Column("returned", "numeric"),
    Column("origin", "categorical"), Column("code", "categorical"), Column("postal code", "categorical"),
]  # fmt: skip
KINDS = {column.name: column.kind for column in COLUMNS}


def counted(text: str, table: object) -> RuleCount:
    return count_rules(table, [parse_rule(text, KINDS)])[0, ""][text]


TABLE = pa.table(
    {
        "price": [10.0, -1.0, None, float("nan"), float("inf"), 0.0],
        "cost": [4, 4, 4, 4, 4, 0],
        "returned": [False, True, True, False, False, None],
        "origin": ["EWR", "ORD", None, "JFK", "LGA", "EWR"],
        "code": [3.0, 2.5, None, 3.0, 7.0, float("nan")],
        "postal code": ["12345", "1234", "ABCDE", "12345", "12345", "12345"],
    }
)


@pytest.mark.parametrize(
    ("text", "violated", "unknown"),
    [
        ("price > 0", 2, 2),
        ("price > 0 or returned == 1", 0, 2),  # row 3 holds, being returned; rows 4 and 6 are unknown
        ("price > 0 and returned == 1", 5, 1),
        ("not price > 0", 2, 2),
        ("price is null", 4, 0),
        ("price is not null", 2, 0),
        ("price is None", 4, 0),
        ("origin in ('EWR', 'JFK', 'LGA')", 1, 1),
        ("origin not in ['ORD']", 1, 1),
        ("origin == 'EWR'", 3, 1),
        ("lower(origin) == 'ewr'", 3, 1),
        ("0 <= price <= 1000", 2, 2),
        ("cost / price <= 1", 0, 3),  # a division by zero is unknown
        ("price - price == 0", 0, 3),  # infinity less infinity is unknown
        ("abs(price) >= 1", 1, 2),
        ("cost % 3 == 1", 1, 0),
        ("-cost <= 0", 0, 0),
        ("code == 3", 2, 2),
        ("code in (3, 2.5, 7)", 0, 2),
        ("returned == True", 3, 1),
        ('length(column("postal code")) == 5', 1, 0),
        ("price > cost * 2 + 1 or origin != 'EWR'", 1, 1),
    ],
)
def test_rows_are_counted_as_in_sql_with_unknown_apart(text: str, violated: int, unknown: int) -> None:
    assert counted(text, TABLE) == RuleCount(6, violated, unknown)
    assert counted(text, TABLE.to_pandas()) == RuleCount(6, violated, unknown)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pricee > 0", "rules[1], character 1: no column is named 'pricee'; did you mean 'price'?"),
        ("price > 0 and (", "'(' was never closed"),
        ("price >", "'price >' cannot be read: invalid syntax"),
        ("price", "character 1: price is a number; write a comparison"),
        ("1 < 2", "'1 < 2' reads no column"),
        ("price == null", "write `is null`"),
        ("price == 'a'", "price is a number and 'a' is text; they cannot be compared"),
        ("price == origin", "price is a number and origin is text"),
        ("origin + 1 > 2", "character 1: origin is text; a number is expected"),
        ("price in cost", "after `in` write values in parentheses"),
        ("price in (cost, 1)", "cost is not a fixed value"),
        ("price is 3", "`is` asks for null alone"),
        ("price.real > 0", "price.real is not part of the language of rules"),
        ("price[0] > 0", "not part of the language"),
        ("__import__('os').system('true') == 0", "is not a function of rules; there are abs, column"),
        ("eval('1') == price", "eval is not a function of rules"),
        ("(lambda: 1) == price", "not part of the language"),
        ("[p for p in price] == 1", "not part of the language"),
        ("f'{price}' == 'a'", "not part of the language"),
        ("price ** 9 > 1", "not part of the language"),
        ("abs(price, 1) > 0", "abs takes one value"),
        ("abs(*price) > 0", "not part of the language"),
        ("column(price) > 0", "column takes a name in quotes"),
        ("price > 1e999", "too large a number"),
        ("price > 1j", "neither a number nor text"),
        ("(price > 0) == (cost > 0)", "conditions cannot be compared"),
        ("price := 3", "cannot be read"),
        ("import os", "cannot be read"),
        ("price > 0" + " and price > 0" * 60, "more than 300 parts"),
        ("price > " + "(" * 900, "cannot be read"),
        ("-" * 900 + "price > 0", "cannot be read; it is nested too deeply|more than 300 parts"),
        ("x" * 2000, "2000 characters long"),
        ("price > \0", "cannot be read"),
        ("", "write a condition"),
    ],
)
def test_what_is_no_rule_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_rules([text], COLUMNS)
    assert any(part in refused.value.message for part in message.split("|")), refused.value.message
    assert refused.value.message.startswith("rules[1]")


def test_a_rule_knows_the_columns_it_reads() -> None:
    rule = parse_rule("price > cost or price is null", KINDS)
    assert [column.name for column in rule.columns] == ["price", "cost"]


def test_a_column_that_vanished_or_turned_to_text_makes_its_rules_unknown_and_no_other() -> None:
    rules = parse_rules(["price > 0", "cost > 0", "origin == 'EWR'"], COLUMNS)
    table = pa.table({"price": ["a", "b", "2"], "origin": ["EWR"] * 3})
    found = count_rules(table, rules)[0, ""]
    assert found["price > 0"] == RuleCount(3, 0, 2)
    assert found["cost > 0"] == RuleCount(3, 0, 3)
    assert found["origin == 'EWR'"] == RuleCount(3, 0, 0)


def test_one_scan_counts_windows_and_segments_and_the_counts_add_up() -> None:
    random = np.random.default_rng(0)
    times = pd.date_range("2026-01-01", periods=240, freq="h", tz="UTC")
    frame = pd.DataFrame(
        {"ts": times, "price": random.normal(1, 1, 240), "origin": random.choice(["EWR", "JFK"], 240)}
    )
    rules = parse_rules(["price > 0"], COLUMNS)
    days = windows_between(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 9, tzinfo=UTC), "1d")
    grid = freeze_grids(pa.Table.from_pandas(frame), COLUMNS)["origin"]
    found = count_rules(frame, rules, windows=days, segment=("origin", grid))
    for index, day in enumerate(days):
        here = frame[(frame.ts >= day.start) & (frame.ts < day.end)]
        for origin in ("EWR", "JFK"):
            part = here[here.origin == origin]
            assert found[index, origin]["price > 0"] == RuleCount(len(part), int((part.price <= 0).sum()), 0)
    total = sum((counts["price > 0"] for counts in found.values()), RuleCount())
    assert total == RuleCount(192, int((frame.price[:192] <= 0).sum()), 0)


def test_times_that_are_none_are_bad_input() -> None:
    rules = parse_rules(["price > 0"], COLUMNS)
    days = windows_between(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC), "1d")
    with pytest.raises(BadInput, match="no column 'ts'"):
        count_rules(TABLE, rules, windows=days)
    with pytest.raises(BadInput, match=r"holds .*, not times"):
        count_rules(TABLE, rules, windows=days, ts_column="price")


RULES = parse_rules(["price > 0", "origin in ('EWR', 'JFK')"], COLUMNS)
THEN = {rule.text: RuleCount(10_000, 20, 0) for rule in RULES}


def judged(violated: int, rows: int = 1000, unknown: int = 0, **options: object) -> Point:
    now = {"price > 0": RuleCount(rows, violated, unknown), RULES[1].text: RuleCount(rows, 2, 0)}
    return judge_rules(RULES, THEN, now, min_rows=50, **options)[0]  # type: ignore[arg-type]


def test_more_violations_than_the_reference_has_alarm_and_the_usual_ones_do_not() -> None:
    usual, more, many = judged(3), judged(30), judged(150)
    assert (usual.verdict, usual.level) == ("ok", None)
    assert (more.verdict, more.level) == ("alarm", "ticket")
    assert (many.verdict, many.level) == ("alarm", "page")
    assert more.text == "Violations of price > 0 from 0.2% to 3.0% (limit 0.7%), 1,000 rows"


def test_windows_of_the_reference_that_vary_widen_the_limit() -> None:
    assert judged(30, noise={"price > 0": [0.0, 0.01, 0.04]}).verdict == "ok"


def test_unknown_is_never_a_pass() -> None:
    assert judged(0, rows=1000, unknown=990).verdict == "inconclusive"
    assert judged(0, rows=0).verdict == "no_data"
    missing = judge_rules(RULES, {}, {}, min_rows=50)
    assert {point.verdict for point in missing} == {"no_data"}


def test_identical_data_seldom_alarm() -> None:
    random = np.random.default_rng(3)
    fired = 0
    for _ in range(1000):
        rate = random.choice([0.0, 0.001, 0.01, 0.1])
        then = {RULES[0].text: RuleCount(5000, int(random.binomial(5000, rate)), 0)}
        now = {RULES[0].text: RuleCount(300, int(random.binomial(300, rate)), 0)}
        fired += judge_rules(RULES[:1], then, now, min_rows=50)[0].verdict == "alarm"
    assert fired / 1000 <= 0.05
