"""Signing out at the provider, both ways: a session that ends here ends there (OpenID Connect RP-Initiated Logout 1.0),
and one that ends there ends here (Back-Channel Logout 1.0).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from joserfc.errors import JoseError
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from backend import clock
from backend.database.session import ReadSession, WriteSession, reading, writing
from backend.errors import BadInput, WarrantError
from backend.identity.actor import system_actor
from backend.identity.oidc_documents import decode, metadata_of
from backend.identity.providers import Provider, provider_named
from backend.identity.sessions import hash_token, revoke
from backend.identity.tables import OidcLogout, OidcSession, SignInSession
from backend.settings import settings

EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
LEEWAY: Final = timedelta(minutes=1)
OLDEST: Final = timedelta(minutes=10)  # so long a logout token is obeyed, and remembered that it was


class LogoutRefused(BadInput):
    title = "Logout token refused"


@dataclass(frozen=True)
class SignOutThere:
    """Where the browser signs out at the provider, too, and what that is called."""

    url: str
    name: str


def sign_out_there(token: str | None) -> SignOutThere | None:
    """For a session that has ended here: where it ends at the provider. Once; None where there is nothing to end.

    The answer of the provider leads back to the sign-in page. A session that has not ended is left alone: following a
    link must sign nobody out.
    """
    with reading() as session:
        found = _ended(session, token)
    if found is None or found.id_token is None:
        return None
    with writing() as session:
        session.execute(
            update(OidcSession).where(OidcSession.session_id == found.session_id).values(id_token=None)
        )
    try:
        provider = provider_named(found.provider)
        endpoint = metadata_of(provider).get("end_session_endpoint")
    except WarrantError:  # it is away, or is not one of ours any more: signed out here is signed out here
        return None
    if not isinstance(endpoint, str):
        return None
    asked = urlencode(
        {
            "id_token_hint": found.id_token,
            "client_id": provider.client_id,
            "post_logout_redirect_uri": f"{settings().console.rstrip('/')}/signin",
        }
    )
    return SignOutThere(f"{endpoint}{'&' if '?' in endpoint else '?'}{asked}", provider.name)


def rests_on_provider(session: ReadSession, session_id: str) -> str | None:
    """The key of the provider by which a session was opened, so that another one is open there; None: by none."""
    found = session.get(OidcSession, session_id)
    return found.provider if found is not None else None


def obey_logout_token(*, provider: str, token: str, address: str | None, request_id: str | None) -> int:
    """End the sessions that a provider's logout token names; how many ended. Raises `LogoutRefused`,
    `SingleSignOnOff`, `ProviderUnavailable`.

    With `sid` those of that one session at the provider, else every one of the person.
    """
    asked = provider_named(provider)
    claims = _checked(asked, token)
    issued = datetime.fromtimestamp(claims["iat"], UTC)
    digest = hashlib.sha256(f"{claims['iss']}\0{claims['jti']}".encode()).hexdigest()
    try:
        with writing() as session:
            session.execute(delete(OidcLogout).where(OidcLogout.expires_at <= clock.now()))
            session.add(OidcLogout(token_hash=digest, expires_at=issued + OLDEST + LEEWAY))
            session.flush()
            return _end(session, claims, address=address, request_id=request_id)
    except IntegrityError as error:
        raise LogoutRefused("this logout token was obeyed already") from error


def forget_id_tokens(session: WriteSession) -> int:
    """Take the ID tokens of sessions that are over away; how many went."""
    over = select(SignInSession.id).where(SignInSession.expires_at <= clock.now())
    gone = session.execute(
        update(OidcSession)
        .where(OidcSession.id_token.is_not(None), OidcSession.session_id.in_(over))
        .values(id_token=None)
    )
    return int(gone.rowcount)  # type: ignore[attr-defined]


def _ended(session: ReadSession, token: str | None) -> OidcSession | None:
    if not token:
        return None
    return session.scalars(
        select(OidcSession)
        .join(SignInSession, SignInSession.id == OidcSession.session_id)
        .where(SignInSession.token_hash == hash_token(token), SignInSession.revoked_at.is_not(None))
    ).one_or_none()


def _end(
    session: WriteSession, claims: dict[str, Any], *, address: str | None, request_id: str | None
) -> int:
    wanted = [OidcSession.issuer == claims["iss"], SignInSession.revoked_at.is_(None)]
    if "sid" in claims:
        wanted.append(OidcSession.sid == claims["sid"])
    if "sub" in claims:
        wanted.append(OidcSession.subject == claims["sub"])
    ids = session.scalars(
        select(SignInSession.id)
        .join(OidcSession, OidcSession.session_id == SignInSession.id)
        .where(*wanted)
        .order_by(SignInSession.id)
    ).all()
    actor = system_actor("single-sign-on", address=address, request_id=request_id)
    for one in ids:
        revoke(session, actor, one, why="signed out at the sign-on provider")
    session.execute(update(OidcSession).where(OidcSession.session_id.in_(ids)).values(id_token=None))
    return len(ids)


def _checked(provider: Provider, token: str) -> dict[str, Any]:
    """The claims of a logout token, checked as section 2.6 of the specification says."""
    metadata = metadata_of(provider)
    try:
        decoded = decode(metadata, token, purpose="logout")
    except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LogoutRefused(f"the logout token is not valid ({error})") from error
    claims = dict(decoded.claims)
    wrong = _wrong_in(claims, decoded.header.get("typ"), issuer=metadata["issuer"], client=provider.client_id)
    if wrong:
        raise LogoutRefused(f"the logout token is not valid: {wrong}")
    return claims


def _wrong_in(claims: dict[str, Any], kind: object, *, issuer: str, client: str) -> str:
    """What is wrong with the claims, in words; "" where nothing is."""
    moment, slack = clock.now().timestamp(), LEEWAY.total_seconds()
    audience, events = claims.get("aud"), claims.get("events")
    issued, expires = claims.get("iat"), claims.get("exp")
    checks = (
        (kind is None or str(kind).lower() in ("jwt", "logout+jwt", "application/logout+jwt"), "its type"),
        (claims.get("iss") == issuer, "iss"),
        (client in (audience if isinstance(audience, list) else [audience]), "aud"),
        (_is_number(issued) and -slack <= moment - issued <= OLDEST.total_seconds(), "iat"),  # type: ignore[operator]
        (expires is None or (_is_number(expires) and moment < expires + slack), "exp"),
        (isinstance(events, dict) and isinstance(events.get(EVENT), dict), "events"),
        ("nonce" not in claims, "it has a nonce, as ID tokens do"),
        (isinstance(claims.get("jti"), str) and bool(claims["jti"]), "jti"),
        ("sub" in claims or "sid" in claims, "it names neither sub nor sid"),
        (all(isinstance(claims.get(name, ""), str) for name in ("sub", "sid")), "sub or sid"),
    )
    return next((said for holds, said in checks if not holds), "")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
