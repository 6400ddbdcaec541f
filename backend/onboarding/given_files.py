"""Files that people hand in from their own machine to be imported: kept until the import is done, at most for a day.

They lie on the volume that consoles and workers share, each in a folder that is named after its content. Nobody is told
of the files of others: whoever names one has its content already.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Final

from backend.database.session import ReadSession
from backend.durable import durable_folder, sync_file, sync_folder
from backend.errors import BadInput, Unavailable
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.settings import settings

ENDINGS: Final = (".csv", ".parquet")
KEPT_S: Final = 23 * 3600.0  # they are looked through every hour
LARGEST_BYTES: Final = 32 * 1024 * 1024
MOST_BYTES: Final = 1 << 30  # of all of them together
ROOM_KEPT: Final = 1 << 30  # predictions come onto the same volume
MOST_VALUES: Final = 200_000_000
MOST_PLAIN_BYTES: Final = 64 * LARGEST_BYTES
"""Values of a Parquet file, and what they take unpacked: a few kilobytes can stand for billions of rows."""
_DIGEST_SHOWN: Final = 32


def given_folder() -> Path:
    """Where they lie, below the home."""
    return settings().resolved_home() / "given"


def keep_given(session: ReadSession, actor: Actor, *, name: str, data: bytes) -> str:
    """Keep a file; gives the path by which a document names it. The same content again: the same path.

    Raises `BadInput` for a file of another kind or size, `Unavailable` where there is no room.
    """
    allow(session, actor, Permission.REGISTER_VERSIONS)
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(name).name).strip("-.") or "predictions"
    if not plain.lower().endswith(ENDINGS):
        raise BadInput(f"{name} is not taken: a file ends in {' or '.join(ENDINGS)}", field="file")
    if not 0 < len(data) <= LARGEST_BYTES:
        raise BadInput(
            f"{name} has {len(data):,} bytes; from 1 to {LARGEST_BYTES:,} are taken here. Put a larger file into a "
            "folder of WARRANT_SOURCE_FOLDERS and choose it there",
            field="file",
        )
    if plain.lower().endswith(".parquet"):
        _require_measure(name, data)
    forget_old_given()
    _require_room(len(data))
    digest = hashlib.sha256(data).hexdigest()[:_DIGEST_SHOWN]
    folder = durable_folder(given_folder() / digest)
    target, draft = folder / plain, folder / f"{plain}.draft"
    draft.write_bytes(data)
    sync_file(draft)
    draft.replace(target)
    sync_folder(folder)
    return f"{digest}/{plain}"


def forget_given(source: Path) -> bool:
    """Let go of a file that was imported; False where it was not handed in here."""
    folder = given_folder()
    if not source.is_relative_to(folder) or source == folder:
        return False
    shutil.rmtree(folder / source.relative_to(folder).parts[0], ignore_errors=True)
    return True


def forget_old_given() -> int:
    """Let go of what nobody had imported within `KEPT_S`; gives how many."""
    since = time.time() - KEPT_S
    old = [one for one in _kept() if one.stat().st_mtime < since]
    for one in old:
        shutil.rmtree(one, ignore_errors=True)
    return len(old)


def _require_measure(name: str, data: bytes) -> None:
    """Refuse what is no Parquet file, or unpacks to more than a console reads while somebody waits."""
    import pyarrow as pa
    from pyarrow.parquet import read_metadata

    try:
        told = read_metadata(BytesIO(data))
    except (pa.ArrowException, OSError):
        raise BadInput(f"{name} is not taken: it is no Parquet file", field="file") from None
    groups = [told.row_group(number) for number in range(told.num_row_groups)]
    values = max(told.num_rows, sum(one.num_rows for one in groups)) * told.num_columns
    if values > MOST_VALUES or sum(one.total_byte_size for one in groups) > MOST_PLAIN_BYTES:
        raise BadInput(
            f"{name} holds {values:,} values, more than are read here. Put it into a folder of WARRANT_SOURCE_FOLDERS "
            "and choose it there",
            field="file",
        )


def _require_room(wanted: int) -> None:
    held = sum(file.stat().st_size for one in _kept() for file in one.iterdir())
    if held + wanted > MOST_BYTES:
        raise Unavailable(
            f"files of {held >> 20} MiB wait to be imported already; they go once they are, or after a day"
        )
    if shutil.disk_usage(settings().resolved_home()).free - wanted < ROOM_KEPT:
        raise Unavailable("Warrant's volume is nearly full, and takes no files now; tell an administrator")


def _kept() -> Iterator[Path]:
    folder = given_folder()
    yield from (one for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else ()
