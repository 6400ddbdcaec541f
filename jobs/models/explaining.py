"""SHAP and LIME of a model in a process of its own: the same `Prepared` as beside the model, which asks it there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from backend.monitoring.columns import ModelSpec
from jobs.explaining.base import Attributed, Kind, Prepared, input_of
from jobs.models.numbers import unpacked
from jobs.models.process import ModelProcess

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class _Way:
    """One way of explaining, chosen there."""

    model: ModelProcess
    kind: Kind
    method: str
    background_rows: int

    def values(self, rows: pd.DataFrame) -> Attributed:
        return self.model.ask("values", lambda found: _attributed(found, rows), rows=self.model.send(rows))


@dataclass(frozen=True)
class _Second:
    model: ModelProcess

    def opinion(self, row: pd.DataFrame, shap: Mapping[str, float], *, place: int | None) -> dict[str, Any]:
        return self.model.ask("opinion", dict, rows=self.model.send(row), shap=dict(shap), place=place)


def prepared_there(model: ModelProcess, reference: pd.DataFrame, spec: ModelSpec) -> Prepared:
    """As `jobs.explaining.prepare`: the way chosen for the model by rows of what is usual."""
    document = {
        "task": spec.task, "label_unit": spec.label_unit,
        "features": [[column.name, column.kind] for column in spec.features],
    }  # fmt: skip

    def read(found: Any) -> Prepared:
        if found["kind"] not in get_args(Kind):
            raise ValueError(f"there is no way {found['kind']}")
        way = _Way(model, found["kind"], str(found["method"]), int(found["background_rows"]))
        return Prepared(
            way, spec, str(found["unit"]), str(found["background_digest"]), _Second(model),
            tuple(map(str, found["not_taken"])),
        )  # fmt: skip

    return model.ask("prepare", read, rows=model.send(input_of(reference, spec)), spec=document)


def _attributed(found: Any, rows: pd.DataFrame) -> Attributed:
    """Raises `ValueError` for other shapes than rows by features, or by classes too."""
    values, base, output = (unpacked(found[name]) for name in ("values", "base", "output"))
    classes = output.shape[1:]
    if (
        output.ndim not in (1, 2)
        or len(output) != len(rows)
        or values.shape != (*rows.shape, *classes)
        or base.shape != (classes or (1,))
    ):
        raise ValueError(
            f"values {values.shape}, base {base.shape} and output {output.shape} of {rows.shape} rows"
        )
    return Attributed(values, base, output)
