"""The command line's two outputs: a document on stdout, words for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

_ENCODER = json.JSONEncoder(default=str)


def say(text: str, *, error: bool = False) -> None:
    """One line for a person."""
    stream = sys.stderr if error else sys.stdout
    stream.write(text + "\n")
    stream.flush()


def write_json(document: Any) -> None:
    """The one JSON document of a `--json` command: indented, with a line for each list or object of plain values."""
    sys.stdout.writelines(_parts(document, "\n"))
    sys.stdout.write("\n")


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
