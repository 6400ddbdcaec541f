"""A few scripts draw at a time; nobody is forgotten, and a turn ends however its script ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from app import turns
from app.turns import AT_A_TIME, taking_turns


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """Every turn is taken until the event is set."""
    done, taken = threading.Event(), threading.Barrier(AT_A_TIME + 1)

    def draw() -> None:
        with taking_turns():
            taken.wait(10)
            done.wait(30)

    threads = [threading.Thread(target=draw) for _ in range(AT_A_TIME)]
    for one in threads:
        one.start()
    taken.wait(10)
    yield done
    done.set()
    for one in threads:
        one.join()


def test_no_more_than_that_draw_at_once_and_everybody_does() -> None:
    drawing, most, drawn = 0, 0, 0
    lock = threading.Lock()

    def draw(_: int) -> None:
        nonlocal drawing, most, drawn
        with taking_turns():
            with lock:
                drawing += 1
                most = max(most, drawing)
            threading.Event().wait(0.005)
            with lock:
                drawing -= 1
                drawn += 1

    with ThreadPoolExecutor(30) as people:
        list(people.map(draw, range(60)))
    assert (most, drawn) == (AT_A_TIME, 60)


def test_who_waits_draws_when_somebody_has_done(held: threading.Event) -> None:
    came = threading.Event()

    def draw() -> None:
        with taking_turns():
            came.set()

    one = threading.Thread(target=draw)
    one.start()
    assert not came.wait(0.2)
    held.set()
    assert came.wait(10)
    one.join()


def test_nobody_waits_for_ever_and_who_did_not_wait_gives_nothing_back(
    held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", 0.05)
    with taking_turns():
        pass  # a turn given back that was never taken would be a ValueError of the semaphore later
    assert not turns._turns.acquire(blocking=False)


def test_a_turn_within_a_turn_is_the_same_one() -> None:
    def draw() -> None:
        with taking_turns(), taking_turns():
            pass
        with taking_turns():
            pass

    threads = [threading.Thread(target=draw) for _ in range(4 * AT_A_TIME)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(10)
    assert not any(one.is_alive() for one in threads)


def test_a_script_that_fails_gives_its_turn_back() -> None:
    for _ in range(2 * AT_A_TIME):
        with pytest.raises(RuntimeError), taking_turns():
            raise RuntimeError("a page")
    assert turns._turns.acquire(blocking=False)
    turns._turns.release()
