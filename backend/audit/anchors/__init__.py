"""Places that keep our signed heads. A kind is one file here and one row of `KINDS`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from backend.audit.anchors.base import Anchor
from backend.settings import settings


def _git() -> list[Anchor]:
    from backend.audit.anchors.git_tag import GitTag

    folder = settings().audit_git
    return [GitTag(Path(folder), settings().audit_git_remote)] if folder else []


def _witnesses() -> list[Anchor]:
    from backend.audit.anchors.witness import WitnessAnchor
    from backend.audit.witnesses import witnesses

    return [WitnessAnchor(one) for one in witnesses()]


KINDS: Final[dict[str, Callable[[], list[Anchor]]]] = {"git": _git, "witness": _witnesses}


def anchors() -> list[Anchor]:
    """Every anchor that the settings name. Raises `BadInput` for settings that cannot be read."""
    return [anchor for kind in KINDS.values() for anchor in kind()]
