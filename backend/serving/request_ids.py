"""Ids of requests, by which a client's and the gateway's logs find each other. An id is no prediction id."""

from __future__ import annotations

import re
import secrets
from typing import Final

HEADER: Final = "X-Request-ID"
_ACCEPTED: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@~-]{0,127}")


def request_id(given: str | None) -> str:
    """The client's id, or one of ours where there is none or it could forge a line of a log or a header."""
    if given is not None and _ACCEPTED.fullmatch(given):
        return given
    return f"req_{secrets.token_hex(8)}"
