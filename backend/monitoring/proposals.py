# ruff: noqa: S608  every name in these queries passes through `_quoted`
"""What kind each column of a table seems to be: a proposal with a confidence and a reason, never a silent guess.

A person confirms proposals into a spec; `warrant compare` uses them as they are and prints them. Columns that no
distribution test suits (ids, free text, times, nested values, thousands of rare categories) are left out, with
the reason. Whole numbers with few values are the hard case: codes of categories, or small counts. They are proposed
as categories, which is right for codes and merely less sharp for counts (nannyml #397, #171).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

import duckdb

from backend.monitoring.columns import Kind

Group = Literal["whole", "fraction", "truth", "text", "time", "nested"]

FEW_WHOLE = 10
FEW_NAMED = 200
MANY = 200
ROWS_PER_CATEGORY = 5
THROUGHOUT = 0.99
MOSTLY = 2 / 3
PARTLY = 0.2
FEW_OTHERS = 10
"""Distinct texts beside numbers ("-", "unknown") that are taken as signs that there is none."""
TEXT_FACTS, OTHER_FACTS = 8, 5
SAMPLE = 40_000
"""Rows that tell how texts look and whether numbers have fractions; also far more than a grid's pieces need."""
_CODE = re.compile(
    r"(^|_)(code|codes|zip|zipcode|postcode|postal|type|class|category|cat|flag|status|state|region|"
    r"country|group|segment|grade|weekday|dayofweek|month)$",
    re.IGNORECASE,
)
_ID = re.compile(r"(^|_|\b)(id|ids|uuid|guid|key|pk|rowid|index|hash)$", re.IGNORECASE)
_CAMEL_ID = re.compile(r"[a-z]I[dD]$")


_SIZE = r"[0-9]{1,20}([., ''’]?[0-9]{3}){0,9}([.,][0-9]{1,20})?"
_UNIT = r"\s?([$€£¥%°]|\s[a-zA-Zµ%°/²³]{1,6})?"
_DRESSED = rf"^\s*[+-]?([$€£¥]\s?[+-]?)?{_SIZE}{_UNIT}\s*$"
_EITHER = "name it with --numeric to compare its numbers alone, or with --column to compare it as categories"
_AS_NUMBERS = (
    "store it as numbers to have them compared, or name it with --column to compare it as categories"
)
_TIMES = "holds times, which move on by themselves: only whether it is there and its type are compared"


@dataclass(frozen=True)
class Proposal:
    """What one column seems to be.

    kind        numeric or categorical; None when the column is left out
    fallback    the kind to use when a person asks for the column all the same; None when there is none
    confidence  0 to 1: how sure the rule is on data it was written for, not a probability from these data
    rows        of the table; distinct: distinct values of the column, an estimate
    holds_numbers  whether it is stored as numbers
    advice      of a column that is left out: how a person has it compared all the same
    """

    name: str
    kind: Kind | None
    fallback: Kind | None
    confidence: float
    reason: str
    rows: int = 0
    distinct: int = 0
    holds_numbers: bool = False
    advice: str = "name it with --column to compare it all the same"


@dataclass(frozen=True)
class Facts:
    """What one scan finds of a column. `distinct` is an estimate (HyperLogLog) above some thousands.

    sampled   all but `rows` is of a sample
    readable  of text: the share of values that are numbers; others: distinct values that are not
    dressed   of text: the share of values that are numbers with a unit, a currency sign or a decimal comma
    example   one of those
    """

    name: str
    group: Group
    rows: int
    known: int
    distinct: int
    low: float | None = None
    high: float | None = None
    whole: bool = False
    sampled: bool = False
    readable: float = 0.0
    length: float = 0.0
    spaced: float = 0.0
    others: int = 0
    dressed: float = 0.0
    example: str = ""


def draw_sample(table: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation | None:
    """`SAMPLE` rows of a large table; None of a small one, which is looked at as a whole."""
    rows = table.query("source", "select count(*) from source").fetchall()[0][0]
    if rows <= 2 * SAMPLE:
        return None
    sample = f"select * from source using sample reservoir({SAMPLE} rows) repeatable (1)"
    table.query("source", f"create or replace temp table warrant_sample as {sample}")
    return table.query("source", "from warrant_sample")


def propose_columns(
    table: duckdb.DuckDBPyRelation, sample: duckdb.DuckDBPyRelation | None = None
) -> tuple[Proposal, ...]:
    """A proposal for each column of the relation, in its order; one scan.

    sample   some of its rows (`draw_sample`): what they decide is not asked of all
    """
    return tuple(
        replace(
            propose_kind(facts),
            rows=facts.rows,
            distinct=facts.distinct,
            holds_numbers=facts.group in ("whole", "fraction"),
        )
        for facts in read_facts(table, sample)
    )


def propose_kind(facts: Facts) -> Proposal:
    """The proposal for one column."""
    name, known, distinct = facts.name, facts.known, facts.distinct
    if facts.group == "time":
        return Proposal(name, None, "numeric", 0.95, _TIMES)
    if facts.group == "nested":
        return Proposal(name, None, None, 1.0, "holds lists or records, not single values")
    if known == 0:
        kind: Kind = "categorical" if facts.group in ("text", "truth") else "numeric"
        return Proposal(name, kind, kind, 0.3, "has no value in the reference")
    if facts.group == "truth":
        return Proposal(name, "categorical", "categorical", 1.0, "true or false")
    if facts.group == "text":
        return _propose_text(facts)
    if facts.whole:
        return _propose_whole(facts)
    if distinct == 1:
        return Proposal(name, "numeric", "numeric", 0.7, "a number that never varies in the reference")
    many = f"over {distinct:,}" if facts.sampled else f"{distinct:,}"
    return Proposal(name, "numeric", "numeric", 0.95, f"numbers with fractions, {many} distinct values")


def _propose_text(facts: Facts) -> Proposal:
    name, known, distinct = facts.name, facts.known, facts.distinct
    numbers = max(distinct - facts.others, 0)
    varied = numbers > FEW_NAMED or numbers > max(0.5 * facts.readable * known, 20)
    if varied and facts.readable >= MOSTLY and (facts.readable >= THROUGHOUT or facts.others <= FEW_OTHERS):
        named = _ID.search(name) or _CAMEL_ID.search(name)
        if named and numbers >= 0.9 * facts.readable * known:
            return Proposal(
                name, None, "categorical", 0.9, "an identifier: named as one, and no value comes twice"
            )
        if facts.readable >= THROUGHOUT:
            return Proposal(name, "numeric", "numeric", 0.7, "text that reads as numbers throughout")
        reason = (
            f"text of which {100 * facts.readable:.0f} % are numbers; its {facts.others} other "
            f"{'text counts' if facts.others == 1 else 'texts count'} as unreadable"
        )
        return Proposal(name, "numeric", "numeric", 0.5, reason)
    left = _leave_out(facts)
    if left is not None:
        return left
    return Proposal(name, "categorical", "categorical", 0.95, f"text with {distinct:,} distinct values")


def _leave_out(facts: Facts) -> Proposal | None:
    """Why no comparison suits the text; None where it can be compared as categories."""
    name, known, distinct = facts.name, facts.known, facts.distinct
    unlike = distinct > max(0.5 * known, 20)
    rare = distinct > MANY and distinct * ROWS_PER_CATEGORY > known
    if unlike or rare:
        if facts.readable >= PARTLY:
            reason = f"text of which {100 * facts.readable:.0f} % are numbers, {distinct:,} distinct values"
            return Proposal(name, None, "categorical", 0.6, reason, advice=_EITHER)
        if facts.dressed >= MOSTLY:
            looks = f"{100 * facts.dressed:.0f} % look like numbers with a unit or a decimal comma"
            reason = f"text of which {looks}, such as {facts.example!r}"
            return Proposal(name, None, "categorical", 0.8, reason, advice=_AS_NUMBERS)
    if unlike:
        if facts.spaced > 0.5 and facts.length > 20:
            return Proposal(
                name, None, "categorical", 0.9, f"free text, {facts.length:.0f} characters on average"
            )
        reason = f"an identifier: {distinct:,} distinct values in {known:,} rows"
        return Proposal(name, None, "categorical", 0.9 if known >= 100 else 0.6, reason)
    if facts.spaced > 0.9 and facts.length > 60:
        return Proposal(
            name, None, "categorical", 0.7, f"free text, {facts.length:.0f} characters on average"
        )
    if rare:
        reason = (
            f"too many categories: {distinct:,} in {known:,} rows, fewer than {ROWS_PER_CATEGORY} rows each"
        )
        return Proposal(name, None, "categorical", 0.7, reason)
    return None


def _propose_whole(facts: Facts) -> Proposal:
    name, known, distinct = facts.name, facts.known, facts.distinct
    span = (facts.high or 0.0) - (facts.low or 0.0) + 1
    unique = distinct >= 0.95 * known and known >= 20
    if unique and (_ID.search(name) or _CAMEL_ID.search(name)):
        return Proposal(name, None, "numeric", 0.95, "an identifier: named as one, and no value comes twice")
    if unique and known >= 50 and span <= 1.05 * known:
        return Proposal(name, None, "numeric", 0.85, "a running number: each value of its range comes once")
    if distinct <= 2:
        return Proposal(
            name, "categorical", "categorical", 0.8, f"whole numbers with {distinct} distinct values"
        )
    if _CODE.search(name) and distinct <= FEW_NAMED:
        reason = f"whole numbers named like codes, {distinct} distinct values"
        return Proposal(name, "categorical", "categorical", 0.8, reason)
    if (_ID.search(name) or _CAMEL_ID.search(name)) and distinct * ROWS_PER_CATEGORY <= known:
        reason = (
            f"whole numbers named like identifiers of something that repeats, {distinct:,} distinct values"
        )
        return Proposal(name, "categorical", "categorical", 0.7, reason)
    if distinct <= FEW_WHOLE and known >= 5 * distinct:
        reason = f"whole numbers with only {distinct} distinct values: codes, or small counts"
        return Proposal(name, "categorical", "categorical", 0.6, reason)
    confidence = 0.9 if distinct > 50 else 0.7
    return Proposal(
        name, "numeric", "numeric", confidence, f"whole numbers with {distinct:,} distinct values"
    )


def read_facts(table: duckdb.DuckDBPyRelation, sample: duckdb.DuckDBPyRelation | None = None) -> list[Facts]:
    """What `propose_kind` needs to know of every column, in one scan.

    With a sample, how texts look is asked of it alone, and so is everything of numbers in which it finds fractions.
    """
    groups = [group_of(str(kind)) for kind in table.types]
    if sample is not None:
        seen = read_facts(sample)
        fractions = [f.group == "fraction" and f.distinct > FEW_NAMED and not f.whole for f in seen]
    else:
        seen, fractions = [], [False] * len(groups)
    picks: list[str] = ["count(*)"]
    for name, group, settled in zip(table.columns, groups, fractions, strict=True):
        if settled:
            continue
        wanted = _aggregates(_quoted(name), group)
        picks += [*wanted[:2], *["0"] * (len(wanted) - 2)] if seen and group == "text" else wanted
    found: tuple[Any, ...] = table.query("source", f"select {', '.join(picks)} from source").fetchall()[0]
    rows, at, facts = int(found[0]), 1, []
    for i, (name, group) in enumerate(zip(table.columns, groups, strict=True)):
        if fractions[i]:
            facts.append(replace(seen[i], rows=rows, sampled=True))
            continue
        width = TEXT_FACTS if group == "text" else OTHER_FACTS
        known, distinct, *rest = found[at : at + width]
        at += width
        # The estimate of few values is at times off by one; of ones that never repeat by some per cent.
        distinct = min(int(distinct), int(known))
        if group in ("whole", "fraction"):
            low, high, whole = rest
            facts.append(Facts(name, group, rows, known, distinct, low, high, bool(whole)))
        elif group == "text":
            if seen:
                facts.append(replace(seen[i], rows=rows, known=known, distinct=distinct))
                continue
            readable, length, spaced, others, dressed = (float(value or 0.0) for value in rest[:-1])
            facts.append(
                Facts(
                    name,
                    group,
                    rows,
                    known,
                    distinct,
                    readable=readable,
                    length=length,
                    spaced=spaced,
                    others=int(others),
                    dressed=dressed,
                    example=str(rest[-1] or ""),
                )
            )
        else:
            facts.append(Facts(name, group, rows, known, distinct))
    return facts


def group_of(kind: str) -> Group:
    """The group of a DuckDB type."""
    kind = kind.upper()
    if kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION", "BLOB")):
        return "nested"
    if kind.startswith(("FLOAT", "DOUBLE", "DECIMAL", "REAL")):
        return "fraction"
    if kind.startswith("BOOL"):
        return "truth"
    if kind.startswith(("DATE", "TIME", "INTERVAL")):
        return "time"
    if "INT" in kind:
        return "whole"
    return "text"


def _aggregates(column: str, group: Group) -> list[str]:
    if group in ("whole", "fraction"):
        number = f"cast({column} as double)"
        usable = f"case when isfinite({number}) and abs({number}) <= 1e150 then {number} end"
        return [
            f"count({usable})", f"approx_count_distinct({usable})", f"min({usable})", f"max({usable})",
            f"coalesce(bool_and({usable} = floor({usable})), false)",
        ]  # fmt: skip
    if group == "text":
        text = f"cast({column} as varchar)"
        plain = f"try_cast({text} as double) is not null"
        dressed = f"(not ({plain}) and regexp_matches({text}, '{_DRESSED}'))"
        return [
            f"count({column})", f"approx_count_distinct({column})",
            f"avg(case when {plain} then 1.0 when {text} is not null then 0.0 end)",
            f"avg(length({text}))", f"avg(case when contains({text}, ' ') then 1.0 else 0.0 end)",
            f"approx_count_distinct(case when not ({plain}) then {text} end)",
            f"avg(case when {dressed} then 1.0 when {text} is not null then 0.0 end)",
            f"min(case when {dressed} then {text} end)",
        ]  # fmt: skip
    return [
        f"count({column})",
        "0" if group == "nested" else f"approx_count_distinct({column})",
        "0",
        "0",
        "0",
    ]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
