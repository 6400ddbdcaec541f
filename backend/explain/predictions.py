"""Local SHAP values, one row a prediction: stored by jobs, found by id, let go with the rows they explain."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import CursorResult, delete, insert, select, update

from backend import clock
from backend.database.session import ReadSession, WriteSession
from backend.explain.second_opinion import words_of
from backend.explain.tables import Explainer, PredictionExplanation
from backend.governance.digests import digest_of
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.registry.service import get_model

Because = Literal["sample", "slice", "alert", "asked", "complaint"]
WEIGHT: Final[Mapping[str, int]] = {"sample": 0, "slice": 1, "alert": 2, "asked": 3, "complaint": 4}
"""Why a prediction is explained; what is heavier is kept where it is explained for two reasons."""
ADDITIVITY: Final = 1e-4
"""Of the largest output: rounding in single precision stays far below, a wrong reading of a tree far above."""
SAME_SCORE: Final = 0.005
"""Scores are often sent rounded to two or three digits."""
LOGISTIC: Final = ("tree", "deep")
"""Kinds of explainers whose log-odds are of a probability; the decision function of others may be a margin."""
CHUNK: Final = 500


@dataclass(frozen=True)
class ExplainerFacts:
    """What explains, before it has a row. `columns` in the order of the values."""

    model: str
    version: int
    kind: str
    method: str
    unit: str
    columns: tuple[str, ...]
    artefact_digest: str
    background_digest: str
    background_rows: int

    @property
    def id(self) -> str:
        return f"xpl_{digest_of(asdict(self)).removeprefix('sha256:')[:24]}"


@dataclass(frozen=True)
class LocalExplanation:
    """One prediction explained. `values` and `inputs` in the order of the explainer's columns."""

    prediction_id: str
    ts: datetime
    environment: str
    base_value: float
    output: float
    values: tuple[float, ...]
    inputs: tuple[Any, ...]
    because: Because = "asked"
    reason_codes: tuple[dict[str, Any], ...] | None = None
    second_opinion: dict[str, Any] | None = None

    @property
    def gap(self) -> float:
        """What of the output the values do not account for: nothing, where they are SHAP values."""
        return self.output - self.base_value - sum(self.values)


@dataclass(frozen=True)
class Stored:
    """A stored explanation with its explainer, as readers need it. `contributions`: largest first."""

    row: PredictionExplanation
    explainer: Explainer

    @property
    def contributions(self) -> tuple[dict[str, Any], ...]:
        values = unpack(self.row.contributions)
        found = [
            {"column": name, "value": value, "contribution": moved}
            for name, value, moved in zip(self.explainer.columns, self.row.inputs, values, strict=True)
        ]
        return tuple(sorted(found, key=lambda one: (-abs(one["contribution"]), one["column"])))

    @property
    def adds_up(self) -> bool:
        return adds_up(self.row.gap, self.row.output)

    @property
    def answered(self) -> float | None:
        """The output as a probability; None where the explainer's unit has none."""
        if self.explainer.unit == "probability":
            return self.row.output
        if self.explainer.unit == "log-odds" and self.explainer.kind in LOGISTIC:
            return 0.5 * (1.0 + math.tanh(0.5 * self.row.output))
        return None

    def is_of(self, score: float | None) -> bool:
        """Whether it explains the answer that was recorded, as far as both are known.

        The version was asked again, with the inputs as they are stored: where others scored the row, or the inputs
        changed on their way, it answers something else, and that is what the contributions add up to.
        """
        answered = self.answered
        return score is None or answered is None or abs(answered - score) <= SAME_SCORE

    @property
    def second_opinion(self) -> dict[str, Any] | None:
        """LIME's, with what is to be said of it in words; None where nobody asked for this prediction."""
        found = self.row.second_opinion
        return None if found is None else {**found, "words": words_of(found)}

    def view(self) -> dict[str, Any]:
        """As the API answers it."""
        row, explainer = self.row, self.explainer
        return {
            "model": row.model, "prediction_id": row.prediction_id, "version": row.version,
            "environment": row.environment, "ts": clock.to_iso(row.ts), "because": row.because,
            "computed_at": clock.to_iso(row.computed_at), "base_value": row.base_value, "output": row.output,
            "contributions": list(self.contributions), "gap": row.gap, "adds_up": self.adds_up,
            "reason_codes": row.reason_codes, "second_opinion": self.second_opinion,
            "explainer": {
                "id": explainer.id, "kind": explainer.kind, "method": explainer.method, "unit": explainer.unit,
                "artefact_digest": explainer.artefact_digest, "background_digest": explainer.background_digest,
                "background_rows": explainer.background_rows,
            },
        }  # fmt: skip


def adds_up(gap: float, output: float) -> bool:
    return abs(gap) <= ADDITIVITY * max(1.0, abs(output))


def pack(values: Sequence[float]) -> bytes:
    """Single precision, little-endian: four bytes a value."""
    return struct.pack(f"<{len(values)}f", *values)


def unpack(packed: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(packed) // 4}f", packed)


def store_explanations(
    session: WriteSession, actor: Actor, *, explainer: ExplainerFacts, explained: Sequence[LocalExplanation]
) -> int:
    """Store these in place of earlier ones of the same predictions; gives how many. The heavier reason is kept, and so
    is a second opinion beside the same explainer's values."""
    allow(session, actor, Permission.COMPUTE_METRICS)
    get_model(session, actor, explainer.model)
    id_ = explainer.id
    if session.get(Explainer, id_) is None:
        facts = asdict(explainer) | {"columns": list(explainer.columns)}
        session.add(Explainer(id=id_, created_at=clock.now(), **facts))
        session.flush()
    ids = [one.prediction_id for one in explained]
    before = _reasons_of(session, explainer.model, ids)
    opinions = _opinions_of(session, explainer.model, ids, id_) if before else {}
    forget_explanations(session, explainer.model, before)
    now = clock.now()
    of_all = {"model": explainer.model, "version": explainer.version, "explainer_id": id_, "computed_at": now}
    given = [
        {
            **of_all, "prediction_id": one.prediction_id, "environment": one.environment, "ts": one.ts,
            "because": max(one.because, before.get(one.prediction_id, one.because), key=WEIGHT.__getitem__),
            "base_value": one.base_value, "output": one.output, "gap": one.gap, "contributions": pack(one.values),
            "second_opinion": one.second_opinion or opinions.get(one.prediction_id),
            "inputs": list(one.inputs), "reason_codes": None if one.reason_codes is None else list(one.reason_codes),
        }
        for one in explained
    ]  # fmt: skip
    if given:
        session.execute(insert(PredictionExplanation), given)
    return len(explained)


def find_stored(session: ReadSession, model: str, prediction_id: str) -> Stored | None:
    """One explanation by the prediction's id: one look-up by primary key. Callers ask for the permission."""
    row = session.get(PredictionExplanation, (model, prediction_id))
    return None if row is None else Stored(row, session.get_one(Explainer, row.explainer_id))


def stored_of(session: ReadSession, model: str, prediction_ids: Sequence[str]) -> list[Stored]:
    """Those of these predictions that are stored, by id."""
    found: list[Stored] = []
    for start in range(0, len(prediction_ids), CHUNK):
        query = (
            select(PredictionExplanation, Explainer)
            .join(Explainer, Explainer.id == PredictionExplanation.explainer_id)
            .where(_are(model, prediction_ids[start : start + CHUNK]))
        )
        found += [Stored(row, explainer) for row, explainer in session.execute(query)]
    return sorted(found, key=lambda one: one.row.prediction_id)


def mark_complaint(session: WriteSession, model: str, prediction_id: str) -> None:
    """Remember of a stored explanation that somebody complained: it is one that is always explained."""
    session.execute(
        update(PredictionExplanation).where(_are(model, [prediction_id])).values(because="complaint")
    )


def forget_explanations(session: WriteSession, model: str, prediction_ids: Iterable[str]) -> int:
    """Remove the explanations of these predictions. Gives how many there were."""
    ids, count = list(prediction_ids), 0
    for start in range(0, len(ids), CHUNK):
        done: CursorResult[Any] = session.execute(  # type: ignore[assignment]
            delete(PredictionExplanation).where(_are(model, ids[start : start + CHUNK]))
        )
        count += done.rowcount
    return count


def older_explanations(
    session: ReadSession, model: str, *, computed_before: datetime | None, made_before: datetime | None
) -> set[str]:
    """Ids of predictions whose explanations are older than either moment: computed, or of rows made, before it."""
    found: set[str] = set()
    for column, moment in (
        (PredictionExplanation.computed_at, computed_before),
        (PredictionExplanation.ts, made_before),
    ):
        if moment is not None:
            query = select(PredictionExplanation.prediction_id).where(
                PredictionExplanation.model == model, column < moment
            )
            found.update(session.scalars(query))
    return found


def _reasons_of(session: ReadSession, model: str, ids: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for start in range(0, len(ids), CHUNK):
        query = select(PredictionExplanation.prediction_id, PredictionExplanation.because).where(
            _are(model, ids[start : start + CHUNK])
        )
        found.update({row.prediction_id: row.because for row in session.execute(query)})
    return found


def _opinions_of(session: ReadSession, model: str, ids: Sequence[str], explainer: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for start in range(0, len(ids), CHUNK):
        query = select(PredictionExplanation.prediction_id, PredictionExplanation.second_opinion).where(
            _are(model, ids[start : start + CHUNK]), PredictionExplanation.explainer_id == explainer,
            PredictionExplanation.because.in_(("asked", "complaint")),
        )  # fmt: skip
        found.update({row.prediction_id: row.second_opinion for row in session.execute(query)})
    return found


def _are(model: str, ids: Sequence[str]) -> Any:
    return (PredictionExplanation.model == model) & PredictionExplanation.prediction_id.in_(ids)
