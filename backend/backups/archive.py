"""What lies within a sealed file: a compressed tar of plain files, and at its end the manifest with their digests.

Names are `<root>/<path>`, where the root is one of `ROOTS`. A reader believes no name, no size and no digest: whatever
is not a plain file at a plain path below a root is refused before anything is written.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from backend.backups.errors import BackupDamaged, BackupFailed
from backend.backups.keys import BackupKey
from backend.backups.sealed_file import Header, SealedReader, SealedWriter

ROOTS: Final = ("home", "observations", "keys", "database")
MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
AT_ONCE: Final = (
    32 << 20
)  # files up to this size are read whole, so that one which grows is still one moment's
_PIECE: Final = 1 << 20


@dataclass(frozen=True)
class Stored:
    """One file as it was saved."""

    sha256: str
    bytes: int
    mode: int


@dataclass
class Manifest:
    """What a backup holds, and of which moment. `log_size` and `log_root` are the audit log's head then."""

    id: str
    made_at: str
    snapshot_at: str
    version: str
    dialect: str
    revision: str
    workflow_revision: str
    home: str
    log_size: int
    log_root: str
    mlflow: str
    tables: dict[str, dict[str, int]]  # "model/stream": {"version", "rows"}
    artefacts: list[dict[str, Any]]  # {"model", "version", "digest", "path"}; path None: not on this machine
    left_out: list[str]
    files: dict[str, Stored] = field(default_factory=dict)
    format: int = FORMAT

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True).encode()


def manifest_from(body: bytes) -> Manifest:
    """Raises `BackupDamaged` for what no release of this format wrote."""
    try:
        fields = json.loads(body)
        if fields.get("format") != FORMAT:
            raise BackupDamaged(
                f"the backup has format {fields.get('format')} and this release reads {FORMAT}; restore it with the "
                "release that made it, then upgrade"
            )
        fields["files"] = {name: Stored(**one) for name, one in fields["files"].items()}
        return Manifest(**fields)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise BackupDamaged(f"the backup's manifest cannot be read: {error}") from error


class ArchiveWriter:
    """Adds files to one archive and remembers what was added."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.files: dict[str, Stored] = {}

    def add(self, name: str, path: Path) -> None:
        """Add a file. Raises `FileNotFoundError`, and `BackupFailed` where it changed while it was read."""
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            mode = state.st_mode & 0o777
            if state.st_size <= AT_ONCE:
                self.add_bytes(name, file.read(), mode=mode)
                return
            hashing = _Hashing(file)
            try:
                self._tar.addfile(_entry(name, state.st_size, mode), hashing)
            except OSError as error:
                raise BackupFailed(f"{path} could not be read to its end ({error}); run it again") from error
            self.files[name] = Stored(hashing.digest.hexdigest(), state.st_size, mode)

    def add_bytes(self, name: str, body: bytes, *, mode: int = 0o600) -> None:
        self._tar.addfile(_entry(name, len(body), mode), io.BytesIO(body))
        self.files[name] = Stored(hashlib.sha256(body).hexdigest(), len(body), mode)

    def close(self, manifest: Manifest) -> None:
        manifest.files = dict(sorted(self.files.items()))
        body = manifest.to_json()
        self._tar.addfile(_entry(MANIFEST, len(body), 0o600), io.BytesIO(body))


class _Hashing(io.RawIOBase):
    """Passes a file on and digests what passes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        body = self._file.read(size)
        self.digest.update(body)
        return body


def _entry(name: str, size: int, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, mode
    return entry


@contextmanager
def writing_archive(file: IO[bytes], header: Header, key: BackupKey) -> Iterator[ArchiveWriter]:
    """An archive sealed into `file`. What raises leaves a file that counts as cut off."""
    sealed = SealedWriter(file, header, key)
    with (
        gzip.GzipFile(fileobj=sealed, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        yield ArchiveWriter(tar)
    sealed.finish()


def read_archive(path: Path, key: BackupKey, *, into: Callable[[str], Path | None]) -> Manifest:
    """Read a backup to its last byte and compare every file with the manifest.

    `into` says where a file of that name is written, or None where it is only digested. Raises `BackupDamaged` and
    `KeyUnusable`; what was written by then is the caller's to take away.
    """
    found: dict[str, Stored] = {}
    body: bytes | None = None
    try:
        with path.open("rb", buffering=_PIECE) as file:
            sealed = SealedReader(file, key)
            with gzip.GzipFile(fileobj=io.BufferedReader(sealed, _PIECE), mode="rb") as packed:
                with tarfile.open(fileobj=packed, mode="r|") as tar:
                    for entry in tar:
                        content = _content(tar, entry)
                        if body is not None:
                            raise BackupDamaged(f"{entry.name} comes after the manifest")
                        if entry.name == MANIFEST:
                            body = content.read()
                        else:
                            name = _checked(entry.name, found)
                            found[name] = _take(entry, content, into(name))
                while packed.read(_PIECE):  # to the last piece, whatever the tar takes for its end
                    pass
            if sealed.read(1):
                raise BackupDamaged("something follows the end of the archive")
    except (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise BackupDamaged(f"the archive within the backup cannot be read: {error}") from error
    except FileNotFoundError as error:
        raise BackupDamaged(f"there is no file {path}") from error
    except IsADirectoryError as error:
        raise BackupDamaged(f"{path} is a folder; name the file of one backup in it") from error
    if body is None:
        raise BackupDamaged("the backup has no manifest")
    manifest = manifest_from(body)
    _compare(manifest, found)
    if (manifest.id, manifest.made_at) != (sealed.header.id, sealed.header.created_at):
        raise BackupDamaged("the manifest is of another backup")
    return manifest


def _content(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(entry) if entry.isreg() else None
    if content is None:
        raise BackupDamaged(f"{entry.name!r} in the backup is no plain file")
    return content


def _checked(name: str, found: dict[str, Stored]) -> str:
    """A name that leads nowhere but below its root. Raises `BackupDamaged`."""
    parts = name.split("/")
    plain = len(parts) > 1 and parts[0] in ROOTS and not {"", ".", ".."} & set(parts)
    if not plain or "\\" in name or "\0" in name or PurePosixPath(name).is_absolute():
        raise BackupDamaged(f"{name!r} in the backup leads out of the place it is restored to; it is refused")
    if name in found:
        raise BackupDamaged(f"{name!r} is in the backup twice")
    return name


def _take(entry: tarfile.TarInfo, content: IO[bytes], target: Path | None) -> Stored:
    digest, size = hashlib.sha256(), 0
    out = _created(target, entry.mode & 0o777) if target is not None else None
    try:
        while piece := content.read(_PIECE):
            digest.update(piece)
            size += len(piece)
            if out is not None:
                out.write(piece)
        if out is not None:
            out.flush()
            os.fsync(out.fileno())
    finally:
        if out is not None:
            out.close()
    return Stored(digest.hexdigest(), size, entry.mode & 0o777)


def _created(target: Path, mode: int) -> IO[bytes]:
    """A new file with this mode from its first byte on."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode | 0o600)
    return os.fdopen(descriptor, "wb")


def _compare(manifest: Manifest, found: dict[str, Stored]) -> None:
    for name in sorted(manifest.files.keys() | found.keys()):
        if name not in found:
            raise BackupDamaged(f"{name} is in the manifest and not in the backup")
        if manifest.files.get(name) != found[name]:
            raise BackupDamaged(f"{name} is not as the manifest of the backup says")
