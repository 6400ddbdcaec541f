"""How an API token is written: `wrt_`, 43 random characters, and 6 that are the checksum of these.

Base 62 throughout, so that a scanner of secrets finds one by `wrt_[0-9A-Za-z]{49}` and a double click marks all of it.
The checksum (CRC-32 of the 43 characters, as GitHub's tokens have it) tells a token from what looks like one without
asking the database; it protects nothing.
"""

from __future__ import annotations

import re
import secrets
import string
import zlib
from typing import Final

PREFIX: Final = "wrt_"
PATTERN: Final = re.compile(r"wrt_[0-9A-Za-z]{49}")
HINT_LENGTH: Final = len(PREFIX) + 4
_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM: Final = 43  # 62 ** 43 > 2 ** 256
_CHECK: Final = 6  # 62 ** 6 > 2 ** 32


def make_token_text() -> str:
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return PREFIX + body + _checksum(body)


def is_token_text(raw: str) -> bool:
    """Whether this was made by `make_token_text`, as far as its form says."""
    if not PATTERN.fullmatch(raw):
        return False
    body = raw[len(PREFIX) : -_CHECK]
    return raw[-_CHECK:] == _checksum(body)


def _checksum(body: str) -> str:
    rest, text = zlib.crc32(body.encode()), ""
    for _ in range(_CHECK):
        rest, digit = divmod(rest, len(_ALPHABET))
        text = _ALPHABET[digit] + text
    return text
