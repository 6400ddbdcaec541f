"""People and services, their sessions, tokens and one-time links."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.database.base import Base, new_id
from backend.database.types import BigId, Json


class Person(Base):
    """Someone, or a service account (`kind = 'service'`), who can act. The id is opaque and is what the audit
    log records; name and address live only here, where erasing them breaks no proof."""

    __tablename__ = "persons"

    id: Mapped[str] = mapped_column(Text, primary_key=True, default=lambda: new_id("per"))
    username: Mapped[str] = mapped_column(Text, unique=True)
    display_name: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text, default="person")  # person | service
    password_hash: Mapped[str | None] = mapped_column(Text)
    oidc_issuer: Mapped[str | None] = mapped_column(Text)
    oidc_subject: Mapped[str | None] = mapped_column(Text)
    owner_id: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))  # a service acts for its owner
    is_demo: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]  # then the account ends by itself
    models: Mapped[list[str] | None] = mapped_column(Json)  # of an auditor: what may be seen
    roles: Mapped[list[PersonRole]] = relationship(lazy="selectin", cascade="all, delete-orphan")

    __table_args__ = (UniqueConstraint("oidc_issuer", "oidc_subject"),)


class PersonRole(Base):
    __tablename__ = "person_roles"

    person_id: Mapped[str] = mapped_column(ForeignKey("persons.id"), primary_key=True)
    role: Mapped[str] = mapped_column(Text, primary_key=True)


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


class ApiToken(Base):
    """A bearer token `wrt_…` of a person or service; hashed, expiring, revocable."""

    __tablename__ = "api_tokens"

    id: Mapped[str] = mapped_column(Text, primary_key=True, default=lambda: new_id("tok"))
    token_hash: Mapped[str] = mapped_column(Text, unique=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("persons.id"), index=True)
    name: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class SetUpLink(Base):
    """The one-time link by which the first administrator sets a password."""

    __tablename__ = "set_up_links"

    token_hash: Mapped[str] = mapped_column(Text, primary_key=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


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
    nonce: Mapped[str] = mapped_column(Text)
    code_verifier: Mapped[str] = mapped_column(Text)
    next_path: Mapped[str] = mapped_column(Text)
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
