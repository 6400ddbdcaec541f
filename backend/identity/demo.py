"""Demo accounts, one per role (two leads, so that a lead's own request has someone else to decide it).

They exist only where demo mode made them and open nothing once it is off. Their password is random per
WARRANT_HOME, kept in `demo-accounts.json` (mode 0600) and shown on the sign-in page in demo mode.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from backend.database.session import WriteSession
from backend.errors import BadInput
from backend.identity.actor import system_actor
from backend.identity.passwords import hash_password
from backend.identity.people import create_person
from backend.identity.roles import Role
from backend.identity.tables import Person
from backend.settings import settings

ACCOUNTS = (
    ("viewer", "Noor Haddad", Role.VIEWER),
    ("oncall", "Tomás Ferreira", Role.ON_CALL),
    ("engineer", "Mei Tanaka", Role.ML_ENGINEER),
    ("lead", "Ada Lindqvist", Role.ML_LEAD),
    ("lead2", "Kofi Mensah", Role.ML_LEAD),
    ("compliance", "Ingrid Solberg", Role.COMPLIANCE),
    ("admin", "Rafael Ortiz", Role.ADMIN),
)


@dataclass(frozen=True)
class DemoAccount:
    """One row of the table on the sign-in page."""

    name: str
    display_name: str
    role: str
    password: str


def ensure_demo_accounts(session: WriteSession) -> list[DemoAccount]:
    """Create the accounts that are missing; doing it again changes nothing. Only in demo mode.

    Where the password file was lost, a new password replaces the old one on every demo account.
    """
    if not settings().demo:
        raise BadInput("demo accounts exist only in demo mode; set WARRANT_DEMO=true")
    known = {person.username: person for person in session.scalars(select(Person).where(Person.is_demo))}
    missing = [account for account in ACCOUNTS if account[0] not in known]
    password = _stored_password()
    if password is None:
        password = _store(secrets.token_urlsafe(12))
        fresh = hash_password(password)
        for person in known.values():
            person.password_hash = fresh
    if missing:
        hashed = hash_password(password)
        for username, display_name, role in missing:
            create_person(
                session, system_actor("demo"), username=username, display_name=display_name,
                password_hash=hashed, roles={role}, is_demo=True,
            )  # fmt: skip
    session.flush()
    return demo_accounts()


def demo_accounts() -> list[DemoAccount]:
    """What the sign-in page shows: the accounts in demo mode, nothing otherwise."""
    password = _stored_password() if settings().demo else None
    if password is None:
        return []
    return [DemoAccount(name, display_name, role.value, password) for name, display_name, role in ACCOUNTS]


def password_path() -> Path:
    return settings().resolved_home() / "demo-accounts.json"


def _stored_password() -> str | None:
    try:
        return str(json.loads(password_path().read_text())["password"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _store(password: str) -> str:
    path = password_path()
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        accounts = [{"username": name, "name": shown, "role": role.value} for name, shown, role in ACCOUNTS]
        json.dump({"password": password, "accounts": accounts}, file, indent=1)
    return password
