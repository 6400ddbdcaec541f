"""Which models a synthetic fleet has and what happens to each, from a seed and a place in the fleet alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from backend.errors import BadInput
from backend.monitoring.columns import Task

TEAMS: Final = (
    "Pricing", "Fraud", "Credit risk", "Marketing", "Claims", "Logistics", "Recommendations", "Search", "Support",
    "Collections", "Demand", "Network",
)  # fmt: skip
SUBJECTS: Final = {
    "binary": ("churn", "fraud", "default", "click", "return", "delay", "lapse", "no-show"),
    "regression": ("demand", "duration", "price", "value"),
}
TIERS: Final = ("low", "low", "medium", "medium", "medium", "high")
ROWS_A_DAY: Final = (400, 800, 1500, 3000, 6000)
LABEL_DAYS: Final = (1, 1, 1, 1, 1, 2, 7, 30)
MOST_MODELS, MOST_DAYS, MOST_FEATURES = 2000, 1000, 200
_NOTICE: Final = re.compile(
    r"seed (\d+), (\d+) days until (\d{4}-\d{2}-\d{2}), (\d+) features, (\d+) models with every statistic"
)


@dataclass(frozen=True)
class FleetPlan:
    """What was asked for. `dense`: so many of the first models have every default statistic in every window."""

    models: int
    days: int
    features: int
    dense: int
    until: datetime
    seed: int

    def __post_init__(self) -> None:
        for name, least, most in (
            ("models", 1, MOST_MODELS), ("days", 2, MOST_DAYS), ("features", 1, MOST_FEATURES),
            ("dense", 0, MOST_MODELS), ("seed", 0, 2**31),
        ):  # fmt: skip
            if not least <= getattr(self, name) <= most:
                raise BadInput(f"--{name} is from {least} to {most}, not {getattr(self, name)}")

    @property
    def since(self) -> datetime:
        """The start of the first window."""
        return self.until - timedelta(days=self.days)

    @property
    def notice(self) -> str:
        """What every page about one of its models says; by it a later call knows the fleet again."""
        return (
            f"Synthetic: made by `warrant bench seed-fleet` (seed {self.seed}, {self.days} days until "
            f"{self.until:%Y-%m-%d}, {self.features} features, {self.dense} models with every statistic). Nothing here "
            "was ever served, and no row of it was ever stored: windows, counts and points were drawn."
        )

    def matches(self, notice: str) -> bool:
        return notice == self.notice


def read_notice(notice: str | None) -> datetime | None:
    """Until when the fleet goes that wrote a notice; None: something else did."""
    found = _NOTICE.search(notice or "")
    return datetime.strptime(found[3], "%Y-%m-%d").replace(tzinfo=UTC) if found else None


@dataclass(frozen=True)
class ModelPlan:
    """One model, and what happens to it. Days count from the first window; None: it never happens.

    rows        predictions of an ordinary day
    label_days  days from the end of a window until its labels are there
    gap_day     a day without a prediction
    silent_from  nothing comes any more from here on
    fall_from   it gets worse from here on
    drift_from  `drifting` features move from here on
    broken_from  half of `broken` is missing from here on
    """

    index: int
    name: str
    title: str
    task: Task
    tier: str
    team: int
    rows: int
    label_days: int
    handover: int
    gap_day: int | None
    silent_from: int | None
    fall_from: int | None
    drift_from: int | None
    drifting: tuple[int, ...]
    broken_from: int | None
    broken: int
    dense: bool


def plan_model(plan: FleetPlan, index: int) -> ModelPlan:
    """The model at a place of the fleet: the same whatever the others are."""
    draw = np.random.default_rng([plan.seed, index, 0])
    task: Task = "regression" if index % 5 == 4 else "binary"
    subject = str(draw.choice(SUBJECTS[task]))
    last = max(plan.days // 10, 2)
    moving = int(draw.integers(1, max(plan.features // 8, 1) + 1))
    return ModelPlan(
        index=index,
        name=f"fleet-{index:04d}-{subject}",
        title=f"Synthetic {subject} {index:04d}",
        task=task,
        tier=str(draw.choice(TIERS)),
        team=index % len(TEAMS),
        rows=int(draw.choice(ROWS_A_DAY)),
        label_days=int(draw.choice(LABEL_DAYS)),
        handover=plan.days * 3 // 5,
        gap_day=int(draw.integers(0, plan.days - 1)) if index % 7 == 5 else None,
        silent_from=plan.days - last if index % 50 == 11 else None,
        fall_from=max(plan.days - last - 3, 0) if index % 33 == 7 else None,
        drift_from=max(plan.days - int(draw.integers(4, last + 4)), 0) if index % 9 == 2 else None,
        drifting=tuple(sorted(int(one) for one in draw.choice(plan.features, moving, replace=False))),
        broken_from=plan.days - int(draw.integers(1, 4)) if index % 20 == 3 else None,
        broken=int(draw.integers(0, plan.features)),
        dense=index < plan.dense,
    )


def spec_of_model(plan: FleetPlan, one: ModelPlan) -> dict[str, Any]:
    """The model's spec, as `register_model` takes it."""
    return {
        "task": one.task,
        "window": "1d",
        "timezone": "UTC",
        "label_delay": f"{one.label_days}d",
        "features": dict(features_of(plan)),
    }


def features_of(plan: FleetPlan) -> list[tuple[str, str]]:
    """(name, kind) of each feature: every third is categorical."""
    return [
        (f"f{place:03d}", "categorical" if place % 3 == 2 else "numeric") for place in range(plan.features)
    ]
