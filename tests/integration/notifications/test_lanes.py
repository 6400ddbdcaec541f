"""One channel that hangs holds up itself alone, when telling and when hearing."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from backend.alerting.handling import open_incident
from backend.database.session import writing
from backend.notifications.lanes import Lanes, Work
from jobs.notifier import PATIENCE_S, Notifier
from tests.integration.notifications.scene import Scene, scene
from tests.worlds import World, make_world

__all__ = ["scene"]


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    return make_world(tmp_path / "files")


def test_a_channel_that_hangs_when_told_delays_no_other(scene: Scene) -> None:
    number = scene.page()
    scene.pager.wait = threading.Event()
    try:
        begun = time.monotonic()
        assert scene.tick() == 1
        assert time.monotonic() - begun < PATIENCE_S + 3
        assert len(scene.team.pages) == 1
        with writing() as session:
            more = open_incident(
                session, scene.world.on_call, model="toy", environment="production", title="another"
            )
        begun = time.monotonic()
        assert scene.tick(later_s=3) == 1  # nobody waits for it a second time
        assert time.monotonic() - begun < PATIENCE_S
        assert more.id != number
        assert len(scene.team.pages) == 2
    finally:
        scene.pager.wait.set()
    scene.notifier.give_back()
    scene.pager.wait = None
    scene.tick(later_s=11)
    assert len(scene.pager.pages) == 2
    keys = [body["dedup_key"] for _, _, body in scene.pager.calls if body]
    assert len(keys) == len(set(keys)) == 2  # nothing was sent twice


def test_a_channel_that_hangs_when_heard_deafens_no_other(scene: Scene) -> None:
    number = scene.page()
    scene.tick()
    scene.pager.wait = threading.Event()
    scene.team.act("acknowledged", "Grace")
    try:
        scene.tick(later_s=11)
        assert scene.incident(number).acknowledged_there == "in Slack by Grace"
    finally:
        scene.pager.wait.set()
        scene.notifier.give_back()


def test_the_lease_is_not_given_away_while_a_request_is_under_way(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.notifier.ENDING_S", 0.1)
    scene.page()
    scene.pager.wait = threading.Event()
    try:
        scene.tick()
        scene.notifier.give_back()
        assert Notifier("another").tick() == 0
    finally:
        scene.pager.wait.set()
        monkeypatch.undo()
        assert scene.notifier._lanes.wait(20)


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
