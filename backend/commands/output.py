"""The command line's two outputs: a document on stdout, words for people."""

from __future__ import annotations

import json
import sys
from typing import Any


def say(text: str, *, error: bool = False) -> None:
    """One line for a person."""
    stream = sys.stderr if error else sys.stdout
    stream.write(text + "\n")
    stream.flush()


def write_json(document: Any) -> None:
    """The one JSON document of a `--json` command."""
    sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")
