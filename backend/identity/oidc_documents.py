"""What a provider publishes: its metadata (OpenID Connect Discovery 1.0) and its keys, fetched and kept for a while.

A provider that did not answer is not asked again for a while, and for one document once at a time: whoever comes
meanwhile waits for that answer.

A token signed by a key that is not among those kept has them fetched again, so that a provider may rotate its keys at
any time. Whoever sends made-up tokens cannot have us fetch without end: a key set is fetched again a few times a minute
at most. Logout tokens, which anybody may send, are counted apart: made-up ones leave sign-ons their share.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NoReturn
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from backend import clock
from backend.errors import Unavailable
from backend.identity.json_documents import NoDocument, fetch_json
from backend.identity.providers import Provider

# Symmetric algorithms and "none" are never accepted, whatever the provider advertises.
ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)
KEPT_S: Final = 300
FAILURE_KEPT_S: Final = 15
AGAIN_A_MINUTE: Final = 5


class ProviderUnavailable(Unavailable):
    title = "Sign-on provider unavailable"


@dataclass
class _Kept:
    """Documents by address, with when each was fetched; what was said of one that did not come, and when; whoever
    fetches it; and when a set of keys was fetched before its time, and what for."""

    documents: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)
    failures: dict[str, tuple[float, str]] = field(default_factory=dict)
    fetching: dict[str, threading.Lock] = field(default_factory=dict)
    early: dict[tuple[str, str], deque[float]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


_KEPT: Final = _Kept()


def forget_documents() -> None:
    """Everything is fetched again when it is asked for next."""
    with _KEPT.lock:
        _KEPT.documents.clear()
        _KEPT.failures.clear()
        _KEPT.early.clear()


def metadata_of(provider: Provider, *, fresh: bool = False) -> dict[str, Any]:
    """The provider's metadata. Raises `ProviderUnavailable` when they are not the configured issuer's."""
    issuer = provider.issuer
    _require_safe(issuer)
    address = issuer.rstrip("/") + "/.well-known/openid-configuration"
    metadata = _fetch(address) if fresh else _document(address)
    if str(metadata.get("issuer", "")).rstrip("/") != issuer.rstrip("/"):
        _unavailable(f"its metadata name the issuer {metadata.get('issuer')!r} instead of {issuer!r}")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        if not isinstance(metadata.get(name), str):
            _unavailable(f"its metadata lack {name}")
        _require_safe(metadata[name])
    for name in ("end_session_endpoint", "userinfo_endpoint"):
        if isinstance(metadata.get(name), str):
            _require_safe(metadata[name])
    return metadata


def decode(
    metadata: dict[str, Any], token: str, *, purpose: Literal["sign-on", "logout"] = "sign-on"
) -> jwt.Token:
    """A token whose signature is the provider's. Raises `JoseError`, `ValueError`, `ProviderUnavailable`.

    `purpose`: under what it is counted that keys are fetched before their time.
    """
    address = metadata["jwks_uri"]
    try:
        return _decode(metadata, token, _document(address))
    except (InvalidKeyIdError, BadSignatureError):
        if not _may_fetch_early(address, purpose):
            raise
        return _decode(metadata, token, _fetch(address))


def keys_of(metadata: dict[str, Any]) -> int:
    """How many of the provider's published keys can sign, fetched now. Raises `ProviderUnavailable`."""
    _algorithms(metadata)
    keys = without_secrets(_fetch(metadata["jwks_uri"]))
    return len(KeySet.import_key_set(keys).keys) if keys.get("keys") else 0  # type: ignore[arg-type]


def without_secrets(keys: dict[str, Any]) -> dict[str, Any]:
    """A key set without symmetric keys: what is published is no secret, and signs for nobody."""
    listed = keys.get("keys")
    if not isinstance(listed, list):
        return keys
    return {
        **keys,
        "keys": [one for one in listed if not (isinstance(one, dict) and one.get("kty") == "oct")],
    }


def _decode(metadata: dict[str, Any], token: str, keys: dict[str, Any]) -> jwt.Token:
    if not isinstance(keys.get("keys"), list):
        _unavailable("its key set has no list of keys")
    return jwt.decode(
        token,
        key=KeySet.import_key_set(without_secrets(keys)),  # type: ignore[arg-type]
        registry=JWSRegistry(algorithms=_algorithms(metadata), strict_check_header=False),
    )


def _algorithms(metadata: dict[str, Any]) -> list[str]:
    """Those that may sign; never none at all: joserfc takes an empty list as its own, which has HMAC."""
    offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
    allowed = sorted(ALGORITHMS & {one for one in offered if isinstance(one, str)})
    if not allowed:
        _unavailable("it offers no asymmetric algorithm")
    return allowed


def _document(address: str) -> dict[str, Any]:
    kept = _kept(address)
    if kept is None:
        with _KEPT.lock:
            fetching = _KEPT.fetching.setdefault(address, threading.Lock())
        with fetching:
            kept = _kept(address)
            if kept is None:
                kept = _fetch(address)
    return kept


def _kept(address: str) -> dict[str, Any] | None:
    """The document, where it need not be fetched. Raises `ProviderUnavailable` where that just failed."""
    moment = clock.now().timestamp()
    with _KEPT.lock:
        kept, failure = _KEPT.documents.get(address), _KEPT.failures.get(address)
    if kept is not None and 0 <= moment - kept[0] < KEPT_S:
        return kept[1]
    if failure is not None and 0 <= moment - failure[0] < FAILURE_KEPT_S:
        raise ProviderUnavailable(failure[1])
    return None


def _may_fetch_early(address: str, purpose: str) -> bool:
    moment = clock.now().timestamp()
    with _KEPT.lock:
        early = _KEPT.early.setdefault((address, purpose), deque(maxlen=AGAIN_A_MINUTE))
        if len(early) == AGAIN_A_MINUTE and moment - early[0] < 60:
            return False
        early.append(moment)
        return True


def _fetch(address: str) -> dict[str, Any]:
    try:
        document = get_json(address)
    except ProviderUnavailable as error:
        with _KEPT.lock:
            _KEPT.failures[address] = (clock.now().timestamp(), error.message)
        raise
    with _KEPT.lock:
        _KEPT.documents[address] = (clock.now().timestamp(), document)
        _KEPT.failures.pop(address, None)
    return document


def get_json(url: str, *, bearer: str | None = None) -> dict[str, Any]:
    """A JSON object from an address of the provider. Raises `ProviderUnavailable`."""
    try:
        return fetch_json(url, is_ours=True, bearer=bearer)
    except NoDocument as error:
        raise ProviderUnavailable(
            f"the sign-on provider cannot be used: {url} {error}; try again, or sign in with a password"
        ) from error


def _require_safe(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        _unavailable(f"{url} is not https")


def _unavailable(reason: str) -> NoReturn:
    raise ProviderUnavailable(f"the sign-on provider cannot be used: {reason}")
