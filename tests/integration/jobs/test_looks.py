"""A look at Warrant passes only while a notice gets through the outbox, a page would reach somebody and nothing stands
still."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from backend import clock
from backend.database.session import reading, writing
from backend.deployment.tables import GatewayReport
from backend.doctor import examine
from backend.errors import NotFound
from backend.heartbeat import send_beats
from backend.identity.actor import system_actor
from backend.notifications import probe
from backend.notifications.service import recent_notices, retry_notice
from backend.notifications.tables import ChannelTest, Notice
from backend.queue import WATCH_SELF, JobRun, WorkerBeat
from backend.settings import settings
from jobs.notifier import Notifier
from jobs.watch_self import (
    STEPS,
    NotWorking,
    await_notice,
    look_at_pagers,
    look_for_standstill,
    put_notice,
    watch_self,
)
from tests.integration.jobs.conftest import OwnedRun
from tests.integration.jobs.test_heartbeat import Outside, look, outside
from tests.worlds import make_world

__all__ = ["outside"]

CONTACTS = """
channels:
  pager: {kind: pagerduty, key: {env: PD_KEY}}
  mail: {kind: apprise, url: {env: MAIL_URL}}
  post: {kind: apprise, url: {env: MAIL_URL}}
routes:
  - name: serious
    when: {severity: [SEV-1]}
    to: [mail]
    then: [{after_min: 5, to: [pager]}]
  - name: rest
    when: {severity: [SEV-3]}
    to: [mail]
"""
ONLY_MAIL = CONTACTS.replace("then: [{after_min: 5, to: [pager]}]", "then: [{after_min: 5, to: [post]}]")
UNHEARD = CONTACTS.replace("[SEV-1]", "[SEV-2]")
Contacts = Callable[[str], None]
ENDLESS = timedelta(minutes=10)


@pytest.fixture
def contacts(migrated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Contacts:
    def write(text: str) -> None:
        path = tmp_path / "contacts.yaml"
        path.write_text(text)
        monkeypatch.setenv("WARRANT_CONTACTS", str(path))
        settings.cache_clear()

    monkeypatch.setenv("PD_KEY", "k")
    monkeypatch.setenv("MAIL_URL", "json://hooks.example")
    write(CONTACTS)
    return write


def own_run() -> OwnedRun:
    return OwnedRun(WATCH_SELF, "look", "", {}, None, "w", 1, "token")


def tried(channel: str, state: str, *, ago: timedelta = timedelta(0)) -> None:
    at = clock.now() - ago
    with writing() as session:
        session.merge(
            ChannelTest(
                channel=channel, key="k", asked_at=at, asked_by=None, state=state, tried_at=at, done_at=at,
                said="it refused: 403" if state == "failed" else "taken",
            )
        )  # fmt: skip


def told(channel: str, state: str, *, ago: timedelta) -> None:
    """A notice that was sent or refused so long ago, or that has waited since."""
    at = clock.now() - ago
    with writing() as session:
        session.add(
            Notice(
                channel=channel, state=state, why="", document={}, created_at=at,
                next_try_at=at + timedelta(seconds=5), tried_at=None, attempts=1,
                problem="" if state == "sent" else "it refused: 403", sent_at=at if state == "sent" else None,
            )
        )  # fmt: skip


def test_a_notice_gets_through_the_outbox_or_the_look_fails(
    contacts: Contacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "DELIVERED_WITHIN", timedelta(seconds=0))
    number = put_notice(own_run())
    with pytest.raises(NotWorking, match="the outbox stands still"):
        await_notice(number)
    monkeypatch.setattr(probe, "DELIVERED_WITHIN", ENDLESS)
    notifier = Notifier("w")
    notifier.tick()
    notifier.give_back()
    assert await_notice(number)
    with reading() as session:
        row = session.get_one(Notice, number)
        assert (row.channel, row.state) == (probe.PROBE, "sent")
        assert row.receipt.endswith("came through")
    with writing() as session:
        session.get_one(Notice, number).created_at -= 2 * ENDLESS
    with reading() as session:
        assert not probe.came_through(session, number), "it came too late"


def test_a_notice_of_a_look_is_nobodys_and_does_not_stay(contacts: Contacts) -> None:
    first = put_notice(own_run())
    with reading() as session:
        assert recent_notices(session, system_actor("worker")) == []
    with pytest.raises(NotFound), writing() as session:
        retry_notice(session, system_actor("worker"), first)
    with writing() as session:
        session.get_one(Notice, first).created_at -= 2 * probe.DELIVERED_WITHIN + timedelta(seconds=1)
    second = put_notice(own_run())
    with writing() as session:
        assert session.get_one(Notice, first).state == "replaced"
        session.get_one(Notice, second).created_at -= probe.KEPT_FOR + timedelta(minutes=1)
    put_notice(own_run())
    with reading() as session:
        kept = session.scalars(select(Notice).order_by(Notice.id)).all()
    assert [(one.state, clock.now() - one.created_at < probe.KEPT_FOR) for one in kept] == [
        ("replaced", True), ("queued", True),
    ]  # fmt: skip


def test_without_contacts_or_a_route_for_the_worst_nobody_is_told(
    contacts: Contacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look_at_pagers()
    contacts(UNHEARD)
    with pytest.raises(NotWorking, match="no route leads a SEV-1 to anybody"):
        look_at_pagers()
    contacts("channels: [")
    with pytest.raises(NotWorking, match="nobody is told of anything: contacts"):
        look_at_pagers()
    monkeypatch.delenv("WARRANT_CONTACTS")
    settings.cache_clear()
    with pytest.raises(NotWorking, match="WARRANT_CONTACTS is not set"):
        look_at_pagers()


def test_a_pager_whose_last_test_or_notice_was_refused_fails_the_look(contacts: Contacts) -> None:
    tried("pager", "failed")
    with pytest.raises(NotWorking, match="the channel pager, which pages, is broken: it refused: 403"):
        look_at_pagers()
    tried("pager", "passed")
    assert look_at_pagers()
    told("pager", "refused", ago=timedelta(hours=1))
    assert look_at_pagers(), "a test has passed since"
    tried("pager", "passed", ago=timedelta(hours=2))
    with pytest.raises(NotWorking, match="which pages, is broken"):
        look_at_pagers()
    told("pager", "sent", ago=timedelta(minutes=30))
    assert look_at_pagers()
    told("pager", "queued", ago=timedelta(minutes=4))
    assert look_at_pagers(), "there is time to try again"
    told("pager", "queued", ago=timedelta(minutes=6))
    with pytest.raises(NotWorking, match="which pages, is broken"):
        look_at_pagers()


def test_a_pager_without_its_key_fails_the_look(contacts: Contacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PD_KEY")
    with pytest.raises(NotWorking, match="'pager': its key is empty"):
        look_at_pagers()


def test_a_mailbox_that_bounces_is_named_and_wakes_nobody(contacts: Contacts, outside: Outside) -> None:
    tried("mail", "failed")
    tried("pager", "passed")
    assert look_at_pagers()
    look()
    send_beats({})
    (_, first), (_, second) = outside.told
    assert first["broken_channels"] == ["mail"]
    assert first["channels_took"]["pager"] is not None
    assert first["channels_took"]["post"] is None
    assert second[0]["annotations"]["broken_channels"] == "mail"


def test_where_no_channel_wakes_people_one_that_works_is_enough(contacts: Contacts) -> None:
    contacts(ONLY_MAIL)
    tried("mail", "failed")
    assert look_at_pagers()
    tried("post", "failed")
    with pytest.raises(NotWorking, match="the channel mail, which pages, is broken"):
        look_at_pagers()


def test_the_doctor_names_a_pager_that_nothing_was_proved_of(contacts: Contacts) -> None:
    def found() -> tuple[str, str]:
        told = {one.name: one.found for one in examine()}["pagers"]
        return told.state, told.said

    assert found() == ("unknown", "pager has taken nothing yet")
    tried("pager", "passed", ago=timedelta(days=36))
    assert found()[0] == "unknown" and found()[1].startswith("pager has taken nothing since ")
    tried("pager", "passed")
    assert found()[0] == "ok"
    tried("pager", "failed")
    assert found()[0] == "trouble"


def beat(name: str, queues: str, *, ago: timedelta = timedelta(0)) -> None:
    at = clock.now() - ago
    with writing() as session:
        session.add(WorkerBeat(worker_id=name, queues=queues, host="h", pid=1, started_at=at, seen_at=at))


@pytest.mark.parametrize("queue", ["writer", "changes", "gpu"])
def test_a_dead_worker_that_alone_served_a_queue_fails_the_look(migrated_home: Path, queue: str) -> None:
    beat("all", "metrics,watch,long")
    assert look_for_standstill()
    beat("one", queue, ago=timedelta(minutes=5))
    with pytest.raises(NotWorking, match=f"no worker serves {queue} any more"):
        look_for_standstill()
    beat("two", queue)
    assert look_for_standstill()


def test_jobs_that_nobody_takes_fail_the_look(migrated_home: Path) -> None:
    def wait(number: int, since: datetime) -> None:
        with writing() as session:
            session.add(
                JobRun(
                    id=f"run_{number}", name="retrain", queue="gpu", arguments={}, state="queued", requested_at=since
                )
            )  # fmt: skip

    beat("all", "metrics,watch,long")
    wait(1, clock.now())
    assert look_for_standstill(), "a worker may be about to start"
    wait(2, clock.now() - timedelta(minutes=3))
    with pytest.raises(NotWorking, match="no worker serves gpu any more"):
        look_for_standstill()
    beat("gpu", "gpu")
    assert look_for_standstill()


def test_predictions_that_nobody_stores_fail_the_look(migrated_home: Path) -> None:
    logs = settings().spool / "logs"
    logs.mkdir(parents=True)
    with (logs / "a.log").open("wb") as file:
        file.truncate(256 << 20)
        assert look_for_standstill()
        file.truncate(257 << 20)
    with pytest.raises(NotWorking, match="257 MiB of predictions wait for the writer, the limit is 256 MiB"):
        look_for_standstill()


def report(gateway: str, environment: str, *, version: int | None, ago: timedelta = timedelta(0)) -> None:
    with writing() as session:
        session.merge(
            GatewayReport(
                gateway_id=gateway, model="toy", environment=environment, deployment_id=None, version=version,
                loaded_at=None, load_s=None, reported_at=clock.now() - ago, error="", url="", beside=[],
            )
        )  # fmt: skip


def test_gateways_that_fell_silent_fail_the_look(migrated_home: Path, tmp_path: Path) -> None:
    make_world(tmp_path / "files")
    report("idle", "staging", version=None, ago=timedelta(hours=1))
    report("one", "production", version=1)
    assert look_for_standstill()
    report("one", "production", version=1, ago=timedelta(minutes=1))
    with pytest.raises(NotWorking, match="no gateway is heard of any more in production"):
        look_for_standstill()
    report("two", "production", version=1)
    assert look_for_standstill(), "another answers in its place"


def test_every_step_is_taken() -> None:
    taken: list[str] = []

    class Run(OwnedRun):
        def progress(self, progress: float, step: str) -> None: ...

        def step(self, name: str, *_: object) -> int:  # type: ignore[override]
            taken.append(name)
            return 1

    watch_self(Run(WATCH_SELF, "look", "", {}, None, "w", 1, "token"))
    assert tuple(taken) == STEPS
