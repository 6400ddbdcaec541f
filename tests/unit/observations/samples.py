"""Small real batches for the tests of the observation store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from backend.observations.schema import Kind
from backend.observations.store import gateway_row
from backend.observations.validation import label_batch, prediction_batch, prediction_row

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FEATURES: dict[str, Kind] = {"distance": "numeric", "carrier": "categorical"}


def prediction(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "prediction_id": f"p-{number}",
        "ts": (NOW - timedelta(hours=number % 48 + 1)).isoformat(),
        "version": 1,
        "score": (number % 10) / 10,
        "distance": float(number),
        "carrier": "AA" if number % 2 else "UA",
        **changes,
    }


def label(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "prediction_id": f"p-{number}",
        "label": str(number % 2),
        "status": "known",
        "label_ts": NOW.isoformat(),
        **changes,
    }


def predictions(numbers: Sequence[int], **changes: Any) -> pa.Table:
    return prediction_batch(FEATURES, [prediction(number, **changes) for number in numbers], now=NOW)


def labels(numbers: Sequence[int], **changes: Any) -> pa.Table:
    return label_batch([label(number, **changes) for number in numbers], now=NOW)


def served(number: int, **changes: Any) -> dict[str, Any]:
    """A row as the gateway puts it into its log."""
    return gateway_row(prediction_row(FEATURES, prediction(number, **changes), now=NOW), now=NOW)
