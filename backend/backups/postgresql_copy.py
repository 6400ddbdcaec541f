"""PostgreSQL as of one moment: every row of every table by COPY, in one REPEATABLE READ transaction.

Not `pg_dump`: it refuses a server that is newer than itself, so a backup would depend on a program beside Warrant that
somebody has to keep in step. The tables themselves are made by this release's migrations; rows, and where sequences
stand, are all that is saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from backend.backups.database_copy import DatabaseFacts, facts_by
from backend.backups.errors import BackupDamaged, BackupFailed, NotEmpty
from backend.errors import BadInput

SCHEMAS: Final = ("public", "dbos")
SEQUENCES: Final = "sequences.tsv"
REVISION: Final = ("public", "alembic_version")
_BY_MIGRATION: Final = (REVISION, ("dbos", "dbos_migrations"))  # made together with the tables
_PIECE: Final = 1 << 20

Table = tuple[str, str]  # schema, name

_TABLES: Final = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY(%s) ORDER BY 1, 2"""
_OBJECTS: Final = """
    SELECT n.nspname, o.name FROM (
        SELECT relnamespace AS space, relname AS name, oid, 'pg_class'::regclass AS kind FROM pg_class
        WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
        UNION ALL SELECT pronamespace, proname, oid, 'pg_proc'::regclass FROM pg_proc
    ) o JOIN pg_namespace n ON n.oid = o.space
    WHERE n.nspname = ANY(%(schemas)s) AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = o.kind AND d.objid = o.oid AND d.deptype = 'e')
    ORDER BY 1, 2"""
_FUNCTIONS: Final = """
    SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'public' AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')"""
_COLUMNS: Final = """
    SELECT a.attname FROM pg_attribute a WHERE a.attrelid = %s::regclass AND a.attnum > 0
    AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum"""
_REFERENCES: Final = """
    SELECT n.nspname, c.relname, rn.nspname, r.relname FROM pg_constraint k
    JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class r ON r.oid = k.confrelid JOIN pg_namespace rn ON rn.oid = r.relnamespace
    WHERE k.contype = 'f' AND n.nspname = ANY(%s)"""
_STANDING: Final = "SELECT schemaname, sequencename, last_value FROM pg_sequences WHERE schemaname = ANY(%s)"


def plain_url(url: str) -> str:
    """The URL as the driver itself takes it."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


@contextmanager
def reading_snapshot(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection that sees one moment of the whole database for as long as it is open."""
    try:
        with psycopg.connect(plain_url(url)) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            connection.execute("SELECT 1")  # the first statement takes the snapshot
            yield connection
    except psycopg.Error as error:
        raise BackupFailed(f"the database could not be copied: {error}") from error


class PostgresqlSnapshot:
    """The database as the connection's transaction sees it."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self.facts: DatabaseFacts = facts_by(
            lambda query: connection.execute(query).fetchall(), workflow_schema="dbos."
        )

    def write(self, folder: Path) -> list[Path]:
        written = [self._copy(table, folder) for table in tables_of(self._connection)]
        standing = self._connection.execute(_STANDING, (list(SCHEMAS),)).fetchall()
        sequences = folder / SEQUENCES
        sequences.write_text(
            "".join(f"{schema}\t{name}\t{'' if at is None else at}\n" for schema, name, at in standing)
        )
        self._connection.rollback()  # nothing is read any more, and the server need keep no old rows for it
        return [*written, sequences]

    def _copy(self, table: Table, folder: Path) -> Path:
        path = folder / f"{table[0]}.{table[1]}.copy"
        columns = columns_of(self._connection, table)
        with self._connection.cursor() as cursor, path.open("wb") as file:
            file.write("\t".join(columns).encode() + b"\n")
            with cursor.copy(
                sql.SQL("COPY {} ({}) TO STDOUT").format(sql.Identifier(*table), _named(columns))
            ) as rows:
                for piece in rows:
                    file.write(piece)
        return path


def tables_of(connection: psycopg.Connection[Any]) -> list[Table]:
    return [(one[0], one[1]) for one in connection.execute(_TABLES, (list(SCHEMAS),))]


def columns_of(connection: psycopg.Connection[Any], table: Table) -> list[str]:
    quoted = sql.Identifier(*table).as_string(connection)
    return [str(one[0]) for one in connection.execute(_COLUMNS, (quoted,))]


def _named(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def require_empty(url: str) -> None:
    """Raise `NotEmpty` where the schemas that we use hold a table, a view, a sequence or a function of anybody's."""
    try:
        with psycopg.connect(plain_url(url)) as connection:
            found = connection.execute(_OBJECTS, {"schemas": list(SCHEMAS)}).fetchall()
    except psycopg.Error as error:
        raise BadInput(f"the database to restore to cannot be asked: {error}") from error
    if found:
        raise NotEmpty(
            f"the database has {len(found)} tables or functions already ({'.'.join(found[0])} first); restore goes "
            "into an empty one only: make one with CREATE DATABASE and name it in WARRANT_DATABASE_URL"
        )


def fill(url: str, folder: Path) -> None:
    """Put the copied rows into a database whose tables were just made, in one transaction that also takes its revision
    away: until `set_revision` it is nobody's database. Raises `BackupDamaged`."""
    files = {
        (schema, name): path
        for path in folder.glob("*.copy")
        for schema, _, name in (path.stem.partition("."),)
    }
    try:
        with psycopg.connect(plain_url(url)) as connection:
            known = tables_of(connection)
            if set(files) != set(known):
                odd = sorted(set(files) ^ set(known))[0]
                raise BackupDamaged(f"the table {'.'.join(odd)} is not in both the backup and this release")
            for table in in_order(known, _references(connection)):
                if table not in _BY_MIGRATION:
                    _load(connection, table, files[table])
            _set_sequences(connection, folder / SEQUENCES)
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(*REVISION)))
    except psycopg.Error as error:
        raise BackupDamaged(f"the database refused what the backup holds: {error}") from error


def empty_again(url: str) -> None:
    """Take away what a restore that failed has put into a database which was empty. The schema `public`, what is
    granted on it, and the extensions in it are the database's own and stay. Raises `NotEmpty`."""
    try:
        with psycopg.connect(plain_url(url)) as connection:
            connection.execute("DROP SCHEMA IF EXISTS dbos CASCADE")
            for table in tables_of(connection):
                connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(sql.Identifier(*table)))
            for (function,) in connection.execute(_FUNCTIONS).fetchall():
                connection.execute(sql.SQL("DROP ROUTINE {} CASCADE").format(sql.SQL(function)))
    except psycopg.Error as error:
        raise NotEmpty(
            f"what was put into the database could not be taken away again: {error}; drop the database"
        ) from error


def set_revision(url: str, revision: str) -> None:
    """From here on it is a database of Warrant's: the last thing that a restore does to it."""
    with psycopg.connect(plain_url(url)) as connection:
        connection.execute(
            sql.SQL("INSERT INTO {} VALUES (%s)").format(sql.Identifier(*REVISION)), (revision,)
        )


def _load(connection: psycopg.Connection[Any], table: Table, path: Path) -> None:
    name = sql.Identifier(*table)
    connection.execute(sql.SQL("DELETE FROM {}").format(name))  # rows that a migration puts there
    with path.open("rb") as file, connection.cursor() as cursor:
        columns = file.readline().decode().rstrip("\n").split("\t")
        with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(name, _named(columns))) as rows:
            while piece := file.read(_PIECE):
                rows.write(piece)


def _set_sequences(connection: psycopg.Connection[Any], path: Path) -> None:
    for line in path.read_text().splitlines():
        schema, name, at = line.split("\t")
        if at:
            connection.execute(
                "SELECT setval(%s::regclass, %s)",
                (sql.Identifier(schema, name).as_string(connection), int(at)),
            )


def _references(connection: psycopg.Connection[Any]) -> dict[Table, set[Table]]:
    found: dict[Table, set[Table]] = {}
    for schema, name, to_schema, to_name in connection.execute(_REFERENCES, (list(SCHEMAS),)):
        if (schema, name) != (to_schema, to_name):
            found.setdefault((schema, name), set()).add((to_schema, to_name))
    return found


def in_order(tables: Sequence[Table], references: Mapping[Table, set[Table]]) -> list[Table]:
    """What is referred to comes first. Raises `BackupDamaged` for tables that refer to each other in a circle."""
    done: dict[Table, None] = {}
    while len(done) < len(tables):
        ready = [one for one in tables if one not in done and references.get(one, set()) <= done.keys()]
        if not ready:
            raise BackupDamaged("tables refer to each other in a circle and cannot be filled one by one")
        done.update(dict.fromkeys(ready))
    return list(done)


@contextmanager
def scratch_database(url: str, name: str) -> Iterator[str]:
    """A database beside this one for as long as the block lasts; gives its URL. Raises `BackupFailed`."""
    from sqlalchemy import make_url

    made = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    dropped = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    with psycopg.connect(plain_url(url), autocommit=True) as connection:
        try:
            connection.execute(made)
        except psycopg.errors.InsufficientPrivilege as error:
            account = connection.info.user
            raise BackupFailed(
                f"a drill restores into a database of its own, and {account} may not make one: "
                f"ALTER ROLE {account} CREATEDB"
            ) from error
    try:
        yield make_url(url).set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(plain_url(url), autocommit=True) as connection:
            connection.execute(dropped)


def drop_left(url: str, prefix: str) -> None:
    """Drop our own databases whose names begin so: what drills that were killed have left holds all that is saved."""
    left = "SELECT datname FROM pg_database WHERE starts_with(datname, %s) AND pg_get_userbyid(datdba) = current_user"
    with psycopg.connect(plain_url(url), autocommit=True) as connection:
        for (name,) in connection.execute(left, (prefix,)).fetchall():
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )
