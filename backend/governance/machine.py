"""The states of a change and what moves it from one to the next. Pure; the only place that names a transition.

Every service asks `after(state, event)` for the next state; there is no other way to set one. docs/changes.md draws
what is listed here, and a property-based test drives random events through it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, get_args

from backend.governance.errors import ChangeNotWaiting

State = Literal[
    "draft", "checking", "waiting", "approved", "executing", "executed", "failed", "rejected", "expired", "void",
    "cancelled",
]  # fmt: skip
Event = Literal[
    "submit", "submit_unchecked", "gates_settled", "recheck", "ask_for_changes", "approve", "retract", "reject",
    "break_glass",
    "agreed_before", "begin", "finish", "fail", "overtake", "void", "expire", "cancel",
]  # fmt: skip

STATES: Final[tuple[State, ...]] = get_args(State)
EVENTS: Final[tuple[Event, ...]] = get_args(Event)

WORDS: Final[dict[State, str]] = {
    "draft": "draft",
    "checking": "waiting for gates",
    "waiting": "waiting for decisions",
    "approved": "approved",
    "executing": "executing",
    "executed": "executed",
    "failed": "failed",
    "rejected": "rejected",
    "expired": "expired",
    "void": "void",
    "cancelled": "cancelled",
}

# What each event means, for the drawing and for the message that refuses it.
MEANINGS: Final[dict[Event, str]] = {
    "submit": "sent, and gates have to be evaluated",
    "submit_unchecked": "sent under a rule that names no gate",
    "gates_settled": "every gate has a result",
    "recheck": "gates are evaluated again, or a report changed what they say; decisions so far no longer count",
    "ask_for_changes": "somebody who decides asks for changes",
    "approve": "the quorum of every role is reached",
    "retract": "somebody takes their approval back",
    "reject": "one person who decides rejects",
    "break_glass": "taken into execution without approval, to be reviewed afterwards",
    "agreed_before": "a return that was approved together with the promotion it undoes, or a retraining within the "
    "envelope of its rule",
    "begin": "a worker found that everything signed still holds",
    "finish": "it is done",
    "fail": "it could not be done; what was before is restored",
    "overtake": "a change that cannot wait aborts it, and decides what serves",
    "void": "something signed is no longer so, or another change overtook it",
    "expire": "its time is over",
    "cancel": "who asked for it withdraws it",
}

_MOVES: Final[dict[tuple[State, Event], State]] = {
    ("draft", "submit"): "checking",
    ("draft", "submit_unchecked"): "waiting",
    ("draft", "break_glass"): "approved",
    ("draft", "agreed_before"): "approved",
    ("draft", "reject"): "rejected",
    ("checking", "gates_settled"): "waiting",
    ("waiting", "recheck"): "checking",
    ("waiting", "ask_for_changes"): "draft",
    ("waiting", "approve"): "approved",
    ("waiting", "retract"): "waiting",
    ("waiting", "reject"): "rejected",
    ("approved", "retract"): "waiting",
    ("approved", "recheck"): "checking",
    ("approved", "reject"): "rejected",
    ("approved", "begin"): "executing",
    ("executing", "finish"): "executed",
    ("approved", "fail"): "failed",
    ("executing", "fail"): "failed",
    ("executing", "overtake"): "failed",
    **{(state, "void"): "void" for state in ("draft", "checking", "waiting", "approved")},
    **{(state, "expire"): "expired" for state in ("draft", "checking", "waiting", "approved")},
    **{(state, "cancel"): "cancelled" for state in ("draft", "checking", "waiting", "approved")},
}

OPEN: Final[tuple[State, ...]] = ("draft", "checking", "waiting", "approved", "executing")
UNDECIDED: Final[tuple[State, ...]] = ("draft", "checking", "waiting")
FINISHED: Final[tuple[State, ...]] = tuple(state for state in STATES if state not in OPEN)


def after(state: str, event: Event, *, what: str = "the change") -> State:
    """The state that follows. `ChangeNotWaiting` where this event has no place in this state."""
    following = _MOVES.get((state, event))  # type: ignore[arg-type]
    if following is None:
        raise ChangeNotWaiting(f"{what} is {WORDS.get(state, state)}; it cannot be: {MEANINGS[event]}")  # type: ignore[call-overload]
    found: State = following
    return found


def can(state: str, event: Event) -> bool:
    """Whether this event has a place in this state."""
    return (state, event) in _MOVES


def moves() -> Iterator[tuple[State, Event, State]]:
    """Every transition, in the order in which a change usually takes them."""
    for (state, event), following in _MOVES.items():
        yield state, event, following


def diagram() -> str:
    """The machine as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> draft"]
    lines += [
        f"    {state} --> {following}: {event.replace('_', ' ')}" for state, event, following in moves()
    ]
    lines += [f"    {state} --> [*]" for state in FINISHED]
    return "\n".join(lines)
