"""Which jobs of a CI system are let in, as which service account, for what and how long. For administrators.

A rule is never altered: it is ended, which ends the tokens that were given by it, and made anew. So an entry of the
log that names a rule says what it was.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy import select, update

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, NotFound
from backend.identity.actor import Actor
from backend.identity.freshness import require_fresh_access
from backend.identity.people import person_by_id
from backend.identity.roles import Permission
from backend.identity.tables import ApiToken, TrustRule
from backend.identity.tokens import checked_models, checked_scopes

LONGEST_MINUTES: Final = 60
MOST_RULES: Final = 500
# Without one of these a rule would let in whoever has a job at the same provider. The first two are GitHub's, the next
# GitLab's.
IDENTIFYING: Final = ("repository", "repository_id", "project_path", "project_id", "sub")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./:-]{0,99}")


def create_rule(
    session: WriteSession,
    actor: Actor,
    *,
    name: str,
    issuer: str,
    audience: str,
    claims: Mapping[str, Sequence[str]],
    person_id: str,
    scopes: Collection[str],
    models: Collection[str] | None = None,
    minutes: int = 15,
) -> TrustRule:
    """Let in the jobs whose identity token has each of these claims with one of its values.

    In a value `*` stands for any text; of what says whose repository it is, only after a `/`. Raises `BadInput`.
    """
    actor.require(Permission.MANAGE_PEOPLE)
    require_fresh_access(actor)
    name, audience = " ".join(name.split()), audience.strip()
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise BadInput("the rule needs a name of 1 to 100 printable characters", field="name")
    if not 1 <= len(audience) <= 300 or not audience.isprintable():
        raise BadInput("name the audience that the job asks its token for", field="audience")
    if not 1 <= minutes <= LONGEST_MINUTES:
        raise BadInput(f"a job's token is valid for 1 to {LONGEST_MINUTES} minutes", field="minutes")
    holder = person_by_id(session, person_id)
    if holder.kind != "service" or holder.disabled_at is not None:
        raise BadInput("jobs act as a service account that is open, never as a person", field="person_id")
    if Permission.MANAGE_PEOPLE.value in scopes:
        raise BadInput("a pipeline does not change who has access", field="scopes")
    if len(rules_in_force(session)) >= MOST_RULES:
        raise BadInput(f"there are {MOST_RULES} rules already; end one that nobody uses")
    row = TrustRule(
        name=name, issuer=checked_issuer(issuer), audience=audience, claims=checked_claims(claims),
        person_id=holder.id, scopes=checked_scopes(holder, list(scopes)) or [],
        models=checked_models(session, models), minutes=minutes, created_at=clock.now(),
        created_by=actor.person_id,
    )  # fmt: skip
    session.add(row)
    session.flush()
    record(
        session, actor, Action.TRUST_RULE_CREATED, object_kind="trust_rule", object_id=row.id,
        payload={"name": name, "issuer": row.issuer, "audience": audience, "claims": row.claims,
                 "holder": holder.id, "scopes": row.scopes, "models": row.models, "minutes": minutes},
    )  # fmt: skip
    return row


def end_rule(session: WriteSession, actor: Actor, rule_id: str, *, why: str = "") -> TrustRule:
    """Let in no more jobs by it, and end the tokens that it gave, at once. Twice is once."""
    actor.require(Permission.MANAGE_PEOPLE)
    return _end(session, actor, rule_id, why)


def revoke_rule(session: WriteSession, actor: Actor, rule_id: str, *, why: str) -> TrustRule:
    """The same, as a review of access does."""
    actor.require(Permission.REVIEW_ACCESS)
    return _end(session, actor, rule_id, why)


def _end(session: WriteSession, actor: Actor, rule_id: str, why: str) -> TrustRule:
    row = session.get(TrustRule, rule_id, with_for_update=True)
    if row is None:
        raise NotFound(f"there is no trust rule {rule_id}")
    if row.ended_at is not None:
        return row
    row.ended_at = clock.now()
    given = ApiToken.trust_rule == row.id, ApiToken.revoked_at.is_(None)
    session.execute(update(ApiToken).where(*given).values(revoked_at=row.ended_at))
    session.flush()
    record(
        session, actor, Action.TRUST_RULE_ENDED, object_kind="trust_rule", object_id=row.id, why=why,
        payload={"name": row.name},
    )  # fmt: skip
    return row


def list_rules(
    session: ReadSession, viewer: Actor, *, limit: int | None = None, offset: int = 0
) -> list[TrustRule]:
    """Every rule, those in force first, then the newest."""
    if not viewer.may(Permission.REVIEW_ACCESS):
        viewer.require(Permission.MANAGE_PEOPLE)
    order = (TrustRule.ended_at.is_not(None), TrustRule.created_at.desc(), TrustRule.id)
    return list(session.scalars(select(TrustRule).order_by(*order).limit(limit).offset(offset)))


def rules_in_force(session: ReadSession, *, issuer: str | None = None) -> list[TrustRule]:
    """Those that let jobs in now, the oldest first: of several that match it counts."""
    of = (TrustRule.issuer == issuer,) if issuer is not None else ()
    found = select(TrustRule).where(TrustRule.ended_at.is_(None), *of)
    return list(session.scalars(found.order_by(TrustRule.created_at, TrustRule.id)))


def matches(rule: TrustRule, claims: Mapping[str, Any]) -> bool:
    """Whether a checked identity token is of a job that this rule lets in."""
    return all(
        name in claims and any(_is_like(one, _text(claims[name])) for one in allowed)
        for name, allowed in rule.claims.items()
    )


def checked_issuer(issuer: str) -> str:
    """https, but on this machine; without a query, as OpenID Connect Discovery 1.0, section 2, has it."""
    issuer = issuer.strip()
    try:
        parts = urlsplit(issuer)
        here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    except ValueError as error:
        raise BadInput(f"the issuer is no address: {error}", field="issuer") from error
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and here)
    if (
        not is_safe
        or not parts.hostname
        or parts.query
        or parts.fragment
        or parts.username
        or len(issuer) > 300
    ):
        raise BadInput(
            "the issuer is an https address, such as https://token.actions.githubusercontent.com",
            field="issuer",
        )
    return issuer


def checked_claims(claims: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, allowed in claims.items():
        values = [one.strip() for one in ([allowed] if isinstance(allowed, str) else allowed)]
        if not _NAME.fullmatch(name) or len(claims) > 20:
            raise BadInput(f"{name[:40]!r} is no name of a claim, or there are more than 20", field="claims")
        if (
            not values
            or len(values) > 50
            or not all(0 < len(one) <= 300 and one.isprintable() for one in values)
        ):
            raise BadInput(f"{name} needs 1 to 50 values, of at most 300 characters each", field="claims")
        if name in IDENTIFYING and any(one.startswith("*") for one in values):
            raise BadInput(f"{name} says whose job it is: its value does not begin with *", field="claims")
        loose = [one for one in values if "*" in one and "/" not in one.partition("*")[0]]
        if (
            name in IDENTIFYING and loose
        ):  # acme* is also acme-evil/x, and a number that begins alike another project
            raise BadInput(
                f"{name} says whose job it is: {loose[0]!r} would let in others, too; write what is before the * up to "
                "a /, such as acme/*",
                field="claims",
            )
        found[name] = sorted(set(values))
    if not set(found) & set(IDENTIFYING):
        raise BadInput(f"name whose jobs: one of {', '.join(IDENTIFYING)}", field="claims")
    return dict(sorted(found.items()))


def _is_like(pattern: str, value: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), value, re.DOTALL) is not None


def _text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
