"""Which files may be read for an import, and what is in them.

Whoever may apply a document names a path that a worker then reads with its own rights. So only files below the folders
of `WARRANT_SOURCE_FOLDERS` are read, and of any other path nothing is said, not even whether it is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar

from backend.errors import BadInput
from backend.onboarding.given_files import ENDINGS, given_folder
from backend.settings import settings

if TYPE_CHECKING:
    import duckdb

_CHUNK_BYTES = 1 << 20
MOST_LISTED = 200
MOST_COLUMNS: Final = 1_000
"""A console looks at each column of a file before it proposes anything."""

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


def source_folders() -> tuple[Path, ...]:
    """The folders whose files may be imported; without a setting `sources` in the home."""
    named = [part.strip() for part in settings().source_folders.split(",") if part.strip()]
    return tuple(Path(part).expanduser().resolve() for part in named) or (
        settings().resolved_home() / "sources",
    )


def find_source(path: str) -> Path:
    """The file or folder of a document's path, which may be relative to any of the folders; or a file that was handed
    in (`given_files`). Raises `BadInput`."""
    folders = source_folders()
    for folder in (*folders, given_folder().resolve()):
        try:
            found = (folder / path).resolve()
            if found.is_relative_to(folder) and found != folder and found.exists():
                return found
        except (OSError, ValueError):
            continue
    listed = " or ".join(str(folder) for folder in folders)
    raise BadInput(
        f"there is no {path} that the worker may read; put it into {listed}, or have WARRANT_SOURCE_FOLDERS name its "
        "folder",
        field="path",
    )


def list_sources() -> list[str]:
    """What lies in the folders and can be imported, as a document names it: files and folders of Parquet, by name; at
    most `MOST_LISTED`."""
    found: set[str] = set()
    for folder in source_folders():
        for one in sorted(folder.iterdir()) if folder.is_dir() else ():
            if one.name.startswith(".") or one.suffix.lower() not in ("", *ENDINGS):
                continue
            if one.is_dir() or one.suffix:
                found.add(one.name)
    return sorted(found)[:MOST_LISTED]


def telling_of_file(
    read: Callable[Concatenate[Path, Asked], Answer],
) -> Callable[Concatenate[Path, Asked], Answer]:
    """What is wrong with the content of a file, which shows only as its rows are read, is a mistake in the file."""

    @wraps(read)
    def told(path: Path, /, *args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
        import duckdb

        try:
            return read(path, *args, **kwargs)
        except duckdb.Error as error:
            said = " ".join(str(error).replace(str(path), path.name).split())
            raise BadInput(f"{path.name} cannot be read: {said[:200]}", field="path") from None

    return told


def open_rows(path: Path) -> duckdb.DuckDBPyRelation:
    """The rows of a Parquet or CSV file, of a folder of Parquet files, or of a Delta table."""
    found = _rows(path)
    if len(found.columns) > MOST_COLUMNS:
        raise BadInput(
            f"{path.name} has {len(found.columns):,} columns; a file of predictions has {MOST_COLUMNS:,} at most",
            field="path",
        )
    return found


def _rows(path: Path) -> duckdb.DuckDBPyRelation:
    from backend.monitoring.tablefiles import open_table

    if not path.is_dir():
        return open_table(path)
    import duckdb

    from backend.monitoring.sources import connect, files_of

    files = [str(file) for file in files_of(path)]
    try:
        found: duckdb.DuckDBPyRelation = connect().read_parquet(files, union_by_name=len(files) > 1)
    except duckdb.Error as error:
        raise BadInput(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from None
    return found


@telling_of_file
def names_and_types(path: Path) -> dict[str, str]:
    """Column to its type as DuckDB calls it. Raises `BadInput` for a file that cannot be read."""
    table = open_rows(path)
    return dict(zip(table.columns, map(str, table.types), strict=True))


def source_digest(path: Path) -> str:
    """`sha256:<hex>` of what is in it: of a folder, over names and contents of the files that are read."""
    if not path.is_dir():
        return f"sha256:{_sha256(path)}"
    from backend.monitoring.sources import files_of

    whole = hashlib.sha256()
    for file in sorted(files_of(path)):
        whole.update(f"{file.relative_to(path)} {_sha256(file)}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def names_of(columns: Sequence[str]) -> str:
    """Columns as they are told in a refusal."""
    more = f" and {len(columns) - 30} more" if len(columns) > 30 else ""
    return ", ".join(columns[:30]) + more


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def time_in(table: duckdb.DuckDBPyRelation, name: str) -> str:
    """A column of times for a query. One of nanoseconds with a zone, as pandas writes them, cannot be cast further."""
    kind = str(dict(zip(table.columns, table.types, strict=True))[name]).upper()
    return f"cast({quoted(name)} as timestamptz)" if kind == "TIMESTAMPTZ_NS" else quoted(name)
