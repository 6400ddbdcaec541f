"""The body of a prediction request, checked against the model's spec before anything is scored.

Stricter than ingestion: a feature that is absent is refused, because a client that forgot one would get a score
for another question. An unknown value is written as null.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from backend.database.base import new_id
from backend.observations.schema import Kind
from backend.observations.validation import BadRow, prediction_row
from backend.serving.errors import BadFeature

MAX_INSTANCES: Final = 1000
_KEYS: Final = frozenset({"prediction_id", "features", "injected"})

FeatureValue = float | str


@dataclass(frozen=True, slots=True)
class Instance:
    """One row to score. `features` is canonical: floats and text, nulls left out. `content` identifies what was
    asked: the same id may come again only with the same content."""

    prediction_id: str
    features: Mapping[str, FeatureValue]
    injected: str | None
    content: bytes


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """`batch` says whether the answer is a list."""

    instances: tuple[Instance, ...]
    batch: bool


def parse_request(body: bytes, features: Mapping[str, Kind], *, now: datetime) -> PredictRequest:
    """Check a body. Raises `BadFeature` that names the row, the field and the reason."""
    try:
        document = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as failure:
        raise BadFeature("body", f"is not JSON: {failure}") from None
    if not isinstance(document, dict):
        raise BadFeature("body", 'must be an object with "features" or "instances"')
    if "instances" not in document:
        return PredictRequest((_instance(document, features, now, row=None),), batch=False)
    for name in document:
        if name != "instances":
            raise BadFeature(str(name), 'is not allowed beside "instances"')
    given = document["instances"]
    if not isinstance(given, list) or not given:
        raise BadFeature("instances", "must be a list with at least one instance")
    if len(given) > MAX_INSTANCES:
        raise BadFeature("instances", f"holds {len(given):,} instances; the limit is {MAX_INSTANCES:,}")
    instances: list[Instance] = []
    first_row: dict[str, int] = {}
    for row, item in enumerate(given):
        if not isinstance(item, dict):
            raise BadFeature("instances", "must be an object", row=row)
        instance = _instance(item, features, now, row=row)
        first = first_row.setdefault(instance.prediction_id, row)
        if first != row:
            raise BadFeature("prediction_id", f"is also the id of instances[{first}]", row=row)
        instances.append(instance)
    return PredictRequest(tuple(instances), batch=True)


def content_of(features: Mapping[str, FeatureValue], injected: str | None) -> bytes:
    """16 bytes that two rows share exactly when they ask the same."""
    text = json.dumps([sorted(features.items()), injected], separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _instance(
    given: Mapping[str, Any], features: Mapping[str, Kind], now: datetime, *, row: int | None
) -> Instance:
    for name in given:
        if name not in _KEYS:
            raise BadFeature(str(name), f"unknown key; there are {', '.join(sorted(_KEYS))}", row=row)
    values = given.get("features")
    if not isinstance(values, dict):
        raise BadFeature("features", "must be an object of feature names and values", row=row)
    for name in features:
        if name not in values:
            raise BadFeature(name, "is missing; write null if its value is not known", row=row)
    for name in values:
        if name not in features:
            raise BadFeature(
                str(name), f"is not a feature of this model; its features are {', '.join(features)}", row=row
            )
    prediction_id = given.get("prediction_id")
    if prediction_id is None:
        prediction_id = new_id("prd")
    try:
        # The store's own rules, so that what is scored is what is stored. Score and version come later.
        checked = prediction_row(
            features,
            {"prediction_id": prediction_id, "ts": now, "version": 1, "score": 0.0,
             "injected": given.get("injected"), "features": values},
            now=now,
        )  # fmt: skip
    except BadRow as bad:
        raise BadFeature(bad.column, bad.reason, row=row) from None
    canonical = checked["features"]
    return Instance(prediction_id, canonical, checked["injected"], content_of(canonical, checked["injected"]))


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value; write null")
