"""What can be changed. A kind is one file here: what it needs, what its approval is bound to, and what it does.

`propose` is asked when a change is previewed and again just before it is executed: what it binds then has to equal
what was signed. `apply` carries out a kind that is one transaction (`Kind.rollout` false); the others move a version
into service, step by step, by the job that executes changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from backend.errors import BadInput, NotAllowed
from backend.governance.catalogue import Catalogue
from backend.governance.policy_document import EVERYWHERE, EVERYWHERE_KINDS
from backend.identity.roles import Permission

if TYPE_CHECKING:
    from backend.database.session import ReadSession, WriteSession
    from backend.deployment.tables import Deployment
    from backend.governance.health import ServedVersion
    from backend.governance.tables import Change
    from backend.identity.actor import Actor
    from backend.registry.tables import Model, Version


@dataclass(frozen=True)
class Asked:
    """What somebody wants. What a kind does not use has to be left out; of one that is of no environment, and of the
    false-alarm budget of a model, the environment is `*`, whatever was named. `incident_id`: of that from which it is
    asked for, where no alert names it."""

    kind: str
    environment: str
    model: str | None = None
    to_version: int | None = None
    to_cutoff: float | None = None
    alert_id: int | None = None
    subject: dict[str, Any] = field(default_factory=dict)
    incident_id: int | None = None

    def __post_init__(self) -> None:
        if self.everywhere:
            object.__setattr__(self, "environment", EVERYWHERE)

    @property
    def everywhere(self) -> bool:
        """Whether it is of no environment, so that nobody chooses its rule by naming one."""
        return self.kind in EVERYWHERE_KINDS or (self.kind == "monitor" and "budget" in self.subject)


@dataclass(frozen=True)
class Proposal:
    """A change with everything resolved, before policy and gates are asked."""

    asked: Asked
    model: Model | None
    tier: str  # which tier's rule governs it
    summary: str
    bound: dict[str, str]  # part -> digest, taken from files and record now
    evidence: dict[str, Any]
    before: Version | None = None
    after: Version | None = None
    serving: Deployment | None = None
    from_cutoff: float | None = None
    to_cutoff: float | None = None
    candidates: tuple[ServedVersion, ...] = ()
    other_tier: str | None = (
        None  # of a move between tiers: the one it moves to, whose rule governs it as well
    )

    @property
    def from_version(self) -> int | None:
        return self.before.version if self.before else None

    @property
    def to_version(self) -> int | None:
        return self.after.version if self.after else None


@dataclass(frozen=True)
class Kind:
    """One kind of change."""

    name: str
    title: str
    explanation: str
    propose: Callable[[ReadSession, Actor, Asked], Proposal]
    rollout: bool
    apply: Callable[[WriteSession, Actor, Change], str] | None = None  # gives what came of it, in words
    people_only: bool = False  # no service account asks for it or decides on it
    outside: bool = False  # a job does something outside the database first (jobs.data_requests)
    # of what it had begun outside when it failed: settles it, and gives in words what is so now
    settle_failed: Callable[[WriteSession, Actor, Change], str] | None = None
    beside_others: bool = False  # any number of a model may be open at a time
    asked_for: str = (
        ""  # how, where it is not asked for as a change: who may, and how often, is decided there
    )
    right: Permission = Permission.REQUEST_CHANGE  # previews it, and sends it again
    right_to_cancel: Permission = Permission.CANCEL_CHANGE

    def __post_init__(self) -> None:
        if self.rollout == (self.apply is not None):
            raise ValueError(f"{self.name} either rolls out or applies")

    def require_person(self, actor: Actor, to: str) -> None:
        """`NotAllowed` where only people may act on this kind, and this is an account."""
        if self.people_only and actor.kind == "service":
            raise NotAllowed(f"people {to} a change of kind {self.name}, no service account does")


_KINDS: Final[Catalogue[Kind]] = Catalogue(__name__, "kinds of change")
register = _KINDS.register


def kinds() -> dict[str, Kind]:
    """Every kind of change that can be asked for here."""
    return _KINDS.every()


def kind_of(name: str) -> Kind:
    """`BadInput` that names the kinds there are."""
    known = kinds()
    if name not in known:
        raise BadInput(f"a change is one of {', '.join(known)}, not {name!r}", field="kind")
    return known[name]
