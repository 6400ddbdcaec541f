"""What this gateway should serve, read from the deployment record, and what it last served, kept in a file.

The MLflow alias is not consulted anywhere: production is what the deployment record says.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy import and_, func, make_url, select

from backend import clock
from backend.database.engine import database, use_database
from backend.database.session import ReadSession, reading
from backend.deployment.segments import Segments
from backend.deployment.tables import Deployment
from backend.durable import write_json
from backend.errors import Unavailable
from backend.holds.artefacts import held_artefacts
from backend.registry.tables import Model, Version

log = logging.getLogger(__name__)

WARM_PER_MODEL: Final = 4
ROLES: Final = ("champion", "canary", "shadow")


@dataclass(frozen=True)
class Target:
    """One version as the deployment record names it. `spec` is the model's spec as a mapping."""

    model: str
    deployment_id: int
    version: int
    role: str
    cutoff: float
    uri: str
    digest: str
    spec: Mapping[str, Any]
    share: float = 1.0
    """of the requests, for a canary"""
    segments: Segments = field(default_factory=dict)
    """the share is one of their rows alone; empty: of all rows"""


@dataclass(frozen=True)
class Wanted:
    """What the record says of one model: the champion, and what is to be loaded beside it, oldest first."""

    champion: Target | None = None
    beside: tuple[Target, ...] = ()


class Record:
    """Reads the deployment record of one environment. Not thread-safe: the watcher's thread owns it."""

    def __init__(self, environment: str) -> None:
        self._environment = environment
        self._file = database_file()
        self._inode: int | None = None

    def deployed(self) -> dict[str, Wanted]:
        """Every registered model with what should serve it. One query.

        Raises `Unavailable` or `SQLAlchemyError` when the database cannot be read.
        """
        self._follow_file()
        with reading() as session:
            rows = session.execute(
                select(Model.name, Model.spec, Deployment.id, Deployment.role, Version.version, Deployment.cutoff,
                       Version.uri, Version.artefact_digest, Deployment.share, Deployment.segments)
                .outerjoin(
                    Deployment,
                    and_(Deployment.model == Model.name, Deployment.environment == self._environment,
                         Deployment.role.in_(ROLES), Deployment.ended_at.is_(None)),
                )
                .outerjoin(
                    Version, and_(Version.model == Deployment.model, Version.version == Deployment.version)
                )
                .order_by(Deployment.id)
            ).all()  # fmt: skip
        found: dict[str, Wanted] = {}
        for name, spec, deployment_id, role, version, cutoff, uri, digest, share, segments in rows:
            wanted = found.setdefault(name, Wanted())
            if deployment_id is None:
                continue
            target = Target(name, deployment_id, version, role, cutoff, uri, digest, spec, share, segments)
            found[name] = (
                replace(wanted, champion=target)
                if role == "champion"
                else replace(wanted, beside=(*wanted.beside, target))
            )
        return found

    def recent(self) -> list[Target]:
        """The last versions that each model served here, newest first: where a rollback would go."""
        self._follow_file()
        with reading() as session:
            return _recent(session, self._environment)

    def held(self) -> frozenset[str]:
        """Digests of the artefacts that are on hold: their copies stay."""
        self._follow_file()
        with reading() as session:
            return frozenset(one.digest for one in held_artefacts(session))

    def _follow_file(self) -> None:
        """Never create an empty database where a file was moved away, and notice when another takes its place."""
        if self._file is None:
            return
        try:
            state = self._file.stat()
        except OSError as failure:
            use_database(None)
            raise Unavailable(f"the database file {self._file} is not there ({failure})") from failure
        if state.st_size == 0:
            raise Unavailable(f"the database file {self._file} is empty")
        if self._inode not in (None, state.st_ino):
            use_database(None)
        self._inode = state.st_ino


def _recent(session: ReadSession, environment: str) -> list[Target]:
    last_use = (
        select(Deployment.model, Deployment.version, func.max(Deployment.id).label("deployment_id"))
        .where(Deployment.environment == environment, Deployment.role == "champion")
        .group_by(Deployment.model, Deployment.version)
        .subquery()
    )
    rows = session.execute(
        select(last_use.c.model, last_use.c.deployment_id, Version, Model.spec)
        .join(Version, and_(Version.model == last_use.c.model, Version.version == last_use.c.version))
        .join(Model, Model.name == last_use.c.model)
        .order_by(last_use.c.deployment_id.desc())
    ).all()
    kept: dict[str, list[Target]] = {}
    for model, deployment_id, version, spec in rows:
        targets = kept.setdefault(model, [])
        if len(targets) < WARM_PER_MODEL:
            targets.append(
                Target(model, deployment_id, version.version, "champion", version.cutoff, version.uri,
                       version.artefact_digest, spec)
            )  # fmt: skip
    return [target for targets in kept.values() for target in targets]


def database_file() -> Path | None:
    """The SQLite file of the settings' database; None on a server."""
    url = make_url(database().url)
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    return Path(url.database)


class LastGood:
    """What was served last, on disk: the gateway restarts with it when the database is away."""

    def __init__(self, folder: Path, environment: str) -> None:
        self._path = folder / f"{environment}.json"

    def read(self) -> dict[str, Target]:
        """The targets by model; empty when nothing was served yet or the file does not read."""
        try:
            document = json.loads(self._path.read_bytes())
            return {name: Target(**fields) for name, fields in document["models"].items()}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, KeyError) as failure:
            log.warning("the last good state %s does not read (%s); starting without it", self._path, failure)
            return {}

    def write(self, targets: Mapping[str, Target]) -> None:
        """Replace the file at once: a reader sees the old or the new content, also after loss of power."""
        content = {
            "saved_at": clock.to_iso(clock.now()),
            "models": {name: asdict(target) for name, target in sorted(targets.items())},
        }
        write_json(self._path, content, indent=1)
