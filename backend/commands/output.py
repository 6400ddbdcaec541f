"""The command line's two outputs: a document on stdout, words for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from backend import clock
from backend.errors import BadInput

# What people wrote, a reason say, is printed without what would steer the reader's terminal.
_CONTROL = {
    code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"
}


def _written(value: Any) -> str:
    """What is no plain value: times as the log and the API write them."""
    return clock.to_iso(value) if isinstance(value, datetime) and value.tzinfo else str(value)


def utc(moment: datetime | str | None) -> str:
    """A time in a line for people, as records have it: `2026-11-22 23:55:03 UTC`. A text that is no time stays."""
    if isinstance(moment, str):
        try:
            moment = clock.from_iso(moment)
        except ValueError:
            return str(moment)
    return clock.to_words(moment) if moment is not None else "not known"


_ENCODER = json.JSONEncoder(default=_written)


def say(text: str, *, error: bool = False) -> None:
    """One line for a person."""
    stream = sys.stderr if error else sys.stdout
    stream.write(text.translate(_CONTROL) + "\n")
    stream.flush()


def write_json(document: Any) -> None:
    """The one JSON document of a `--json` command: indented, with a line for each list or object of plain values."""
    sys.stdout.writelines(_parts(document, "\n"))
    sys.stdout.write("\n")


def write_pieces(pieces: Iterable[bytes], path: Path | None) -> None:
    """A file a piece at a time, to `path` or to standard output. Raises `BadInput` where it cannot be written."""
    if path is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    try:
        with path.open("wb") as file:
            file.writelines(pieces)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error}") from error


def _parts(value: Any, margin: str) -> Iterator[str]:
    # The standard library indents value by value in Python, which takes ten times as long as a line in one piece.
    if not value or not isinstance(value, dict | list | tuple) or (margin != "\n" and not _is_nested(value)):
        yield _ENCODER.encode(value)
        return
    inner = margin + "  "
    if isinstance(value, dict):
        mark, end = "{", "}"
        members = ((_key(key) + ": ", one) for key, one in value.items())
    else:
        mark, end = "[", "]"
        members = (("", one) for one in value)
    for name, one in members:
        yield mark + inner + name
        yield from _parts(one, inner)
        mark = ","
    yield margin + end


def _is_nested(value: Any) -> bool:
    members = value.values() if isinstance(value, dict) else value
    return any(isinstance(one, dict | list | tuple) for one in members)


def _key(key: Any) -> str:
    written = _ENCODER.encode(key)
    return written if isinstance(key, str) else f'"{written}"'
