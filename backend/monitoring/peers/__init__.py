"""Compatibility: other tools' statistics under their own names, equal to what those tools report.

Raw rows only: their bins move with the current data, so their values cannot be had from merged profiles. The formulas
are written again here (numpy, scipy); the libraries themselves are imported by the tests alone, which hold every
value to theirs on the same frames.
"""

from backend.monitoring.peers import evidently, nannyml
from backend.monitoring.peers._core import PEERS, PeerResult, PeerStatistic, find_peer

__all__ = ["PEERS", "PeerResult", "PeerStatistic", "evidently", "find_peer", "nannyml"]
