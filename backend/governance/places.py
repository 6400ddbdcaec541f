"""Which environments there are. A change names one of them; a name that nobody knows would choose its own rule."""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy import ColumnElement, select

from backend.database.session import ReadSession
from backend.deployment.tables import Deployment, GatewayReport
from backend.errors import BadInput
from backend.governance.policies import active_policy
from backend.settings import settings

ENVIRONMENT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def require_environment(session: ReadSession, name: str) -> None:
    """`BadInput` unless this is an environment: the one of this installation, one that the policy names, or one where
    something serves or served, or a gateway reports. What anybody can name, as in a monitor or a prediction, is none.
    """
    if ENVIRONMENT_NAME.fullmatch(name) is None:
        raise BadInput(
            f"{name[:64]!r} is no name of an environment: letters, digits, '.', '_' and '-', 63 at most",
            field="environment",
        )
    if name in _named(session) or _is_recorded(session, name):
        return
    known = ", ".join(
        sorted(_named(session) | set(session.scalars(select(Deployment.environment).distinct())))
    )
    raise BadInput(
        f"there is no environment {name!r}; there are {known}. A new one is named by a rule of the policy first, so "
        "that people have agreed on what governs it",
        field="environment",
    )


def _named(session: ReadSession) -> set[str]:
    document = active_policy(session).document
    scoped = [entry.scope.environments for entry in document.rules]
    scoped += [freeze.environments for freeze in document.freezes]
    return {settings().environment, *(name for names in scoped for name in names)}


def _is_recorded(session: ReadSession, name: str) -> bool:
    found: tuple[ColumnElement[bool], ...] = (
        Deployment.environment == name, GatewayReport.environment == name,
    )  # fmt: skip
    return any(
        session.scalars(select(1).where(condition).limit(1)).first() is not None for condition in found
    )
