"""The sign-on providers of this installation: one from `WARRANT_OIDC_ISSUER` and its like, any number from a file.

The file is YAML (or JSON, which is YAML), named by `WARRANT_OIDC_PROVIDERS`:

    providers:
      corp:                                   # its name in addresses, rules and the audit log
        name: Corporate account               # what the button says
        issuer: https://sso.example.com/realms/corp
        client_id: warrant
        client_secret: {env: CORP_SECRET}     # or {file: /run/secrets/corp}; left out: a public client
        scopes: [openid, profile, email, groups]
        userinfo: true                        # claims are also asked of the userinfo endpoint

No two are of one issuer: who somebody is must not hang on the button that they pressed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from backend.errors import BadInput, NotFound
from backend.settings import settings

BY_VARIABLES: Final = "sso"  # the key of the one that variables set up
Key = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]


class SingleSignOnOff(NotFound):
    title = "Single sign-on is not set up"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Secret(_Strict):
    """Where a secret is kept: a variable of the environment, or a file. Never the secret."""

    env: str | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one(self) -> Secret:
        if (self.env is None) == (self.file is None):
            raise ValueError("a secret is {env: VARIABLE} or {file: PATH}")
        return self

    def read(self, whose: str) -> str:
        """The secret. Raises `BadInput` where none is there."""
        try:
            value = os.environ.get(self.env or "", "") if self.file is None else self.file.read_text("utf-8")
        except OSError as error:
            raise BadInput(f"{whose}: {self.file} cannot be read ({error.strerror})") from error
        if not value.strip():
            raise BadInput(f"{whose}: its client_secret is empty; {self.env or self.file} holds none")
        return value.strip()


class _Described(_Strict):
    name: str = Field(min_length=1, max_length=100)
    issuer: str = Field(min_length=1, max_length=500)
    client_id: str = Field(min_length=1, max_length=500)
    client_secret: Secret | None = None
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    userinfo: bool = False

    @model_validator(mode="after")
    def _asks_who(self) -> _Described:
        if "openid" not in self.scopes:
            raise ValueError("scopes must hold openid; without it there is no ID token")
        return self


class _File(_Strict):
    providers: dict[Key, _Described] = Field(min_length=1)


class Provider(_Strict):
    """One provider that people may sign on with."""

    key: str
    name: str
    issuer: str
    client_id: str
    secret: Secret | str | None = None
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    userinfo: bool = False

    @property
    def client_secret(self) -> str | None:
        """Read when it is needed, so that a file can be replaced. Raises `BadInput`."""
        if isinstance(self.secret, Secret):
            return self.secret.read(f"provider {self.key!r}")
        return self.secret or None

    @property
    def redirect_uri(self) -> str:
        """What must be registered with the provider. Each has its own, so that no answer of one counts for another
        (RFC 9700, section 4.4)."""
        own = "" if self.key == BY_VARIABLES else f"/{self.key}"
        return f"{settings().console.rstrip('/')}/oidc/callback{own}"

    @property
    def logout_uri(self) -> str:
        """Where the provider says that somebody signed out (back-channel logout)."""
        return f"{settings().console.rstrip('/')}/oidc/backchannel-logout/{self.key}"


def providers() -> dict[str, Provider]:
    """Every provider by its key, in the order of their buttons. Raises `BadInput` where the file cannot be used."""
    found = {one.key: one for one in (*_by_variables(), *_of_file())}
    issuers = [one.issuer.rstrip("/") for one in found.values()]
    twice = sorted({issuer for issuer in issuers if issuers.count(issuer) > 1})
    if twice:
        raise BadInput(f"two sign-on providers are of the issuer {twice[0]}; keep one of them")
    return found


def provider_named(key: str) -> Provider:
    """Raises `SingleSignOnOff` where there is no such provider."""
    known = providers()
    if not known:
        raise SingleSignOnOff("single sign-on is not set up; set WARRANT_OIDC_ISSUER and _CLIENT_ID")
    if key not in known:
        raise SingleSignOnOff(
            f"there is no sign-on provider {key[:40]!r} here; it is one of {', '.join(known)}"
        )
    return known[key]


def is_issuer_known(issuer: str | None) -> bool:
    """Whether somebody of this issuer can sign on here."""
    return issuer is not None and issuer.rstrip("/") in {
        one.issuer.rstrip("/") for one in providers().values()
    }


def _by_variables() -> list[Provider]:
    now = settings()
    if not now.oidc_issuer or not now.oidc_client_id:
        return []
    return [
        Provider(
            key=BY_VARIABLES, name=now.oidc_name, issuer=now.oidc_issuer, client_id=now.oidc_client_id,
            secret=now.oidc_client_secret,
        )
    ]  # fmt: skip


def _of_file() -> list[Provider]:
    path = settings().oidc_providers
    if path is None:
        return []
    try:
        document = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"WARRANT_OIDC_PROVIDERS: {path} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"WARRANT_OIDC_PROVIDERS: {path}: {place}: {first['msg']}") from error
    if settings().oidc_issuer and BY_VARIABLES in document.providers:
        raise BadInput(
            f"WARRANT_OIDC_PROVIDERS: {path}: the name {BY_VARIABLES} is that of the provider of WARRANT_OIDC_ISSUER"
        )
    return [
        Provider(
            key=key, secret=one.client_secret, **one.model_dump(exclude={"client_secret"})
        )
        for key, one in document.providers.items()
    ]  # fmt: skip
