"""What models cost in words and tables, and the form that sets a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final

import streamlit as st

from app.components.actions import Field, Submission, action_form
from app.components.assurance_actions import because, done
from app.components.status import headline
from app.components.tables import Cell, anchor, badge, lines, small, table
from app.formats import format_count, format_decimal
from app.plain_text import plain
from app.words import count_of
from backend.costs.budgets import set_budget
from backend.costs.kinds import BUDGETS, GROUPS, KINDS
from backend.costs.report import Budget, Costs, Line
from backend.database.session import WriteSession
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.identity.roles import Permission

PERIODS: Final = {
    "30": "the last 30 days",
    "90": "the last 90 days",
    "month": "this month",
    "before": "last month",
}


def period_of(name: str, today: date) -> tuple[date, date]:
    """First and last day."""
    if name == "month":
        return today.replace(day=1), today
    if name == "before":
        last = today.replace(day=1) - timedelta(days=1)
        return last.replace(day=1), last
    return today - timedelta(days=(90 if name == "90" else 30) - 1), today


def say_costs(found: Costs, period: str) -> None:
    """The answer on top: how much, and whether a budget is exceeded or a day stands out."""
    sums = {group: sum(one.of(group) for one in found.lines) for group in ("compute", "gpu", "storage")}
    exceeded = [one for one in found.budgets if one.exceeded]
    money = sum(one.money or 0.0 for one in found.lines)
    first = f"{format_decimal(money)} {found.currency}: " if found.prices else ""
    sentence = (
        f"{first}{_amount(sums['compute'], 'h')} of compute and {_amount(sums['gpu'], 'h')} of GPU in {period}, "
        f"{_amount(sums['storage'], 'GB')} held"
    )
    told = [
        f"{count_of(len(exceeded), 'budget')} exceeded" if exceeded
        else "no budget is exceeded" if found.budgets else "no budget is set",
        f"{count_of(len(found.anomalies), 'day')} out of the ordinary" if found.anomalies else "",
        f"counted since {found.counted_since:%Y-%m-%d}" if found.counted_since else "",
    ]  # fmt: skip
    headline(
        sentence, "attention" if exceeded or found.anomalies else "ok" if found.budgets else "settled",
        detail=" · ".join(one for one in told if one),
    )  # fmt: skip


def show_lines(found: Costs) -> None:
    heads = ["model", "team", *(f"{title.lower()}, {unit}" for title, unit in GROUPS.values())]
    rows: list[list[Cell]] = [
        [anchor(one.model, "model", model=one.model) if one.model else "Warrant itself", one.team,
         *(_amount(one.of(group)) for group in GROUPS),
         *([format_decimal(one.money)] if one.money is not None else [])]
        for one in found.lines
    ]  # fmt: skip
    table([*heads, *([found.currency] if found.prices else [])], rows, caption="what each model used")


def show_teams(found: Costs) -> None:
    heads = ["team", "models", *(f"{title.lower()}, {unit}" for title, unit in GROUPS.values())]
    rows: list[list[Cell]] = [
        [name, format_count(sums['models']),
         *(_amount(sums[f"{group}_{unit.lower()}"]) for group, (_, unit) in GROUPS.items()),
         *([format_decimal(sums["money"])] if "money" in sums else [])]
        for name, sums in sorted(found.teams.items())
    ]  # fmt: skip
    table([*heads, *([found.currency] if found.prices else [])], rows, caption="what each team used")


def show_budgets(budgets: Sequence[Budget]) -> None:
    rows: list[list[Cell]] = [
        [one.model, BUDGETS[one.kind], f"{format_decimal(one.used)} of {format_decimal(one.amount)}",
         badge("exceeded", "attention") if one.exceeded else badge("within", "ok"), one.set_by]
        for one in budgets
    ]  # fmt: skip
    table(("model", "budget", "used this month", "state", "set by"), rows, caption="budgets")


def show_sources(lines_shown: Sequence[Line]) -> None:
    """What is counted and where it comes from, with what was counted of it."""
    with st.expander("What is counted, and from where"):
        rows: list[list[Cell]] = [
            [lines(one.title, small(GROUPS[one.group][0])),
             f"{_amount(sum(line.amounts.get(one.name, 0.0) for line in lines_shown))} {one.unit}", one.source]
            for one in KINDS.values()
        ]  # fmt: skip
        table(("what", "in this period", "from"), rows, caption="what is counted")


def offer_budget(models: Mapping[str, str], prices: Mapping[str, float]) -> None:
    st.caption(plain("Exceeding a budget stops nothing: it is a ticket until the month is over."))
    kinds = [one for one in BUDGETS if one != "money" or prices]
    sent = action_form(
        "set-budget", label="Set the budget", object_id="budget", digest="new",
        fields=[Field("model", "Model", "select", required=True, options=sorted(models)),
                Field("kind", "Of", "select", required=True, options=kinds),
                Field("amount", "Hours or money a month, GB held; empty: none", max_chars=20),
                Field("why", "Why, for the record")],
        disabled_because=because(Permission.SET_BUDGETS, "set budgets")
        or (None if models else "No model is registered yet."),
    )  # fmt: skip
    done(sent, _set, "The budget is set.")


def _set(session: WriteSession, me: Actor, form: Submission) -> object:
    values, written = form.values, (form.values.get("amount") or "").strip()
    try:
        amount = float(written) if written else None
    except ValueError as error:
        raise BadInput(f"the amount is a number, not {written!r}", field="amount") from error
    return set_budget(
        session, me, model=values["model"], kind=values["kind"], amount=amount, why=values.get("why") or ""
    )


def _amount(value: float, unit: str = "") -> str:
    """With as many digits as matter: 0.004, 1.25, 1,200."""
    return format_decimal(value, 0 if value >= 1000 else 2 if value >= 1 or value == 0 else 3, unit)
