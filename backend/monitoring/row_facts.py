"""What is known of a whole table's rows: how many there are, and how many came before."""

from __future__ import annotations

import duckdb
import numpy as np
from scipy.special import gammaln

from backend.monitoring.statistics import TableFacts


def find_facts(table: duckdb.DuckDBPyRelation, *, count: bool, most: int) -> TableFacts:
    """Rows and, where asked for, how many of them came before, of at most `most` rows.

    More rows repeat each other more often by chance, so of a larger table it is what a draw of `most` rows is
    expected to hold: a row that is there m times is among n of N rows but for (N-m choose n) / (N choose n).
    """
    rows = count_rows(table)
    if not count or not rows:
        return TableFacts(rows, duplicates=0 if count else None)
    query = (
        "select times, count(*) from (select count(*) as times from looked group by all_columns) group by times"
    ).replace("all_columns", ", ".join(quoted(name) for name in table.columns))
    times, kinds = np.array(table.query("looked", query).fetchall(), dtype=np.float64).T
    if rows <= most:
        return TableFacts(rows, duplicates=rows - int(kinds.sum()))
    left = rows - times  # rows that are another one
    log = (
        gammaln(left + 1)
        - gammaln(np.maximum(left - most, 0) + 1)
        - gammaln(rows + 1)
        + gammaln(rows - most + 1)
    )
    absent = np.where(left >= most, np.exp(log), 0.0)
    return TableFacts(most, duplicates=max(round(most - float(kinds @ (1 - absent))), 0))


def count_rows(table: duckdb.DuckDBPyRelation) -> int:
    return int(table.query("looked", "select count(*) from looked").fetchall()[0][0])


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
