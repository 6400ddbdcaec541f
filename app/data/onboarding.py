"""A file of predictions, what is proposed for it, and what applying the confirmed document would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.data.scope import SHORT, Scope, environment
from backend.assurance.questionnaire import Document as Questions
from backend.assurance.questionnaire import asked_now
from backend.database.session import reading
from backend.governance.policies import active_policy
from backend.identity.reach import allow, see
from backend.identity.roles import Permission
from backend.onboarding.arriving import Arrival, arrival_of
from backend.onboarding.comparing import Difference, compare, described, unanswered
from backend.onboarding.document import read_document
from backend.onboarding.source_files import find_source, list_sources, names_and_types

if TYPE_CHECKING:
    from backend.onboarding.previewing import Preview

HOUR = 3600.0  # a file that changes has another stamp


@dataclass(frozen=True)
class Proposed:
    """A document, and why each of its values: part (`spec.features.age`) to (confidence, reason)."""

    document: dict[str, Any]
    grounds: Mapping[str, tuple[float, str]]


@dataclass(frozen=True)
class Outcome:
    """What applying a document would do. digest: of the document; there: the model is registered already."""

    name: str
    digest: str
    differences: tuple[Difference, ...]
    unanswered: tuple[str, ...]
    there: bool


def sources(scope: Scope) -> list[str]:
    """The files and folders that lie where workers may read, for those who may register models."""
    _require(scope)
    return list_sources()


def source_columns(scope: Scope, path: str) -> dict[str, str]:
    """Column to type, as the file has them."""
    source = _source(scope, path)
    return _columns(scope, str(source), _stamp(source))


def proposed(scope: Scope, path: str, *, name: str, roles: Mapping[str, str]) -> Proposed:
    """What is proposed for a file. roles: those that a person named, "" for a role that no column has."""
    source = _source(scope, path)
    return _proposed(scope, str(source), _stamp(source), path, name, tuple(sorted(roles.items())))


def previewed(scope: Scope, path: str, roles: Mapping[str, str]) -> Preview:
    source = _source(scope, path)
    return _previewed(scope, str(source), _stamp(source), tuple(sorted(roles.items())))


def reference_rows(
    scope: Scope, path: str, ts: str, since: datetime | None, until: datetime, zone: str
) -> int:
    source = _source(scope, path)
    return _reference_rows(scope, str(source), _stamp(source), ts, since, until, zone)


def questions(scope: Scope) -> Questions:
    """The questionnaire about the risk tier that is in force."""
    with reading() as session:
        see(session, scope.actor())
        return asked_now(session).document


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def rule_of_tier(scope: Scope, tier: str) -> dict[str, Any]:
    """What the policy in force asks of a promotion of this tier here."""
    with reading() as session:
        see(session, scope.actor())
        entry = active_policy(session).document.entry_for("promote", tier, environment())
    return {
        "name": entry.name, "for": entry.scope.model_dump(mode="json"), "rule": entry.rule.model_dump(mode="json"),
    }  # fmt: skip


def outcome(scope: Scope, text: str) -> Outcome:
    """What applying a document would do. Raises `SpecRefused` with all that is wrong with it."""
    _require(scope)
    written = read_document(text)
    with reading() as session:
        actor = scope.actor()
        found = tuple(compare(session, actor, written))
        there = described(session, actor, written.name) is not None
        return Outcome(written.name, written.digest, found, tuple(unanswered(session, written)), there)


def arrival(scope: Scope, model: str, run_id: str | None) -> Arrival:
    """How far it is now."""
    with reading() as session:
        return arrival_of(session, scope.actor(), model, run_id)


def _require(scope: Scope) -> None:
    with reading() as session:
        allow(session, scope.actor(), Permission.REGISTER_VERSIONS)


def _source(scope: Scope, path: str) -> Path:
    _require(scope)
    return find_source(path)


def _stamp(source: Path) -> tuple[int, int]:
    """What differs once the content does, of a folder as well: a Delta table gets another file with each commit."""
    files = [one for one in source.rglob("*") if one.is_file()] if source.is_dir() else [source]
    found = [one.stat() for one in files]
    return max((one.st_mtime_ns for one in found), default=0), sum(one.st_size for one in found)


@st.cache_data(ttl=HOUR, show_spinner=False, max_entries=20)
def _columns(scope: Scope, source: str, stamp: tuple[int, int]) -> dict[str, str]:
    return names_and_types(Path(source))


@st.cache_data(ttl=HOUR, show_spinner=False, max_entries=20)
def _proposed(
    scope: Scope,
    source: str,
    stamp: tuple[int, int],
    path: str,
    name: str,
    roles: tuple[tuple[str, str], ...],
) -> Proposed:
    from backend.onboarding.proposing import propose_document

    draft = propose_document(Path(source), shown_as=path, name=name, columns=dict(roles))
    grounds = {one.as_dict()["part"]: (one.confidence, one.reason) for one in draft.proposals}
    return Proposed(draft.document, grounds)


@st.cache_data(ttl=HOUR, show_spinner=False, max_entries=20)
def _previewed(
    scope: Scope, source: str, stamp: tuple[int, int], roles: tuple[tuple[str, str], ...]
) -> Preview:
    from backend.onboarding.previewing import read_preview

    return read_preview(Path(source), dict(roles))


@st.cache_data(ttl=HOUR, show_spinner=False, max_entries=50)
def _reference_rows(
    scope: Scope,
    source: str,
    stamp: tuple[int, int],
    ts: str,
    since: datetime | None,
    until: datetime,
    zone: str,
) -> int:
    from backend.onboarding.previewing import rows_in_reference

    return rows_in_reference(Path(source), ts, since, until, zone)
