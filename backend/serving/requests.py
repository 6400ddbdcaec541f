"""The body of a prediction request, checked against the model's spec before anything is scored.

Stricter than ingestion: a feature that is absent is refused, because a client that forgot one would get a score
for another question. An unknown value is written as null.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from backend.database.base import new_id
from backend.observations.schema import Kind
from backend.observations.validation import BadRow, prediction_row
from backend.serving.errors import BadFeature
from backend.serving.signature import expectation, shown, why_not_whole

MAX_INSTANCES: Final = 1000
_KEYS: Final = frozenset({"prediction_id", "features", "injected", "key"})
LONGEST_KEY: Final = 500

FeatureValue = float | str


@dataclass(frozen=True, slots=True)
class Instance:
    """One row to score. `features` is canonical: floats and text, nulls left out. `content` identifies what was
    asked: the same id may come again only with the same content."""

    prediction_id: str
    features: Mapping[str, FeatureValue]
    injected: str | None
    content: bytes
    key: str = ""
    """by which a canary draws its share; not stored"""


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """`batch` says whether the answer is a list."""

    instances: tuple[Instance, ...]
    batch: bool


Stored = Callable[[Mapping[str, FeatureValue]], Mapping[str, FeatureValue]]


def _as_given(features: Mapping[str, FeatureValue]) -> Mapping[str, FeatureValue]:
    return features


def parse_request(
    body: bytes,
    features: Mapping[str, Kind],
    *,
    now: datetime,
    stored: Stored = _as_given,
    whole: Collection[str] = (),
) -> PredictRequest:
    """Check a body. Raises `BadFeature` that names the row, the field and the reason.

    `stored` says how inputs are stored: by that a row that is sent again is known. `whole` are features that the
    artefact's signature has as integers.
    """
    try:
        document = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as failure:
        raise BadFeature("body", f"is not JSON: {failure}") from None
    if not isinstance(document, dict):
        raise BadFeature("body", 'must be an object with "features" or "instances"')
    if "instances" not in document:
        one = _instance(document, features, now, row=None, stored=stored, whole=whole)
        return PredictRequest((one,), batch=False)
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
            raise BadFeature("instances", "must be an object", row=row, expected="an object", got=shown(item))
        instance = _instance(item, features, now, row=row, stored=stored, whole=whole)
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
    given: Mapping[str, Any],
    features: Mapping[str, Kind],
    now: datetime,
    *,
    row: int | None,
    stored: Stored,
    whole: Collection[str],
) -> Instance:
    for name in given:
        if name not in _KEYS:
            raise BadFeature(str(name), f"unknown key; there are {', '.join(sorted(_KEYS))}", row=row)
    values = given.get("features")
    if not isinstance(values, dict):
        raise BadFeature(
            "features", "must be an object of feature names and values", row=row,
            expected="an object", got=shown(values) if "features" in given else "nothing",
        )  # fmt: skip
    _check_names(values, features, row, whole)
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
        of = features.get(bad.column)
        raise BadFeature(
            bad.column, bad.reason, row=row,
            expected="text" if of is None else expectation(of, whole=bad.column in whole),
            got=shown(given.get(bad.column) if of is None else values[bad.column]),
        ) from None  # fmt: skip
    canonical = checked["features"]
    for name in whole:
        reason = why_not_whole(canonical.get(name))
        if reason is not None:
            raise BadFeature(
                name, reason, row=row, expected=expectation("numeric", whole=True), got=shown(values[name])
            )
    content = content_of(stored(canonical), checked["injected"])
    return Instance(prediction_id, canonical, checked["injected"], content, _key(given, row) or prediction_id)


def _check_names(
    values: Mapping[str, Any], features: Mapping[str, Kind], row: int | None, whole: Collection[str]
) -> None:
    for name, kind in features.items():
        if name not in values:
            raise BadFeature(
                name, "is missing; write null if its value is not known", row=row,
                expected=expectation(kind, whole=name in whole), got="nothing",
            )  # fmt: skip
    for name in values:
        if name not in features:
            raise BadFeature(
                str(name), f"is not a feature of this model; its features are {', '.join(features)}", row=row,
                expected="nothing", got=shown(values[name]),
            )  # fmt: skip


def _key(given: Mapping[str, Any], row: int | None) -> str | None:
    key = given.get("key")
    if key is None:
        return None
    if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY:
        expected = f"text of 1 to {LONGEST_KEY} characters"
        raise BadFeature("key", f"must be {expected}", row=row, expected=expected, got=shown(key))
    return key


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value; write null")
