"""Which column of a table is the id, the time, the score, the prediction or the label: by its name and its values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from backend.errors import BadInput
from backend.monitoring.proposals import group_of
from backend.onboarding.document import ROLES
from backend.onboarding.source_files import names_of, quoted

if TYPE_CHECKING:
    import duckdb

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "prediction_id": (
        "prediction_id",
        "request_id",
        "event_id",
        "transaction_id",
        "row_id",
        "uuid",
        "id",
        "instant",
    ),
    "ts": (
        "ts",
        "timestamp",
        "prediction_ts",
        "predicted_at",
        "event_time",
        "created_at",
        "datetime",
        "time",
        "date",
    ),
    "score": (
        "score",
        "y_score",
        "y_prob",
        "y_proba",
        "probability",
        "proba",
        "prob",
        "predicted_probability",
    ),
    "prediction": ("prediction", "predicted", "y_pred", "y_hat", "yhat", "pred", "forecast", "estimate"),
    "label": ("label", "y_true", "actual", "actuals", "outcome", "target", "ground_truth", "y"),
    "label_ts": (
        "label_ts",
        "labelled_at",
        "labeled_at",
        "outcome_ts",
        "outcome_at",
        "label_time",
        "resolved_at",
    ),
}
"""Names that others give these columns, the surest first; without case, spaces and dashes."""
SURE, LIKELY, GUESSED = 0.95, 0.8, 0.5


@dataclass(frozen=True)
class Role:
    """A column that has a role. confidence and reason: of the proposal; a role that was named is certain."""

    column: str
    confidence: float
    reason: str


@dataclass(frozen=True)
class Seen:
    """What one scan says of a column. group: as `backend.monitoring.proposals` sorts types."""

    name: str
    group: str
    known: int
    distinct: int
    low: Any
    high: Any


def find_roles(
    table: duckdb.DuckDBPyRelation, named: Mapping[str, str], seen: Mapping[str, Seen], rows: int
) -> dict[str, Role]:
    """Role -> column, of the roles that a column fits. `named` has those that a person named; "": no column has it.

    Raises `BadInput` for a role or a column that is not there, and where no column fits the time or what was predicted.
    """
    found: dict[str, Role] = {}
    for role, column in named.items():
        if role not in ROLES:
            raise BadInput(f"{role!r} is no role of a column; there are {', '.join(ROLES)}", field="columns")
        if not column:
            continue
        if column not in seen:
            raise BadInput(
                f"{role}: there is no column {column!r}; there are {names_of(list(seen))}", field="columns"
            )
        found[role] = Role(column, 1.0, "named")
    taken = {one.column for one in found.values()}
    for role in ("ts", "label_ts", "score", "prediction", "label", "prediction_id"):
        if role in found or role in named:
            continue
        best = _best(table, role, [one for one in seen.values() if one.name not in taken], rows)
        if best is not None:
            found[role] = best
            taken.add(best.column)
    if "ts" not in found:
        _refuse("ts", "the time of each prediction", seen)
    if "score" not in found and "prediction" not in found:
        _refuse("prediction", "what was predicted", seen)
    return found


def read_seen(table: duckdb.DuckDBPyRelation) -> tuple[dict[str, Seen], int]:
    """What there is to know of every column for its role, in one scan, and the number of rows."""
    picks = ["count(*)"]
    for name in table.columns:
        column = quoted(name)
        picks += [f"count({column})", f"approx_count_distinct({column})", f"min({column})", f"max({column})"]
    [found] = table.query("source", f"select {', '.join(picks)} from source").fetchall()  # noqa: S608 - quoted
    rows = int(found[0])
    seen = {}
    for place, (name, kind) in enumerate(zip(table.columns, table.types, strict=True)):
        known, distinct, low, high = found[1 + 4 * place : 5 + 4 * place]
        seen[name] = Seen(name, group_of(str(kind)), known, min(distinct, known), low, high)
    return seen, rows


def _best(table: duckdb.DuckDBPyRelation, role: str, columns: Sequence[Seen], rows: int) -> Role | None:
    fitting = [one for one in columns if _fits(role, one, rows)]
    ranked = sorted(
        (rank, place) for place, one in enumerate(fitting) if (rank := _rank(role, one.name)) is not None
    )
    for rank, place in ranked:
        one = fitting[place]
        if role == "prediction_id" and not _is_unique(table, one.name, rows):
            continue
        return Role(one.name, SURE if rank == 0 else LIKELY, f"named like it, and {_values(role, one)}")
    if role == "ts" and len(fitting) == 1:
        return Role(fitting[0].name, GUESSED, "the only column that holds times")
    if role == "prediction_id":
        ids = [one for one in fitting if re.search(r"(^|_)(id|uuid|key)$", one.name, re.IGNORECASE)]
        unique = [one for one in ids if _is_unique(table, one.name, rows)]
        if unique:
            return Role(unique[0].name, LIKELY, "named like an identifier, and no value comes twice")
    return None


def _rank(role: str, name: str) -> int | None:
    """0: the surest name, 1: another one, None: not named so."""
    plain = re.sub(r"[\s\-.]+", "_", name.strip()).casefold()
    plain_camel = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).casefold()
    for one in (plain, plain_camel):
        if one in NAMES[role]:
            return 0 if one == NAMES[role][0] else 1
    return None


def _fits(role: str, one: Seen, rows: int) -> bool:
    if not one.known:
        return False
    numbers = one.group in ("whole", "fraction")
    if role in ("ts", "label_ts"):
        return one.group == "time" and (role == "label_ts" or one.known == rows)
    if role == "score":
        return numbers and bool(0 <= one.low <= one.high <= 1)
    if role == "prediction_id":
        return one.group in ("whole", "text") and one.known == rows and one.distinct > 0.9 * rows
    return one.group in ("whole", "fraction", "truth", "text")


def _values(role: str, one: Seen) -> str:
    if role in ("ts", "label_ts"):
        return f"holds times from {one.low} to {one.high}"
    if role == "prediction_id":
        return "no value comes twice"
    if one.group in ("whole", "fraction"):
        return f"holds numbers from {one.low:g} to {one.high:g}"
    return f"holds {one.distinct:,} distinct values"


def _is_unique(table: duckdb.DuckDBPyRelation, name: str, rows: int) -> bool:
    sql = f"select count(distinct {quoted(name)}) from source"  # noqa: S608 - quoted
    return bool(table.query("source", sql).fetchall()[0][0] == rows)


def _refuse(role: str, what: str, seen: Mapping[str, Seen]) -> None:
    raise BadInput(
        f"no column looks like {what} ({role}); name it, as `--column {role}=NAME`. There are {names_of(list(seen))}",
        field="columns",
    )
