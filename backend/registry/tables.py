"""Models, their versions, and the data they are compared with."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Text
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base


class Model(Base):
    """A registered thing that predicts."""

    __tablename__ = "models"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, default="")
    tier: Mapped[str] = mapped_column(Text, default="medium")  # low | medium | high | prohibited
    owner_id: Mapped[str | None] = mapped_column(ForeignKey("persons.id"), index=True)
    enforcement: Mapped[str] = mapped_column(
        Text, default="enforce"
    )  # observe: rules report and block nothing
    # parsed by backend.monitoring.columns.parse_spec; {}: imported from a registry and not described yet
    spec: Mapped[dict[str, Any]]
    notice: Mapped[str | None] = mapped_column(Text)  # what a reader must know: shifted times, spread years
    created_at: Mapped[datetime]
    aliases_seen_at: Mapped[datetime | None]  # when MLflow's aliases were first looked at; None: never yet
    aliases_looked_at: Mapped[datetime | None]  # and last, to the hour

    @property
    def described(self) -> bool:
        """Whether there is anything to monitor it by. A model without a description has no versions of its own."""
        return bool(self.spec)


class Version(Base):
    """One trained artefact of a model: an MLflow registered version, mirrored by a job."""

    __tablename__ = "versions"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run_id: Mapped[str] = mapped_column(Text)
    uri: Mapped[str] = mapped_column(
        Text
    )  # where the gateway loads it from (an MLflow artefact uri or folder)
    artefact_digest: Mapped[str] = mapped_column(Text)  # sha256:… over the artefact's manifest
    trained_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    data_owner: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    trained_at: Mapped[datetime]
    cutoff: Mapped[float]  # score at or above which the prediction is positive
    parameters: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any]]  # held-out: {"roc_auc": {"value", "low", "high", "rows"}, …}
    training: Mapped[dict[str, Any]]  # {"digest", "from", "to", "rows"}
    reference_path: Mapped[str] = mapped_column(Text)  # Parquet: features, score, prediction, label
    reference_digest: Mapped[str] = mapped_column(Text)
    card_path: Mapped[str] = mapped_column(Text)
    card_digest: Mapped[str] = mapped_column(Text)


class ImportedModel(Base):
    """What MLflow said of a model when its registry was last imported. Nothing here was checked."""

    __tablename__ = "imported_models"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    read_from: Mapped[str] = mapped_column(Text)  # where it was read, without credentials
    description: Mapped[str] = mapped_column(Text, default="")
    tags: Mapped[dict[str, Any]]
    created_at: Mapped[datetime | None]
    updated_at: Mapped[datetime | None]
    imported_at: Mapped[datetime]
    found: Mapped[bool] = mapped_column(default=True)  # False: the last import did not find it any more


class ImportedVersion(Base):
    """A version as MLflow described it: an inventory entry, never something that can serve.

    What approvals bind to (artefact digest, reference data, card) is not here: a `Version` of the same number has it,
    once somebody registered one.
    """

    __tablename__ = "imported_versions"

    model: Mapped[str] = mapped_column(ForeignKey("imported_models.model"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run_id: Mapped[str] = mapped_column(Text)  # empty: MLflow names none
    source: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, default="")
    tags: Mapped[dict[str, Any]]
    # {"parameters", "metrics", "tags", "user", "started_at", "ended_at"}; None: MLflow no longer has the run
    run: Mapped[dict[str, Any] | None]
    signature: Mapped[dict[str, Any] | None]  # {"inputs", "outputs"}; None: not in the registry's record
    created_at: Mapped[datetime | None]
    imported_at: Mapped[datetime]
    found: Mapped[bool] = mapped_column(default=True)


class SeenAlias(Base):
    """What an alias named when it was last looked at; `stage:<Stage>` for the stages of older registries."""

    __tablename__ = "seen_aliases"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    alias: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int | None]  # None: it was removed
    seen_at: Mapped[datetime]


class LineageSource(Base):
    """One thing that a version came from, as a file of DVC or Feast names it (`backend.registry.lineage_files`)."""

    __tablename__ = "lineage_sources"

    model: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)  # dvc | feast
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    digest: Mapped[str] = mapped_column(Text, primary_key=True)
    role: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any]]
    repository: Mapped[str] = mapped_column(Text, default="")
    revision: Mapped[str] = mapped_column(Text, default="")
    file: Mapped[str] = mapped_column(Text)  # the name of the file that named it
    file_digest: Mapped[str] = mapped_column(Text)
    attached_by: Mapped[str] = mapped_column(Text)  # an actor's id
    attached_at: Mapped[datetime]

    __table_args__ = (ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),)
