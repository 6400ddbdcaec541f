"""Two tables against each other, column by column: the engine without a server, a spec or a database.

>>> found = compare_files("reference.parquet", "current.parquet")
>>> [row.column for row in found if row.verdict == "alarm"]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import duckdb

from backend.errors import BadInput
from backend.monitoring.columns import Kind
from backend.monitoring.profiles import profile_reference, profile_table
from backend.monitoring.proposals import Proposal, draw_sample, group_of, propose_columns
from backend.monitoring.row_facts import count_rows, find_facts, quoted
from backend.monitoring.sampled_grids import place_grids
from backend.monitoring.sources import OwnTable, connect
from backend.monitoring.statistics import (
    REGISTRY,
    TABLE_REGISTRY,
    Statistic,
    TableFacts,
    statistics_for,
)
from backend.monitoring.tablefiles import PARQUET, find_repeated_names, find_twin, open_table
from backend.monitoring.thresholds import Verdict
from backend.monitoring.unreadable import find_unreadable, tell_unreadable
from backend.monitoring.verdicts import ERROR, MIN_ROWS, Finding, judge_columns

SCHEMA = "schema_change"
FEWER_SIGNS = ("text to whole", "text to fraction")
MISSING = ("null", "nan", "invalid", "absent")


@dataclass(frozen=True)
class Comparison:
    """One statistic of one column of the two tables. `reason` says why there is no verdict; `text` is for people.

    side     where of its threshold a value alarms: "below" for a rate that fell
    details  of `missing_rate`: current rows that are null, NaN, invalid (there and unreadable) and absent
    """

    column: str
    statistic: str
    value: float | None
    threshold: float | None
    verdict: Verdict
    rows_reference: int
    rows_current: int
    reason: str | None = None
    text: str = ""
    level: str | None = None
    p: float | None = None
    kind: str | None = None
    confidence: float | None = None
    side: Literal["above", "below"] = "above"
    details: Mapping[str, int] | None = None

    def to_json(self) -> dict[str, Any]:
        """The row of the outside contract, whose `reason` is never empty: a verdict's is its sentence."""
        return {**asdict(self), "reason": self.reason or self.text}


def compare_files(
    reference: Path | str,
    current: Path | str,
    *,
    statistics: Sequence[str] = (),
    columns: Sequence[str] = (),
    kinds: Mapping[str, Kind] | None = None,
) -> list[Comparison]:
    """Compare two Parquet or CSV files; see `compare_tables`."""
    paths, connections = (reference, current), (connect(), connect())
    opened = [open_table(path, connection) for path, connection in zip(paths, connections, strict=True)]
    repeated = [find_repeated_names(path, table) for path, table in zip(paths, opened, strict=True)]
    for table, found in zip(opened, repeated, strict=True):
        kept = [quoted(name) for name in table.columns if name not in found]
        table.project(", ".join(kept)).create_view("compared")
    tables = [
        _Table(c.table("compared"), OwnTable("compared", [c]), typed=Path(path).suffix.lower() in PARQUET)
        for c, path in zip(connections, paths, strict=True)
    ]
    rows = _compare_tables(*tables, statistics=statistics, columns=columns, kinds=kinds or {})
    return rows + _repeated_names(repeated, opened)


def compare_tables(
    reference: duckdb.DuckDBPyRelation,
    current: duckdb.DuckDBPyRelation,
    *,
    statistics: Sequence[str] = (),
    columns: Sequence[str] = (),
    kinds: Mapping[str, Kind] | None = None,
) -> list[Comparison]:
    """Every statistic of every column, with its verdict.

    statistics  names to compute; all that suit a column when empty
    columns     columns to look at; all when empty. A column that is named is compared though it looks like an id
    kinds       kinds that a person declares, instead of the proposed ones

    Raises `BadInput` for names that are unknown, with those there are.
    """
    tables = [_Table(table, table) for table in (reference, current)]
    return _compare_tables(*tables, statistics=statistics, columns=columns, kinds=kinds or {})


@dataclass(frozen=True)
class _Table:
    """`rows` for queries, and what `open_scan` is given to count them: the same rows in the fastest form.

    typed   whether it declares types; those of CSV are guessed from its values
    """

    rows: duckdb.DuckDBPyRelation
    scanned: duckdb.DuckDBPyRelation | OwnTable
    typed: bool = True

    def has_type(self, column: str) -> bool:
        """Whether the column has a type at all: without any value nothing tells it, unless it is declared."""
        kind = str(self.rows.types[self.rows.columns.index(column)])
        if self.typed or kind != "VARCHAR":
            return kind != '"NULL"'
        query = f"select count({quoted(column)}) from looked"  # noqa: S608 - quoted
        return bool(self.rows.query("looked", query).fetchall()[0][0])


def _compare_tables(
    then: _Table, now: _Table, *, statistics: Sequence[str], columns: Sequence[str], kinds: Mapping[str, Kind]
) -> list[Comparison]:
    reference, current = then.rows, now.rows
    _check_names(statistics, columns, kinds, reference, current)
    asked = tuple(columns) or tuple(dict.fromkeys([*reference.columns, *current.columns]))
    sample = draw_sample(reference)
    proposals = {p.name: p for p in propose_columns(reference, sample)}
    rows: list[Comparison] = []
    chosen: dict[str, Kind] = {}
    sizes = (count_rows(reference), count_rows(current))
    for name in asked:
        proposal = proposals.get(name)
        if proposal is None:
            rows.append(_only_current(name, sizes, find_twin(name, current.columns, reference.columns)))
            continue
        kind = kinds.get(name) or (proposal.fallback if columns else proposal.kind)
        if kind is None:
            rows.append(_left_out(proposal, sizes))
        else:
            chosen[name] = kind
    own = tuple(name for name in statistics if name in REGISTRY)
    if own or not statistics:
        rows += _compare(then, now, sample, chosen, proposals, own)
    if not statistics or SCHEMA in statistics:
        rows += _schema(then, now, asked, sizes, chosen, every=bool(statistics))
    about_rows = [name for name in dict.fromkeys(statistics) if name in TABLE_REGISTRY and name != SCHEMA]
    rows += [_of_whole_tables(name, reference, current) for name in about_rows]
    peers = tuple(name for name in statistics if ":" in name)
    if peers:
        shared = [name for name in asked if name in reference.columns and name in current.columns]
        rows += _compare_as_peers(reference, current, shared, kinds, peers)
    order = {name: at for at, name in enumerate(asked)}
    return sorted(rows, key=lambda row: order.get(row.column, len(order)))


def _compare(
    reference: _Table,
    current: _Table,
    sample: duckdb.DuckDBPyRelation | None,
    kinds: Mapping[str, Kind],
    proposals: Mapping[str, Proposal],
    names: tuple[str, ...],
) -> list[Comparison]:
    words = [name for name, kind in kinds.items() if kind == "categorical"]
    placed = place_grids(reference.rows, reference.scanned, sample, kinds, proposals)
    grids, before = profile_reference(reference.scanned, words, placed)
    after = profile_table(current.scanned, grids)
    pairs: list[tuple[str, Statistic]] = [
        (column, statistic)
        for column, kind in kinds.items()
        for statistic in statistics_for(kind, every=bool(names))
        if not names or statistic.name in names
    ]
    rows = [
        _comparison(found, kinds, proposals, current.rows) for found in judge_columns(pairs, before, after)
    ]
    return rows + [
        _unsuited(column, kind, REGISTRY[name], before[column].known, after[column].known)
        for column, kind in kinds.items()
        for name in names
        if kind not in REGISTRY[name].applies_to
    ]


def _comparison(
    found: Finding,
    kinds: Mapping[str, Kind],
    proposals: Mapping[str, Proposal],
    current: duckdb.DuckDBPyRelation,
) -> Comparison:
    decision, text, counts = found.decision, found.decision.text, found.result.details
    missing = found.statistic.name == "missing_rate" and decision.reason is None
    if missing and counts["invalid"]:
        number = kinds[found.column] == "numeric"
        example = find_unreadable(current, found.column) if number else None
        what = "a number" if number else "a category"
        text = tell_unreadable(text, counts, what=what, example=example)
    return Comparison(
        column=found.column,
        statistic=found.statistic.name,
        value=found.result.value,
        threshold=decision.threshold,
        verdict=decision.verdict,
        rows_reference=found.result.rows_reference,
        rows_current=found.result.rows_current,
        reason=decision.reason,
        text=text,
        level="ticket" if decision.verdict == "alarm" else None,
        p=found.p,
        kind=kinds[found.column],
        confidence=proposals[found.column].confidence,
        side="below" if decision.limit is not None and decision.limit.below else "above",
        details={name: counts[name] for name in MISSING} if missing else None,
    )


def _schema(
    then: _Table,
    now: _Table,
    columns: Sequence[str],
    sizes: tuple[int, int],
    kinds: Mapping[str, Kind],
    *,
    every: bool,
) -> list[Comparison]:
    """A row for each column that vanished or is of another type; for all columns when it was asked for by name."""
    reference, current = then.rows, now.rows
    statistic = TABLE_REGISTRY[SCHEMA]
    facts = [
        TableFacts(rows, types={n: group_of(str(t)) for n, t in zip(table.columns, table.types, strict=True)})
        for table, rows in zip((reference, current), sizes, strict=True)
    ]
    found = statistic.compute(*facts)
    rows = []
    for name in columns:
        if name not in reference.columns:
            continue  # told already, as new
        changed = found.details["changed"].get(name)
        untyped = bool(changed) and not (then.has_type(name) and now.has_type(name))
        # What CSV holds is text or numbers by a guess: numbers beside a few signs of none are numbers either way.
        alike = changed in FEWER_SIGNS and not then.typed and kinds.get(name) == "numeric"
        changed = None if untyped or alike else changed
        vanished = name in found.details["vanished"]
        if not (changed or vanished or every):
            continue
        value = float(bool(changed or vanished))
        what = (
            f"changed from {changed}" if changed else "is gone" if vanished
            else "is there, without any value that would tell its type" if untyped
            else "is there, of the same type"
        )  # fmt: skip
        twin = find_twin(name, reference.columns, current.columns) if vanished else None
        if twin is not None:
            what += (
                f"; the current file has {twin!r}, which is probably the same column: rename one of the two"
            )
        verdict: Verdict = "alarm" if value else "ok"
        text = f"{name} {what}"
        level = "ticket" if value else None
        rows.append(Comparison(name, SCHEMA, value, statistic.floor, verdict, *sizes, None, text, level))
    return rows


def _of_whole_tables(
    name: str, reference: duckdb.DuckDBPyRelation, current: duckdb.DuckDBPyRelation
) -> Comparison:
    """A statistic of the rows, not of a column (whose name is empty); what two files cannot tell is inconclusive."""
    statistic = TABLE_REGISTRY[name]
    count = name == "duplicates"
    most = count_rows(reference)
    then, now = (find_facts(table, count=count, most=most) for table in (reference, current))
    found = statistic.compute(then, now)
    sizes = (found.rows_reference, found.rows_current)
    if found.value is None or min(sizes) < MIN_ROWS:
        reason = found.reason or f"{min(sizes)} rows are too few; {MIN_ROWS} are needed"
        if not count:
            reason = f"two files do not tell what this needs: {reason}"
        verdict: Verdict = "no_data" if not sizes[1] else "inconclusive"
        return Comparison(
            "", name, found.value, None, verdict, *sizes, reason, f"{statistic.title}: {reason}"
        )
    limit = statistic.limit(found, ERROR)
    verdict = "alarm" if found.value > limit else "ok"
    before = float(found.details["reference_rate"])
    text = f"{statistic.title} from {before:.1%} to {found.value:.1%} (limit {limit:.1%}), {sizes[1]:,} rows"
    level = "ticket" if verdict == "alarm" else None
    return Comparison(
        "", name, found.value, limit, verdict, *sizes, None, text, level, statistic.law(found).p(found.value)
    )


def _compare_as_peers(
    reference: duckdb.DuckDBPyRelation,
    current: duckdb.DuckDBPyRelation,
    columns: Sequence[str],
    kinds: Mapping[str, Kind],
    names: tuple[str, ...],
) -> list[Comparison]:
    """What other tools would say of the raw columns, by their own rules of types unless a person declares one."""
    from backend.monitoring.peers import PEERS

    rows = []
    for column in columns:
        then, now = (table.project(quoted(column)).df().iloc[:, 0] for table in (reference, current))
        for name in names:
            found = PEERS[name].compute(then, now, kinds.get(column))
            verdict: Verdict = "inconclusive"
            if found.alarm is not None:
                verdict = "alarm" if found.alarm else "ok"
            value = "no value" if found.value is None else f"{found.value:.4g}"
            text = f"{PEERS[name].title} of {column}: {value}, {PEERS[name].rule}"
            text += f" ({found.used})" if found.used else ""
            rows.append(
                Comparison(
                    column=column,
                    statistic=name,
                    value=found.value,
                    threshold=found.threshold,
                    verdict=verdict,
                    rows_reference=found.rows_reference,
                    rows_current=found.rows_current,
                    reason=found.reason,
                    text=text,
                    kind=kinds.get(column),
                )
            )
    return rows


def _unsuited(column: str, kind: Kind, statistic: Statistic, known: int, known_now: int) -> Comparison:
    reason = (
        f"{statistic.name} is for {' and '.join(statistic.applies_to)} columns; {column} is taken as {kind}"
    )
    return Comparison(
        column, statistic.name, None, None, "inconclusive", known, known_now, reason, reason, kind=kind
    )


def _left_out(proposal: Proposal, sizes: tuple[int, int]) -> Comparison:
    reason = f"left out: {proposal.reason}; {proposal.advice}"
    return Comparison(
        proposal.name, "proposal", None, None, "inconclusive", *sizes, reason,
        f"{proposal.name} is left out: {proposal.reason}", None, None, None, proposal.confidence,
    )  # fmt: skip


def _repeated_names(
    repeated: Sequence[Mapping[str, str]], tables: Sequence[duckdb.DuckDBPyRelation]
) -> list[Comparison]:
    """A row for each name that several columns of a file have."""
    if not any(repeated):
        return []
    rows, sizes = [], (count_rows(tables[0]), count_rows(tables[1]))
    for side, found in zip(("reference", "current"), repeated, strict=True):
        for folded, others in groupby(sorted(found.values(), key=str.casefold), key=str.casefold):
            names = list(others)
            reason = (
                f"{len(names) + 1} columns of the {side} file are named {names[0]}, upper and lower case being one; "
                f"the first was compared"
            )
            rows.append(Comparison(folded, "proposal", None, None, "inconclusive", *sizes, reason, reason))
    return rows


def _only_current(name: str, sizes: tuple[int, int], twin: str | None) -> Comparison:
    reason = "only the current file has this column: there is nothing to compare it with"
    if twin is not None:
        reason += f"; it is probably the reference's {twin!r}: rename one of the two"
    return Comparison(name, SCHEMA, 1.0, None, "inconclusive", *sizes, reason, f"{name} is new: {reason}")


def _check_names(
    statistics: Sequence[str],
    columns: Sequence[str],
    kinds: Mapping[str, Kind],
    reference: duckdb.DuckDBPyRelation,
    current: duckdb.DuckDBPyRelation,
) -> None:
    strange = [name for name in statistics if name not in REGISTRY and name not in TABLE_REGISTRY]
    if strange:
        from backend.monitoring.peers import PEERS

        for name in strange:
            if name not in PEERS:
                known = ", ".join([*sorted(REGISTRY), *sorted(TABLE_REGISTRY), *sorted(PEERS)])
                raise BadInput(f"no statistic is named {name!r}; there are {known}")
    there = dict.fromkeys([*reference.columns, *current.columns])
    for name in (*columns, *kinds):
        if name not in there:
            raise BadInput(f"neither file has a column {name!r}; there are {', '.join(there)}")
