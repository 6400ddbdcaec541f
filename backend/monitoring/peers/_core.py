"""What a peer's statistic is, and the registry of their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from backend.errors import NotFound
from backend.monitoring.columns import Kind


@dataclass(frozen=True)
class PeerResult:
    """What the peer would report of one column: its number, the threshold it is held against, and its verdict.

    value, threshold, alarm   None when the peer has no answer; `reason` says why
    used                      the method that was taken, where the peer chooses one by itself
    """

    value: float | None
    threshold: float | None
    alarm: bool | None
    rows_reference: int
    rows_current: int
    reason: str | None = None
    used: str | None = None


Compute = Callable[[pd.Series, pd.Series, Kind | None], PeerResult]
"""(reference, current, kind) -> result; without a kind the peer's own rule of types decides."""


@dataclass(frozen=True)
class PeerStatistic:
    """One statistic of a peer.

    name        library and the library's own name for it: `evidently:psi`
    applies_to  kinds of column that the library accepts
    rule        when the library calls it drift, with its default threshold
    formula     how the value is made, with the library's own bins
    """

    name: str
    library: Literal["evidently", "nannyml"]
    title: str
    applies_to: tuple[Kind, ...]
    rule: str
    formula: str
    compute: Compute


PEERS: dict[str, PeerStatistic] = {}


def register(peer: PeerStatistic) -> PeerStatistic:
    if peer.name in PEERS:
        raise ValueError(f"two peers' statistics are named {peer.name!r}")
    PEERS[peer.name] = peer
    return peer


def find_peer(name: str) -> PeerStatistic:
    """Raises `NotFound` with the names there are."""
    try:
        return PEERS[name]
    except KeyError:
        raise NotFound(
            f"no peer's statistic is named {name!r}; there are {', '.join(sorted(PEERS))}"
        ) from None
