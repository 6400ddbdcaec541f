"""How far people are with an incident: the only place that moves its phase.

    new ──► acknowledged ──► mitigated ──► resolved
      any open phase ──► resolved | false_alarm | merged
      an alert that fires again: mitigated ──► acknowledged or new
      graver than what was acknowledged: acknowledged ──► new

`Incident.state` follows: open for new, acknowledged and mitigated, else closed.
"""

from __future__ import annotations

from typing import Final

from backend.alerting.tables import Incident
from backend.errors import Conflict

OPEN: Final = ("new", "acknowledged", "mitigated")
OVER: Final = ("resolved", "false_alarm", "merged")
PHASES: Final = (*OPEN, *OVER)
MOVES: Final[dict[str, frozenset[str]]] = {
    "new": frozenset({"acknowledged", "mitigated", *OVER}),
    "acknowledged": frozenset({"new", "mitigated", *OVER}),
    "mitigated": frozenset({"new", "acknowledged", *OVER}),
    **{phase: frozenset[str]() for phase in OVER},
}
WORDS: Final = {
    "new": "nobody is on it", "acknowledged": "somebody is on it", "mitigated": "mitigated, not yet resolved",
    "resolved": "resolved", "false_alarm": "a false alarm", "merged": "merged into another",
}  # fmt: skip
CAUSES: Final = {
    "data": "the data that came in", "version": "the version that serves", "serving": "the gateway or its machine",
    "world": "the world changed", "change": "another change of ours", "monitor": "the monitor's own rule",
    "outside": "something outside", "unknown": "not found out",
}  # fmt: skip


class NotInThisPhase(Conflict):
    """What was asked for is not possible any more, or not yet."""

    title = "Not in this phase"


def can_move(incident: Incident, phase: str) -> bool:
    return phase in MOVES[incident.phase]


def move(incident: Incident, phase: str) -> None:
    """Raises `NotInThisPhase` where the way does not exist."""
    if not can_move(incident, phase):
        raise NotInThisPhase(
            f"INC-{incident.id} is {incident.phase.replace('_', ' ')}; it cannot become {phase.replace('_', ' ')}"
        )
    incident.phase = phase
    incident.state = "open" if phase in OPEN else "closed"
