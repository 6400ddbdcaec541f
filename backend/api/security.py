"""Who is calling: the session cookie or a bearer token of an HTTP request, as an `Actor`.

A cookie is sent by the browser whoever wrote the page, so with it every request that may change something
also carries the session's CSRF token. A bearer token is sent by its holder alone and needs none.
"""

from __future__ import annotations

import ipaddress
import re
from functools import cache
from secrets import compare_digest
from urllib.parse import urlsplit

from fastapi import Request
from starlette.requests import HTTPConnection

from backend.api.rates import take_as
from backend.client_addresses import parsed, told
from backend.database.base import new_id
from backend.database.session import reading
from backend.errors import NotAllowed, NotSignedIn
from backend.identity.actor import Actor
from backend.identity.sessions import SignedIn, session_of, touch
from backend.identity.tokens import resolve_token, touch_token
from backend.settings import settings

COOKIE = "warrant_session"
CSRF_HEADER = "X-CSRF-Token"
REQUEST_ID_HEADER = "X-Request-ID"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# The id goes into audit leaves, which are never erased: only shapes that can hold nothing but randomness.
_OPAQUE = re.compile(
    r"(req_)?[0-9a-f]{20,32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE
)


class CsrfRefused(NotAllowed):
    title = "The form is out of date"


def current_actor(request: Request) -> Actor:
    """FastAPI dependency of every REST route. Raises `NotSignedIn`, `CsrfRefused` or `TooManyRequests`."""
    actor = _caller(request)
    take_as(getattr(request.app.state, "buckets", None), actor.person_id)
    return actor


def _caller(request: Request) -> Actor:
    authorization = request.headers.get("Authorization")
    if authorization is not None:
        return _bearer(request, authorization)
    found = signed_in(request)
    if request.method not in SAFE_METHODS:
        check_csrf(found, request.headers.get(CSRF_HEADER))
    return found.actor


def signed_in(request: Request) -> SignedIn:
    """The browser session of a request, its idle clock moved on. Raises `NotSignedIn`.

    A route that changes something calls `check_csrf` with the form's token as well.
    """
    found = session_of(
        request.cookies.get(COOKIE), request_id=request_id_of(request), address=client_address(request)
    )
    if found is None:
        raise NotSignedIn("sign in first, or send an API token: Authorization: Bearer wrt_…")
    touch(found, address=client_address(request), user_agent=request.headers.get("User-Agent"))
    return found


def check_csrf(found: SignedIn, sent: str | None) -> None:
    """Raise `CsrfRefused` unless `sent` is the session's CSRF token."""
    if not sent or not same_text(sent, found.csrf):
        raise CsrfRefused(
            f"the request does not carry this session's CSRF token (header {CSRF_HEADER}, or the form's csrf "
            "field); reload the page and try again"
        )


def request_id_of(request: Request) -> str:
    """The request's id: the caller's `X-Request-ID` where it is opaque (a UUID or hex), else a new one."""
    known = getattr(request.state, "request_id", None)
    if isinstance(known, str):
        return known
    sent = request.headers.get(REQUEST_ID_HEADER, "")
    request.state.request_id = sent.lower() if _OPAQUE.fullmatch(sent) else new_id("req")
    return str(request.state.request_id)


def client_address(request: HTTPConnection) -> str | None:
    """Where the request came from. `X-Forwarded-For` counts only as far as trusted proxies wrote it."""
    address = told(request.client.host) if request.client else None
    forwarded = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
    while address is not None and forwarded and _is_trusted(address):
        hop = forwarded.pop()
        try:
            address = str(parsed(hop))
        except ValueError:
            break
    return address


def is_same_origin(request: Request) -> bool:
    """Whether a browser says that the request began on our own pages (absent headers say nothing)."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    ours = {request.headers.get("Host", "").lower(), urlsplit(settings().console).netloc.lower()}
    return urlsplit(origin).netloc.lower() in ours


def same_text(one: str, other: str) -> bool:
    """Equality in constant time, for any text."""
    return compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def _bearer(request: Request, authorization: str) -> Actor:
    scheme, _, raw = authorization.partition(" ")
    if scheme.lower() == "bearer":
        with reading() as session:
            actor = resolve_token(
                session, raw.strip(), request_id=request_id_of(request), address=client_address(request)
            )
        if actor is not None:
            touch_token(str(actor.session_id), address=client_address(request))
            return actor
    raise NotSignedIn("the API token is unknown, revoked or expired; create one and send it as: Bearer wrt_…")


def _is_trusted(address: str) -> bool:
    try:
        found = parsed(address)
    except ValueError:
        return False
    return any(found in network for network in _networks(settings().trusted_proxies))


@cache
def _networks(listed: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(one.strip(), strict=False) for one in listed.split(",") if one.strip())
