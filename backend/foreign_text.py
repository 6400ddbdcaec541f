"""Text that others wrote, such as the reason of a failure, on its way into the database."""

from __future__ import annotations

from typing import Any


def storable(said: Any) -> str:
    """As text that every database keeps: JSON and exceptions can hold NUL, and halves of characters."""
    return str(said or "").replace("\x00", "").encode(errors="replace").decode()
