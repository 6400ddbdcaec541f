"""What models cost over a period: read from the days that were counted, with prices where a setting names them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from sqlalchemy import func, select

from backend import clock
from backend.costs.anomalies import DAYS_BEFORE, Anomaly, anomalies_of
from backend.costs.counting import day_of
from backend.costs.kinds import DAYS_A_MONTH, GROUPS, KINDS, in_unit, kinds_of
from backend.costs.tables import CostBudget, UsageDay
from backend.database.session import ReadSession
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.reach import see
from backend.identity.tables import Team, TeamModel
from backend.registry.tables import Model
from backend.settings import settings

LONGEST_DAYS: Final = 800
Daily = dict[tuple[str, str], dict[datetime, float]]


@dataclass(frozen=True)
class Budget:
    """What may be used this month (or held), and what was."""

    model: str
    kind: str
    amount: float
    used: float
    set_by: str
    set_at: datetime

    @property
    def exceeded(self) -> bool:
        return self.used > self.amount


@dataclass(frozen=True)
class Line:
    """What one model used in the period. Storage is what it held when it was last measured within."""

    model: str  # "": Warrant itself, and what cannot be told apart by model
    team: str
    amounts: dict[str, float]  # by kind, in its unit
    money: float | None  # None: no prices are set

    def of(self, group: str) -> float:
        return sum(self.amounts.get(kind, 0.0) for kind in kinds_of(group))

    def as_dict(self) -> dict[str, Any]:
        return {
            "model": self.model, "team": self.team, "money": self.money,
            **{f"{group}_{GROUPS[group][1].lower()}": round(self.of(group), 6) for group in GROUPS},
            "parts": {kind: round(amount, 6) for kind, amount in sorted(self.amounts.items())},
        }  # fmt: skip


@dataclass(frozen=True)
class Costs:
    """A period, its lines (the dearest first), days, budgets and what stands out."""

    since: date
    until: date  # within
    lines: list[Line]
    daily: Daily  # (model, group) -> day -> amount in the group's unit
    budgets: list[Budget]
    anomalies: list[Anomaly]
    counted_since: date | None
    prices: dict[str, float]
    currency: str
    teams: dict[str, dict[str, float]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "since": self.since.isoformat(), "until": self.until.isoformat(),
            "counted_since": self.counted_since.isoformat() if self.counted_since else None,
            "currency": self.currency if self.prices else None, "prices": self.prices,
            "models": [one.as_dict() for one in self.lines],
            "teams": [{"team": name, **sums} for name, sums in sorted(self.teams.items())],
            "days": [
                {"model": model, "group": group, "day": f"{day:%Y-%m-%d}", "amount": round(amount, 6),
                 "unit": GROUPS[group][1]}
                for (model, group), days in sorted(self.daily.items()) for day, amount in sorted(days.items())
            ],
            "budgets": [
                {"model": one.model, "kind": one.kind, "amount": one.amount, "used": round(one.used, 6),
                 "exceeded": one.exceeded, "set_by": one.set_by, "set_at": one.set_at}
                for one in self.budgets
            ],
            "anomalies": [
                {"model": one.model, "group": one.group, "day": f"{one.day:%Y-%m-%d}", "amount": one.amount,
                 "usual": one.usual, "text": one.text}
                for one in self.anomalies
            ],
        }  # fmt: skip


def teams_of(session: ReadSession) -> dict[str, str]:
    """Whose each model is: its team, or its owner where it is in none. The one place that says by what models are
    summed up."""
    owned = session.execute(select(TeamModel.model, Team.name).join(Team, Team.id == TeamModel.team_id))
    teams = {one.model: one.name for one in owned}
    owners = {one.name: one.owner_id for one in session.execute(select(Model.name, Model.owner_id))}
    names = names_of(session, set(owners.values()))
    own = {model: names.get(owner or "", "no owner") for model, owner in owners.items()}
    return own | teams | {"": "the house"}


def costs(
    session: ReadSession, viewer: Actor, *, since: date | None = None, until: date | None = None
) -> Costs:
    """What the models that the viewer may see cost from `since` to `until`, both within; else the last 30 days."""
    see(session, viewer)
    now = clock.now()
    end = _midnight(until or now.date())
    start = _midnight(since) if since else end - timedelta(days=29)
    if not start <= end <= start + timedelta(days=LONGEST_DAYS):
        raise BadInput(f"a period begins before it ends, and has at most {LONGEST_DAYS} days", field="since")
    begun = select(UsageDay.model, func.min(UsageDay.day).label("day")).group_by(UsageDay.model)
    first = {one.model: one.day for one in session.execute(begun)}
    usage = _read(session, start, end)
    teams, prices = teams_of(session), settings().prices
    lines = [
        Line(model, teams.get(model, "no owner"), *_summed(days, prices))
        for model, days in sorted(usage.items())
    ]
    lines.sort(key=lambda one: (-(one.money or 0.0), -one.of("gpu"), -one.of("compute"), one.model))
    history = _grouped(_read(session, start - timedelta(days=DAYS_BEFORE), end))
    over = [day for n in range((end - start).days + 1) if (day := start + timedelta(days=n)) < day_of(now)]
    daily = {
        key: {day: one for day, one in days.items() if start <= day <= end} for key, days in history.items()
    }
    return Costs(
        start.date(), end.date(), lines, {key: days for key, days in daily.items() if days},
        budgets_now(session, now),
        anomalies_of(history, first=first, days=over),
        min(first.values()).date() if first else None, prices, settings().currency, _by_team(lines),
    )  # fmt: skip


def budgets_now(session: ReadSession, now: datetime) -> list[Budget]:
    """Every budget with what was used of it in this month."""
    month = day_of(now).replace(day=1)
    rows = session.scalars(select(CostBudget).order_by(CostBudget.model, CostBudget.kind)).all()
    if not rows:
        return []
    usage, names = _read(session, month, day_of(now)), names_of(session, {one.set_by for one in rows})
    lines = {model: Line(model, "", *_summed(days, settings().prices)) for model, days in usage.items()}
    held = _held(session)
    found = []
    for one in rows:
        line = lines.get(one.model)
        if one.kind == "storage":
            used = held.get(one.model, 0.0)
        elif line is None:
            used = 0.0
        else:
            used = (line.money or 0.0) if one.kind == "money" else line.of(one.kind)
        found.append(Budget(one.model, one.kind, one.amount, used, names[one.set_by], one.set_at))
    return found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _read(
    session: ReadSession, start: datetime, end: datetime
) -> dict[str, dict[str, dict[datetime, float]]]:
    """model -> kind -> day -> amount in the kind's unit."""
    found: dict[str, dict[str, dict[datetime, float]]] = defaultdict(lambda: defaultdict(dict))
    rows = session.scalars(select(UsageDay).where(UsageDay.day >= start, UsageDay.day <= end))
    for one in rows:
        if one.kind in KINDS:
            found[one.model][one.kind][one.day] = in_unit(one.kind, one.amount)
    return found


def _held(session: ReadSession) -> dict[str, float]:
    """GB of each model when storage was last measured."""
    kinds = kinds_of("storage")
    newest = session.scalar(select(func.max(UsageDay.day)).where(UsageDay.kind.in_(kinds)))
    rows = session.scalars(select(UsageDay).where(UsageDay.kind.in_(kinds), UsageDay.day == newest))
    held: dict[str, float] = defaultdict(float)
    for one in rows:
        held[one.model] += in_unit(one.kind, one.amount)
    return held


def _summed(
    days: dict[str, dict[datetime, float]], prices: dict[str, float]
) -> tuple[dict[str, float], float | None]:
    """Amounts by kind and the money. Storage is the last amount; its money counts each day that was measured."""
    amounts, money = {}, 0.0
    for kind, amount in days.items():
        price = prices.get(KINDS[kind].price or "", 0.0)
        if KINDS[kind].group == "storage":
            amounts[kind] = amount[max(amount)]
            money += price * sum(amount.values()) / DAYS_A_MONTH
        else:
            amounts[kind] = sum(amount.values())
            money += price * amounts[kind]
    return amounts, round(money, 4) if prices else None


def _grouped(usage: dict[str, dict[str, dict[datetime, float]]]) -> Daily:
    daily: Daily = defaultdict(lambda: defaultdict(float))
    for model, kinds in usage.items():
        for kind, days in kinds.items():
            for day, amount in days.items():
                daily[model, KINDS[kind].group][day] += amount
    return daily


def _by_team(lines: list[Line]) -> dict[str, dict[str, float]]:
    teams: dict[str, dict[str, float]] = {}
    for one in lines:
        sums = teams.setdefault(one.team, {"models": 0})
        sums["models"] += 1
        for group, (_, unit) in GROUPS.items():
            name = f"{group}_{unit.lower()}"
            sums[name] = round(sums.get(name, 0.0) + one.of(group), 6)
        if one.money is not None:
            sums["money"] = round(sums.get("money", 0.0) + one.money, 4)
    return teams
