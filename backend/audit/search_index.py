"""The words of every entry, for the search: a side table that erasing empties. It is no evidence and can be made anew.

`open` holds the words of the leaf (ids, action, object), which everybody who reads the log may search; `clear` those
of the payload. Of what identifies a person only the person's opaque id is a word. SQLite: an FTS5 table. PostgreSQL:
two `tsvector` columns under GIN, the second one with the words of both. The words are split here, so that both find the
same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    Connection,
    bindparam,
    column,
    delete,
    func,
    insert,
    literal_column,
    table,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY
from sqlalchemy.sql import Insert
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import Text

from backend.audit.sealing import SEALED, Personal
from backend.audit.tables import AuditEntry

MOST_WORDS: Final = 1_000  # of one entry; beyond it lie long lists of figures
LONGEST: Final = 64  # characters of one word: a digest in hex
REBUILT_AT_ONCE: Final = 2_000
_WHOLE: Final = 2**53 - 1  # beyond it JSON's numbers are not exact
_WORD: Final = re.compile(r"[^\W_]+")
_IN_LEAF: Final = ("actor", "acting_for", "action", "object_kind", "object_id", "request", "session")

SEARCH: Final = table("audit_search", column("rowid"), column("seq"), column("open"), column("clear"))


def words_of(text: str) -> list[str]:
    """Runs of letters and digits, without case and accents, each once, in order."""
    plain = text
    if (
        not text.isascii()
    ):  # what is has no accents, and going through its characters takes as long as the entry
        plain = "".join(one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))
    return list(dict.fromkeys(word[:LONGEST] for word in _WORD.findall(plain.casefold())))


def entry_words(
    leaf: Mapping[str, Any], payload: Mapping[str, Any], *, most: int | None = MOST_WORDS
) -> tuple[list[str], list[str]]:
    """The words of a leaf, and those that the payload adds to them (members' names are not among them)."""
    in_leaf = words_of(" ".join(str(leaf[name]) for name in _IN_LEAF if leaf.get(name) is not None))
    known = set(in_leaf)
    return in_leaf, [word for word in words_of(" ".join(_values(payload))) if word not in known][:most]


def _values(value: Any) -> Iterable[str]:
    if isinstance(value, Personal):
        yield value.subject
    elif isinstance(value, Mapping):
        sealed = value.get("sealed_for") if value.keys() == SEALED else None
        for one in value.values() if sealed is None else (sealed,):
            yield from _values(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _values(one)
    elif isinstance(value, (int, float)):
        yield _number(value)
    elif value is not None:
        yield str(value)


def _number(value: float) -> str:
    """A number as it reads in the payload as it is stored, so that the words are the same whenever they are made."""
    if isinstance(value, bool) or (value == value // 1 and abs(value) > _WHOLE):
        return ""
    return str(int(value)) if value == value // 1 else str(value)


def create_search(connection: Connection) -> None:
    """Make the table. Called once, by the migration that makes the log's tables."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(
            "CREATE VIRTUAL TABLE IF NOT EXISTS audit_search "
            "USING fts5(open, clear, tokenize = 'unicode61', detail = column)"
        )
        return
    connection.exec_driver_sql(
        "CREATE TABLE IF NOT EXISTS audit_search "
        "(seq bigint PRIMARY KEY, open tsvector NOT NULL, clear tsvector NOT NULL)"
    )
    for name in ("open", "clear"):
        connection.exec_driver_sql(
            f"CREATE INDEX IF NOT EXISTS ix_audit_search_{name} ON audit_search USING gin ({name})"
        )


def insertion(dialect: str) -> Insert:
    """The statement that `row_of` fills."""
    open_: BindParameter[Any] = bindparam("new_open")
    clear: BindParameter[Any] = bindparam("new_clear")
    if dialect == "sqlite":
        return insert(SEARCH).values(rowid=bindparam("new_seq"), open=open_, clear=clear)
    return insert(SEARCH).values(seq=bindparam("new_seq"), open=_as_vector(open_), clear=_as_vector(clear))


def _as_vector(words: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.array_to_tsvector(sql_cast(words, ARRAY(Text)))


def row_of(dialect: str, leaf: Mapping[str, Any], payload: Mapping[str, Any]) -> dict[str, Any]:
    """The words of an entry as `insertion` takes them; `new_seq`, its number, is the caller's to add."""
    in_leaf, added = entry_words(leaf, payload)
    if dialect == "sqlite":
        return {"new_open": " ".join(in_leaf), "new_clear": " ".join(added)}
    return {"new_open": in_leaf, "new_clear": in_leaf + added}


def stored_words(dialect: str) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """The columns from which `words_as_stored` reads the words of the leaf and of the payload."""
    if dialect == "sqlite":
        return SEARCH.c.open, SEARCH.c.clear
    return func.tsvector_to_array(SEARCH.c.open), func.tsvector_to_array(SEARCH.c.clear)


def words_as_stored(dialect: str, in_leaf: Any, clear: Any) -> tuple[set[str], set[str]]:
    """As `entry_words` gives them, without their order."""
    if dialect == "sqlite":
        return set(str(in_leaf or "").split(" ")) - {""}, set(str(clear or "").split(" ")) - {""}
    return set(in_leaf), set(clear) - set(in_leaf)


def forget(connection: Connection, seqs: Sequence[int]) -> None:
    """Remove the words of these payloads; those of the leaves stay."""
    if connection.dialect.name == "sqlite":
        statement = SEARCH.update().where(SEARCH.c.rowid.in_(seqs)).values(clear="")
    else:
        statement = SEARCH.update().where(SEARCH.c.seq.in_(seqs)).values(clear=SEARCH.c.open)
    connection.execute(statement)


def purge(connection: Connection) -> None:
    """Take what was forgotten out of the index itself, where it lies until segments are merged."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")  # also out of the pages that this frees
        connection.exec_driver_sql("INSERT INTO audit_search(audit_search) VALUES ('optimize')")


def saying(dialect: str, text: str, *, clear: bool) -> ColumnElement[bool] | None:
    """Entries with all these words; `word*` is the beginning of one. `clear`: look into payloads too. None: no word."""
    wanted = [
        (word, part.endswith("*") and word == words[-1])
        for part in text.split()
        for words in [words_of(part)]
        for word in words
    ]
    if not wanted:
        return None
    if dialect == "sqlite":
        asked = " AND ".join(f'"{word}"{"*" if begins else ""}' for word, begins in wanted)
        return literal_column("audit_search", Text).op("MATCH", is_comparison=True)(
            asked if clear else f"{{open}} : ({asked})"
        )
    asked = " & ".join(f"'{word}'{':*' if begins else ''}" for word, begins in wanted)
    found = SEARCH.c.clear if clear else SEARCH.c.open
    return found.op("@@", is_comparison=True)(sql_cast(asked, TSQUERY()))


def number(dialect: str) -> ColumnElement[int]:
    """The column that holds the entry's number."""
    return SEARCH.c.rowid if dialect == "sqlite" else SEARCH.c.seq


def rebuild(connection: Connection) -> int:
    """Make the whole table anew from leaves and payloads. Returns how many entries it holds."""
    from backend.audit.rows import as_stored, stored_entries

    dialect = connection.dialect.name
    connection.execute(delete(SEARCH))
    after, count = -1, 0
    while True:
        query = stored_entries(dialect, after=after).order_by(AuditEntry.seq)
        entries = [as_stored(row) for row in connection.execute(query.limit(REBUILT_AT_ONCE))]
        if not entries:
            return count
        connection.execute(
            insertion(dialect),
            [{"new_seq": one.seq, **row_of(dialect, one.fields, one.clear)} for one in entries],
        )
        after, count = entries[-1].seq, count + len(entries)
