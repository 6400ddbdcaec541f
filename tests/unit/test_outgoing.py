"""Requests to addresses that somebody names: which networks they may reach, and that a name cannot cheat."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend import outgoing
from backend.errors import BadInput, Unavailable
from backend.notifications import rotas
from backend.notifications.channels.base import ask
from backend.notifications.messages import Message
from backend.settings import settings
from backend.signed_http import NotAnswered, NotTaken, SignedSender

PRIVATE = (
    "127.0.0.1", "10.1.2.3", "172.16.0.9", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.1", "224.0.0.1",
    "255.255.255.255", "::1", "::", "fe80::1", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1", "168.63.129.16", "::ffff:168.63.129.16", "64:ff9b::a83f:8110",
    "192.0.0.192", "192.0.0.9", "192.88.99.1", "fec0::1", "64:ff9b:1::1", "2001::1", "2001:20::1", "3fff::1",
    "5f00::1",
)  # fmt: skip


@pytest.fixture
def closed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network but the public one may be reached."""
    monkeypatch.delenv("WARRANT_REACHABLE_NETWORKS")
    settings.cache_clear()


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """An address on this machine, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.headers['Host']}{self.path}")
            onward = {"/on": "http://169.254.169.254/latest/meta-data", "/moved": "/inside"}.get(self.path)
            self.send_response({"/on": 302, "/moved": 307}.get(self.path, 200))
            if onward:
                self.send_header("Location", onward)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_GET  # noqa: N815 - the name that the server looks for

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{one.server_port}", asked
        one.shutdown()


@pytest.mark.parametrize("address", PRIVATE)
def test_no_private_address_is_reached_unless_its_network_was_allowed(closed: None, address: str) -> None:
    assert not outgoing.is_reachable(ipaddress.ip_address(address))


def test_public_addresses_and_allowed_networks_are_reached(
    closed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert outgoing.is_reachable(ipaddress.ip_address("93.184.216.34"))
    assert outgoing.is_reachable(ipaddress.ip_address("2606:4700::1111"))
    monkeypatch.setenv("WARRANT_REACHABLE_NETWORKS", "10.20.0.0/16")
    settings.cache_clear()
    assert outgoing.is_reachable(ipaddress.ip_address("10.20.9.9"))
    assert not outgoing.is_reachable(ipaddress.ip_address("10.21.0.1"))
    assert not outgoing.is_reachable(ipaddress.ip_address("169.254.169.254"))


def test_every_sender_refuses_a_private_address_before_it_connects(
    closed: None, server: tuple[str, list[str]]
) -> None:
    address, asked = server
    with pytest.raises(NotTaken, match="WARRANT_REACHABLE_NETWORKS"):
        SignedSender(address, "secret").post({}, "key")
    with pytest.raises(NotTaken, match="WARRANT_REACHABLE_NETWORKS"):
        ask("POST", address, body={})
    with pytest.raises(Unavailable, match="WARRANT_REACHABLE_NETWORKS"):
        rotas._fetch(address)
    with pytest.raises(outgoing.NotReachable):
        outgoing.connected("127.0.0.1", 6514, timeout=1)
    assert asked == []


def test_apprise_is_given_nothing_for_a_private_address(closed: None) -> None:
    from backend.notifications.channels.apprise_urls import AppriseUrl

    with pytest.raises(NotTaken, match="WARRANT_REACHABLE_NETWORKS"):
        AppriseUrl("json://127.0.0.1:9/")._refuse_unreachable()


def test_apprise_follows_no_redirect_and_none_is_asked_for(home: Path, server: tuple[str, list[str]]) -> None:
    from backend.notifications.channels.apprise_urls import AppriseUrl

    host = server[0].removeprefix("http://")
    message = Message(
        key="here/incidents/7", incident=7, state="open", severity=2, title="AUC fell", lines=(), link="",
        model="credit", environment="production", opened_at="2026-03-01T03:00:00.000Z",
    )  # fmt: skip
    with pytest.raises(NotAnswered):
        AppriseUrl(f"json://{host}/moved").tell(message, None)
    assert server[1] == [f"{host}/moved"], "the message went nowhere else"
    AppriseUrl(f"json://{host}/whole").tell(message, None)
    with pytest.raises(BadInput, match="redirect"):
        AppriseUrl(f"json://{host}/moved?redirect=yes")


def test_a_name_is_looked_up_once_and_all_its_addresses_are_judged(
    closed: None, server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(server[0].rpartition(":")[2])
    looked_up: list[str] = []

    def resolver(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        looked_up.append(host)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in ("93.184.216.34", "127.0.0.1")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    with pytest.raises(outgoing.NotReachable, match=r"hook\.example \(127\.0\.0\.1\)"):
        outgoing.client("http://hook.example", timeout=2).get(f"http://hook.example:{port}/")
    assert (looked_up, server[1]) == (["hook.example"], [])


def test_the_connection_goes_to_the_judged_address_under_the_name(
    home: Path, server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver that answers with another address the second time is not asked a second time."""
    port = int(server[0].rpartition(":")[2])
    real, answers = socket.getaddrinfo, iter(["127.0.0.1"])

    def resolver(host: str, *more: Any, **named: Any) -> Any:
        return real(next(answers) if host == "hook.example" else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    with outgoing.stream("GET", f"http://hook.example:{port}/path", timeout=2) as answer:
        assert answer.status_code == 200
    assert server[1] == [f"hook.example:{port}/path"]


def test_a_redirect_is_not_followed_and_that_of_a_calendar_is_judged(
    home: Path, server: tuple[str, list[str]]
) -> None:
    address, _ = server
    with outgoing.stream("POST", f"{address}/on", timeout=2) as answer:
        assert answer.status_code == 302
    with pytest.raises(Unavailable, match=r"169\.254\.169\.254"):
        rotas._fetch(f"{address}/on")


def test_a_proxy_of_the_environment_is_kept_and_given_no_private_address(
    closed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(outgoing.NotReachable):
        outgoing.client("http://169.254.169.254/", timeout=1)
    with pytest.raises(httpx.ConnectError, match="refused"):
        outgoing.client("http://hook.example/", timeout=1).get("http://hook.example/")


@pytest.mark.parametrize(
    "host", ["127.1", "0x7f000001", "2130706433", "010.0.0.1", "127.0.0.1.", "127%2e1", "127。0。0。1"]
)
def test_a_proxy_is_given_no_address_in_another_spelling(
    closed: None, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises((outgoing.NotReachable, httpx.InvalidURL)):
        outgoing.client(f"http://{host}/", timeout=1)


@pytest.mark.parametrize("said", [b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 200 OK\r\n\r\n", b""])
def test_a_request_has_one_deadline_for_the_head_and_for_an_answer_without_a_length(
    home: Path, said: bytes
) -> None:
    with (
        drops_after(said) as address,
        pytest.raises(httpx.ReadTimeout),
        outgoing.stream("GET", address, timeout=0.4) as answer,
    ):
        answer.read()


def test_a_request_that_was_not_sent_in_time_is_told_from_one_that_was(home: Path) -> None:
    """TLS whose handshake comes in drops: nobody can have read the request."""
    with (
        drops_after(b"\x16\x03\x03\x40\x00") as address,
        pytest.raises(httpx.ConnectTimeout),
        outgoing.stream("GET", address.replace("http:", "https:"), timeout=0.4),
    ):
        pass


@contextmanager
def drops_after(said: bytes) -> Iterator[str]:
    """Says this, and then one byte after the other for some seconds."""
    listening, ended = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def drip() -> None:
        with suppress(OSError), listening.accept()[0] as taken:
            taken.sendall(said)
            for _ in range(30):
                if ended.wait(0.1):
                    break
                taken.sendall(b"a")

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    ended.set()
    listening.close()
    thread.join()
