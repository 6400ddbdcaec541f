"""A model with known behaviour, and windows in which exactly one thing changed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from backend.monitoring.columns import Column, ModelSpec, Task

FEATURES = (
    Column("age", "numeric"), Column("income", "numeric"), Column("noise", "numeric"),
    Column("city", "categorical"), Column("plan", "categorical"),
)  # fmt: skip
CITIES = ["Lyon", "Oslo", "Rome", "Bern"]
CAUSES = ("mix", "behaviour", "quality")


def spec_of(task: Task) -> ModelSpec:
    return ModelSpec(task=task, features=FEATURES, window="1d")


def rows_of(
    task: Task, rows: int, seed: int, cause: str | None = None, *, strength: float = 1.0
) -> pd.DataFrame:
    """Rows answered by a fixed model.

    mix        older rows and more of Bern, on which the model is weak
    behaviour  labels of Lyon and Oslo follow another rule
    quality    income is missing in 40 % of rows, and the model answers as if it were average
    """
    random = np.random.default_rng(seed)
    moved = strength if cause == "mix" else 0.0
    age = random.normal(0.9 * moved, 1, rows)
    shares = np.array([0.4, 0.3, 0.2, 0.1 + 0.25 * moved])
    frame = pd.DataFrame(
        {
            "age": age,
            "income": random.normal(0, 1, rows),
            "noise": random.lognormal(0, 1, rows),
            "city": random.choice(CITIES, rows, p=shares / shares.sum()),
            "plan": random.choice(list("abcde"), rows),
        }
    )
    weak = 1 / (1 + np.exp(1.5 - 1.2 * age - 1.0 * (frame["city"] == "Bern")))  # 0: sure, 1: blind
    if cause == "behaviour":
        weak = np.where(frame["city"].isin(["Lyon", "Oslo"]), weak + 0.6 * strength * (1 - weak), weak)
    seen = frame["income"].copy()
    if cause == "quality":
        gone = random.random(rows) < 0.4 * strength
        frame["income"] = frame["income"].where(~gone)
        seen = frame["income"].fillna(0.0) + 0.0
    truth = random.normal(0, 1, rows) * 0.3 + _income(random, frame, seen, cause, rows)
    return _answered(task, random, frame, seen.to_numpy(), truth, np.asarray(weak))


def _income(
    random: np.random.Generator, frame: pd.DataFrame, seen: pd.Series, cause: str | None, rows: int
) -> np.ndarray:
    """The income that the label follows, also where the model did not see it."""
    unseen = random.normal(0, 1, rows)
    return np.where(frame["income"].isna(), unseen, seen)


def _answered(
    task: Task, random: np.random.Generator, frame: pd.DataFrame, seen: np.ndarray, truth: np.ndarray, weak: np.ndarray
) -> pd.DataFrame:  # fmt: skip
    rows = len(frame)
    if task == "regression":
        label = truth + random.normal(0, 1, rows) * (0.3 + 2 * weak)
        return frame.assign(prediction=seen, label=label)
    if task == "multiclass":
        wrong = random.random(rows) < weak
        names = np.array(["low", "middle", "high"])
        prediction = names[np.digitize(seen, [-0.5, 0.5])]
        right = names[np.digitize(truth, [-0.5, 0.5])]
        return frame.assign(prediction=prediction, label=np.where(wrong, random.choice(names, rows), right))
    chance = 1 / (1 + np.exp(-3 * truth))
    label = random.random(rows) < (1 - weak) * chance + weak * 0.5
    score = 1 / (1 + np.exp(-2 * seen))
    return frame.assign(score=score, prediction=(score >= 0.5).astype(int), label=label.astype(int))
