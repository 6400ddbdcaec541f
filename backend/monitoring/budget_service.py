"""The false alarms a model may cause, as its spec and its rota have it, and changing that."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, ChangedSinceSeen
from backend.governance.direct_edits import refuse_budget_edit
from backend.identity.actor import Actor
from backend.monitoring.budget import SHIFTS_PER_QUARTER, Evidence, Rota, sigmas, window_alpha
from backend.monitoring.budget import pages_per_quarter as _pages_per_quarter
from backend.monitoring.columns import parse_spec
from backend.monitoring.rotas import rota_of, spec_of
from backend.monitoring.spec_fields import Budget
from backend.registry.service import get_model, register_model
from backend.registry.tables import Model

LENGTHS_S = {"1h": 3600.0, "1d": 86_400.0, "1w": 604_800.0, "1mo": 365.25 / 12 * 86_400}


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


@dataclass(frozen=True)
class PageLimit:
    """By how many standard errors one kind of evidence must be worse in windows of one size to page."""

    kind: Evidence
    size: str
    before: float
    after: float


@dataclass(frozen=True)
class BudgetChange:
    """What another budget changes. `before`, `after`: false pages a month, by the stricter of model and rota."""

    before: float
    after: float
    limits: tuple[PageLimit, ...]

    @property
    def moved(self) -> tuple[PageLimit, ...]:
        return tuple(one for one in self.limits if abs(one.after - one.before) > 0.005)


def false_alarms(session: ReadSession, viewer: Actor, model: str, environment: str) -> FalseAlarms:
    """The false pages that the model's spec and its rota allow."""
    found = get_model(session, viewer, model)
    spec = spec_of(found)
    rota = rota_of(session, spec, environment)
    share = spec.budget.rota_pages_per_shift * SHIFTS_PER_QUARTER * rota.share(spec.tier)
    return FalseAlarms(
        per_month=_pages_per_quarter(spec.budget, spec.tier, rota) / 3,
        own_per_quarter=spec.budget.pages_per_quarter, rota=spec.budget.rota, rota_models=len(rota.tiers),
        rota_per_shift=spec.budget.rota_pages_per_shift, rota_share_per_month=share / 3, digest=spec_digest(found),
    )  # fmt: skip


def preview_budget(
    session: ReadSession, viewer: Actor, *, model: str, environment: str, pages_per_quarter: float, rota: str,
    rota_pages_per_shift: float,
) -> BudgetChange:  # fmt: skip
    """Which limits another budget would move. Stores nothing. Raises `BadInput` for a bad figure."""
    spec = spec_of(get_model(session, viewer, model))
    budget = check_budget(pages_per_quarter, rota, rota_pages_per_shift)
    other = replace(spec, budget=budget)
    now, then = rota_of(session, spec, environment), rota_of(session, other, environment)
    if budget.rota != spec.budget.rota:
        # The model is still stored under its old rota.
        then = Rota((*then.tiers, spec.tier))
    kinds: tuple[Evidence, ...] = ("realised", "estimated")
    limits = tuple(
        PageLimit(
            kind, size, sigmas(window_alpha(spec, LENGTHS_S[size], now, kind)),
            sigmas(window_alpha(other, LENGTHS_S[size], then, kind)),
        )
        for kind in kinds
        for size in spec.sizes
        if size in LENGTHS_S
    )  # fmt: skip
    return BudgetChange(
        _pages_per_quarter(spec.budget, spec.tier, now) / 3,
        _pages_per_quarter(budget, spec.tier, then) / 3,
        limits,
    )


def change_budget(
    session: WriteSession,
    actor: Actor,
    *,
    model: str,
    pages_per_quarter: float,
    rota: str,
    rota_pages_per_shift: float,
    seen_digest: str,
    why: str,
) -> Model:
    """Register the model with another budget in its spec; calibrated limits follow with the next computation. The audit
    entry holds both budgets and the reason.

    Raises `ChangedSinceSeen` where the spec is no longer the one that was looked at, `BadInput` for a bad figure or
    without a reason, `OnlyByChange` where the policy lets nobody change it directly.
    """
    if not why.strip():
        raise BadInput("Why: write the reason; the audit log keeps it", field="why")
    checked = check_budget(pages_per_quarter, rota, rota_pages_per_shift)
    found = get_model(session, actor, model)
    refuse_budget_edit(session, actor, found)
    if spec_digest(found) != seen_digest:
        raise ChangedSinceSeen("the model's spec has changed since you looked at it")
    budget: dict[str, Any] = asdict(checked)
    return register_model(
        session, actor, name=found.name, title=found.title, description=found.description, tier=found.tier,
        spec={**found.spec, "budget": budget}, notice=found.notice, owner_id=found.owner_id,
        why=why.strip(), told={"budget": budget, "budget_before": asdict(parse_spec(found.spec).budget)},
    )  # fmt: skip


def check_budget(pages: float, rota: str, per_shift: float) -> Budget:
    """`BadInput` for a figure that no budget can have."""
    for label, value in (
        ("False pages of this model in a quarter", pages),
        ("False pages in a 12-hour shift over all models of the rota", per_shift),
    ):
        if not (math.isfinite(value) and value > 0):
            raise BadInput(f"{label}: write a number above 0, not {value:g}")
    return Budget(pages, rota.strip() or Budget.rota, per_shift)


def spec_digest(model: Model) -> str:
    """What somebody who changes the budget has looked at."""
    return hashlib.sha256(json.dumps(model.spec, sort_keys=True).encode()).hexdigest()
