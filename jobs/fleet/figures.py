"""What the windows of one synthetic model hold: counts of every column and the values of its metrics, as arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from jobs.fleet.plan import FleetPlan, ModelPlan
from jobs.fleet.references import VALUES, Shared

Whole = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]
DAY = timedelta(days=1)
FALL = 4.0
"""How deep a fall goes, in practical margins of each metric."""
MOVED = 0.8
"""How far a feature drifts: so much of its distribution is turned round."""
RISING = 3
"""So many days pass until a fall or a drift is at its worst."""


@dataclass(frozen=True)
class Figures:
    """Days are windows, oldest first.

    version   (days,) which version answered
    rows      (days,) predictions; 0 where nothing came
    labelled  (days,) of these, with a label
    depth     (days,) how far the model has fallen, in practical margins
    noise     (days, 16) standard normal: what chance does to each metric
    missing   (days, columns)
    counts    (days, columns, 10) rows with each value; a class that was predicted is one of the first two
    """

    version: Whole
    rows: Whole
    labelled: Whole
    depth: Real
    noise: Real
    missing: Whole
    counts: Whole

    @property
    def digest(self) -> str:
        """Of all of it; rounded where the last bits depend on the processor."""
        found = hashlib.sha256()
        for one in fields(self):
            found.update(np.ascontiguousarray(np.round(getattr(self, one.name), 9)).tobytes())
        return f"sha256:{found.hexdigest()}"


def draw_figures(plan: FleetPlan, one: ModelPlan, shared: Mapping[int, Shared]) -> Figures:
    """Draw a model. `shared` by version."""
    draw = np.random.default_rng([plan.seed, one.index, 1])
    days = np.arange(plan.days)
    version = np.where(days < one.handover, 1, 2)
    weekday = (days + plan.since.weekday()) % 7
    usual = one.rows * np.where(weekday >= 5, 0.6, 1.0) * (1 + 0.1 * np.sin(2 * np.pi * days / 365.25))
    rows = np.asarray(draw.poisson(usual), dtype=np.int64)
    if one.gap_day is not None:
        rows[one.gap_day] = 0
    if one.silent_from is not None:
        rows[one.silent_from :] = 0
    columns = list(shared[1].spec.columns)
    moved = 0.01 * (1 + np.sin(2 * np.pi * weekday / 7))[:, None] * draw.uniform(0, 1, len(columns))
    if one.drift_from is not None:
        ramp = _ramp(days, one.drift_from)
        moved[:, list(one.drifting)] += MOVED * ramp[:, None]
    shares = _shares(shared, columns=[column.name for column in columns], version=version, moved=moved)
    rate = np.full((plan.days, len(columns)), 0.002)
    if one.broken_from is not None:
        rate[one.broken_from :, one.broken] = 0.5
    rate[:, [at for at, column in enumerate(columns) if column.name in ("score", "prediction")]] = 0.0
    missing = np.asarray(draw.binomial(rows[:, None], rate), dtype=np.int64)
    counts = np.asarray(draw.multinomial(rows[:, None] - missing, shares), dtype=np.int64)
    depth = FALL * _ramp(days, one.fall_from) if one.fall_from is not None else np.zeros(plan.days)
    return Figures(
        version=version.astype(np.int64), rows=rows, labelled=_labelled(plan, one, rows), depth=depth,
        noise=draw.standard_normal((plan.days, 16)), missing=missing, counts=counts,
    )  # fmt: skip


def _ramp(days: Whole, since: int) -> Real:
    """(days,) 0 before, then rising to 1."""
    return np.clip((days - since + 1) / RISING, 0.0, 1.0)


def _shares(shared: Mapping[int, Shared], *, columns: list[str], version: Whole, moved: Real) -> Real:
    """(days, columns, 10) how often each value comes: the reference's shares, mixed with the same turned round."""
    by_version = np.zeros((2, 2, len(columns), VALUES))
    for number, one in shared.items():
        for place, name in enumerate(columns):
            share = one.shares[name] / one.shares[name].sum()
            by_version[number - 1, 0, place, : share.size] = share
            by_version[number - 1, 1, place, : share.size] = share[::-1]
    plain, turned = by_version[version - 1, 0], by_version[version - 1, 1]
    mixed = (1 - moved[:, :, None]) * plain + moved[:, :, None] * turned
    return np.asarray(mixed / mixed.sum(axis=-1, keepdims=True))


def _labelled(plan: FleetPlan, one: ModelPlan, rows: Whole) -> Whole:
    """(days,) Labels come evenly over the days they take; 3 % never do."""
    age = plan.days - 1 - np.arange(plan.days)
    share = 0.97 * np.clip((age + 1) / one.label_days, 0.0, 1.0)
    share[age < one.label_days // 2] = 0.0
    return np.asarray(np.floor(rows * share), dtype=np.int64)


def start_of(plan: FleetPlan, day: int) -> datetime:
    return plan.since + day * DAY
