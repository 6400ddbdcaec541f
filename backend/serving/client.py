"""Asking a gateway: smoke requests that are answered but never stored as predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from backend.errors import Unavailable
from backend.logs import known_fields
from backend.serving.request_ids import HEADER
from backend.tracing import trace_carrier

TIMEOUT_S = 5.0


class SmokeFailed(Unavailable):
    """The gateway answered a smoke request wrongly or not at all; the message says which and how."""

    title = "Smoke request failed"


@dataclass(frozen=True)
class SmokeRow:
    """One row whose score is known from training time."""

    features: dict[str, Any]
    score: float | None


def carried_headers() -> dict[str, str]:
    """What the gateway's log and trace have to know of the request that a job began with."""
    asked = known_fields().get("request_id")
    return trace_carrier() | ({HEADER: asked} if asked else {})


def smoke(
    url: str,
    model: str,
    version: int,
    rows: Sequence[SmokeRow],
    *,
    deployment_id: int | None = None,
    tolerance: float = 1e-6,
) -> str:
    """Send rows to `POST /v1/models/{model}/smoke` and check version and scores; gives a sentence.

    With `deployment_id` what is loaded for it answers, whatever its role; else the champion.

    Raises `SmokeFailed` at the first wrong answer.
    """
    try:
        answer = httpx.post(
            f"{url}/v1/models/{model}/smoke",
            params={} if deployment_id is None else {"deployment": str(deployment_id)},
            json={"instances": [{"features": row.features} for row in rows]},
            headers=carried_headers(),
            timeout=TIMEOUT_S,
        )
    except httpx.HTTPError as error:
        raise SmokeFailed(f"the gateway at {url} did not answer a smoke request: {error}") from error
    if answer.status_code != 200:
        raise SmokeFailed(
            f"the gateway at {url} answered a smoke request with {answer.status_code}: {answer.text[:300]}"
        )
    predictions = answer.json()["predictions"]
    if len(predictions) != len(rows):
        raise SmokeFailed(f"the gateway answered {len(predictions)} of {len(rows)} smoke requests")
    for number, (row, prediction) in enumerate(zip(rows, predictions, strict=True)):
        if prediction["version"] != version:
            raise SmokeFailed(
                f"smoke request {number} was answered by version {prediction['version']}, not {version}"
            )
        if row.score is not None and abs(prediction["score"] - row.score) > tolerance:
            raise SmokeFailed(
                f"smoke request {number} scored {prediction['score']:.6f}; at training time version {version} "
                f"scored {row.score:.6f}"
            )
    return f"{len(rows)} of {len(rows)} smoke requests answered by version {version} with the scores of training time"
