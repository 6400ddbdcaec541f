"""A CI job's identity token for a short API token of a service account (RFC 8693): no secret is kept anywhere.

GitHub and GitLab sign for each job who it is: repository, branch, environment. That is checked for signature
(asymmetric algorithms only), issuer, audience, times and first use, then held against the rules of
`backend.identity.trust_rules`. Whoever is refused learns nothing of what would have been let in; the log says why.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from sqlalchemy.exc import IntegrityError

from backend import clock, outgoing
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import WriteSession, reading, writing
from backend.errors import BadInput, NotSignedIn, Unavailable
from backend.identity.actor import system_actor
from backend.identity.json_documents import NoDocument, fetch_json
from backend.identity.oidc_documents import ALGORITHMS, without_secrets
from backend.identity.people import person_by_id
from backend.identity.sessions import actor_of, may_sign_in
from backend.identity.tables import TrustRule, UsedJobToken
from backend.identity.throttle import count_refused_job, require_no_wait_of_job
from backend.identity.tokens import issue
from backend.identity.trust_rules import checked_issuer, matches, rules_in_force

GRANT: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
TYPES: Final = ("urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token")
ISSUED: Final = "urn:ietf:params:oauth:token-type:access_token"
LONGEST_TOKEN: Final = 16_000
LEEWAY_S: Final = 60
KEYS_KEPT_S: Final = 300
KEYS_ASKED_AGAIN_S: Final = 30  # for a key that is not known: providers change theirs
AWAY_KEPT_S: Final = 15
# What the log keeps of a job that was let in. Who started it is not among them: a person's name is no business here.
TOLD: Final = (
    "sub",
    "repository",
    "project_path",
    "ref",
    "environment",
    "run_id",
    "pipeline_id",
    "job_id",
    "sha",
)


class JobRefused(NotSignedIn):
    """One message for every reason; the reason is in the log."""

    title = "This job is not let in"

    def __init__(self, reason: str) -> None:
        super().__init__(
            "this job's identity token is not let in; an administrator finds the reason in the audit log, and the "
            "rules on the page Access",
            error="invalid_grant",
        )
        self.reason = reason


class IssuerAway(Unavailable):
    title = "The issuer of the job's token does not answer"


@dataclass(frozen=True)
class Exchanged:
    """A token just given. `token` is in the answer and nowhere else."""

    token: str
    expires_in_s: int
    scopes: tuple[str, ...]


def exchange(
    *,
    subject_token: str,
    scope: str = "",
    address: str | None = None,
    request_id: str | None = None,
) -> Exchanged:
    """A token for the job that holds this identity token. Raises `JobRefused`, `IssuerAway`, `SignInThrottled`.

    `scope`: some of the rule's permissions, separated by spaces; none: all of them.
    """
    token = subject_token[:LONGEST_TOKEN]
    with reading() as session:
        require_no_wait_of_job(session, token=token, address=address)
    try:
        claims, rules = _checked(subject_token)
        with writing() as session:
            return _give(session, claims, rules, scope, address=address, request_id=request_id)
    except JobRefused as refused:
        with writing() as session:
            attempt = count_refused_job(session, token=token, address=address)
            if attempt.recordable:
                record(
                    session, replace(system_actor("sign-in"), address=address, request_id=request_id),
                    Action.JOB_TOKEN_REFUSED, object_kind="trust_rule", object_id="none",
                    payload={"reason": refused.reason, "throttled": attempt.begins_throttle},
                )  # fmt: skip
        raise


def _checked(token: str) -> tuple[dict[str, Any], list[str]]:
    """The claims of a token that its issuer signed, and the ids of the rules that let its job in."""
    if not 0 < len(token) <= LONGEST_TOKEN:
        raise JobRefused("it is empty or too long")
    issuer = _unchecked_issuer(token)
    with reading() as session:
        rules = rules_in_force(session, issuer=issuer)
    if not rules:
        raise JobRefused("no rule names its issuer")
    claims = _decoded(token, issuer)
    for_us = [one for one in rules if one.audience in _audiences(claims)]
    if not for_us:
        raise JobRefused("it is for another audience than any rule of its issuer")
    _check_times(claims)
    if not isinstance(claims.get("jti"), str) or not claims["jti"]:
        raise JobRefused("it has no jti: whether it was used before cannot be told")
    found = [one.id for one in for_us if matches(one, claims)]
    if not found:
        raise JobRefused(f"no rule matches {_shown(claims)}")
    return claims, found


def _give(
    session: WriteSession,
    claims: Mapping[str, Any],
    rule_ids: list[str],
    scope: str,
    *,
    address: str | None,
    request_id: str | None,
) -> Exchanged:
    rule = next((one for key in rule_ids if (one := _in_force(session, key)) is not None), None)
    if rule is None:
        raise JobRefused("the rule that matched was ended meanwhile")
    holder = person_by_id(session, rule.person_id)
    owner = person_by_id(session, holder.owner_id) if holder.owner_id else None
    if not may_sign_in(holder) or (owner is not None and not may_sign_in(owner)):
        raise JobRefused(f"the service account of the rule {rule.name} is closed, or whoever owns it")
    _use_up(session, claims)
    scopes = _narrowed(rule, scope)
    until = clock.now() + timedelta(minutes=rule.minutes)
    row, raw = issue(
        session, holder, name=f"job: {rule.name}"[:100], expires_at=until, scopes=scopes, models=rule.models,
        trust_rule=rule.id,
    )  # fmt: skip
    rule.last_used_at = clock.now()
    session.flush()
    record(
        session, actor_of(holder, session_id=row.id, request_id=request_id, address=address),
        Action.JOB_TOKEN_EXCHANGED, object_kind="token", object_id=row.id,
        payload={"rule": rule.id, "issuer": rule.issuer, "job": _told(claims), "scopes": scopes,
                 "expires_at": clock.to_iso(until)},
    )  # fmt: skip
    return Exchanged(raw, rule.minutes * 60, tuple(scopes))


def _in_force(session: WriteSession, rule_id: str) -> TrustRule | None:
    rule = session.get(TrustRule, rule_id, with_for_update=True, populate_existing=True)
    return rule if rule is not None and rule.ended_at is None else None


def _narrowed(rule: TrustRule, scope: str) -> list[str]:
    wanted = scope.split()
    strange = sorted(set(wanted) - set(rule.scopes))
    if strange:
        raise BadInput(
            f"the rule {rule.name} does not give {', '.join(strange)[:200]}",
            field="scope",
            error="invalid_scope",
        )
    return sorted(set(wanted)) or list(rule.scopes)


def _use_up(session: WriteSession, claims: Mapping[str, Any]) -> None:
    """Each identity token works once; the primary key decides between two at the same time."""
    named = f"{claims['iss']}\0{claims['jti']}"
    until = datetime.fromtimestamp(claims["exp"] + LEEWAY_S + 1, UTC)
    session.add(UsedJobToken(token_hash=hashlib.sha256(named.encode()).hexdigest(), expires_at=until))
    try:
        session.flush()
    except IntegrityError as error:
        raise JobRefused(f"it was used before: {_shown(claims)}") from error


def _unchecked_issuer(token: str) -> str:
    """What a token says of its issuer, only to know whose keys to ask for."""
    try:
        _, body, _ = token.split(".")
        said = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        issuer = said["iss"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise JobRefused("it is no JSON web token with an issuer") from error
    if not isinstance(issuer, str):
        raise JobRefused("it names no issuer")
    return issuer


def _decoded(token: str, issuer: str) -> dict[str, Any]:
    """The claims, if a key of the issuer signed them; its keys are asked for again where none fits."""
    registry = JWSRegistry(algorithms=sorted(ALGORITHMS), strict_check_header=False)
    reason = ""
    for again in (False, True):
        try:
            keys = KeySet.import_key_set(without_secrets(_KEYS.of(issuer, again=again)))  # type: ignore[arg-type]
            claims = jwt.decode(token, key=keys, registry=registry).claims
        except (JoseError, ValueError, KeyError, TypeError) as error:
            reason = f"its signature is not one of its issuer's ({type(error).__name__})"
            continue
        if claims.get("iss") != issuer:
            raise JobRefused("it names another issuer than it was checked for")
        return dict(claims)
    raise JobRefused(reason)


def _check_times(claims: Mapping[str, Any]) -> None:
    now = clock.now().timestamp()
    times = {name: claims.get(name) for name in ("exp", "nbf", "iat")}
    for name, told in times.items():
        if told is not None and (
            isinstance(told, bool) or not isinstance(told, int | float) or not 0 < told < 2**33
        ):
            raise JobRefused(f"its {name} is no time")
    if times["exp"] is None or now >= times["exp"] + LEEWAY_S:
        raise JobRefused("it is over, or says no end")
    if any((times[name] or 0) > now + LEEWAY_S for name in ("nbf", "iat")):
        raise JobRefused("it is not valid yet")


def _audiences(claims: Mapping[str, Any]) -> list[Any]:
    told = claims.get("aud")
    return told if isinstance(told, list) else [told]


def _told(claims: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(claims[name])[:300] for name in TOLD if isinstance(claims.get(name), str | int)}


def _shown(claims: Mapping[str, Any]) -> str:
    return (
        ", ".join(f"{name} {value}" for name, value in _told(claims).items())[:500] or "a job without a name"
    )


class _Keys:
    """The public keys of issuers that rules name, kept for some minutes; and which do not answer, for some seconds:
    jobs that could not be checked are not counted, and each would hold a thread until the issuer's time is over."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, dict[str, Any]]] = {}
        self._away: dict[str, tuple[float, str]] = {}

    def of(self, issuer: str, *, again: bool = False) -> dict[str, Any]:
        longest = KEYS_ASKED_AGAIN_S if again else KEYS_KEPT_S
        with self._lock:
            at, kept = self._kept.get(issuer, (0.0, {}))
            since, said = self._away.get(issuer, (0.0, ""))
        if kept and time.monotonic() - at < longest:
            return kept
        if said and time.monotonic() - since < AWAY_KEPT_S:
            raise IssuerAway(said)
        try:
            found = _ask_for_keys(issuer)
        except IssuerAway as error:
            with self._lock:
                self._away[issuer] = (time.monotonic(), error.message)
            raise
        with self._lock:
            self._away.pop(issuer, None)
            self._kept[issuer] = (time.monotonic(), found)
        return found

    def forget(self) -> None:
        with self._lock:
            self._kept.clear()
            self._away.clear()


_KEYS: Final = _Keys()


def _ask_for_keys(issuer: str) -> dict[str, Any]:
    metadata = _get_json(issuer.rstrip("/") + "/.well-known/openid-configuration")
    if metadata.get("issuer") != issuer or not isinstance(metadata.get("jwks_uri"), str):
        raise IssuerAway(f"the metadata of {issuer} name another issuer, or no keys")
    try:
        address = checked_issuer(metadata["jwks_uri"])
    except BadInput as error:
        raise IssuerAway(f"the keys of {issuer} are at no https address") from error
    return _get_json(address)


def _get_json(url: str) -> dict[str, Any]:
    """A JSON object from an address of an issuer: one that somebody wrote into a rule, or that the issuer names."""
    try:
        return fetch_json(url, is_ours=False)
    except (
        outgoing.NotReachable
    ) as error:  # whoever asks is a stranger: the address that was found is not told
        raise IssuerAway(
            f"{url} lies in a network that is not public, and WARRANT_REACHABLE_NETWORKS does not list it"
        ) from error
    except NoDocument as error:
        raise IssuerAway(f"{url} {error}; try again") from error
