"""Policies, changes to production, the decisions on them, and what goes on after they were executed."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.database.base import Base, new_id
from backend.database.types import BigId


class Policy(Base):
    """One revision of the policy document. The highest revision governs; older ones stay readable."""

    __tablename__ = "policies"

    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    document: Mapped[dict[str, Any]]
    digest: Mapped[str] = mapped_column(Text)
    change_id: Mapped[int | None] = mapped_column(ForeignKey("changes.id"))  # None: the built-in one
    note: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime]


class Change(Base):
    """A request to alter production. `bound` holds every digest the approval covers; `digest` is what is signed.

    States and transitions: `backend.governance.machine`. `revision` counts how often what is signed was made anew
    (sent again after changes were asked for, gates evaluated again); decisions on earlier revisions do not count.
    """

    __tablename__ = "changes"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(Text)  # backend.governance.kinds
    model: Mapped[str | None] = mapped_column(ForeignKey("models.name"), index=True)  # None: the whole house
    environment: Mapped[str] = mapped_column(Text)
    from_version: Mapped[int | None]
    to_version: Mapped[int | None]
    from_cutoff: Mapped[float | None]
    to_cutoff: Mapped[float | None]
    subject: Mapped[
        dict[str, Any]
    ]  # what the kind needs beside versions: a policy document, a tier, a monitor
    summary: Mapped[str] = mapped_column(Text)  # the effect, in one sentence
    state: Mapped[str] = mapped_column(Text, default="draft")
    revision: Mapped[int] = mapped_column(default=1)
    requested_by: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    requested_at: Mapped[datetime]
    reason: Mapped[str] = mapped_column(Text)
    trained_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    data_owner: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"))
    alert_id: Mapped[int | None] = mapped_column(ForeignKey("alerts.id"))
    policy: Mapped[dict[str, Any]]  # the rule in force when it was sent, with its name and revision
    bound: Mapped[dict[str, Any]]  # part -> digest
    gates: Mapped[list[dict[str, Any]]]  # results, in the order of the rule; [] until they are evaluated
    gates_at: Mapped[datetime | None]
    evidence: Mapped[dict[str, Any]]  # what deciders see, frozen: rendered again later exactly so
    request_digest: Mapped[str] = mapped_column(Text)  # of the preview: what was asked for
    digest: Mapped[str] = mapped_column(Text)  # what is signed: request, evidence and gate results
    expires_at: Mapped[datetime]
    break_glass: Mapped[bool] = mapped_column(default=False)
    way_back_id: Mapped[int | None]  # the return approved in advance that this change makes use of
    within_envelope: Mapped[bool] = mapped_column(
        default=False
    )  # a retraining that its rule approved in advance
    overtaken_by: Mapped[
        int | None
    ]  # the change without decision that aborted this one while it was executed
    run_id: Mapped[str | None] = mapped_column(Text)
    times_approved: Mapped[int] = mapped_column(default=0)  # each has a run of its own
    step: Mapped[str] = mapped_column(Text, default="")
    outcome: Mapped[str] = mapped_column(Text, default="")  # why it failed, what was restored
    finished_at: Mapped[datetime | None]
    reminded_at: Mapped[datetime | None]
    decisions: Mapped[list[Decision]] = relationship(lazy="selectin", order_by="Decision.decided_at")

    __table_args__ = (
        Index("ix_changes_model_requested_at", "model", "requested_at"),
        Index("ix_changes_state", "state", "id"),
        Index("ix_changes_state_expires_at", "state", "expires_at", "id"),
    )

    @property
    def counted(self) -> list[Decision]:
        """The decisions on what would run now."""
        return [
            decision
            for decision in self.decisions
            if decision.revision == self.revision and decision.retracted_at is None
        ]

    @property
    def is_urgent(self) -> bool:
        """Whether it goes ahead without a decision: by break-glass, as a return that was agreed before, or as a
        retraining within the envelope of its rule."""
        return self.break_glass or self.way_back_id is not None or self.within_envelope


_STANDING: Final = "retracted_at IS NULL AND verdict = 'approve'"


class Decision(Base):
    """One person's word on a change, on exactly the digest they saw."""

    __tablename__ = "decisions"

    id: Mapped[str] = mapped_column(Text, primary_key=True, default=lambda: new_id("dec"))
    change_id: Mapped[int] = mapped_column(ForeignKey("changes.id"), index=True)
    revision: Mapped[int]
    person_id: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    on_behalf_of: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))  # whose authority was lent
    verdict: Mapped[str] = mapped_column(Text)  # approve | reject | ask
    comment: Mapped[str] = mapped_column(Text)
    seen_digest: Mapped[str] = mapped_column(Text)
    accepted: Mapped[list[str]]  # inconclusive gates that this person accepts
    role: Mapped[str] = mapped_column(Text)  # the role that made it count
    decided_at: Mapped[datetime]
    signed_in_at: Mapped[datetime | None]  # when they had proved who they are, where that was asked for
    retracted_at: Mapped[datetime | None]  # an approval that was taken back: it does not count, and stays
    retracted_because: Mapped[str] = mapped_column(Text, default="")

    __table_args__ = (
        Index("uq_decisions_standing", "change_id", "person_id", "revision", unique=True,
              sqlite_where=text(_STANDING), postgresql_where=text(_STANDING)),
    )  # fmt: skip


class Snapshot(Base):
    """Everything a person was shown of a change, named by the digest they signed or saw. Never altered."""

    __tablename__ = "change_snapshots"

    digest: Mapped[str] = mapped_column(Text, primary_key=True)
    change_id: Mapped[int] = mapped_column(ForeignKey("changes.id"), index=True)
    document: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class Look(Base):
    """What one person saw of a change when they last looked."""

    __tablename__ = "change_looks"

    change_id: Mapped[int] = mapped_column(ForeignKey("changes.id"), primary_key=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("persons.id"), primary_key=True)
    looked_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(Text)
    snapshot: Mapped[str] = mapped_column(ForeignKey("change_snapshots.digest"))


class ExternalCheck(Base):
    """What a system outside said about a change, each account for itself: what the external gate looks at."""

    __tablename__ = "external_checks"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    change_id: Mapped[int] = mapped_column(ForeignKey("changes.id"))
    name: Mapped[str] = mapped_column(Text)
    revision: Mapped[int]
    verdict: Mapped[str] = mapped_column(Text)  # pass | fail | inconclusive | unanswered (asked, in vain)
    text: Mapped[str] = mapped_column(Text)
    url: Mapped[str] = mapped_column(Text, default="")
    reported_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))  # None: it was asked
    reported_at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("change_id", "revision", "name", "reported_by"),)


class Delegation(Base):
    """One person lends the right to decide to another, for a time. Both count as one person."""

    __tablename__ = "delegations"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    from_person: Mapped[str] = mapped_column(ForeignKey("persons.id"), index=True)
    to_person: Mapped[str] = mapped_column(ForeignKey("persons.id"), index=True)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    reason: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class WayBack(Base):
    """A return approved together with a promotion: to the version it replaced, with its cut-off, for a time."""

    __tablename__ = "ways_back"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    change_id: Mapped[int] = mapped_column(ForeignKey("changes.id"), unique=True)  # the promotion
    model: Mapped[str] = mapped_column(ForeignKey("models.name"), index=True)
    environment: Mapped[str] = mapped_column(Text)
    from_version: Mapped[int]
    to_version: Mapped[int]
    to_cutoff: Mapped[float]
    bound: Mapped[dict[str, Any]]  # the digests of the version to return to
    deployment_id: Mapped[int | None] = mapped_column(ForeignKey("deployments.id"))  # from which it returns
    opened_at: Mapped[datetime | None]  # when the promotion was executed
    expires_at: Mapped[datetime | None]
    used_by: Mapped[int | None]  # the change that returned


class Review(Base):
    """The review of a change that was executed by break-glass, by somebody else."""

    __tablename__ = "reviews"

    change_id: Mapped[int] = mapped_column(ForeignKey("changes.id"), primary_key=True)
    due_at: Mapped[datetime]
    verdict: Mapped[str | None] = mapped_column(Text)  # justified | not_justified
    comment: Mapped[str] = mapped_column(Text, default="")
    reviewed_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    reviewed_at: Mapped[datetime | None]


class Condition(Base):
    """Something an approval promised that has to go on holding while its deployment serves."""

    __tablename__ = "conditions"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    change_id: Mapped[int] = mapped_column(ForeignKey("changes.id"), index=True)
    deployment_id: Mapped[int] = mapped_column(ForeignKey("deployments.id"), index=True)
    gate: Mapped[str] = mapped_column(Text)
    parameters: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(Text, default="unknown")  # holds | broken | unknown
    text: Mapped[str] = mapped_column(Text, default="")
    checked_at: Mapped[datetime | None]
    broken_at: Mapped[datetime | None]

    __table_args__ = (UniqueConstraint("deployment_id", "gate"),)


class RolloutStep(Base):
    """One step of a rollout: what it served, what was seen of it, what became of it."""

    __tablename__ = "rollout_steps"

    change_id: Mapped[int] = mapped_column(ForeignKey("changes.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(Text)  # canary | shadow | champion
    share: Mapped[float]
    deployment_id: Mapped[int | None] = mapped_column(ForeignKey("deployments.id"))
    started_at: Mapped[datetime | None]
    bake_until: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    verdict: Mapped[str | None] = mapped_column(Text)  # success | failure | inconclusive | skipped
    analysis: Mapped[dict[str, Any]]  # what was measured, with rows


class RolloutCommand(Base):
    """What a person told a rollout to do; taken by its run at the next opportunity, once."""

    __tablename__ = "rollout_commands"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    change_id: Mapped[int] = mapped_column(ForeignKey("changes.id"), index=True)
    command: Mapped[str] = mapped_column(Text)  # pause | resume | skip | abort
    person_id: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    reason: Mapped[str] = mapped_column(Text)
    alone: Mapped[bool] = mapped_column(default=True)  # one word is enough; else a second person says it, too
    given_at: Mapped[datetime]
    taken_at: Mapped[datetime | None]


class RegistryMove(Base):
    """A move of an MLflow alias that no change of ours made, and what the rules would have said."""

    __tablename__ = "registry_moves"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"), index=True)
    environment: Mapped[str] = mapped_column(Text)
    alias: Mapped[str] = mapped_column(Text)
    from_version: Mapped[int | None]
    to_version: Mapped[int | None]
    found_at: Mapped[datetime] = mapped_column(index=True)
    would_be: Mapped[str] = mapped_column(Text)  # allowed | refused | unknown
    rule: Mapped[str] = mapped_column(Text, default="")  # the rule that was asked; empty: none could be
    policy_revision: Mapped[int] = mapped_column(default=0)
    reasons: Mapped[list[dict[str, Any]]]  # {"check", "says": refused | unknown, "text"}
    # open | restored | regularised | overtaken (by another move) | observed (nobody has to act)
    state: Mapped[str] = mapped_column(Text, default="open")
    change_id: Mapped[int | None] = mapped_column(ForeignKey("changes.id"))

    __table_args__ = (
        Index("uq_registry_moves_open", "model", "environment", "alias", unique=True,
              sqlite_where=text("state = 'open'"), postgresql_where=text("state = 'open'")),
    )  # fmt: skip
