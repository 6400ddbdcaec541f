"""A file on the volume that consoles share, with what is said of it: a head as JSON before the content."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any


def write_framed(path: Path, head: dict[str, Any], content: bytes) -> None:
    """It has its name once it is whole. Makes its folder, which is for this account of the host alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}.draft")
    told = json.dumps(head).encode()
    draft.write_bytes(len(told).to_bytes(4, "big") + told + content)
    draft.replace(path)


def read_framed(path: Path) -> tuple[dict[str, Any], bytes]:
    """Head and content. Raises `OSError` where there is no such file."""
    whole = path.read_bytes()
    size = int.from_bytes(whole[:4], "big")
    return json.loads(whole[4 : 4 + size]), whole[4 + size :]
