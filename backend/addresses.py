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


# Tokens of ours, of GitHub, GitLab, Slack and AWS, and JSON Web Tokens, wherever they stand; what a header or a field
# named as a secret holds.
_NAMED: Final = r"passw(?:or)?d|passphrase|client_?secret|api_?key|access_?token|refresh_?token|_secret"
_SECRETS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), instead)
    for pattern, instead in (
        (r"\b(wrt_)[A-Za-z0-9_-]{8,}", r"\1***"),
        (r"\b(gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AKIA)[A-Za-z0-9_-]{10,}", r"\1***"),
        (r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", "***"),
        (r"(authorization['\"]?\s*[:=]\s*['\"]?)(?:(?:bearer|basic|digest)\s+)?[^\s'\",;]+", r"\1***"),
        (r"\b((?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{16,}", r"\1***"),
        (r"((?:set-)?cookie['\"]?\s*[:=]\s*['\"]?)[^\s'\"][^'\"\n]*", r"\1***"),
        (rf"(\b\w*(?:{_NAMED})['\"]?\s*[:=]\s*['\"]?)[^\s'\",;&]+", r"\1***"),
    )
)


def without_credentials(text: str) -> str:
    """A text in which no URL has a user, a password, or a parameter that is a secret by its name."""
    if "://" in text and "@" in text:
        text = _USERINFO.sub(r"\1", text)
    if "=" in text and ("?" in text or "&" in text):
        text = _SECRET_PARAMETER.sub(r"\1***", text)
    return text


def without_secrets(text: str) -> str:
    """The same, and no token of ours, no `Authorization`, cookie or named password: for lines of a log."""
    text = without_credentials(text)
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
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
    """Log lines, and the tracebacks below them, without passwords and tokens."""

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


def clean_logging() -> None:
    """Give every handler that there is such lines, in the format that it has; libraries have handlers of their own."""
    known = [logging.getLogger(), *(logging.getLogger(name) for name in logging.root.manager.loggerDict)]
    for handler in {id(one): one for logger in known for one in logger.handlers}.values():
        now = handler.formatter
        if not isinstance(now, CleanFormatter):
            handler.setFormatter(CleanFormatter(now._fmt if now is not None else None))
