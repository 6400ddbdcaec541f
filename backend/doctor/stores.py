"""Folders, disks and the database: whether they can be written, hold what they should, and are encrypted."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

from backend import clock
from backend.doctor import Found, check, off, ok, trouble, unknown
from backend.settings import settings

LOW_BYTES: Final = 5 << 30
FAR_APART: Final = timedelta(seconds=2)
BLOCKS: Final = Path("/sys/dev/block")


def home() -> Path:
    """The home as the settings name it; unlike `Settings.resolved_home` this makes none."""
    return settings().home.expanduser().resolve()


def _observations() -> Path:
    return Path(settings().observations_url or home() / "observations")


def why_not_writable(folder: Path) -> str | None:
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
            file.write(b"0")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return f"{folder} cannot be written ({error.strerror})"
    return None


def _disk(folder: Path) -> Found:
    free = shutil.disk_usage(folder).free
    said = f"{folder}, {free / (1 << 30):.1f} GiB free"
    if free < LOW_BYTES:
        return trouble(said, "free some space: below 1 GiB the gateway refuses predictions it could not keep")
    return ok(said)


@check("home")
def _home() -> Found:
    if not home().is_dir():
        return trouble(
            f"{home()} is not there",
            "set WARRANT_HOME to the folder it runs in",
        )
    refused = why_not_writable(home())
    if refused:
        return trouble(refused, f"give it to the user who runs Warrant: chown -R USER {home()}")
    if home().stat().st_mode & 0o022:
        return trouble(f"others may write to {home()}", f"chmod go-w {home()}")
    return _disk(home())


@check("database", "home")
def _database() -> Found:
    from backend.database.engine import database

    if not settings().database_url and not (home() / "warrant.db").is_file():
        return trouble("there is no database yet", "warrant db upgrade")
    target = database()
    with target.read_engine.connect() as connection:
        version = ".".join(str(part) for part in connection.dialect.server_version_info or ())
        name = f"{'PostgreSQL' if target.dialect == 'postgresql' else 'SQLite'} {version}"
    from backend.database.upgrade import head_revision, known_revisions, present_revision

    stored, wanted = present_revision(target), head_revision()
    if stored is not None and stored not in known_revisions():
        return trouble(f"{name}; its tables are those of {stored}, which a later release made; this one has {wanted}",
                       "upgrade this process too, or restore the backup from before the upgrade")  # fmt: skip
    if stored != wanted:
        return trouble(f"{name}; its tables are those of {stored or 'nothing'}, this release needs {wanted}",
                       "make a copy of the database, then: warrant db upgrade")  # fmt: skip
    return ok(f"{name}, tables of {stored}")


@check("clock", "database")
def _clock() -> Found:
    from sqlalchemy import text

    from backend.database.engine import database

    target = database()
    if target.dialect != "postgresql":
        return ok("the database has no clock of its own")
    with target.read_engine.connect() as connection:
        before = clock.now()
        theirs = connection.scalar(text("SELECT clock_timestamp()"))
        apart = abs(theirs - before)
    if apart > FAR_APART:
        return trouble(f"the database's clock is {apart.total_seconds():.1f} s from this one",
                       "synchronise both by NTP: leases and lifetimes of approvals go by the clock")  # fmt: skip
    return ok(f"{apart.total_seconds() * 1000:.0f} ms from the database's")


@check("spool", "home")
def _spool() -> Found:
    from backend.observations.spool import SpoolFull, check_room, pending_bytes, quarantined

    folder = home() / "spool"
    if not folder.is_dir():
        return ok("nothing was written yet")
    refused = why_not_writable(folder)
    if refused:
        return trouble(
            refused, "the gateway answers nothing that it cannot keep: give the folder to its user"
        )
    try:
        check_room(folder)
    except SpoolFull as full:
        return trouble(full.message, "see that a worker runs and the disk has room")
    aside = quarantined(folder)
    if aside:
        return trouble(f"{len(aside)} damaged segments were set aside, {aside[0].name} first",
                       "keep them and look at Jobs: they hold predictions that were answered")  # fmt: skip
    return ok(f"{pending_bytes(folder) / (1 << 20):.1f} MiB wait for the writer")


@check("observations", "home")
def _store() -> Found:
    folder = _observations()
    if not folder.is_dir():
        return trouble(f"{folder} is not there", "set WARRANT_OBSERVATIONS_URL to the folder of the Delta tables") if (
            settings().observations_url
        ) else ok("nothing was stored yet")  # fmt: skip
    refused = why_not_writable(folder)
    if refused:
        return trouble(refused, "give it to the user who runs the worker")
    from deltalake import DeltaTable

    tables = sorted(path.parent for path in folder.glob("*/*/_delta_log"))
    for table in tables:
        DeltaTable(str(table))
    return ok(f"{len(tables)} tables read; {_disk(folder).said}")


@check("encryption at rest", "home")
def _encryption() -> Found:
    folders = {
        path
        for path in (home(), _observations(), settings().audit_keys, settings().backup_scratch)
        if path is not None and path.is_dir()
    }
    open_ones = sorted(str(path) for path in folders if not is_encrypted(path))
    remote = (
        " The database and MLflow are elsewhere: ask whoever runs them." if settings().database_url else ""
    )
    if open_ones:
        return unknown(f"no encrypted device below {', '.join(open_ones)}.{remote}",
                       "put them on LUKS; what a host encrypts below a machine is not seen from here")  # fmt: skip
    return ok(f"dm-crypt below {', '.join(sorted(map(str, folders)))}.{remote}")


def is_encrypted(folder: Path) -> bool:
    """Whether dm-crypt is among the devices that the file system of a folder stands on (Linux)."""
    device = folder.stat().st_dev
    return any(
        (one / "dm/uuid").is_file() and (one / "dm/uuid").read_text().startswith("CRYPT-")
        for one in _devices_below(BLOCKS / f"{os.major(device)}:{os.minor(device)}")
    )


def _devices_below(device: Path) -> Iterator[Path]:
    if device.exists():
        yield device
        for below in (device / "slaves").iterdir() if (device / "slaves").is_dir() else ():
            yield from _devices_below(below)


@check("connection to the database")
def transport() -> Found:
    from sqlalchemy import make_url

    if not settings().database_url:
        return off("the database is a file")
    url = make_url(settings().database)
    if url.host in (None, "", "localhost", "127.0.0.1", "::1") or str(url.host).startswith("/"):
        return ok("on this host")
    mode = str(url.query.get("sslmode", os.environ.get("PGSSLMODE", "prefer")))
    if mode in ("verify-full", "verify-ca"):
        return ok(f"TLS, sslmode={mode}")
    return trouble(f"sslmode={mode}: somebody between could read along or answer in its place",
                   "add ?sslmode=verify-full&sslrootcert=... to WARRANT_DATABASE_URL")  # fmt: skip
