"""Single sign-on: OpenID Connect authorization code flow with PKCE (S256), state and nonce, through Authlib.

A flow is a row, used once and only by the browser that began it. The ID token is checked for signature
(asymmetric algorithms only), issuer, audience, expiry, nonce and at_hash (OpenID Connect Core 1.0, section
3.1.3.7). A person is known by issuer and subject, never by name or mail address, which the provider may
give to someone else.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn
from urllib.parse import urlsplit

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.sealing import Personal
from backend.database.session import WriteSession, writing
from backend.errors import NotFound, NotSignedIn, TooMany, Unavailable
from backend.identity.actor import system_actor
from backend.identity.people import USERNAME, create_person, normalise_username
from backend.identity.roles import Role
from backend.identity.sessions import OpenedSession, hash_token, open_session
from backend.identity.tables import OidcFlow, Person
from backend.settings import settings

# Symmetric algorithms and "none" are never accepted, whatever the provider advertises.
ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)
FLOW_VALID_FOR = timedelta(minutes=10)
FLOWS_AT_ONCE = 10_000
LEEWAY_S = 60
TIMEOUT_S = 10


class SingleSignOnOff(NotFound):
    title = "Single sign-on is not set up"


class SingleSignOnRefused(NotSignedIn):
    title = "Single sign-on refused"


class ProviderUnavailable(Unavailable):
    title = "Sign-on provider unavailable"


@dataclass(frozen=True)
class Begun:
    """Where to send the browser, and the secret that goes into its cookie."""

    url: str
    browser: str


@dataclass(frozen=True)
class Identity:
    """What a checked ID token says about someone."""

    issuer: str
    subject: str
    username: str
    display_name: str


def redirect_uri() -> str:
    """What must be registered with the provider."""
    return settings().console.rstrip("/") + "/oidc/callback"


def begin_sign_on(*, next_path: str) -> Begun:
    """Start a flow. Raises `SingleSignOnOff`, `ProviderUnavailable`, `TooMany`."""
    metadata = provider_metadata()
    flow = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "browser")}
    verifier = secrets.token_urlsafe(48)
    moment = clock.now()
    with writing() as session:
        session.execute(delete(OidcFlow).where(OidcFlow.expires_at <= moment))
        if (session.scalar(select(func.count()).select_from(OidcFlow)) or 0) >= FLOWS_AT_ONCE:
            raise TooMany("too many sign-ons are under way; try again in ten minutes", retry_after_s=600)
        session.add(
            OidcFlow(
                state_hash=hash_token(flow["state"]),
                browser_hash=hash_token(flow["browser"]),
                nonce=flow["nonce"],
                code_verifier=verifier,
                next_path=next_path,
                expires_at=moment + FLOW_VALID_FOR,
            )
        )
    with _client(metadata) as client:
        url, _ = client.create_authorization_url(
            metadata["authorization_endpoint"],
            state=flow["state"],
            nonce=flow["nonce"],
            code_verifier=verifier,
        )
    return Begun(url, flow["browser"])


def finish_sign_on(
    *,
    state: str | None,
    code: str | None,
    browser: str | None,
    issuer: str | None = None,
    error: str | None = None,
    address: str | None = None,
    user_agent: str | None = None,
    request_id: str | None = None,
) -> tuple[OpenedSession, str]:
    """Finish a flow with what the provider sent back. Returns the session and the path to go on to.

    `issuer` is the `iss` parameter of RFC 9207, checked when given. Raises `SingleSignOnRefused`,
    `ProviderUnavailable`.
    """
    flow = _take_flow(state, browser)
    if error is not None:
        raise SingleSignOnRefused("the sign-on provider did not sign you in; start again")
    if not code:
        raise SingleSignOnRefused("the sign-on provider sent no code; start again")
    metadata = provider_metadata()
    if issuer is not None and issuer != metadata["issuer"]:
        raise SingleSignOnRefused("the answer came from another provider than was asked")
    identity = _identify(metadata, code=code, flow=flow)
    try:
        opened = _open(identity, address=address, user_agent=user_agent, request_id=request_id)
    except IntegrityError:  # the same person's first sign-on, twice at once: now the row is there
        opened = _open(identity, address=address, user_agent=user_agent, request_id=request_id)
    return opened, flow.next_path


def _take_flow(state: str | None, browser: str | None) -> OidcFlow:
    """The flow of this state, now used up, whatever else is wrong with the answer."""
    with writing() as session:
        flow = session.get(OidcFlow, hash_token(state or ""), with_for_update=True)
        if flow is not None:
            session.delete(flow)
    if flow is None or flow.expires_at <= clock.now():
        raise SingleSignOnRefused("this sign-on was finished already, or took too long; start again")
    if not secrets.compare_digest(flow.browser_hash, hash_token(browser or "")):
        raise SingleSignOnRefused("this sign-on was begun in another browser; start again")
    return flow


def provider_metadata() -> dict[str, Any]:
    """The provider's metadata (OpenID Connect Discovery 1.0). Raises when it is not the configured issuer's."""
    issuer = settings().oidc_issuer
    if not issuer or not settings().oidc_client_id:
        raise SingleSignOnOff("single sign-on is not set up; set WARRANT_OIDC_ISSUER and _CLIENT_ID")
    _require_safe(issuer)
    metadata = _get_json(issuer.rstrip("/") + "/.well-known/openid-configuration")
    if str(metadata.get("issuer", "")).rstrip("/") != issuer.rstrip("/"):
        _unavailable(f"its metadata name the issuer {metadata.get('issuer')!r} instead of {issuer!r}")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        if not isinstance(metadata.get(name), str):
            _unavailable(f"its metadata lack {name}")
        _require_safe(metadata[name])
    return metadata


def _identify(metadata: dict[str, Any], *, code: str, flow: OidcFlow) -> Identity:
    try:
        with _client(metadata) as client:
            token = client.fetch_token(
                metadata["token_endpoint"],
                code=code,
                code_verifier=flow.code_verifier,
                redirect_uri=redirect_uri(),
                timeout=TIMEOUT_S,
            )
    except OAuthError as error:
        raise SingleSignOnRefused("the sign-on provider refused the code; start again") from error
    except (requests.RequestException, ValueError) as error:
        raise ProviderUnavailable(f"the sign-on provider did not answer ({type(error).__name__})") from error
    if not isinstance(token.get("id_token"), str):
        raise SingleSignOnRefused("the sign-on provider sent no ID token; is the scope openid allowed?")
    keys = _get_json(metadata["jwks_uri"])
    claims = _checked_claims(metadata, keys, token, nonce=flow.nonce)
    named = claims.get("preferred_username") or claims.get("email") or ""
    return Identity(
        issuer=str(claims["iss"]),
        subject=str(claims["sub"]),
        username=str(named),
        display_name=str(claims.get("name") or named or "unnamed"),
    )


def _checked_claims(
    metadata: dict[str, Any], keys: dict[str, Any], token: dict[str, Any], *, nonce: str
) -> dict[str, Any]:
    offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
    client_id = settings().oidc_client_id
    try:
        decoded = jwt.decode(
            token["id_token"],
            key=KeySet.import_key_set(keys),  # type: ignore[arg-type]
            registry=JWSRegistry(algorithms=sorted(ALGORITHMS & set(offered)), strict_check_header=False),
        )
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            {
                "iss": {"essential": True, "value": metadata["issuer"]},
                "aud": {"essential": True, "value": client_id},
            },
            {"nonce": nonce, "client_id": client_id, "access_token": token.get("access_token")},
        )
        claims.validate(leeway=LEEWAY_S)
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise SingleSignOnRefused(f"the sign-on provider's ID token is not valid ({error})") from error
    if not isinstance(claims["sub"], str) or not claims["sub"]:
        raise SingleSignOnRefused("the sign-on provider's ID token names no subject")
    return dict(claims)


def _open(
    identity: Identity, *, address: str | None, user_agent: str | None, request_id: str | None
) -> OpenedSession:
    with writing() as session:
        person = session.scalars(
            select(Person).where(
                Person.oidc_issuer == identity.issuer, Person.oidc_subject == identity.subject
            )
        ).one_or_none() or _create(session, identity)
        return open_session(
            session, person, address=address, user_agent=user_agent, request_id=request_id, method="oidc"
        )


def _create(session: WriteSession, identity: Identity) -> Person:
    """First sign-on: a person who may look, until an administrator gives more."""
    actor = system_actor("single-sign-on")
    person = create_person(
        session, actor, username=_free_username(session, identity), roles={Role.VIEWER},
        display_name="".join(c for c in identity.display_name if c.isprintable())[:100].strip() or "unnamed",
        oidc=(identity.issuer, identity.subject),
    )  # fmt: skip
    record(
        session, actor, Action.PERSON_LINKED, object_kind="person", object_id=person.id,
        payload={"issuer": identity.issuer, "subject": Personal(person.id, identity.subject)},
    )  # fmt: skip
    return person


def _free_username(session: WriteSession, identity: Identity) -> str:
    wished = normalise_username(identity.username)[:50]
    digest = hashlib.sha256(f"{identity.issuer}\0{identity.subject}".encode()).hexdigest()[:8]
    if not USERNAME.fullmatch(wished):
        return f"sso-{digest}"
    taken = session.scalar(select(Person.id).where(Person.username == wished))
    return wished if taken is None else f"{wished}-{digest}"


@contextmanager
def _client(metadata: dict[str, Any]) -> Iterator[OAuth2Session]:
    secret = settings().oidc_client_secret
    methods = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    method = "client_secret_basic" if "client_secret_basic" in methods else "client_secret_post"
    client = OAuth2Session(
        settings().oidc_client_id,
        secret,
        scope="openid profile email",
        redirect_uri=redirect_uri(),
        token_endpoint_auth_method=method if secret else "none",
        code_challenge_method="S256",
    )
    try:
        yield client
    finally:
        client.close()


def _get_json(url: str) -> dict[str, Any]:
    try:
        with requests.get(url, timeout=TIMEOUT_S, allow_redirects=False) as response:
            response.raise_for_status()
            document = response.json()
    except (requests.RequestException, ValueError) as error:
        raise ProviderUnavailable(
            f"the sign-on provider did not answer at {url} ({type(error).__name__}); try again, or sign in "
            "with a password"
        ) from error
    if not isinstance(document, dict):
        _unavailable(f"{url} is not a JSON object")
    return document


def _require_safe(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        _unavailable(f"{url} is not https")


def _unavailable(reason: str) -> NoReturn:
    raise ProviderUnavailable(f"the sign-on provider cannot be used: {reason}")
