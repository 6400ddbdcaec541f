"""One channel that hangs holds up itself alone, when telling and when hearing."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from backend.alerting.handling import open_incident
from backend.database.session import writing
from backend.notifications.lanes import Lanes, Work
from jobs.notifier import Notifier
from tests.integration.notifications.scene import Scene, scene
from tests.worlds import World, make_world

__all__ = ["scene"]


PATIENCE_S = 3.0


@pytest.fixture
def impatient(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr("jobs.notifier.PATIENCE_S", PATIENCE_S)
    return scene


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    return make_world(tmp_path / "files")


def test_a_channel_that_hangs_when_told_delays_no_other(impatient: Scene) -> None:
    number = impatient.page()
    impatient.pager.wait = threading.Event()
    try:
        begun = time.monotonic()
        assert impatient.tick() == 1
        assert time.monotonic() - begun < PATIENCE_S + 5
        assert len(impatient.team.pages) == 1
        with writing() as session:
            more = open_incident(
                session, impatient.world.on_call, model="toy", environment="production", title="another"
            )
        begun = time.monotonic()
        assert impatient.tick(later_s=3) == 1  # nobody waits for it a second time
        assert time.monotonic() - begun < PATIENCE_S
        assert more.id != number
        assert len(impatient.team.pages) == 2
    finally:
        impatient.pager.wait.set()
    impatient.notifier.give_back()
    impatient.pager.wait = None
    impatient.tick(later_s=11)
    assert len(impatient.pager.pages) == 2
    keys = [body["dedup_key"] for _, _, body in impatient.pager.calls if body]
    assert len(keys) == len(set(keys)) == 2  # nothing was sent twice


def test_a_channel_that_hangs_when_heard_deafens_no_other(impatient: Scene) -> None:
    number = impatient.page()
    impatient.tick()
    impatient.pager.wait = threading.Event()
    impatient.team.act("acknowledged", "Grace")
    try:
        impatient.tick(later_s=11)
        assert impatient.incident(number).acknowledged_there == "in Slack by Grace"
    finally:
        impatient.pager.wait.set()
        impatient.notifier.give_back()


def test_the_lease_is_not_given_away_while_a_request_is_under_way(
    impatient: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.notifier.ENDING_S", 0.1)
    impatient.page()
    impatient.pager.wait = threading.Event()
    try:
        impatient.tick()
        impatient.notifier.give_back()
        assert Notifier("another").tick() == 0
    finally:
        impatient.pager.wait.set()
        monkeypatch.undo()
        assert impatient.notifier._lanes.wait(20)


def test_a_lane_takes_no_work_while_its_last_goes_on_and_their_number_is_bounded() -> None:
    lanes, go_on = Lanes(most=2), threading.Event()

    def hang() -> Work:
        go_on.wait(20)
        return Work(sent=1)

    assert lanes.begin("a", hang)
    assert not lanes.begin("a", hang)
    assert lanes.begin("b", hang)
    assert not lanes.begin("c", hang)
    assert lanes.slow(0).keys() == {"a", "b"}
    assert not lanes.wait(0.05)
    go_on.set()
    assert lanes.wait(20)
    assert lanes.take() == Work(sent=2)
    assert lanes.take() == Work()


def test_work_that_stumbles_leaves_its_lane_free() -> None:
    lanes = Lanes()

    def stumble() -> Work:
        raise ValueError("no")

    assert lanes.begin("a", stumble)
    assert lanes.wait(20)
    assert lanes.begin("a", Work)
    assert lanes.wait(20)
