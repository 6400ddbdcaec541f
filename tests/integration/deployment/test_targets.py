"""One contract for everything that carries the deployment record out, and what is particular to each."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from backend import clock
from backend.database.session import reading, writing
from backend.deployment.tables import GatewayReport
from backend.deployment.targets import (
    TARGETS,
    WITHOUT_SEGMENTS,
    Part,
    Target,
    TargetAway,
    TargetRefused,
    Wanted,
    the_target,
    wanted_of,
)
from backend.deployment.targets.fake import FakeTarget
from backend.deployment.targets.gateway import GatewayTarget
from backend.deployment.targets.webhook import WebhookTarget
from backend.errors import BadInput
from backend.settings import settings
from tests.integration.deployment.cluster import cluster, kubernetes_target
from tests.integration.deployment.receiver import SECRET, Receiver, receiver
from tests.worlds import make_world

QUICK = (0.01, 0.01, 0.01)


def wanted(version: int, *, change: int = 7, canary: int | None = None) -> Wanted:
    parts = [Part(version, version, "champion", 1.0, 0.5, f"/models/{version}", f"sha256:{version}")]
    if canary is not None:
        parts.append(Part(canary, canary, "canary", 0.2, 0.5, f"/models/{canary}", f"sha256:{canary}"))
    return Wanted(change, "toy", "production", tuple(parts))


@dataclass
class Arranged:
    """A target, how to have what it stands for catch up, and which keys had an effect (None: it has none)."""

    target: Target
    catch_up: Callable[[Wanted], None]
    effects: Callable[[Wanted], list[str] | None]


def report(wanted: Wanted) -> None:
    """What a gateway that follows the record reports."""
    champion, *beside = wanted.parts
    with writing() as session:
        session.merge(
            GatewayReport(
                gateway_id="g:1", model=wanted.model, environment=wanted.environment,
                deployment_id=champion.deployment_id, version=champion.version, loaded_at=clock.now(),
                reported_at=clock.now(), url="http://g:1",
                beside=[
                    {"deployment_id": one.deployment_id, "version": one.version, "role": one.role,
                     "share": one.share, "loaded": True, "error": None}
                    for one in beside
                ],
            )
        )  # fmt: skip


TESTED = ("gateway", "fake", "webhook", "kubernetes")


@pytest.fixture(params=TESTED)
def arranged(request: pytest.FixtureRequest, home: Path, tmp_path: Path) -> Iterator[Arranged]:
    if request.param == "gateway":
        from backend.database.upgrade import upgrade

        upgrade()
        make_world(tmp_path / "files")
        yield Arranged(GatewayTarget(), report, lambda _: None)
        return
    if request.param == "fake":
        fake = FakeTarget(tmp_path / "fake")
        yield Arranged(fake, lambda _: None, fake.effects)
        return
    if request.param == "kubernetes":
        with cluster() as there:
            there.add("toy", 0)
            there.add("toy-canary", 0, replicas=0)
            target = kubernetes_target(there, tmp_path)
            yield Arranged(target, lambda _: None, lambda _: there.effects.get("toy", []))
        return
    with receiver() as made:
        target = WebhookTarget(made.url, SECRET, pauses_s=QUICK)
        yield Arranged(target, lambda _: None, lambda _: made.effects)
        assert made.unsigned == 0


def test_what_was_ensured_is_observed(arranged: Arranged) -> None:
    first = wanted(1, canary=2)
    arranged.target.ensure(first)
    arranged.catch_up(first)
    assert arranged.target.observe(first).settled


def test_what_is_not_so_is_said_to_be_missing(arranged: Arranged) -> None:
    first, second = wanted(1), wanted(2)
    arranged.target.ensure(first)
    arranged.catch_up(first)
    if isinstance(arranged.target, WebhookTarget):
        return  # it tells again what the other side does not know
    observed = arranged.target.observe(second)
    assert not observed.settled and observed.text


def test_the_same_twice_has_one_effect(arranged: Arranged) -> None:
    first = wanted(1)
    for _ in range(3):
        arranged.target.ensure(first)
    arranged.catch_up(first)
    assert arranged.target.observe(first).settled
    assert arranged.effects(first) in (None, [first.key])


def test_another_share_is_another_effect(arranged: Arranged) -> None:
    for state in (wanted(1, canary=2), wanted(1)):
        arranged.target.ensure(state)
        arranged.catch_up(state)
        assert arranged.target.observe(state).settled
    assert len(arranged.effects(wanted(1)) or [1, 2]) == 2


def test_what_was_before_comes_back(arranged: Arranged) -> None:
    before, after = wanted(1), wanted(2)
    arranged.target.ensure(after)
    arranged.catch_up(after)
    for _ in range(2):
        arranged.target.restore(before)
    arranged.catch_up(before)
    assert arranged.target.observe(before).settled


def test_what_it_was_not_told_is_said_without_telling_it(arranged: Arranged) -> None:
    first, second = wanted(1), wanted(2)
    if isinstance(arranged.target, GatewayTarget):
        assert arranged.target.lacks(first) is None
        return
    assert arranged.target.lacks(first)
    arranged.target.ensure(first)
    assert arranged.target.lacks(first) is None
    assert arranged.target.lacks(second)
    assert arranged.effects(first) == [first.key]


def test_segments_are_carried_out_or_refused_with_the_reason(arranged: Arranged) -> None:
    target, (champion, canary) = arranged.target, wanted(1, canary=2).parts
    kept = Wanted(7, "toy", "production", (champion, replace(canary, segments={"carrier": ["AA"]})))
    if target.name in WITHOUT_SEGMENTS:
        with pytest.raises(TargetRefused, match=re.escape(WITHOUT_SEGMENTS[target.name])):
            target.ensure(kept)
        assert arranged.effects(kept) == []
        return
    target.ensure(kept)
    arranged.catch_up(kept)
    assert target.observe(kept).settled
    assert kept.as_dict()["parts"][1]["segments"] == {"carrier": ["AA"]}


def test_every_target_is_under_this_contract() -> None:
    assert set(TARGETS) == set(TESTED)


@pytest.fixture
def told(home: Path) -> Iterator[Receiver]:
    with ExitStack() as stack:
        yield stack.enter_context(receiver())


def test_the_webhook_tries_again_what_may_pass(told: Receiver) -> None:
    told.answers = [503, 429, 500]
    told.busy = 2
    target = WebhookTarget(told.url, SECRET, pauses_s=QUICK)
    target.ensure(wanted(1))
    assert told.effects == [wanted(1).key]
    assert [target.observe(wanted(1)).settled for _ in range(3)] == [False, False, True]


def test_an_answer_that_was_lost_is_no_second_effect(told: Receiver) -> None:
    told.cut = 1
    WebhookTarget(told.url, SECRET, pauses_s=QUICK).ensure(wanted(1))
    assert len(told.told) == 2
    assert told.effects == [wanted(1).key]


def test_the_webhook_takes_a_refusal_for_an_answer(told: Receiver) -> None:
    told.answers = [422]
    target = WebhookTarget(told.url, SECRET, pauses_s=QUICK)
    with pytest.raises(TargetRefused, match="422"):
        target.ensure(wanted(1))
    assert told.effects == []
    told.failing = "no room"
    target.ensure(wanted(1))
    with pytest.raises(TargetRefused, match="no room"):
        target.observe(wanted(1))


def test_a_webhook_that_forgot_is_told_again(told: Receiver) -> None:
    target = WebhookTarget(told.url, SECRET, pauses_s=QUICK)
    target.ensure(wanted(1))
    told.serves = None
    assert not target.observe(wanted(1)).settled
    assert target.observe(wanted(1)).settled


def test_another_secret_is_refused(told: Receiver) -> None:
    with pytest.raises(TargetRefused, match="401"):
        WebhookTarget(told.url, "guessed", pauses_s=QUICK).ensure(wanted(1))
    assert told.told == []


def test_a_webhook_that_is_away_says_so(home: Path) -> None:
    with receiver() as gone:
        url = gone.url
    with pytest.raises(TargetAway, match="did not answer 4 times"):
        WebhookTarget(url, SECRET, pauses_s=QUICK).ensure(wanted(1))


def impatient(told: Receiver) -> WebhookTarget:
    return WebhookTarget(told.url, SECRET, pauses_s=QUICK, timeout_s=0.3, within_s=1.0)


def test_an_answer_that_comes_too_late_is_unknown_and_found_out_by_asking(told: Receiver) -> None:
    told.after = threading.Event()
    target = impatient(told)
    target.ensure(wanted(1))
    assert target.observe(wanted(1)).settled
    assert (len(told.told), told.effects) == (1, [wanted(1).key])


def test_a_webhook_that_hangs_before_it_takes_anything_has_one_effect_when_it_wakes(told: Receiver) -> None:
    told.before = threading.Event()
    target = impatient(told)
    target.ensure(wanted(1))
    for _ in range(2):  # it says that it knows nothing of it, and is told again under the same key
        assert not target.observe(wanted(1)).settled
    assert told.effects == []
    told.before.set()
    wait_until(lambda: len(told.told) == 3)
    assert target.observe(wanted(1)).settled
    assert told.effects == [wanted(1).key]


def test_a_webhook_that_answers_nothing_is_told_as_unknown_not_as_failed(told: Receiver) -> None:
    told.after = told.answering = threading.Event()
    target = impatient(told)
    target.ensure(wanted(1))
    observed = target.observe(wanted(1))
    assert not observed.settled
    assert observed.text.startswith("it is not known whether it is so")
    with pytest.raises(TargetAway, match="did not answer"):
        target.lacks(wanted(1))
    told.answering.set()
    assert target.lacks(wanted(1)) is None
    assert target.observe(wanted(1)).settled
    assert told.effects == [wanted(1).key]


def test_an_answer_that_comes_in_drops_ends_all_the_same(home: Path) -> None:
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.recv(65536)
        with suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not over.wait(0.05):
                connection.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                drip(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/hook"
        observed = WebhookTarget(url, SECRET, pauses_s=(), timeout_s=0.3).observe(wanted(1))
        over.set()
        thread.join()
    assert "no answer within 0.3 s" in observed.text


def wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come about")


def test_a_gateway_that_cannot_load_a_canary_says_why(database: str, tmp_path: Path) -> None:
    make_world(tmp_path / "files")
    target, state = GatewayTarget(), wanted(1, canary=2)
    assert target.observe(state).anybody is False
    report(state)
    with writing() as session:
        row = session.get_one(GatewayReport, ("g:1", "toy"))
        row.beside = [{**row.beside[0], "loaded": False, "error": "altered"}]
    observed = target.observe(state)
    assert (observed.settled, observed.text) == (False, "gateway g:1 cannot load version 2: altered")
    with writing() as session:
        session.get_one(GatewayReport, ("g:1", "toy")).beside = []
    assert "has not seen deployment 2 yet" in target.observe(state).text
    assert target.observe(wanted(1)).settled


def test_what_is_wanted_is_what_the_record_says(database: str, tmp_path: Path) -> None:
    make_world(tmp_path / "files")
    with reading() as session:
        found = wanted_of(session, 7, "toy", "production")
    (champion,) = found.parts
    assert (champion.version, champion.role, champion.digest[:7]) == (2, "champion", "sha256:")
    assert found.key == f"change-7-{champion.deployment_id}"


def test_the_settings_choose(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert the_target().name == "gateway"
    for name in ("fake", "webhook", "elsewhere"):
        monkeypatch.setenv("WARRANT_TARGET", name)
        settings.cache_clear()
        if name == "fake":
            assert the_target().name == "fake"
        else:
            with pytest.raises(BadInput, match=r"WARRANT_WEBHOOK_URL|elsewhere"):
                the_target()
