"""NannyML's own machinery: its chunks are our windows, its tables our figures, its noise nobody's.

It imports slowly (`loading`), so it is imported inside functions: only jobs and commands call these.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.monitoring.estimation.loading import Library
from backend.settings import disable_telemetry

if TYPE_CHECKING:
    import pandas as pd

CHUNK = "__chunk"
REFERENCE_CHUNKS = 10


def chunker(library: Library) -> Any:
    """A NannyML chunker that cuts where our chunk column changes."""

    class WindowChunker(library.Chunker):  # type: ignore[misc, name-defined]
        def _split(self, data: pd.DataFrame) -> list[Any]:
            groups: Iterator[tuple[Any, pd.DataFrame]] = iter(data.groupby(CHUNK, sort=True))
            return [library.Chunk(key=str(key), data=part.drop(columns=CHUNK)) for key, part in groups]

    return WindowChunker()


def in_chunks(frame: pd.DataFrame) -> pd.DataFrame:
    """A reference in ten chunks, which NannyML wants for thresholds that we do not use."""
    return frame.assign(**{CHUNK: np.arange(len(frame)) * REFERENCE_CHUNKS // len(frame)})


def run(estimator: Any, prepared: pd.DataFrame, chunk: Any, names: Mapping[str, str]) -> dict[int, Any]:
    """{chunk: {our metric: (value, low, high, se)}} of an estimator of NannyML; `names`: our metric -> its own."""
    with quiet():
        result = estimator.estimate(prepared.assign(**{CHUNK: chunk}))
    table = result.filter(period="analysis").to_df()
    keys = table[("chunk", "key")].astype(int).to_numpy()
    parts = ("value", "lower_confidence_boundary", "upper_confidence_boundary", "sampling_error")
    figures = {
        ours: np.stack([table[(theirs, part)].to_numpy(dtype=np.float64) for part in parts], axis=1)
        for ours, theirs in names.items()
    }
    return {int(key): {name: rows[place] for name, rows in figures.items()} for place, key in enumerate(keys)}


@contextmanager
def quiet() -> Iterator[None]:
    """Warnings and log lines of NannyML and what it imports are not ours to fail on; silenced for its calls alone."""
    disable_telemetry()
    log = logging.getLogger("nannyml")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
