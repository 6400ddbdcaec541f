"""Answers given before a restart, read back from the spool, so that a client's retry is still recognised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from backend.observations.spool import LogRow, all_logs, read_log
from backend.serving.answers import Answer
from backend.serving.requests import content_of
from backend.serving.scoring import answer_of

MAX_ROWS: Final = 50_000


def recent_answers(spool: Path, environment: str) -> list[tuple[str, str, bytes, Answer]]:
    """(model, prediction_id, content, answer) of gateway predictions that wait in the spool, oldest first.

    `deployment_id` is null in them: the store does not keep it.
    """
    rows = list(_gateway_rows(spool, environment))[-MAX_ROWS:]
    return [
        (found.model, found.row["prediction_id"], content_of(found.row["features"], found.row["injected"]),
         answer_of(found.model, found.row, None))
        for found in rows
    ]  # fmt: skip


def _gateway_rows(spool: Path, environment: str) -> Iterator[LogRow]:
    for path in all_logs(spool):
        try:
            content = read_log(path)
        except FileNotFoundError:  # renamed or committed meanwhile
            continue
        for found in content.rows:
            if found.stream == "predictions" and found.row["environment"] == environment:
                yield found
