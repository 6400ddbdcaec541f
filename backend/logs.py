"""Log lines, for people or for machines, and what they are about.

    with about(request_id="…"):          every line of this thread or task, and the jobs it asks for, carries it
        ...

`WARRANT_LOG_FORMAT=json` writes one JSON object a line. Its fields are `FIELDS`; those that are not known are left out.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, TextIO

from backend.addresses import clean_logging, without_secrets
from backend.settings import settings

FIELDS: Final[Mapping[str, str]] = {
    "time": "UTC, with microseconds",
    "level": "DEBUG, INFO, WARNING, ERROR or CRITICAL",
    "process": "console, gateway or worker",
    "logger": "which part of Warrant, or of a library, says it",
    "message": "what it says",
    "request_id": "the request that it began with: X-Request-ID of the answer, also in the audit log",
    "run": "the run of a job, as on the page Jobs",
    "job": "what kind of job it is",
    "change": "the change that is carried out, such as CHG-3",
    "trace_id": "the trace, where traces are exported",
    "exception": "the traceback",
}
PLAIN: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
CARRIED: Final = ("request_id", "run", "job", "change", "trace_id")

_known: ContextVar[Mapping[str, str]] = ContextVar("warrant_log_fields", default=MappingProxyType({}))


@contextmanager
def about(**fields: str | None) -> Iterator[None]:
    """Say what the lines inside are about; a field that is None or empty stays as it is."""
    token = _known.set({**_known.get(), **{name: value for name, value in fields.items() if value}})
    try:
        yield
    finally:
        _known.reset(token)


def known_fields() -> dict[str, str]:
    """What lines are about here and now."""
    return dict(_known.get())


class JsonFormatter(logging.Formatter):
    """One record as one JSON object on one line, without passwords, tokens and cookies, as the lines for people."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        known = _known.get()
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name in CARRIED if (value := getattr(record, name, None) or known.get(name))},
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(
            {name: without_secrets(str(value)) for name, value in said.items()}, ensure_ascii=False
        )


def configure_logging(process: str, *, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """One line a record on standard error, in the form that the settings name."""
    logging.basicConfig(level=level, stream=stream or sys.stderr, format=PLAIN)
    clean_logging()
    if settings().log_format == "json":
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonFormatter(process))
