"""Which models share a rota: the false-alarm budget is one person's, not one model's."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from sqlalchemy import select

from backend.database.session import ReadSession
from backend.deployment.tables import Deployment
from backend.monitoring.budget import TIER_WEIGHT, Rota
from backend.monitoring.columns import ModelSpec, Tier, parse_spec
from backend.registry.tables import Model


def spec_of(model: Model) -> ModelSpec:
    """A registered model's spec, with the tier it is registered with (prohibited ones count as high)."""
    spec = parse_spec(model.spec)
    return replace(spec, tier=cast(Tier, model.tier if model.tier in TIER_WEIGHT else "high"))


def rota_of(session: ReadSession, spec: ModelSpec, environment: str) -> Rota:
    """The models that are served in an environment and whose spec names the same rota."""
    served = select(Deployment.model).where(
        Deployment.environment == environment, Deployment.ended_at.is_(None)
    )
    found = [spec_of(model) for model in session.scalars(select(Model).where(Model.name.in_(served)))]
    tiers = tuple(one.tier for one in found if one.budget.rota == spec.budget.rota)
    return Rota(tiers or (spec.tier,))
