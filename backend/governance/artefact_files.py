"""Whether loading the files of an artefact would run or import anything that a model is not made of.

Every file is looked at as a pickle from its first byte, and also as an archive: one that is both cannot hide one in the
other. Archives and compressed streams are opened, to a bounded size and depth. What cannot be judged is `Unscannable`,
never clean.
"""

from __future__ import annotations

import ast
import bz2
import io
import json
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, takewhile
from pathlib import Path
from typing import Any, Final

from backend.governance.pickle_scan import Global, Unscannable, scan_pickle
from backend.serving.model_names import IDENTIFIER, is_expected, is_loaded

MOST_BYTES: Final = 2 << 30  # of one artefact, everything opened
MOST_OF_ONE: Final = 1 << 30
MOST_MEMBERS: Final = 20_000
DEEPEST: Final = 4
MOST_STREAMS: Final = 100  # in one file, one behind the other

_PICKLES: Final = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".sav")
_LZMA: Final = (".lzma", ".xz")  # by the ending some readers open what has no mark at its beginning
_PIECE: Final = 4096
# Not ValueError: what cannot be judged is one, and is no stream that is broken.
_BROKEN: Final = (zlib.error, OSError, lzma.LZMAError, EOFError)
_CODE: Final = (".py", ".pyc", ".pyd", ".pyx", ".so", ".dll", ".dylib", ".exe", ".sh", ".bat")


def scan_folder(folder: Path, allow: tuple[str, ...] = ()) -> list[str]:
    """Each thing that loading the artefact would import or run and that is not expected, as `file: module name`.

    allow   further modules whose names are expected
    Raises `Unscannable` for what cannot be judged: too large, nested too deep, encrypted, an unknown compression.
    """
    budget = _Budget()
    found: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise Unscannable(f"{path.relative_to(folder)} is a symbolic link")
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            if path.stat().st_size > MOST_OF_ONE:
                raise Unscannable(f"{name} has more than {MOST_OF_ONE >> 20} MiB")
            found += scan_file(name, path.read_bytes(), allow, budget)
    return found


class _Budget:
    """How much may still be opened; shared by everything in one artefact."""

    def __init__(self) -> None:
        self.bytes, self.members = MOST_BYTES, MOST_MEMBERS

    def take(self, name: str, count: int) -> None:
        self.bytes -= count
        self.members -= 1
        if self.bytes < 0:
            raise Unscannable(f"{name}: opened, the artefact has more than {MOST_BYTES >> 20} MiB")
        if self.members < 0:
            raise Unscannable(f"{name}: the artefact holds more than {MOST_MEMBERS:,} files")


def scan_file(
    name: str, content: bytes, allow: tuple[str, ...] = (), budget: _Budget | None = None, depth: int = 0
) -> list[str]:
    """What loading this file would import or run that is not expected; `name` says where it lies."""
    budget = budget or _Budget()
    budget.take(name, len(content))
    if depth > DEEPEST:
        raise Unscannable(f"{name} is nested more than {DEEPEST} deep")
    lower = name.lower()
    if lower.endswith(_CODE):
        return [f"{name}: code of its own"]
    found = [f"{name}: {one}" for one in _pickled(name, content, allow)]
    found += _described(name, content)
    for member, inside in _opened(name, content, budget):
        found += scan_file(f"{name}/{member}" if member else name, inside, allow, budget, depth + 1)
    return list(dict.fromkeys(found))


def _pickled(name: str, content: bytes, allow: tuple[str, ...]) -> list[str]:
    """Unexpected names of the pickles at the beginning of a file."""
    declared = name.lower().endswith(_PICKLES) or content[:1] == b"\x80"
    start = _numpy_objects(content)
    stream = io.BytesIO(content)
    if start is not None:
        stream.seek(start)
        declared = True
    bad: list[str] = []
    first = True
    while stream.tell() < len(content):
        found = scan_pickle(stream)
        names = list(dict.fromkeys(found.globals))
        if (
            not declared
        ):  # text may begin as a pickle does: it calls nothing, and ends at a name that cannot be
            names = list(takewhile(_importable, names)) if found.calls else []
        bad += [str(one) for one in names if not is_expected(one.module, one.name, allow)]
        if found.broken:
            if first and content[:1] == b"\x80" and not bad and found.opcodes > 2:
                raise Unscannable(f"{name} begins as a pickle and cannot be read to its end: {found.broken}")
            break
        first = False
    return bad


def _importable(one: Global) -> bool:
    return one.module is None or IDENTIFIER.fullmatch(one.module) is not None


def _numpy_objects(content: bytes) -> int | None:
    """Where the pickle of an .npy file of objects begins; None for anything else."""
    if not content.startswith(b"\x93NUMPY") or len(content) < 12:
        return None
    wide = content[6] >= 2
    size = int.from_bytes(content[8 : 12 if wide else 10], "little")
    start = (12 if wide else 10) + size
    try:
        described = ast.literal_eval(content[start - size : start].decode("latin-1").strip())
    except (ValueError, SyntaxError) as error:
        raise Unscannable(f"the header of an .npy file cannot be read: {error}") from error
    return start if "O" in str(described.get("descr")) else None


def _described(name: str, content: bytes) -> list[str]:
    """What a file that describes a model makes its loader import."""
    base = name.rsplit("/", 1)[-1]
    if base == "MLmodel":
        return [f"{name}: {one}" for one in _mlflow_code(content)]
    if base == "schema.json":
        return [f"{name}: {one}" for one in _skops_types(content)]
    if base == "config.json" and b'"Lambda"' in content:
        return [f"{name}: a Keras Lambda layer, which holds code"]
    return []


def _mlflow_code(content: bytes) -> Iterator[str]:
    import yaml

    from backend.serving.portable import LOADER

    try:
        flavors = (yaml.safe_load(content) or {}).get("flavors", {})
    except (yaml.YAMLError, AttributeError) as error:
        raise Unscannable(f"MLmodel cannot be read: {error}") from error
    for flavor in flavors.values():
        if isinstance(flavor, dict):
            module = str(flavor.get("loader_module") or "mlflow.")
            if not module.startswith("mlflow.") and module != LOADER:
                yield f"the loader {module}"
            if flavor.get("code"):
                yield f"code of its own in {flavor['code']}"


def _skops_types(content: bytes) -> Iterator[str]:
    """What a skops file names that the gateway does not load."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Unscannable(f"schema.json cannot be read: {error}") from error
    waiting: list[Any] = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            waiting += node.values()
            named = [(node.get("__module__"), node.get("__class__"))]
            if "module_path" in node:  # a function
                named.append((node["module_path"], node.get("function")))
            for module, kind in named:
                if module is not None and not is_loaded(module, kind):
                    yield f"{module} {kind}"
            if node.get("__loader__") == "MethodNode":
                yield f"{named[0][0]} {named[0][1]}: a method of it"


def _opened(name: str, content: bytes, budget: _Budget) -> Iterator[tuple[str, bytes]]:
    """Members of an archive, or what a compressed stream holds."""
    if zipfile.is_zipfile(io.BytesIO(content)):
        yield from _unzipped(name, content, budget)
    if content[257:262] == b"ustar" or (name.lower().endswith((".tar", ".nemo")) and _is_tar(content)):
        yield from _untarred(name, content, budget)
    yield from _decompressed(name, content, budget)


def _unzipped(name: str, content: bytes, budget: _Budget) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                if member.is_dir():
                    continue
                if member.flag_bits & 1:
                    raise Unscannable(f"{name}/{member.filename} is encrypted")
                if member.file_size > min(MOST_OF_ONE, budget.bytes):
                    raise Unscannable(f"{name}/{member.filename} has {member.file_size >> 20} MiB opened")
                with archive.open(member) as stream:
                    yield member.filename, _bounded(name, stream, budget)
    except (zipfile.BadZipFile, NotImplementedError, zlib.error, OSError, EOFError) as error:
        raise Unscannable(f"{name} is no archive that can be read: {error}") from error


def _is_tar(content: bytes) -> bool:
    return tarfile.is_tarfile(io.BytesIO(content))


def _untarred(name: str, content: bytes, budget: _Budget) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.isfile() else None
                if stream is not None:
                    yield member.name, _bounded(name, stream, budget)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise Unscannable(f"{name} is no archive that can be read: {error}") from error


def _decompressed(name: str, content: bytes, budget: _Budget) -> Iterator[tuple[str, bytes]]:
    """What joblib and others decompress by the first bytes of a file."""
    if content[:4] == b"\x04\x22\x4d\x18":
        raise Unscannable(f"{name} is compressed with LZ4, which is not opened here")
    if content[:4] == b"\x28\xb5\x2f\xfd":
        raise Unscannable(f"{name} is compressed with Zstandard, which is not opened here")
    # By the first bytes, then whether failing to open it is an error: two bytes of zlib begin many other files.
    kinds: list[tuple[bool, Any, bool]] = [
        (content[:2] == b"\x1f\x8b", lambda: zlib.decompressobj(31), True),
        (
            content[:1] == b"\x78" and content[1:2] in (b"\x01", b"\x5e", b"\x9c", b"\xda"),
            zlib.decompressobj,
            False,
        ),
        (content[:3] == b"BZh", bz2.BZ2Decompressor, True),
        (content[:6] == b"\xfd7zXZ\x00", lzma.LZMADecompressor, True),
        # readers look at no more of it: what follows is the size of the dictionary
        (content[:2] == b"\x5d\x00" or name.lower().endswith(_LZMA), lzma.LZMADecompressor, False),
    ]
    for matches, make, sure in kinds:
        if not matches:
            continue
        limit = min(MOST_OF_ONE, budget.bytes)
        try:
            opened = _streams(name, make, content, limit)
        except _BROKEN as error:
            if sure:
                raise Unscannable(f"{name} cannot be decompressed: {error}") from error
            opened = _before_it_breaks(make, content, limit)
            if not opened:
                continue
        if len(opened) > limit:
            raise Unscannable(f"{name} has more than {limit >> 20} MiB decompressed")
        yield "", opened


def _streams(name: str, make: Any, content: bytes, limit: int) -> bytes:
    """All that is compressed in a file, a byte more than `limit` at most. Readers go on with the stream behind the end
    of one, so that an empty first one hides nothing."""
    opened, rest = b"", content
    for number in range(MOST_STREAMS + 1):
        stream = make()
        try:
            opened += bytes(stream.decompress(rest, limit + 1 - len(opened)))
        except _BROKEN as error:
            if not number:
                raise
            raise Unscannable(
                f"{name}: something follows what is compressed, and cannot be opened: {error}"
            ) from error
        rest = stream.unused_data.lstrip(b"\0") if stream.eof else b""
        if not rest or len(opened) > limit:
            return opened
    raise Unscannable(f"{name} has more than {MOST_STREAMS} compressed streams, one behind the other")


def _before_it_breaks(make: Any, content: bytes, limit: int) -> bytes:
    """What readers have of a damaged stream before the damage, a byte at a time: they load it as it comes."""
    pieces = (content[at : at + _PIECE] for at in range(0, len(content), _PIECE))
    _, sound = _fed(make(), pieces, limit)
    at = sound * _PIECE
    rest = (content[one : one + 1] for one in range(at, min(at + _PIECE, len(content))))
    return _fed(make(), chain([content[:at]], rest), limit)[0]


def _fed(stream: Any, pieces: Iterable[bytes], limit: int) -> tuple[bytes, int]:
    """What comes out of it until it breaks or has given more than `limit`, and how many pieces it took."""
    opened, taken = bytearray(), 0
    with suppress(*_BROKEN):
        for piece in pieces:
            opened += stream.decompress(piece)
            taken += 1
            if stream.eof or len(opened) > limit:
                break
    return bytes(opened), taken


def _bounded(name: str, stream: Any, budget: _Budget) -> bytes:
    limit = min(MOST_OF_ONE, budget.bytes)
    content: bytes = stream.read(limit + 1)
    if len(content) > limit:
        raise Unscannable(f"{name} has more than {limit >> 20} MiB opened")
    return content
