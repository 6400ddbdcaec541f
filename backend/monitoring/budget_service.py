"""The false alarms a model may cause, as its spec and its rota have it, and changing that."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from backend.database.session import ReadSession, WriteSession
from backend.errors import ChangedSinceSeen
from backend.identity.actor import Actor
from backend.monitoring.budget import SHIFTS_PER_QUARTER, pages_per_quarter
from backend.monitoring.rotas import rota_of, spec_of
from backend.registry.service import get_model, register_model
from backend.registry.tables import Model


@dataclass(frozen=True)
class FalseAlarms:
    """How many false pages a model may cause.

    per_month             the stricter of its own budget and its part of the rota's
    rota_models           models that are served and whose pages reach the same person
    rota_share_per_month  the model's part of the rota's pages, by its tier
    digest                of the spec these were read from; a change names it
    """

    per_month: float
    own_per_quarter: float
    rota: str
    rota_models: int
    rota_per_shift: float
    rota_share_per_month: float
    digest: str

    @property
    def binds(self) -> str:
        """Which of the two is the stricter."""
        return "rota" if self.rota_share_per_month < self.own_per_quarter / 3 else "model"


def false_alarms(session: ReadSession, viewer: Actor, model: str, environment: str) -> FalseAlarms:
    """The false pages that the model's spec and its rota allow."""
    found = get_model(session, viewer, model)
    spec = spec_of(found)
    rota = rota_of(session, spec, environment)
    share = spec.budget.rota_pages_per_shift * SHIFTS_PER_QUARTER * rota.share(spec.tier)
    return FalseAlarms(
        per_month=pages_per_quarter(spec.budget, spec.tier, rota) / 3,
        own_per_quarter=spec.budget.pages_per_quarter, rota=spec.budget.rota, rota_models=len(rota.tiers),
        rota_per_shift=spec.budget.rota_pages_per_shift, rota_share_per_month=share / 3, digest=_digest(found),
    )  # fmt: skip


def change_budget(
    session: WriteSession,
    actor: Actor,
    *,
    model: str,
    pages_per_quarter: float,
    rota: str,
    rota_pages_per_shift: float,
    seen_digest: str,
) -> Model:
    """Register the model with another budget in its spec; calibrated limits follow with the next computation.

    Raises `ChangedSinceSeen` where the spec is no longer the one that was looked at, `BadInput` for a bad figure.
    """
    found = get_model(session, actor, model)
    if _digest(found) != seen_digest:
        raise ChangedSinceSeen("the model's spec has changed since you looked at it")
    budget: dict[str, Any] = {
        "pages_per_quarter": pages_per_quarter, "rota": rota.strip() or "default",
        "rota_pages_per_shift": rota_pages_per_shift,
    }  # fmt: skip
    return register_model(
        session, actor, name=found.name, title=found.title, description=found.description, tier=found.tier,
        spec={**found.spec, "budget": budget}, notice=found.notice, owner_id=found.owner_id,
    )  # fmt: skip


def _digest(model: Model) -> str:
    return hashlib.sha256(json.dumps(model.spec, sort_keys=True).encode()).hexdigest()
