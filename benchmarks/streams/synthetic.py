"""Streams whose truth is planted: what changes, from which day to which, and what it does to the labels.

A world draws rows with a daily and weekly rhythm and features whose level wanders from day to day
(autoregressive, so that neighbouring days are alike). Labels follow the true features; what the model and
the monitor see may be broken afterwards. Twenty days train, forty are the reference, the rest is live.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.streams.learning import predict
from benchmarks.streams.stream import Stream, make_spec, split_in_time

START: Final = datetime(2025, 1, 6, tzinfo=UTC)
TRAIN_DAYS: Final = 20
REFERENCE_DAYS: Final = 40
NUMERIC: Final = ("pressure", "speed", "amount", "noise")
CATEGORICAL: Final = ("channel", "branch")
CLASSES: Final = np.array(["low", "middle", "high"], dtype=object)

Floats = NDArray[np.float64]


@dataclass
class World:
    """One draw of rows. `day` counts live days from 0 (before that negative); `truth` is the linear score the
    labels follow, which a plot may change before labels are drawn.
    """

    random: np.random.Generator
    rows: pd.DataFrame
    day: NDArray[np.int64]
    truth: Floats

    def within(self, first: int, last: int) -> NDArray[np.bool_]:
        """Rows of the live days first to last, both included."""
        return (self.day >= first) & (self.day <= last)


Plot = Callable[[World], None]


def _draw_world(seed: int, live_days: int, rows_a_day: int, wander: float) -> World:
    random = np.random.default_rng(seed)
    days = TRAIN_DAYS + REFERENCE_DAYS + live_days
    weekly = 1 + 0.35 * np.cos(2 * np.pi * np.arange(days) / 7)
    counts = random.poisson(rows_a_day * weekly)
    at = np.repeat(np.arange(days), counts)
    hour = (random.beta(2.5, 2.0, len(at)) * 24) % 24
    rhythm = np.sin(2 * np.pi * hour / 24)

    level = np.zeros((days, 3))
    for day in range(1, days):
        level[day] = 0.8 * level[day - 1] + wander * random.normal(size=3)
    level = level[at]
    week = weekly[at] - 1
    pressure = random.normal(size=len(at)) + level[:, 0] + 0.4 * rhythm + 0.5 * week
    speed = random.normal(size=len(at)) + level[:, 1] - 0.3 * rhythm
    amount = np.exp(random.normal(size=len(at)) * 0.8 + 0.5 * level[:, 2] + 0.2 * week)
    channel = random.choice(5, len(at), p=[0.35, 0.25, 0.2, 0.15, 0.05])
    branch = np.minimum(random.geometric(0.12, len(at)) - 1, 29)
    truth = (
        1.3 * pressure + 0.9 * speed - 0.7 * np.log(amount) + np.array([0.6, -0.4, 0.0, 0.9, -0.8])[channel]
    )
    rows = pd.DataFrame(
        {
            "ts": pd.Timestamp(START) + pd.to_timedelta(at * 24 + hour, unit="h").round("ms"),
            "pressure": pressure,
            "speed": speed,
            "amount": amount,
            "noise": random.normal(size=len(at)) + 0.2 * rhythm,
            "channel": np.array([f"c{code}" for code in range(5)], dtype=object)[channel],
            "branch": np.array([f"b{code:02d}" for code in range(30)], dtype=object)[branch],
        }
    )
    return World(random, rows, at - TRAIN_DAYS - REFERENCE_DAYS, truth)


def _build(
    spec: dict[str, Any],
    *,
    seed: int,
    live_days: int,
    rows_a_day: int,
    wander: float,
    shift: Plot | None,
    concept: Plot | None,
    damage: Plot | None,
    delay: Callable[[World, pd.Series], Floats],
) -> pd.DataFrame:
    """`shift` changes features before labels are drawn (and must keep `truth` in step), `concept` changes how
    labels follow them, `damage` changes what is seen of them. `delay` gives hours from `ts` to the label.
    """
    world = _draw_world(seed, live_days, rows_a_day, wander)
    for plot in (shift, concept):
        if plot is not None:
            plot(world)
    rows = world.rows
    if spec["task"] == "binary":
        chance = 1 / (1 + np.exp(-(world.truth - 0.5)))
        rows["label"] = (world.random.random(len(rows)) < chance).astype("int64")
    elif spec["task"] == "multiclass":
        noisy = world.truth + world.random.logistic(size=len(rows)) * 0.7
        rows["label"] = CLASSES[np.digitize(noisy, [-0.8, 1.0])]
    else:
        scale = np.exp(0.3 * rows["pressure"])
        rows["label"] = 20 + 6 * world.truth + 4 * scale * world.random.standard_t(2.5, len(rows))
    if damage is not None:
        damage(world)
    rows["label_ts"] = rows["ts"] + pd.to_timedelta(delay(world, rows["label"]), unit="h").round("ms")
    rows["prediction_id"] = "row-" + rows.index.astype(str).str.zfill(7)
    day = pd.Timedelta(days=1)
    rows["split"] = split_in_time(
        rows, trained_until=START + TRAIN_DAYS * day, live_from=START + (TRAIN_DAYS + REFERENCE_DAYS) * day
    )
    return predict(rows, spec, linear=spec["task"] == "binary")


def _after(hours: float, jitter: float = 0.5) -> Callable[[World, pd.Series], Floats]:
    return lambda world, labels: hours * (1 + jitter * world.random.random(len(labels)))


def _ones_first(world: World, labels: pd.Series) -> Floats:
    """A one shows itself within a day; a zero is a zero only after two weeks without anything."""
    fast = 2 + world.random.exponential(8, len(labels))
    found: Floats = np.where(labels == 1, np.minimum(fast, 24), 14 * 24 + world.random.random(len(labels)))
    return found


def _weeks(world: World, labels: pd.Series) -> Floats:
    """Lognormal, half of them after three days, a twentieth after more than three weeks."""
    found: Floats = np.minimum(72 * np.exp(1.2 * world.random.normal(size=len(labels))), 60 * 24.0)
    return found


def _shift_inputs(world: World) -> None:
    live = world.day >= 20
    world.rows.loc[live, "noise"] += 1.0
    world.rows.loc[live, "branch"] = world.random.choice(world.rows["branch"].unique(), int(live.sum()))
    # A wider spread of an important feature: easier rows, so performance does not fall.
    more = np.where(live, 0.25 * world.rows["pressure"], 0.0)
    world.rows["pressure"] += more
    world.truth = world.truth + 1.3 * more


def _forget(*spans: tuple[int, int]) -> Plot:
    """In these live days labels follow neither speed nor pressure as they did; the inputs look as ever."""

    def plot(world: World) -> None:
        for first, last in spans:
            inside = world.within(first, last)
            gone = 1.8 * world.rows["speed"].to_numpy() + 0.5 * world.rows["pressure"].to_numpy()
            world.truth = np.where(inside, world.truth - gone, world.truth)

    return plot


def _fade(world: World) -> None:
    share = np.clip((world.day - 15) / 50, 0, 1)
    world.truth = world.truth - share * (1.3 * world.rows["speed"] + 0.6 * world.rows["pressure"]).to_numpy()


def _break(column: str, share: float, *spans: tuple[int, int]) -> Plot:
    """In these live days the column arrives null in this share of the rows."""

    def plot(world: World) -> None:
        for first, last in spans:
            hit = world.within(first, last) & (world.random.random(len(world.rows)) < share)
            world.rows.loc[hit, column] = np.nan

    return plot


def _rescale(column: str, factor: float, *spans: tuple[int, int]) -> Plot:
    """In these live days the column arrives in another unit."""

    def plot(world: World) -> None:
        for first, last in spans:
            world.rows.loc[world.within(first, last), column] *= factor

    return plot


def _both(first: Plot, second: Plot) -> Plot:
    def plot(world: World) -> None:
        first(world)
        second(world)

    return plot


def _stream(
    name: str,
    planted: str,
    *,
    seed: int,
    task: str = "binary",
    window: str | int = "1d",
    live_days: int = 80,
    rows_a_day: int = 600,
    wander: float = 0.15,
    shift: Plot | None = None,
    concept: Plot | None = None,
    damage: Plot | None = None,
    delay: Callable[[World, pd.Series], Floats] | None = None,
    label_delay: str | None = "1d",
) -> Stream:
    spec = make_spec(task, numeric=NUMERIC, categorical=CATEGORICAL, window=window, label_delay=label_delay)

    def build() -> pd.DataFrame:
        return _build(
            spec,
            seed=seed,
            live_days=live_days,
            rows_a_day=rows_a_day,
            wander=wander,
            shift=shift,
            concept=concept,
            damage=damage,
            delay=delay or _after(20),
        )

    return Stream(name, "synthetic", planted, spec, build)


STREAMS = (
    _stream("quiet_rhythm", "nothing, features wander a lot", seed=1, wander=0.35),
    _stream("quiet_small", "nothing, 200 rows a window", seed=2, window=200, rows_a_day=250),
    _stream("quiet_regression", "nothing, heavy tails", seed=3, task="regression"),
    _stream("quiet_multiclass", "nothing, three classes", seed=4, task="multiclass"),
    _stream("shift_harmless", "inputs shift from live day 20, no loss", seed=5, shift=_shift_inputs),
    _stream("concept_only", "P(y|x) changes on days 30-41 and 60-64", seed=6, concept=_forget((30, 41), (60, 64))),
    _stream("gradual", "P(y|x) fades from day 15 to day 65", seed=7, concept=_fade),
    _stream(
        "broken_important", "nine tenths of pressure null on days 25-32 and 55-57", seed=8,
        damage=_break("pressure", 0.9, (25, 32), (55, 57)),
    ),
    _stream(
        "broken_unimportant", "90 % of noise null on days 25-40", seed=9, damage=_break("noise", 0.9, (25, 40))
    ),
    _stream(
        "unit_change", "amount in hundredths on days 20-26, speed in thousands on days 50-54", seed=10,
        damage=_both(_rescale("amount", 100, (20, 26)), _rescale("speed", 1000, (50, 54))),
    ),
    _stream(
        "labels_in_weeks", "P(y|x) changes on days 30-44, labels days to weeks late", seed=11,
        concept=_forget((30, 44)), delay=_weeks, label_delay="3d", live_days=100,
    ),
    _stream(
        "labels_ones_first", "P(y|x) changes on days 40-54, ones within a day, zeros after two weeks", seed=12,
        concept=_forget((40, 54)), delay=_ones_first, label_delay="2w", live_days=100,
    ),
    _stream(
        "labels_ones_first_quiet", "nothing, ones within a day, zeros after two weeks", seed=13,
        delay=_ones_first, label_delay=None,
    ),
    _stream("multiclass", "P(y|x) changes on days 30-37", seed=14, task="multiclass", concept=_forget((30, 37))),
    _stream(
        "regression_heavy_tails", "P(y|x) changes on days 30-36, speed null on days 55-58", seed=15,
        task="regression", concept=_forget((30, 36)), damage=_break("speed", 1.0, (55, 58)),
    ),
    _stream(
        "recurring", "P(y|x) changes on two days of every fortnight", seed=16, live_days=98,
        concept=_forget(*((day, day + 1) for day in range(10, 98, 14))),
    ),
    _stream("rows_concept", "P(y|x) changes on days 30-36, windows of 1000 rows", seed=17, window=1000,
            concept=_forget((30, 36))),
)  # fmt: skip
