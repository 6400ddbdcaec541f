"""The ZIP of a pack: stored, not compressed, without times or comments, files in the order of their names.

So the bytes of the ZIP follow from its files alone, and whoever verifies it can make it again and compare: no byte of
it is beside the point. Names are our own; those of people's files and models are made safe (`safe_name`).
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Mapping
from typing import Final

from backend.errors import BadInput

LARGEST: Final = 2_000_000_000
_PATH: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_RESERVED: Final = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


class PackTooLarge(BadInput):
    """More than a pack can hold; ask for less."""

    title = "Too large for a pack"


def safe_name(text: str, *, longest: int = 60) -> str:
    """A name for a file, of letters, digits, `.`, `_` and `-`. One that had to be altered carries a digest of the
    original, so that two of them stay two."""
    name = _UNSAFE.sub("_", text).strip("._-")[:longest].rstrip("._-")
    if name and name == text and not _RESERVED.fullmatch(name):
        return name
    return f"{name or 'unnamed'}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]}"


def zip_of(files: Mapping[str, bytes]) -> bytes:
    """The same files give the same bytes. Raises `PackTooLarge`, and `ValueError` for a name that is not safe."""
    if len({name.lower() for name in files}) != len(files):
        raise ValueError("two files of a pack differ in upper and lower case alone")
    if sum(len(data) for data in files.values()) > LARGEST or len(files) > 60_000:
        raise PackTooLarge(
            "the pack would be larger than 2 GB or 60,000 files; ask for a shorter period or one change"
        )
    parts: list[bytes] = []
    central: list[bytes] = []
    offset = 0
    for name in sorted(files):
        if _PATH.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no name for a file of a pack")
        data, path = files[name], name.encode()
        sums = struct.pack("<LLL", zlib.crc32(data), len(data), len(data))
        fixed = struct.pack("<HHHHH", 20, 0, 0, 0, 0x21) + sums + struct.pack("<HH", len(path), 0)
        parts += [b"PK\3\4", fixed, path, data]
        central += [b"PK\1\2\x14\3", fixed, struct.pack("<HHHLL", 0, 0, 0, 0o100644 << 16, offset), path]
        offset += 30 + len(path) + len(data)
    listed = b"".join(central)
    ends = struct.pack("<HHHHLLH", 0, 0, len(files), len(files), len(listed), offset, 0)
    return b"".join([*parts, listed, b"PK\5\6", ends])
