"""The states of a change: nothing leaves an end, and every end is reached by a path that passes what it must."""

from __future__ import annotations

import pytest

from backend.governance import machine
from backend.governance.errors import ChangeNotWaiting


def test_a_finished_change_takes_no_event() -> None:
    for state in machine.FINISHED:
        for event in machine.EVENTS:
            with pytest.raises(ChangeNotWaiting):
                machine.after(state, event)


def test_only_an_approved_change_begins_and_only_one_that_began_finishes() -> None:
    assert {origin for origin, event, _ in machine.moves() if event == "begin"} == {"approved"}
    assert {origin for origin, _, following in machine.moves() if following == "executed"} == {"executing"}


def test_approval_comes_from_decisions_or_from_the_two_ways_that_need_none() -> None:
    ways = {(origin, event) for origin, event, following in machine.moves() if following == "approved"}
    assert ways == {("waiting", "approve"), ("draft", "break_glass"), ("draft", "agreed_before")}


def test_what_is_approved_can_be_stopped_until_a_worker_begins() -> None:
    assert machine.after("approved", "reject") == "rejected"
    assert machine.after("approved", "retract") == "waiting"
    assert machine.after("approved", "recheck") == "checking"
    for event in ("reject", "retract", "recheck"):
        assert not machine.can("executing", event)


def test_what_waits_for_gates_takes_no_decision() -> None:
    for event in ("approve", "reject", "ask_for_changes"):
        assert not machine.can("checking", event)


def test_every_state_is_reached_and_every_event_is_used() -> None:
    assert {following for _, _, following in machine.moves()} | {"draft"} == set(machine.STATES)
    assert {event for _, event, _ in machine.moves()} == set(machine.EVENTS)
    assert set(machine.MEANINGS) == set(machine.EVENTS)
    assert set(machine.WORDS) == set(machine.STATES)


def test_a_refused_event_says_what_the_change_is_and_what_was_wanted() -> None:
    with pytest.raises(ChangeNotWaiting, match="CHG-3 is waiting for gates; it cannot be: the quorum"):
        machine.after("checking", "approve", what="CHG-3")
