"""Requests to addresses that somebody names: never into networks that Warrant was not told it may reach.

A webhook, a heartbeat, an outside check, a channel or a calendar is an address that somebody wrote down. Asked without
care, Warrant would carry requests to services that trust their neighbours: the loopback, private networks, the metadata
service of a cloud. So a name is looked up once, every address it has is judged, and the connection goes to the address
that was judged: a name that answers differently the second time (DNS rebinding) reaches nothing. Redirects are not
followed here; who follows one sends it through here again.

A request has one deadline, which also ends an answer whose head or body comes in drops.

`WARRANT_REACHABLE_NETWORKS` lists the networks that are not public and still may be reached.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import httpx

from backend.deadlines import deadline
from backend.errors import BadInput
from backend.settings import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
# Special networks that Python, or some version of it, takes for public.
_REFUSED: Final = tuple(
    ipaddress.ip_network(one)
    for one in (
        "168.63.129.16/32",  # the wire server of Azure, https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
        "192.0.0.0/24",  # protocol assignments, RFC 6890; the metadata service of some clouds lies in it
        "192.88.99.0/24",  # relays of 6to4, RFC 7526
        "64:ff9b:1::/48",  # NAT64 of one's own network, RFC 8215
        "2001::/23",  # protocol assignments, RFC 2928; Teredo (RFC 4380) lies in it, which holds IPv4 addresses
        "3fff::/20",  # documentation, RFC 9637
        "5f00::/16",  # segment routing, RFC 9602
        "fec0::/10",  # site-local, RFC 3879
    )
)


class NotReachable(httpx.ConnectError):
    """The address lies in a network that is not public and not among `WARRANT_REACHABLE_NETWORKS`."""


@contextmanager
def stream(method: str, url: str, *, timeout: float, **options: Any) -> Iterator[httpx.Response]:
    """`httpx.stream` through the guard; all of it, the body too, has `timeout` seconds. Raises `NotReachable` before
    anything is connected, and `httpx.TimeoutException` where the time is over: `ReadTimeout` once the other side may
    have begun to read."""
    with client(url, timeout=timeout) as sender, deadline(timeout) as limit:
        extensions = {"trace": limit.trace}
        try:
            with sender.stream(
                method, url, follow_redirects=False, extensions=extensions, **options
            ) as answer:
                yield answer
        except httpx.TransportError as error:
            if limit.is_over and not isinstance(error, NotReachable):
                raise _too_late(limit.is_sent) from error
            raise
        if limit.is_over:  # an answer without a length ends where its connection does
            raise _too_late(limit.is_sent)


def _too_late(is_sent: bool) -> httpx.TimeoutException:
    if is_sent:
        return httpx.ReadTimeout("the answer did not end in time")
    return httpx.ConnectTimeout("there was no connection in time")


def client(url: str, *, timeout: float) -> httpx.Client:
    """A client that follows no redirect. A proxy of the environment looks names up and decides what it reaches
    itself: it is given every name as it is, and no address that is refused here."""
    if _has_proxy(url):
        _refuse_for_proxy(unquote(httpx.URL(url).raw_host.decode("ascii")).removesuffix("."))
        return httpx.Client(timeout=timeout)
    return httpx.Client(transport=_Judged(), timeout=timeout)


def connected(host: str, port: int, *, timeout: float) -> socket.socket:
    """A TCP connection to a name. Raises `NotReachable`, and `OSError` where nobody answers."""
    found = _addresses(host, port)
    for address in found:
        refuse_unreachable(address, host)
    problem: OSError = OSError(f"{host} has no address")
    for address in found:
        try:
            return socket.create_connection((str(address), port), timeout=timeout)
        except OSError as error:
            problem = error
    raise problem


def refuse_host(host: str, port: int = 443) -> None:
    """`NotReachable` where any address of a name is refused: for libraries that connect by themselves."""
    for address in _addresses(host, port):
        refuse_unreachable(address, host)


def refuse_unreachable(address: Address, host: str) -> None:
    inner = _inner(address)
    if not is_reachable(inner):
        shown = host if host == str(inner) else f"{host} ({inner})"
        raise NotReachable(
            f"{shown} is not a public address; WARRANT_REACHABLE_NETWORKS lists the private ones that may be reached"
        )


def is_reachable(address: Address) -> bool:
    """Whether an address is public, or of a network that was allowed by name."""
    inner = _inner(address)
    if any(inner in network for network in _allowed(settings().reachable_networks)):
        return True
    if any(inner in network for network in _REFUSED):
        return False
    return inner.is_global and not inner.is_multicast and not inner.is_reserved


def _inner(address: Address) -> Address:
    """The IPv4 address within one of IPv6: mapped, 6to4 or NAT64. The others stand for themselves."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


class _Judged(httpx.BaseTransport):
    """Looks the name up once and connects to the addresses that were judged, under the name for TLS and `Host`."""

    def __init__(self) -> None:
        self._transport = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url, host = request.url, request.url.host
        try:
            found = _addresses(host, url.port or (443 if url.scheme == "https" else 80))
        except OSError as error:
            raise httpx.ConnectError(f"{host} is not known: {error}", request=request) from error
        for address in found:
            refuse_unreachable(address, host)
        request.extensions = {**request.extensions, "sni_hostname": host}
        for number, address in enumerate(found):
            request.url = url.copy_with(host=str(address))
            try:
                return self._transport.handle_request(request)
            except httpx.ConnectError:
                if number + 1 == len(found):
                    raise
            finally:
                request.url = url
        raise httpx.ConnectError(f"{host} has no address", request=request)

    def close(self) -> None:
        self._transport.close()


def _addresses(host: str, port: int) -> list[Address]:
    """Every address of a name, each once, in the order of the resolver."""
    literal = _literal(host)
    if literal is not None:
        return [literal]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found))


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def _refuse_for_proxy(host: str) -> None:
    """What is sent to a proxy as a host. Other spellings of an address (127.1, 0x7f000001, 2130706433, 010.0.0.1) are
    read differently by different proxies: none is handed on."""
    address = _literal(host)
    if address is not None:
        refuse_unreachable(address, str(address))
        return
    try:
        socket.inet_aton(host)
    except (OSError, ValueError):
        return
    raise NotReachable(f"{host} is an address that is not written in full; write it as four decimal numbers")


def _has_proxy(url: str) -> bool:
    parts = urlsplit(url)
    if not any(
        os.environ.get(name) or os.environ.get(name.upper())
        for name in ("http_proxy", "https_proxy", "all_proxy")
    ):
        return False
    proxies = urllib.request.getproxies_environment()
    named = parts.scheme in proxies or "all" in proxies
    bypassed = urllib.request.proxy_bypass_environment(parts.hostname or "")  # type: ignore[attr-defined]
    return named and not bypassed


@cache
def _allowed(listed: str) -> tuple[Network, ...]:
    try:
        return tuple(
            ipaddress.ip_network(one.strip(), strict=False) for one in listed.split(",") if one.strip()
        )
    except ValueError as error:
        raise BadInput(f"WARRANT_REACHABLE_NETWORKS: {error}") from error
