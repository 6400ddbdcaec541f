"""Passwords: argon2id hashes, in constant work whether or not the person exists."""

from __future__ import annotations

import threading
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from backend.errors import BadInput

MIN_LENGTH = 12
MAX_BYTES = 1024
# One hash takes 64 MiB (RFC 9106, second recommendation): a burst of sign-ins must not take all memory.
_AT_ONCE = threading.BoundedSemaphore(4)
_HASHER = PasswordHasher()


class PasswordTooWeak(BadInput):
    title = "Password too weak"


def hash_password(password: str, *, username: str = "") -> str:
    """The argon2id hash to store. Takes tens of milliseconds: hash before a write transaction begins.

    Raises `PasswordTooWeak` for one that is short, as long as a document, or the user name itself.
    """
    normal = _normalise(password)
    if len(normal) < MIN_LENGTH:
        raise PasswordTooWeak(f"the password has {len(normal)} characters; use at least {MIN_LENGTH}")
    if len(normal.encode()) > MAX_BYTES:
        raise PasswordTooWeak(f"the password is longer than {MAX_BYTES} bytes; use a shorter one")
    if username and normal.casefold() == username.casefold():
        raise PasswordTooWeak("the password is the user name; choose another")
    if len(set(normal)) < 4:
        raise PasswordTooWeak("the password repeats fewer than four characters; choose another")
    with _AT_ONCE:
        return _HASHER.hash(normal)


def verify_password(stored: str | None, password: str) -> bool:
    """Whether `password` matches. Without a stored hash the same work is done against a hash of nobody's."""
    normal = _normalise(password[:MAX_BYTES])
    try:
        with _AT_ONCE:
            _HASHER.verify(stored or _nobody(), normal)
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


@cache
def _nobody() -> str:
    return _HASHER.hash("a password that no account has, hashed so that unknown names take as long")


def _normalise(password: str) -> str:
    """NFKC, so that one password typed on two keyboards is one password (NIST SP 800-63B section 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password.encode("utf-8", "replace").decode())
