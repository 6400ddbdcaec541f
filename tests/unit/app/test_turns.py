"""One draws at a time, first come, first served; nobody is forgotten, and a turn ends however its script ends."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.turns import Turns

LONG = 60.0


def test_no_more_than_that_draw_at_once_and_everybody_does() -> None:
    turns, drawing, most, drawn = Turns(3, LONG), 0, 0, 0
    lock = threading.Lock()

    def draw(_: int) -> None:
        nonlocal drawing, most, drawn
        with turns.taken():
            with lock:
                drawing += 1
                most = max(most, drawing)
            threading.Event().wait(0.005)
            with lock:
                drawing -= 1
                drawn += 1

    with ThreadPoolExecutor(30) as people:
        list(people.map(draw, range(60)))
    assert (most, drawn) == (3, 60)


def test_who_came_first_draws_first() -> None:
    turns, done, order = Turns(1, LONG), threading.Event(), []

    def draw(number: int) -> None:
        with turns.taken():
            order.append(number)

    threads = [threading.Thread(target=draw, args=(number,)) for number in range(8)]
    with turns.taken():
        for number, one in enumerate(threads, start=1):
            one.start()
            while len(turns._waiting) < number:
                time.sleep(0.001)
        assert not done.wait(0.05)
        assert order == []
    for one in threads:
        one.join(10)
    assert order == list(range(8))


def test_who_waits_for_something_else_holds_nobody_up_for_long() -> None:
    turns, released = Turns(1, 0.05), threading.Event()

    def wait() -> None:
        with turns.taken():
            released.wait(30)

    stuck = threading.Thread(target=wait)
    stuck.start()
    while not turns._drawing:
        time.sleep(0.001)
    with turns.taken():
        assert stuck.is_alive()
    released.set()
    stuck.join(10)
    assert not turns._drawing


def test_a_turn_within_a_turn_is_the_same_one() -> None:
    turns = Turns(1, LONG)

    def draw() -> None:
        with turns.taken(), turns.taken():
            pass
        with turns.taken():
            pass

    threads = [threading.Thread(target=draw) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(10)
    assert not any(one.is_alive() for one in threads)


def test_a_script_that_fails_gives_its_turn_back() -> None:
    turns = Turns(1, LONG)
    for _ in range(3):
        with pytest.raises(RuntimeError), turns.taken():
            raise RuntimeError("a page")
    assert not turns._drawing
