"""Models of the streams: strong, simple, and trained on the earliest part only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

SEED = 0


def predict(frame: pd.DataFrame, spec: dict[str, Any], *, linear: bool = False) -> pd.DataFrame:
    """Train on the rows whose split is `train` and whose label is there; add `prediction` and `score` to all.

    binary: score is the probability of class 1, prediction is score >= 0.5; multiclass: prediction is the
    likeliest class and score its probability; regression: score is missing. `linear` takes a logistic
    regression instead of gradient boosting.
    """
    features = list(spec["features"])
    learnt = frame[(frame["split"] == "train") & frame["label"].notna()]
    model = _model(spec, linear).fit(learnt[features], learnt["label"].to_numpy(_label_type(spec["task"])))
    if spec["task"] == "regression":
        return frame.assign(prediction=model.predict(frame[features]), score=np.nan)
    chances = model.predict_proba(frame[features])
    if spec["task"] == "binary":
        score = chances[:, 1]
        return frame.assign(prediction=(score >= 0.5).astype("int64"), score=score)
    classes = model.classes_[chances.argmax(axis=1)]
    return frame.assign(prediction=classes, score=chances.max(axis=1))


def _label_type(task: str) -> Any:
    return {"binary": "int64", "regression": "float64"}.get(task, object)


def _model(spec: dict[str, Any], linear: bool) -> Pipeline:
    categorical = [name for name, kind in spec["features"].items() if kind == "categorical"]
    numeric = [name for name, kind in spec["features"].items() if kind == "numeric"]
    if linear:
        columns = make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), numeric),
            (OneHotEncoder(handle_unknown="ignore", min_frequency=20), categorical),
        )
        return make_pipeline(columns, LogisticRegression(max_iter=500))
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=200)
    columns = make_column_transformer((encoder, categorical), remainder="passthrough")
    regression = spec["task"] == "regression"
    kind = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    coded = list(range(len(categorical)))
    boosted = kind(
        max_iter=150, learning_rate=0.08, categorical_features=coded, early_stopping=False, random_state=SEED
    )
    return make_pipeline(columns, boosted)
