"""Single sign-on: OpenID Connect authorization code flow with PKCE (S256), state and nonce, through Authlib.

A flow is a row, used once, only by the browser that began it and only for the provider that it was begun with. The ID
token is checked for signature (asymmetric algorithms only), issuer, audience, authorized party, expiry, nonce and
at_hash (OpenID Connect Core 1.0, section 3.1.3.7). A person is known by issuer and subject, never by name or mail
address, which the provider may give to someone else.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.sealing import Personal
from backend.database.session import WriteSession, writing
from backend.errors import NotSignedIn
from backend.identity.actor import system_actor
from backend.identity.json_documents import NoDocument, post_form
from backend.identity.oidc_documents import ProviderUnavailable, decode, get_json, metadata_of
from backend.identity.oidc_flows import keep_flow
from backend.identity.people import USERNAME, create_person, normalise_username
from backend.identity.providers import BY_VARIABLES, Provider, provider_named
from backend.identity.role_rules import hold_at_sign_on
from backend.identity.roles import Role
from backend.identity.sessions import OpenedSession, actor_of, hash_token, open_session
from backend.identity.stepping_up import renew
from backend.identity.tables import OidcFlow, OidcSession, Person
from backend.settings import settings

FLOW_VALID_FOR = timedelta(minutes=10)
LEEWAY_S = 60


class SingleSignOnRefused(NotSignedIn):
    title = "Single sign-on refused"


@dataclass(frozen=True)
class Begun:
    """Where to send the browser, and the secret that goes into its cookie."""

    url: str
    browser: str


@dataclass(frozen=True)
class Identity:
    """What a checked ID token says about someone."""

    provider: str
    issuer: str
    subject: str
    username: str
    display_name: str
    authenticated_at: datetime | None = None  # when the provider last asked them, where it says so
    sid: str | None = None  # the provider's name of its own session
    id_token: str = field(default="", repr=False)
    claims: dict[str, Any] = field(default_factory=dict, repr=False)


def begin_sign_on(
    *, next_path: str, provider: str = BY_VARIABLES, again: str | None = None, address: str | None = None
) -> Begun:
    """Start a flow; `again`: the session whose person is to prove anew who they are.

    Raises `SingleSignOnOff`, `ProviderUnavailable`, `TooMany`.
    """
    asked = provider_named(provider)
    metadata = metadata_of(asked)
    flow = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "browser")}
    verifier = secrets.token_urlsafe(48)
    row = OidcFlow(
        state_hash=hash_token(flow["state"]),
        browser_hash=hash_token(flow["browser"]),
        provider=asked.key,
        nonce=flow["nonce"],
        code_verifier=verifier,
        next_path=next_path,
        session_id=again,
        expires_at=clock.now() + FLOW_VALID_FOR,
    )
    with writing() as session:
        keep_flow(session, row, address=address)
    url, _ = _client(asked, metadata).create_authorization_url(
        metadata["authorization_endpoint"],
        state=flow["state"],
        nonce=flow["nonce"],
        code_verifier=verifier,
        **({"prompt": "login", "max_age": "0"} if again else {}),
    )
    return Begun(url, flow["browser"])


def finish_sign_on(
    *,
    state: str | None,
    code: str | None,
    browser: str | None,
    provider: str = BY_VARIABLES,
    issuer: str | None = None,
    error: str | None = None,
    address: str | None = None,
    user_agent: str | None = None,
    request_id: str | None = None,
) -> tuple[OpenedSession, str]:
    """Finish a flow with what the provider sent back. Returns the session and the path to go on to.

    `provider` is whose address the answer came to; `issuer` is the `iss` parameter of RFC 9207, checked when given and
    required of a provider that promises it. Raises `SingleSignOnRefused`, `ProviderUnavailable`.
    """
    flow = _take_flow(state, browser)
    if flow.provider != provider:
        raise SingleSignOnRefused("the answer came from another provider than was asked")
    if error is not None:
        raise SingleSignOnRefused("the sign-on provider did not sign you in; start again")
    if not code:
        raise SingleSignOnRefused("the sign-on provider sent no code; start again")
    asked = provider_named(flow.provider)
    metadata = metadata_of(asked)
    promised = metadata.get("authorization_response_iss_parameter_supported") is True
    if (issuer is not None or promised) and issuer != metadata["issuer"]:
        raise SingleSignOnRefused("the answer came from another provider than was asked")
    identity = _identify(asked, metadata, code=code, flow=flow)
    if flow.session_id is not None:
        opened = _renew(identity, flow, address=address, request_id=request_id)
        return opened, flow.next_path
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


def _identify(provider: Provider, metadata: dict[str, Any], *, code: str, flow: OidcFlow) -> Identity:
    try:
        token = _client(provider, metadata).fetch_token(
            metadata["token_endpoint"],
            code=code,
            code_verifier=flow.code_verifier,
            redirect_uri=provider.redirect_uri,
        )
    except AuthlibBaseError as error:
        raise SingleSignOnRefused("the sign-on provider refused the code; start again") from error
    except (httpx.HTTPError, NoDocument, ValueError) as error:
        raise ProviderUnavailable(f"the sign-on provider did not answer ({type(error).__name__})") from error
    if not isinstance(token.get("id_token"), str):
        raise SingleSignOnRefused("the sign-on provider sent no ID token; is the scope openid allowed?")
    claims = checked_claims(provider, metadata, token, nonce=flow.nonce)
    claims = {**_userinfo(provider, metadata, token, subject=claims["sub"]), **claims}
    named = claims.get("preferred_username") or claims.get("email") or ""
    sid = claims.get("sid")
    return Identity(
        provider=provider.key,
        issuer=str(claims["iss"]),
        subject=str(claims["sub"]),
        username=str(named),
        display_name=str(claims.get("name") or named or "unnamed"),
        authenticated_at=_auth_time(claims),
        sid=sid if isinstance(sid, str) else None,
        id_token=token["id_token"],
        claims=claims,
    )


def _auth_time(claims: dict[str, Any]) -> datetime | None:
    """When the provider asked them (OpenID Connect Core 1.0, section 2), never later than now."""
    told = claims.get("auth_time")
    if isinstance(told, bool) or not isinstance(told, int | float) or not 0 < told < 2**33:
        return None
    return min(datetime.fromtimestamp(told, UTC), clock.now())


def _renew(
    identity: Identity, flow: OidcFlow, *, address: str | None, request_id: str | None
) -> OpenedSession:
    """The session that asked for it, if the provider asked the same person anew since."""
    begun = flow.expires_at - FLOW_VALID_FOR
    if identity.authenticated_at is None or identity.authenticated_at < begun - timedelta(seconds=LEEWAY_S):
        raise SingleSignOnRefused(
            "the sign-on provider did not ask for your password anew; it has to support max_age and auth_time"
        )
    with writing() as session:
        person = _known(session, identity)
        if person is None:
            raise SingleSignOnRefused("somebody else signed in than whose session it is; start again")
        hold_at_sign_on(session, person, provider=identity.provider, claims=identity.claims)
        actor = actor_of(person, session_id=flow.session_id, request_id=request_id, address=address)
        opened = renew(session, actor, method="oidc", at=identity.authenticated_at)
        _rest_on(session, opened, identity)
        return opened


def _known(session: WriteSession, identity: Identity) -> Person | None:
    return session.scalars(
        select(Person).where(Person.oidc_issuer == identity.issuer, Person.oidc_subject == identity.subject)
    ).one_or_none()


def _rest_on(session: WriteSession, opened: OpenedSession, identity: Identity) -> None:
    """Keep which session of the provider this one rests on: signing out at either ends both."""
    session.merge(
        OidcSession(
            session_id=opened.session_id, provider=identity.provider, issuer=identity.issuer,
            subject=identity.subject, sid=identity.sid, id_token=identity.id_token,
        )
    )  # fmt: skip


def checked_claims(
    provider: Provider, metadata: dict[str, Any], token: dict[str, Any], *, nonce: str
) -> dict[str, Any]:
    """The claims of an ID token that is this provider's, for us, and of this flow. Raises `SingleSignOnRefused`."""
    try:
        decoded = decode(metadata, token["id_token"])
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            {
                "iss": {"essential": True, "value": metadata["issuer"]},
                "aud": {"essential": True, "value": provider.client_id},
            },
            {"nonce": nonce, "client_id": provider.client_id, "access_token": token.get("access_token")},
        )
        claims.validate(leeway=LEEWAY_S)
    except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SingleSignOnRefused(f"the sign-on provider's ID token is not valid ({error})") from error
    if not isinstance(claims["sub"], str) or not claims["sub"]:
        raise SingleSignOnRefused("the sign-on provider's ID token names no subject")
    return dict(claims)


def _userinfo(
    provider: Provider, metadata: dict[str, Any], token: dict[str, Any], *, subject: str
) -> dict[str, Any]:
    """What the userinfo endpoint adds, where the provider is set up to be asked. An answer about somebody else counts
    for nothing (OpenID Connect Core 1.0, section 5.3.2)."""
    if not provider.userinfo:
        return {}
    url, bearer = metadata.get("userinfo_endpoint"), token.get("access_token")
    if not isinstance(url, str) or not isinstance(bearer, str):
        raise ProviderUnavailable(f"the sign-on provider {provider.key} offers no userinfo endpoint")
    told = get_json(url, bearer=bearer)
    if told.get("sub") != subject:
        raise SingleSignOnRefused("the sign-on provider's userinfo is about somebody else")
    return told


def _open(
    identity: Identity, *, address: str | None, user_agent: str | None, request_id: str | None
) -> OpenedSession:
    with writing() as session:
        person = _known(session, identity) or _create(session, identity)
        hold_at_sign_on(session, person, provider=identity.provider, claims=identity.claims)
        opened = open_session(
            session, person, address=address, user_agent=user_agent, request_id=request_id, method="oidc",
            authenticated_at=identity.authenticated_at,
        )  # fmt: skip
        _rest_on(session, opened, identity)
        return opened


def _create(session: WriteSession, identity: Identity) -> Person:
    """First sign-on: a person without any role, until an administrator or a rule gives one, unless the settings say
    that everybody may look."""
    actor = system_actor("single-sign-on")
    person = create_person(
        session, actor, username=_free_username(session, identity),
        roles={Role.VIEWER} if settings().sign_on_role == "viewer" else set(),
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


class _TokenEndpoint:
    """What Authlib sends the code with. Code, verifier and secret go to the endpoint that the metadata name alone."""

    def post(self, url: str, *, data: dict[str, str], headers: dict[str, str], auth: Any) -> httpx.Response:
        where, told, body = auth.prepare("POST", url, dict(headers), urlencode(data))
        return post_form(where, body, headers=told)


def _client(provider: Provider, metadata: dict[str, Any]) -> OAuth2Client:
    secret = provider.client_secret
    methods = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    method = "client_secret_basic" if "client_secret_basic" in methods else "client_secret_post"
    return OAuth2Client(
        _TokenEndpoint(),
        provider.client_id,
        secret,
        scope=" ".join(provider.scopes),
        redirect_uri=provider.redirect_uri,
        token_endpoint_auth_method=method if secret else "none",
        code_challenge_method="S256",
    )
