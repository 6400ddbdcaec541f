"""Addresses as people may read them: the one place that takes passwords and tokens out of URLs.

Everything that leaves a process or stays for good passes through here: messages of errors, the audit log's payloads,
alerts, what a run or a change says of its failure, findings of gates, and the command line. An address that is used
to connect does not.
"""

from __future__ import annotations

import logging
import re
from typing import Any, Final

# Up to the last @ before the path: a password may hold an @ that nobody encoded.
_USERINFO: Final = re.compile(r"([a-z][a-z0-9+.-]*://)[^\s/?#\"'<>]*@", re.IGNORECASE)
_SECRET_PARAMETER: Final = re.compile(
    r"([?&;](?:access_?token|api_?key|auth|key|passw(?:or)?d|pwd|secret|sig(?:nature)?|token"
    r"|x-amz-(?:credential|signature|security-token))=)[^\s&;#\"'<>]*",
    re.IGNORECASE,
)


def without_credentials(text: str) -> str:
    """A text in which no URL has a user, a password, or a parameter that is a secret by its name."""
    if "://" in text and "@" in text:
        text = _USERINFO.sub(r"\1", text)
    if "=" in text and ("?" in text or "&" in text):
        text = _SECRET_PARAMETER.sub(r"\1***", text)
    return text


def all_without_credentials(value: Any) -> Any:
    """The same of every text in JSON data; what is no text is as it was."""
    if isinstance(value, str):
        return without_credentials(value)
    if isinstance(value, dict):
        return {key: all_without_credentials(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [all_without_credentials(one) for one in value]
    return value


class CleanFormatter(logging.Formatter):
    """Log lines, and the tracebacks below them, without the passwords of addresses."""

    def format(self, record: logging.LogRecord) -> str:
        return without_credentials(super().format(record))


def clean_logging() -> None:
    """Give every handler of the root logger such lines, in the format that it has."""
    for handler in logging.getLogger().handlers:
        now = handler.formatter
        pattern = now._fmt if now is not None else None
        handler.setFormatter(CleanFormatter(pattern))
