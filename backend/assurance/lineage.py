"""From data to code to run to version to change to deployment: what is stored of how a version came to serve."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select

from backend.database.session import ReadSession
from backend.deployment.tables import Deployment
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.registry.lineage import link_of
from backend.registry.service import get_model
from backend.registry.tables import ImportedVersion, LineageSource, Version

STAGES: Final = ("data", "code", "run", "version", "change", "deployment")
MOST_SOURCES: Final = 8  # of a version, in the graph
COMMITS: Final = ("git_commit", "commit", "code", "mlflow.source.git.commit")


@dataclass(frozen=True)
class Node:
    """One thing. `known` false: nobody recorded it, which is shown as such and never left out."""

    id: str
    stage: str
    label: str
    detail: str = ""
    known: bool = True
    at: datetime | None = None
    version: int | None = None
    change_id: int | None = None
    link: str | None = None  # where it can be looked up outside
    digest: str = ""  # in full


@dataclass(frozen=True)
class Lineage:
    """Nodes by stage, newest version first, and edges (id, id) from left to right."""

    nodes: list[Node] = field(default_factory=list)
    edges: list[tuple[str, str]] = field(default_factory=list)
    versions: int = 0  # how many there are in all

    def of(self, stage: str) -> list[Node]:
        return [one for one in self.nodes if one.stage == stage]


def lineage_of(session: ReadSession, viewer: Actor, model: str, *, newest: int = 6) -> Lineage:
    """The newest versions of a model, with what each came from and what became of it. One thing is one node."""
    get_model(session, viewer, model)
    every = session.scalars(
        select(Version).where(Version.model == model).order_by(Version.version.desc())
    ).all()
    numbers = [one.version for one in every[:newest]]
    runs = {
        row.version: row.run or {}
        for row in session.scalars(
            select(ImportedVersion).where(
                ImportedVersion.model == model, ImportedVersion.version.in_(numbers)
            )
        )
    }
    sources: dict[int, list[LineageSource]] = {}
    for one in session.scalars(
        select(LineageSource)
        .where(LineageSource.model == model, LineageSource.version.in_(numbers))
        .order_by(LineageSource.kind, LineageSource.name, LineageSource.digest)
    ):
        sources.setdefault(one.version, []).append(one)
    changes = session.scalars(
        select(Change)
        .where(
            Change.model == model, Change.to_version.in_(numbers), Change.state.in_(("executed", "executing"))
        )
        .order_by(Change.id)
    ).all()
    deployments = session.scalars(
        select(Deployment)
        .where(Deployment.model == model, Deployment.version.in_(numbers))
        .order_by(Deployment.started_at.desc(), Deployment.id.desc())
    ).all()
    nodes: dict[str, Node] = {}
    edges: dict[tuple[str, str], None] = {}

    def add(node: Node, *after: str) -> str:
        nodes.setdefault(node.id, node)
        edges.update({(one, node.id): None for one in after})
        return node.id

    for version in every[:newest]:
        number, commit = version.version, _commit(version, runs.get(version.version, {}))
        data = add(_data(version))
        code = add(
            Node(f"code:{commit}", "code", commit[:12]) if commit
            else Node(f"code:?{number}", "code", "not recorded", known=False)
        )  # fmt: skip
        run = add(
            Node(f"run:{version.run_id}", "run", version.run_id[:12], at=version.trained_at) if version.run_id
            else Node(f"run:?{number}", "run", "not recorded", known=False),
            data, code, *(add(one) for one in _sources(sources.get(number, []))),
        )  # fmt: skip
        detail = version.artefact_digest.removeprefix("sha256:")[:12]
        add(
            Node(f"version:{number}", "version", f"v{number}", detail, at=version.trained_at, version=number),
            run,
        )
    for change in changes:
        detail = f"{change.kind} into {change.environment}"
        node = Node(
            f"change:{change.id}",
            "change",
            f"CHG-{change.id}",
            detail,
            at=change.finished_at,
            change_id=change.id,
        )
        add(node, f"version:{change.to_version}")
    shown = {one.id for one in changes}
    for deployment in deployments:
        source = f"change:{deployment.change_id}"
        if deployment.change_id not in shown:  # the gravest gap there is, so it has a place of its own
            source = add(
                Node(f"change:?{deployment.version}", "change", "not recorded", known=False),
                f"version:{deployment.version}",
            )
        ended = "serves" if deployment.ended_at is None else f"until {deployment.ended_at:%Y-%m-%d}"
        node = Node(
            f"deployment:{deployment.id}", "deployment", deployment.role,
            f"{deployment.started_at:%Y-%m-%d}, {ended}, {deployment.environment}", at=deployment.started_at,
            version=deployment.version,
        )  # fmt: skip
        add(node, source)
    return Lineage(list(nodes.values()), list(edges), len(every))


def _data(version: Version) -> Node:
    training: dict[str, Any] = version.training or {}
    digest = str(training.get("digest") or "")
    if not digest:
        return Node(f"data:?{version.version}", "data", "not recorded", known=False)
    rows, span = training.get("rows"), (training.get("from"), training.get("to"))
    detail = ", ".join(
        part
        for part in (
            f"{rows:,} rows" if isinstance(rows, int) else "",
            f"{str(span[0])[:10]} to {str(span[1])[:10]}" if all(span) else "",
        )
        if part
    )
    return Node(f"data:{digest}", "data", digest.removeprefix("sha256:")[:12], detail)


def _sources(attached: list[LineageSource]) -> list[Node]:
    """What files of DVC and Feast say of it: inputs before outputs, and how many more there are."""
    ranked = sorted(attached, key=lambda one: one.role == "output")
    nodes = [
        Node(
            f"source:{one.kind}:{one.name}:{one.digest}", "data", one.name,
            f"{one.kind} {one.role}, {one.digest.partition(':')[2][:12]}", link=link_of(one), digest=one.digest,
        )
        for one in ranked[:MOST_SOURCES]
    ]  # fmt: skip
    if ranked[MOST_SOURCES:]:
        version = ranked[0].version
        nodes.append(Node(f"source:more:{version}", "data", f"{len(ranked) - MOST_SOURCES} more", "attached"))
    return nodes


def _commit(version: Version, run: dict[str, Any]) -> str:
    places = (version.training or {}, version.parameters or {}, run.get("tags") or {})
    return next((str(place[name]) for place in places for name in COMMITS if place.get(name)), "")
