"""Attaching to a version what DVC or Feast say of where it came from."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy import select

from backend import clock
from backend.addresses import without_credentials
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.registry.lineage_files import LONGEST_NAME, read_lineage
from backend.registry.service import get_version
from backend.registry.tables import LineageSource

MOST_OF_A_VERSION: Final = 2000
_REVISION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._/-]{0,199}")


def attach_lineage(
    session: WriteSession, actor: Actor, *, model: str, version: int, name: str, data: bytes, repository: str = "",
    revision: str = "",
) -> list[LineageSource]:  # fmt: skip
    """Keep what a file names as sources of a version; gives those that are new. The same file again changes nothing.

    `repository` and `revision` say where the file itself lies, such as the git checkout that trained the version; an
    imported DVC file names its own.
    """
    allow(session, actor, Permission.REGISTER_VERSIONS)
    get_version(session, actor, model, version)
    repository, revision = _place(repository, revision)
    found = read_lineage(name, data)
    known = {(one.kind, one.name, one.digest) for one in sources_of(session, actor, model, version)}
    fresh = {(one.kind, one.name, one.digest): one for one in found}
    new = [one for key, one in fresh.items() if key not in known]
    if len(known) + len(new) > MOST_OF_A_VERSION:
        raise BadInput(f"{model} v{version} would have more than {MOST_OF_A_VERSION:,} sources", field="file")
    if not new:
        return []
    file, digest = name.replace("\\", "/").rsplit("/", 1)[-1][:LONGEST_NAME], hashlib.sha256(data).hexdigest()
    rows = []
    for one in new:
        details = dict(one.details)
        theirs, at = _place(str(details.pop("repository", "")), str(details.pop("revision", "")))
        rows.append(
            LineageSource(
                model=model, version=version, kind=one.kind, name=one.name, digest=one.digest, role=one.role,
                details=details, repository=theirs or repository, revision=at or revision, file=file,
                file_digest=f"sha256:{digest}", attached_by=actor.person_id, attached_at=clock.now(),
            )
        )  # fmt: skip
    session.add_all(rows)
    session.flush()
    record(
        session, actor, Action.LINEAGE_ATTACHED, object_kind="version", object_id=f"{model}/{version}",
        payload={"file": file, "file_digest": f"sha256:{digest}", "sources": len(rows), "repository": repository,
                 "revision": revision},
    )  # fmt: skip
    return rows


def sources_of(
    session: ReadSession,
    viewer: Actor,
    model: str,
    version: int,
    *,
    limit: int | None = None,
    offset: int = 0,
) -> list[LineageSource]:
    """What a version came from, by kind and name."""
    get_version(session, viewer, model, version)
    return list(
        session.scalars(
            select(LineageSource)
            .where(LineageSource.model == model, LineageSource.version == version)
            .order_by(LineageSource.kind, LineageSource.name, LineageSource.digest)
            .limit(limit)
            .offset(offset)
        )
    )


def link_of(source: LineageSource) -> str | None:
    """Where people can look the file up: a repository that has an address for browsers, at its revision."""
    split = urlsplit(source.repository)
    if split.scheme not in ("http", "https") or not split.hostname:
        return None
    base = source.repository.removesuffix(".git").rstrip("/")
    return f"{base}/tree/{source.revision}" if source.revision else base


def source_view(one: LineageSource) -> dict[str, Any]:
    return {
        "kind": one.kind, "name": one.name, "role": one.role, "digest": one.digest, "details": one.details,
        "repository": one.repository or None, "revision": one.revision or None, "link": link_of(one),
        "file": one.file, "file_digest": one.file_digest, "attached_at": one.attached_at,
    }  # fmt: skip


def _place(repository: str, revision: str) -> tuple[str, str]:
    repository = without_credentials(repository.strip())
    if len(repository) > LONGEST_NAME or any(char <= " " or char == "\x7f" for char in repository):
        raise BadInput("repository: an address without spaces, such as https://git.example/team/flights")
    if revision and not _REVISION.fullmatch(revision):
        raise BadInput("revision: a commit, tag or branch, such as 5f54f01", field="revision")
    return repository, revision
