"""One contract for PagerDuty, Opsgenie and Slack: what is told twice is one page, what people do there is heard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from backend.notifications.channels import base
from backend.notifications.channels.base import Channel, Heard, Receipt
from backend.notifications.channels.opsgenie import Opsgenie
from backend.notifications.channels.pagerduty import PagerDuty
from backend.notifications.channels.slack import Slack
from backend.notifications.channels.webhook import Webhook
from backend.notifications.messages import Message, Told
from backend.signed_http import NotAnswered, NotTaken, OutcomeUnknown, SignedSender
from tests.integration.notifications.services import Service, dripping, running, serving

SECRET = "s3cr3t-key"
FIRST = Message(
    key="here/incidents/7", incident=7, state="open", severity=2, title="AUC of credit fell to 0.61",
    lines=("credit in production", "Since: 2026-03-01 03:00 UTC"), link="https://warrant.example/i/7",
    model="credit", environment="production", opened_at="2026-03-01T03:00:00.000Z",
)  # fmt: skip


def told(message: Message, receipt: Receipt, *, perhaps: bool = False) -> Told:
    return Told(receipt.ref, message.state, message.digest, message.severity, perhaps)


@pytest.fixture(params=["pagerduty", "opsgenie", "slack"])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    with running(request.param) as running_service:
        yield running_service


@pytest.fixture
def channel(service: Service) -> Channel:
    made: dict[str, Channel] = {
        "pagerduty": PagerDuty(SECRET, SECRET, events=service.address, rest=service.address),
        "opsgenie": Opsgenie(SECRET, address=service.address),
        "slack": Slack(SECRET, "C1", address=service.address),
    }
    return made[service.kind]


def test_an_incident_is_one_page_from_open_to_resolved(channel: Channel, service: Service) -> None:
    receipt = channel.tell(FIRST, None)
    changed = replace(FIRST, title="AUC of credit fell to 0.55", severity=1)
    receipt = channel.tell(changed, told(FIRST, receipt))
    (page,) = service.pages.values()
    assert "0.55" in page.text
    assert "SEV-1" in page.text
    taken = replace(changed, state="acknowledged", by="Ada")
    receipt = channel.tell(taken, told(changed, receipt))
    channel.tell(replace(taken, state="resolved"), told(taken, receipt))
    assert len(service.pages) == 1
    if service.kind == "slack":
        assert "🟢" in page.text
    else:
        assert page.state == "resolved"


def test_told_again_after_an_attempt_that_was_cut_off_is_one_page(channel: Channel, service: Service) -> None:
    service.drop = 1
    with pytest.raises(NotAnswered):
        channel.tell(FIRST, None)
    assert len(service.pages) == 1
    receipt = channel.tell(FIRST, Told("", "open", "", 4, perhaps=True))
    assert len(service.pages) == 1
    assert channel.hear(FIRST.key, receipt.ref) == Heard("open")


@pytest.mark.parametrize("state", ["acknowledged", "resolved"])
def test_what_people_do_there_is_heard_with_their_name(
    channel: Channel, service: Service, state: str
) -> None:
    receipt = channel.tell(FIRST, None)
    service.act(state, "Grace")
    heard = channel.hear(FIRST.key, receipt.ref)
    assert heard is not None
    assert (heard.state, heard.by) == (state, "Grace")
    assert heard == channel.hear(FIRST.key, receipt.ref)  # the same act, told so


def test_what_is_known_there_is_not_told_back(channel: Channel, service: Service) -> None:
    receipt = channel.tell(FIRST, None)
    service.act("acknowledged", "Grace")
    before = len(service.calls)
    taken = replace(FIRST, state="acknowledged", by="Grace")
    channel.tell(taken, told(taken, receipt))
    if service.kind != "slack":  # there the message is changed, which shows nobody anything new
        assert len(service.calls) == before
    assert len(service.pages) == 1


def test_an_incident_that_asks_again_is_a_page_of_its_own_and_ends_the_first(
    channel: Channel, service: Service
) -> None:
    receipt = channel.tell(FIRST, None)
    service.act("acknowledged", "Grace")
    heard = channel.hear(FIRST.key, receipt.ref)
    taken = replace(FIRST, state="acknowledged", by="Grace")
    again = replace(FIRST, severity=1, round=2)
    for _ in range(2):  # the second time as after an attempt that was cut off
        channel.tell(again, replace(told(taken, receipt), perhaps=bool(len(service.pages) > 1)))
    first, second = service.pages.values()
    assert "SEV-1" in second.text
    ref = list(service.pages)[-1]
    assert channel.hear(again.page_key, ref) == Heard("open")
    if service.kind == "slack":
        assert "see the newer message" in first.text
    else:
        assert (first.state, second.state) == ("resolved", "open")
    service.act("acknowledged", "Grace")
    anew = channel.hear(again.page_key, ref)
    assert heard is not None
    assert anew is not None
    assert (anew.state, anew.act != heard.act) == ("acknowledged", True)


def test_an_incident_of_last_quarter_is_heard_in_pagerduty_and_the_newest_under_its_key() -> None:
    with running("pagerduty") as service:
        channel = PagerDuty(SECRET, SECRET, events=service.address, rest=service.address)
        channel.tell(FIRST, None)
        service.act("resolved", "Grace")
        channel.tell(FIRST, Told(FIRST.key, "resolved", "", 2))
        service.act("acknowledged", "Ada")
        next(iter(service.pages.values())).days_old = 100
        heard = channel.hear(FIRST.key, FIRST.key)
        assert heard is not None
        assert (heard.state, heard.by) == ("acknowledged", "Ada")


@pytest.mark.parametrize("in_head", [False, True], ids=["body", "head"])
def test_an_answer_that_comes_in_drops_is_cut_off(monkeypatch: pytest.MonkeyPatch, in_head: bool) -> None:
    monkeypatch.setattr(base, "TIMEOUT_S", 0.5)
    with dripping(in_head=in_head) as address:
        with pytest.raises(NotAnswered, match=r"did not answer within 0\.5 s"):
            base.ask("GET", address)
        with pytest.raises(OutcomeUnknown, match=r"no answer within 0\.5 s"):
            SignedSender(address, SECRET, timeout_s=0.5).post({}, "key")


def test_what_was_never_told_cannot_be_heard(channel: Channel) -> None:
    assert channel.hear("here/incidents/99", "") is None


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_service_that_cannot_now_is_tried_again(channel: Channel, service: Service, status: int) -> None:
    service.fail = [status]
    with pytest.raises(NotAnswered) as told_so:
        channel.tell(FIRST, None)
    assert SECRET not in told_so.value.message
    assert not isinstance(told_so.value, NotTaken)


def test_a_refusal_is_no_reason_to_try_again_and_holds_no_secret(channel: Channel, service: Service) -> None:
    service.fail = [403]
    with pytest.raises(NotTaken) as told_so:
        channel.tell(FIRST, None)
    assert "403" in told_so.value.message
    assert SECRET not in told_so.value.message
    assert any(SECRET in one for one in service.secrets_seen)


def test_a_host_that_is_away_is_named_without_its_secrets() -> None:
    for channel in (
        PagerDuty(SECRET, events="http://127.0.0.1:9"),
        Slack(SECRET, "C1", address="http://127.0.0.1:9"),
    ):
        with pytest.raises(NotAnswered, match=r"127\.0\.0\.1:9 cannot be reached"):
            channel.tell(FIRST, None)


def test_a_webhook_that_is_away_is_named_by_its_host_alone() -> None:
    with pytest.raises(NotAnswered) as told_so:
        Webhook("http://127.0.0.1:9/services/T0/s3cr3tpath", "secret").tell(FIRST, None)
    assert "127.0.0.1:9" in told_so.value.message
    assert "s3cr3tpath" not in told_so.value.message


@pytest.mark.parametrize(("status", "error"), [(404, NotTaken), (503, NotAnswered)])
def test_a_webhook_that_says_its_own_path_is_not_quoted(status: int, error: type[Exception]) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_error(status, explain=f"Cannot POST {self.path}")

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Handler) as address, pytest.raises(error) as told_so:
        Webhook(f"{address}/services/T0/s3cr3tpath?t=s3cr3ttoo", "secret").tell(FIRST, None)
    assert "s3cr3t" not in str(told_so.value)
    assert str(status) in str(told_so.value)
