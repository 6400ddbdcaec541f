"""Answers given before a restart, read back from spool and store, so that a client's retry is still recognised."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from backend import clock
from backend.observations import reader
from backend.observations.schema import SCAN_LABEL_COLUMNS, feature_columns, is_shadow_table
from backend.observations.spool import LogContent, all_logs, read_log
from backend.serving.answers import Answer
from backend.serving.requests import content_of
from backend.serving.scoring import answer_of

log = logging.getLogger(__name__)

MAX_ROWS: Final = 20_000  # of each model
MAX_AGE: Final = timedelta(days=1)

Remembered = tuple[str, str, bytes, Answer]


def recent_answers(spool: Path, observations: Path, environment: str) -> list[Remembered]:
    """(model, prediction_id, content, answer) of what gateways answered within the last day.

    `deployment_id` is null in them: the store does not keep it. A store that does not read is passed over: the
    gateway must start without it.
    """
    found: list[Remembered] = []
    # The spool first: what the writer moves meanwhile is in the store by then.
    sources = (_from_spool(spool, environment), _from_store(observations, environment))
    for source in sources:
        try:
            found += list(source)
        except Exception:  # whatever a damaged store raises: serving does not depend on it
            log.exception("earlier answers could not be read back; retries of them would be scored again")
    return found


def _from_spool(spool: Path, environment: str) -> Iterator[Remembered]:
    for path in all_logs(spool):
        content = _read_renamed(path)
        if content is None:  # committed meanwhile
            continue
        for record in content.rows:
            if record.stream != "predictions" or is_shadow_table(record.model):
                continue
            if record.row["environment"] == environment:
                yield _remembered(record.model, record.row, record.row["features"])


def _read_renamed(path: Path) -> LogContent | None:
    """A log under the name it had, or has got since it was listed: its gateway closes it, or the writer takes it."""
    for name in (path, path.with_suffix(".log"), path.with_suffix(".left")):
        try:
            return read_log(name)
        except FileNotFoundError:
            continue
    return None


def _from_store(observations: Path, environment: str) -> Iterator[Remembered]:
    where = reader.Filter(start=clock.now() - MAX_AGE, environments=[environment])
    for folder in sorted(observations.iterdir()):
        if is_shadow_table(folder.name) or not (folder / "predictions").is_dir():
            continue
        rows = reader.recent(observations, folder.name, MAX_ROWS, where)
        features = [name for name in feature_columns(rows.schema) if name not in SCAN_LABEL_COLUMNS]
        for row in reversed(rows.to_pylist()):
            if row["source"] == "gateway":
                given = {name: row[name] for name in features if row[name] is not None}
                yield _remembered(folder.name, row, given)


def _remembered(model: str, row: dict[str, Any], features: dict[str, Any]) -> Remembered:
    return model, row["prediction_id"], content_of(features, row["injected"]), answer_of(model, row, None)
