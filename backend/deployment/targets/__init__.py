"""Where the deployment record is carried out. One file a target, all under one contract test.

The record says what should serve; a target brings that about. A run writes the record first, then calls `ensure`, and
asks `observe` until it is so. Runs are repeated after a crash, so every call may come again: `Wanted.key` is the same
each time, and doing it again changes nothing. To add a target, add its file here and a row to `TARGETS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Protocol

from sqlalchemy import and_, select

from backend.database.session import ReadSession
from backend.deployment.segments import Segments
from backend.deployment.tables import Deployment
from backend.errors import BadInput, Conflict, Unavailable
from backend.registry.tables import Version
from backend.settings import settings


class TargetRefused(Conflict):
    """The target will not do it, however often it is asked; says why."""

    title = "The target refused"


class TargetAway(Unavailable):
    """The target did not answer, or said that it cannot now; it may later."""

    title = "The target does not answer"


@dataclass(frozen=True)
class Part:
    """One version that should be in service. `share` of the requests: a champion has what canaries leave it."""

    deployment_id: int
    version: int
    role: str
    share: float
    cutoff: float
    uri: str
    digest: str
    segments: Segments = field(default_factory=dict)
    """the share is one of their rows alone; empty: of all rows"""


@dataclass(frozen=True)
class Wanted:
    """All that should serve one model in one environment, the champion first."""

    change_id: int
    model: str
    environment: str
    parts: tuple[Part, ...]

    @property
    def key(self) -> str:
        """The same whenever the same is wanted under the same change: at most one effect a key."""
        return f"change-{self.change_id}-" + "-".join(str(part.deployment_id) for part in self.parts)

    def as_dict(self) -> dict[str, Any]:
        return {"key": self.key, **asdict(self), "parts": [asdict(part) for part in self.parts]}


@dataclass(frozen=True)
class Observed:
    """How far it is. `text` says what is missing; `urls` are gateways that answer smoke requests."""

    settled: bool
    text: str = ""
    urls: tuple[str, ...] = ()
    anybody: bool = True
    """whether something is there that could carry it out"""


class Target(Protocol):
    """What carries the record out. Raises `TargetRefused` for good, anything else to be tried again."""

    name: str

    def ensure(self, wanted: Wanted) -> None:
        """Begin to bring this about. Again with the same key: nothing more happens."""

    def observe(self, wanted: Wanted) -> Observed:
        """Whether it is so. What got lost on the way may be told again by it, under the same key."""

    def lacks(self, wanted: Wanted) -> str | None:
        """What has to be told (again) to bring this about, in words; None: it knows. No effect."""

    def restore(self, wanted: Wanted) -> None:
        """Begin to bring back what served before; it may interrupt what `ensure` began."""


def _gateway() -> Target:
    from backend.deployment.targets.gateway import GatewayTarget

    return GatewayTarget()


def _kubernetes() -> Target:
    from backend.deployment.targets.kubernetes import KubernetesTarget

    return KubernetesTarget.from_settings()


def _fake() -> Target:
    from backend.deployment.targets.fake import FakeTarget

    return FakeTarget(settings().resolved_home() / "fake-target")


def _webhook() -> Target:
    from backend.deployment.targets.webhook import WebhookTarget

    return WebhookTarget.from_settings()


TARGETS: Final[dict[str, Callable[[], Target]]] = {
    "gateway": _gateway,
    "kubernetes": _kubernetes,
    "fake": _fake,
    "webhook": _webhook,
}


WITHOUT_SEGMENTS: Final[dict[str, str]] = {
    "kubernetes": "the kubernetes target parts requests by pods, which get rows of every segment; leave the segments "
    "out, or serve the model by the gateway",
}
"""Why a target cannot send a version the rows of some segments alone."""


def refuse_segments() -> None:
    """Raises `TargetRefused` where the target that `WARRANT_TARGET` names cannot keep a version to segments."""
    why = WITHOUT_SEGMENTS.get(settings().target)
    if why is not None:
        raise TargetRefused(why)


def the_target() -> Target:
    """What `WARRANT_TARGET` names."""
    found = TARGETS.get(settings().target)
    if found is None:
        raise BadInput(f"WARRANT_TARGET is {settings().target!r}; there are {', '.join(TARGETS)}")
    return found()


def wanted_of(session: ReadSession, change_id: int, model: str, environment: str) -> Wanted:
    """What the record says now."""
    rows = session.execute(
        select(Deployment, Version.uri, Version.artefact_digest)
        .join(Version, and_(Version.model == Deployment.model, Version.version == Deployment.version))
        .where(Deployment.model == model, Deployment.environment == environment, Deployment.ended_at.is_(None))
        .order_by(Deployment.id)
    ).all()  # fmt: skip
    parts = [
        Part(one.id, one.version, one.role, one.share, one.cutoff, uri, digest, one.segments)
        for one, uri, digest in rows
    ]
    return Wanted(
        change_id, model, environment, tuple(sorted(parts, key=lambda part: part.role != "champion"))
    )
