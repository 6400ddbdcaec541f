"""Loads one model and answers about it: `child.py FOLDER PIPE`. Asked and told by files, a line on its input for each.

It runs as `confined.py` left it, and refuses itself more before it loads the model. That it answered is told by a byte
in the pipe whose number is the second word.
"""

from __future__ import annotations

import json
import os
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd

ROWS: Final = "rows"
MODEL: Final = "model"
OUT: Final = "out"
REFUSED: Final = "refused.json"  # why the system refused less than was asked, before the first question


class Asked:
    """What can be asked: a method each, whose answer JSON can hold."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._model: Any = None
        self._predictor: Any = None
        self._prepared: Any = None
        self._read: tuple[str, list[dict[str, float | str]]] = ("", [])

    def load(self) -> dict[str, Any]:
        """`classes` of a classifier in their order; what loading allocated and kept, in bytes."""
        from backend.serving.loader import description_of, load_estimator
        from backend.serving.predictor import Predictor
        from backend.serving.signature import read_signature

        tracemalloc.start()
        self._model = load_estimator(self._folder / MODEL)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        signature = read_signature(description_of(self._folder / MODEL))
        self._predictor = Predictor(self._model, digest="", load_s=0.0, signature=signature)
        return {"classes": [str(one) for one in getattr(self._model, "classes_", ())], "held_bytes": held}

    def check_fits(self, *, features: dict[str, Any], task: Any) -> None:
        self._predictor.check_fits(features, task)

    def score(self, *, rows: str, features: dict[str, Any], task: Any, cutoff: float) -> dict[str, Any]:
        found = self._predictor.score(
            self._records(rows, features), features=features, task=task, cutoff=cutoff
        )
        return {"score": [one.score for one in found], "prediction": [one.prediction for one in found]}

    def time_row(self, *, rows: str, features: dict[str, Any], task: Any, cutoff: float, row: int) -> float:
        """Milliseconds for one row."""
        asked = self._records(rows, features)
        asked = [asked[row % len(asked)]]
        began = time.perf_counter()
        self._predictor.score(asked, features=features, task=task, cutoff=cutoff)
        return (time.perf_counter() - began) * 1e3

    def measure_memory(self, *, rows: str, features: dict[str, Any], task: Any, cutoff: float) -> int:
        """Bytes that scoring all rows at once allocated at most."""
        asked = self._records(rows, features)
        tracemalloc.start()
        try:
            self._predictor.score(asked, features=features, task=task, cutoff=cutoff)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def prepare(self, *, rows: str, spec: dict[str, Any]) -> dict[str, Any]:
        """Choose how it is explained, by rows of what is usual."""
        from jobs.explaining import prepare

        self._prepared = prepare(self._model, self._frame(rows), spec_of(spec))
        way = self._prepared.way
        return {
            "kind": way.kind, "method": way.method, "background_rows": way.background_rows,
            "unit": self._prepared.unit, "background_digest": self._prepared.background_digest,
            "not_taken": list(self._prepared.not_taken),
        }  # fmt: skip

    def values(self, *, rows: str) -> dict[str, Any]:
        from jobs.models.numbers import packed

        found = self._prepared.explain(self._frame(rows))
        return {"values": packed(found.values), "base": packed(found.base), "output": packed(found.output)}

    def opinion(self, *, rows: str, shap: dict[str, float], place: int | None) -> dict[str, Any]:
        from jobs.explaining import input_of

        row = input_of(self._frame(rows), self._prepared.spec)
        answer: dict[str, Any] = self._prepared.second.opinion(row, shap, place=place)
        return answer

    def _frame(self, rows: str) -> pd.DataFrame:
        import pyarrow.feather

        # Whole numbers among which some are missing stay whole.
        frame: pd.DataFrame = pyarrow.feather.read_table(
            self._folder / ROWS / rows, memory_map=False
        ).to_pandas(integer_object_nulls=True)
        return frame

    def _records(self, rows: str, features: dict[str, Any]) -> list[dict[str, float | str]]:
        """The rows as the gateway would get them: numbers, text, and nothing where there is nothing."""
        import pandas as pd

        if self._read[0] == rows:
            return self._read[1]
        frame = self._frame(rows)
        records: list[dict[str, float | str]] = [{} for _ in range(len(frame))]
        for name, kind in features.items():
            if name in frame:
                for record, value in zip(records, frame[name].tolist(), strict=True):
                    if not pd.isna(value):
                        record[name] = float(value) if kind == "numeric" else str(value)
        self._read = (rows, records)
        return records


def spec_of(given: dict[str, Any]) -> Any:
    """As much of a spec as explaining needs."""
    from backend.monitoring.columns import Column, ModelSpec

    features = tuple(Column(name, kind) for name, kind in given["features"])
    return ModelSpec(given["task"], features, "1d", label_unit=given["label_unit"])


def main(folder: Path, pipe: int) -> None:
    import_libraries()
    refused = _refuse_calls()
    (folder / OUT / REFUSED).write_text(json.dumps(refused))
    asked = Asked(folder)
    os.write(pipe, b".")
    for number, _ in enumerate(sys.stdin):
        told = _told(asked, json.loads((folder / ROWS / f"{number}.json").read_text()))
        draft = folder / OUT / f".{number}"
        draft.write_text(json.dumps(told))
        draft.rename(folder / OUT / f"{number}.json")
        os.write(pipe, b".")


def import_libraries() -> None:
    """Before anything is refused: some of them ask other programs about the machine as they are imported."""
    sys.modules["matplotlib"] = None  # type: ignore[assignment]  # shap would import it to draw
    import pyarrow.feather  # noqa: F401
    import skops.io  # noqa: F401

    from backend.serving import loader, predictor  # noqa: F401


def _refuse_calls() -> str:
    from backend.refused_calls import refuse_calls

    try:
        refuse_calls()
    except OSError as error:
        return str(error.strerror)
    return ""


def _told(asked: Asked, request: dict[str, Any]) -> dict[str, Any]:
    from backend.errors import WarrantError

    do: Callable[..., Any] = getattr(asked, request["do"])
    try:
        return {"answer": do(**request["with"])}
    except WarrantError as error:
        return {"error": type(error).__name__, "message": error.message}
    except Exception as error:  # noqa: BLE001 - models and libraries raise anything; it is told
        return {"error": type(error).__name__, "message": str(error)}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
