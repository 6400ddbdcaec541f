"""Budgets of models: set by a person, with an entry in the audit log; a ticket while one is exceeded."""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import select

from backend import clock
from backend.alerting.service import Firing, fingerprint, fire, resolve
from backend.alerting.tables import Alert
from backend.audit.actions import Action
from backend.audit.log import record
from backend.costs.kinds import BUDGETS
from backend.costs.report import Budget, budgets_now
from backend.costs.tables import CostBudget
from backend.database.session import WriteSession
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.registry.service import get_model
from backend.settings import settings

LARGEST = 1e12


def set_budget(
    session: WriteSession, actor: Actor, *, model: str, kind: str, amount: float | None, why: str
) -> dict[str, Any]:
    """Say what a model may use in a calendar month (of storage: hold); None takes the budget away.

    Nothing is stopped where it is exceeded: a ticket says so, until the month is over or the budget is another one.
    """
    allow(session, actor, Permission.SET_BUDGETS)
    get_model(session, actor, model)
    if kind not in BUDGETS:
        raise BadInput(f"a budget is of {', '.join(BUDGETS)}, not {kind!r}", field="kind")
    if kind == "money" and not settings().prices:
        raise BadInput(
            "a budget of money needs prices: set WARRANT_PRICES, or set hours and GB", field="kind"
        )
    if amount is not None and not (math.isfinite(amount) and 0 < amount <= LARGEST):
        raise BadInput("a budget is more than 0; leave the amount out to take it away", field="amount")
    known = session.get(CostBudget, (model, kind), with_for_update=True)
    before = known.amount if known is not None else None
    if amount is None:
        if known is None:
            raise BadInput(f"{model} has no budget of {kind}", field="kind")
        session.delete(known)
    elif known is None:
        session.add(
            CostBudget(model=model, kind=kind, amount=amount, set_by=actor.person_id, set_at=clock.now())
        )
    else:
        known.amount, known.set_by, known.set_at = amount, actor.person_id, clock.now()
    session.flush()
    record(
        session, actor, Action.BUDGET_SET, object_kind="model", object_id=model,
        payload={"kind": kind, "amount": amount, "before": before}, why=why,
    )  # fmt: skip
    return {"model": model, "kind": kind, "amount": amount, "before": before}


def tell_exceeded(session: WriteSession, actor: Actor) -> list[str]:
    """A ticket for each budget that is exceeded; of the others it is over. Gives the models of the former."""
    exceeded = {(one.model, one.kind): one for one in budgets_now(session, clock.now()) if one.exceeded}
    for one in exceeded.values():
        fire(session, actor, _firing(one))
    live = session.scalars(select(Alert).where(Alert.kind == "cost", Alert.state == "firing")).all()
    wanted = {
        fingerprint(model, settings().environment, "cost", f"budget/{kind}") for model, kind in exceeded
    }
    for alert in live:
        if alert.fingerprint not in wanted:
            resolve(session, actor, alert, why="the budget is not exceeded", final=True)
    return sorted({model for model, _ in exceeded})


def _firing(budget: Budget) -> Firing:
    unit = settings().currency if budget.kind == "money" else "GB" if budget.kind == "storage" else "h"
    title = (
        f"{budget.model} used {budget.used:,.1f} {unit} of its budget of {budget.amount:,.1f} {unit} "
        f"({BUDGETS[budget.kind]})"
    )
    return Firing(
        budget.model, settings().environment, None, "cost", "ticket", title, f"budget/{budget.kind}", clock.now(),
        {"budget": budget.kind, "amount": budget.amount, "used": budget.used},
    )  # fmt: skip
