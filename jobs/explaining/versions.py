"""A registered version, prepared for explaining in the process that loaded it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.database.session import reading
from backend.errors import BadInput, WarrantError
from backend.explain.predictions import ExplainerFacts, LocalExplanation
from backend.explain.reasons import adverse_reasons, is_declined, is_positive
from backend.identity.actor import Actor
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.registry.reference_file import read_reference
from backend.registry.service import get_model, get_version
from backend.registry.tables import Version
from jobs.explaining.base import Attributed, Prepared, input_of
from jobs.models import ModelEnded, ModelRaised, open_model
from jobs.models.explaining import prepared_there

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class PreparedVersion:
    """A version with its explainer. `classes`: of a multiclass model, in the order of the values."""

    version: Version
    spec: ModelSpec
    prepared: Prepared
    classes: tuple[str, ...]

    @property
    def facts(self) -> ExplainerFacts:
        prepared, version = self.prepared, self.version
        return ExplainerFacts(
            version.model, version.version, prepared.way.kind, prepared.method, prepared.unit,
            tuple(column.name for column in self.spec.features), version.artefact_digest,
            prepared.background_digest, prepared.way.background_rows,
        )  # fmt: skip

    def explain(
        self, rows: pd.DataFrame, *, because: Any = "asked", cutoffs: Sequence[float] | None = None
    ) -> list[LocalExplanation]:
        """Rows of the store (`observations.reader`) explained, with the reasons of those that were declined.

        cutoffs   of the time of each row, where only its score says which way it was decided; None: the version's
        """
        found = self._attributed(rows)
        values, base, output = self._of_answer(found, rows)
        # By column, not by row: what is done beside the explainer's own work has to stay next to nothing.
        inputs = zip(*(_plain_column(rows[name]) for name in self._columns), strict=True)
        reasons = self._reasons(rows, values, cutoffs) if self.spec.reason_codes else [None] * len(rows)
        return [
            LocalExplanation(str(id_), at.to_pydatetime(), str(place), start, end, tuple(moved), given, because, why)
            for id_, at, place, start, end, moved, given, why in zip(
                rows["prediction_id"], rows["ts"], rows["environment"], base.tolist(), output.tolist(),
                values.tolist(), inputs, reasons, strict=True,
            )
        ]  # fmt: skip

    def _attributed(self, rows: pd.DataFrame) -> Attributed:
        """Raises `BadInput` for whatever shap or the model raises, so that the reason is kept and told."""
        try:
            return self.prepared.explain(rows)
        except WarrantError:
            raise
        except Exception as error:
            named = f"version {self.version.version} of {self.version.model}"
            raise BadInput(f"{named} cannot be explained: {_words(error)}") from error

    def second_opinion(self, row: pd.DataFrame, explained: LocalExplanation) -> dict[str, Any]:
        """LIME's beside the SHAP values of one row; where it cannot be had, why."""
        try:
            answer = self.prepared.explain(row).output
            place = int(self._places(answer, row)[0]) if answer.ndim > 1 else None
            shap = dict(zip(self._columns, explained.values, strict=True))
            return self.prepared.second.opinion(input_of(row, self.spec), shap, place=place)
        except ModelEnded:
            raise
        except Exception as error:  # noqa: BLE001 - whatever lime or the model raises: SHAP's values stand alone
            return {"known": False, "why": _words(error)[:300]}

    @property
    def _columns(self) -> list[str]:
        return [column.name for column in self.spec.features]

    def _of_answer(self, found: Attributed, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values (n, features), base and output (n,): of several classes, those of the class that was answered, or of
        the positive one of two."""
        import numpy as np

        if found.values.ndim == 2:
            return found.values, np.full(len(rows), found.base[0]), found.output
        place = self._places(found.output, rows)
        each = np.arange(len(rows))
        return found.values[each, :, place], found.base[place], found.output[each, place]

    def _places(self, output: np.ndarray, rows: pd.DataFrame) -> np.ndarray:
        """Of several outputs, the one that each row is about."""
        import numpy as np

        place: np.ndarray = output.argmax(axis=1)
        if self.spec.task == "binary":
            place = np.full(len(rows), output.shape[1] - 1)
        elif self.classes and "prediction" in rows:
            known = {name: number for number, name in enumerate(self.classes)}
            said = [known.get(str(one)) for one in rows["prediction"]]
            place = np.array([o if s is None else s for s, o in zip(said, place, strict=True)])
        return place

    def _reasons(
        self, rows: pd.DataFrame, values: np.ndarray, cutoffs: Sequence[float] | None
    ) -> list[tuple[dict[str, Any], ...] | None]:
        """Those of each declined row; None for the others."""
        cutoffs = [self.version.cutoff] * len(rows) if cutoffs is None else cutoffs
        found: list[tuple[dict[str, Any], ...] | None] = []
        for row, moved, cutoff in zip(rows.to_dict("records"), values.tolist(), cutoffs, strict=True):
            prediction, score = _plain(row.get("prediction")), _plain(row.get("score"))
            said = None if prediction is None else str(prediction)
            declined = is_declined(self.spec, is_positive(self.spec, said, score, cutoff))
            by_column = dict(zip(self._columns, moved, strict=True))
            found.append(tuple(adverse_reasons(self.spec, by_column)) if declined else None)
        return found


@contextmanager
def prepared_version(actor: Actor, model: str, number: int) -> Iterator[PreparedVersion]:
    """The version in a process of its own, which ends with the block.

    Raises `BadInput` where the version cannot be asked again what moved its answers, `Conflict` where its files are
    not the recorded ones."""
    with reading() as session:
        found = get_model(session, actor, model)
        spec = parse_spec(found.spec)
        version = get_version(session, actor, model, number)
    hidden = [column.name for column in spec.features if column.name in spec.pseudonymise]
    if hidden:
        raise BadInput(
            f"{', '.join(hidden)} of {model} is stored as a pseudonym: the model cannot be asked again what moved it"
        )
    rows = read_reference(Path(version.reference_path), version.reference_digest).to_pandas()
    with open_model(version.uri, version.artefact_digest) as opened:
        yield PreparedVersion(version, spec, prepared_there(opened, rows, spec), opened.classes)


def _words(error: Exception) -> str:
    return error.message if isinstance(error, ModelRaised) else f"{type(error).__name__}: {error}"


def _plain_column(values: pd.Series) -> list[Any]:
    found: list[Any] = values.tolist()
    if values.dtype.kind in "fi" and values.notna().all():
        return found
    return [_plain(one) for one in found]


def _plain(value: Any) -> Any:
    """A value as JSON holds it; missing as None."""
    if isinstance(value, str | bool | int):
        return value
    if value is None or value != value:
        return None
    return value if isinstance(value, float) else str(value)
