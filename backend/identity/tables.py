"""People and services, their sessions, tokens and one-time links."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint, select
from sqlalchemy.orm import Mapped, column_property, mapped_column, relationship

from backend.database.base import Base, new_id
from backend.database.types import BigId, Json


class OidcClaims(Base):
    """What a provider said of somebody last, by which rules give roles: no names, no addresses."""

    __tablename__ = "oidc_claims"

    person_id: Mapped[str] = mapped_column(ForeignKey("persons.id"), primary_key=True)
    provider: Mapped[str] = mapped_column(Text)
    claims: Mapped[dict[str, Any]] = mapped_column(Json)
    seen_at: Mapped[datetime]


_said = OidcClaims.__table__.alias("said")


class Person(Base):
    """Someone, or a service account (`kind = 'service'`), who can act. The id is opaque and is what the audit
    log records; name and address live only here, where erasing them breaks no proof."""

    __tablename__ = "persons"

    id: Mapped[str] = mapped_column(Text, primary_key=True, default=lambda: new_id("per"))
    username: Mapped[str] = mapped_column(Text, unique=True)
    display_name: Mapped[str] = mapped_column(Text, index=True)
    kind: Mapped[str] = mapped_column(Text, default="person")  # person | service
    password_hash: Mapped[str | None] = mapped_column(Text)
    password_known_to: Mapped[str | None] = mapped_column(
        Text
    )  # who set it for them; none: they chose it themselves
    oidc_issuer: Mapped[str | None] = mapped_column(Text)
    oidc_subject: Mapped[str | None] = mapped_column(Text)
    owner_id: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))  # a service acts for its owner
    is_demo: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]  # then the account ends by itself
    models: Mapped[list[str] | None] = mapped_column(Json)  # of an auditor: what may be seen
    roles: Mapped[list[PersonRole]] = relationship(lazy="selectin", cascade="all, delete-orphan")
    team_roles: Mapped[list[TeamMember]] = relationship(lazy="selectin", viewonly=True)
    # When somebody last signed on, where a provider's word gives roles: read with the person, in the same statement.
    provider_said_at: Mapped[datetime | None] = column_property(
        select(_said.c.seen_at).where(_said.c.person_id == id).correlate_except(_said).scalar_subquery()
    )

    __table_args__ = (UniqueConstraint("oidc_issuer", "oidc_subject"),)


class PersonRole(Base):
    __tablename__ = "person_roles"

    person_id: Mapped[str] = mapped_column(ForeignKey("persons.id"), primary_key=True)
    role: Mapped[str] = mapped_column(Text, primary_key=True)
    by_hand: Mapped[bool] = mapped_column(default=True)
    by_rule: Mapped[bool] = mapped_column(default=False)


class RoleRules(Base):
    """One revision of the rules that give roles by sign-on. The highest is in force."""

    __tablename__ = "role_rules"

    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    document: Mapped[dict[str, Any]] = mapped_column(Json)
    digest: Mapped[str] = mapped_column(Text)
    change_id: Mapped[int] = mapped_column(ForeignKey("changes.id"))
    note: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]


class Team(Base):
    """People who answer for some models. Who is here with a role in teams alone sees no other models."""

    __tablename__ = "teams"

    id: Mapped[str] = mapped_column(Text, primary_key=True, default=lambda: new_id("team"))
    name: Mapped[str] = mapped_column(Text, unique=True)
    created_at: Mapped[datetime]
    models: Mapped[list[TeamModel]] = relationship(lazy="selectin", viewonly=True)


class TeamMember(Base):
    """A role that somebody has for the models of one team."""

    __tablename__ = "team_members"

    team_id: Mapped[str] = mapped_column(ForeignKey("teams.id"), primary_key=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("persons.id"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(Text, primary_key=True)
    since: Mapped[datetime]
    team: Mapped[Team] = relationship(lazy="selectin", viewonly=True)


class TeamModel(Base):
    """Which team a model belongs to; one without a row belongs to none."""

    __tablename__ = "team_models"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    team_id: Mapped[str] = mapped_column(ForeignKey("teams.id"), index=True)


class SignInSession(Base):
    """One signed-in browser. Only the hash of its token is stored, and the CSRF token is derived from the
    token; ending the session is one update."""

    __tablename__ = "sign_in_sessions"

    id: Mapped[str] = mapped_column(Text, primary_key=True, default=lambda: new_id("ses"))
    token_hash: Mapped[str] = mapped_column(Text, unique=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("persons.id"), index=True)
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    address: Mapped[str | None] = mapped_column(Text)
    user_agent: Mapped[str | None] = mapped_column(Text)
    authenticated_at: Mapped[datetime | None]  # when they last proved who they are; None: nobody said
    last_address: Mapped[str | None] = mapped_column(Text)  # where it was last used from, and by what
    last_user_agent: Mapped[str | None] = mapped_column(Text)
    typed: Mapped[dict[str, Any] | None] = mapped_column(
        Json
    )  # a form that waits until they have signed in again


class ApiToken(Base):
    """A bearer token `wrt_…` of a person or service; hashed, scoped, expiring, revocable."""

    __tablename__ = "api_tokens"

    id: Mapped[str] = mapped_column(Text, primary_key=True, default=lambda: new_id("tok"))
    token_hash: Mapped[str] = mapped_column(Text, unique=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("persons.id"), index=True)
    name: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    last_address: Mapped[str | None] = mapped_column(Text)
    revoked_at: Mapped[datetime | None]
    scopes: Mapped[list[str] | None] = mapped_column(Json)  # permissions; None: those of its holder
    models: Mapped[list[str] | None] = mapped_column(Json)  # None: those of its holder
    hint: Mapped[str] = mapped_column(Text, default="")  # its first characters, to know it by
    replaced_by: Mapped[str | None] = mapped_column(Text)  # the token that takes over from it
    trust_rule: Mapped[str | None] = mapped_column(Text)  # of a pipeline's job: the rule it came in by


class TrustRule(Base):
    """Which jobs of a CI system get a short token of which service account. Never altered: ended, and made anew."""

    __tablename__ = "trust_rules"

    id: Mapped[str] = mapped_column(Text, primary_key=True, default=lambda: new_id("trust"))
    name: Mapped[str] = mapped_column(Text)
    issuer: Mapped[str] = mapped_column(Text)
    audience: Mapped[str] = mapped_column(Text)
    claims: Mapped[dict[str, Any]]  # claim -> the values of it that are let in; `*` stands for anything
    person_id: Mapped[str] = mapped_column(ForeignKey("persons.id"))  # the service account
    scopes: Mapped[list[str]] = mapped_column(Json)
    models: Mapped[list[str] | None] = mapped_column(Json)
    minutes: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(Text)
    last_used_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class UsedJobToken(Base):
    """An identity token of a job that was exchanged already, until it is over by itself: each works once."""

    __tablename__ = "used_job_tokens"

    token_hash: Mapped[str] = mapped_column(Text, primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SetUpLink(Base):
    """The one-time link by which the first administrator sets a password; of one that breaks the glass, one for a day
    beside those there are."""

    __tablename__ = "set_up_links"

    token_hash: Mapped[str] = mapped_column(Text, primary_key=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    break_glass: Mapped[bool] = mapped_column(default=False)


class SignInAttempt(Base):
    """A sign-in that did not succeed (yet), counted per name and per address to slow guessing down.

    `username` is a digest of what was typed: people type passwords into that field. Pruned after a day.
    """

    __tablename__ = "sign_in_attempts"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    at: Mapped[datetime]
    username: Mapped[str] = mapped_column(Text)
    address: Mapped[str] = mapped_column(Text)

    __table_args__ = (Index("ix_sign_in_attempts_username_at", "username", "at"),
                      Index("ix_sign_in_attempts_address_at", "address", "at"))  # fmt: skip


class OidcFlow(Base):
    """A single sign-on begun in one browser and not yet finished: used once, within ten minutes."""

    __tablename__ = "oidc_flows"

    state_hash: Mapped[str] = mapped_column(Text, primary_key=True)
    browser_hash: Mapped[str] = mapped_column(Text)  # of the cookie of the browser that began
    provider: Mapped[str] = mapped_column(Text)  # whose answer alone finishes it
    nonce: Mapped[str] = mapped_column(Text)
    code_verifier: Mapped[str] = mapped_column(Text)
    next_path: Mapped[str] = mapped_column(Text)
    session_id: Mapped[str | None] = mapped_column(Text)  # begun to sign in again in this session
    expires_at: Mapped[datetime] = mapped_column(index=True)


class OidcSession(Base):
    """Which session at a provider one of ours rests on: it ends when the provider says so, and says so in turn.

    The ID token is handed back when somebody signs out there, and taken away then, or when our session is over.
    """

    __tablename__ = "oidc_sessions"

    session_id: Mapped[str] = mapped_column(ForeignKey("sign_in_sessions.id"), primary_key=True)
    provider: Mapped[str] = mapped_column(Text)
    issuer: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text, index=True)
    sid: Mapped[str | None] = mapped_column(Text, index=True)
    id_token: Mapped[str | None] = mapped_column(Text)


class OidcLogout(Base):
    """A logout token that was obeyed, by the digest of its issuer and `jti`: it is not obeyed twice."""

    __tablename__ = "oidc_logouts"

    token_hash: Mapped[str] = mapped_column(Text, primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class IdempotencyKey(Base):
    """The stored answer to a POST, so that the same key gives the same answer and no second effect."""

    __tablename__ = "idempotency_keys"

    person_id: Mapped[str] = mapped_column(ForeignKey("persons.id"), primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    request_digest: Mapped[str] = mapped_column(Text)
    status: Mapped[int]
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
