"""Tells the database what this gateway serves: on each change, and once a second to show that it lives.

A thread of its own: a write may wait for locks, and following the record must not.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from sqlalchemy import delete
from sqlalchemy.exc import SQLAlchemyError

from backend import clock
from backend.database.session import writing
from backend.deployment.tables import GatewayReport
from backend.serving.board import Board
from backend.serving.record import database_file
from backend.serving.watcher import Watcher

log = logging.getLogger(__name__)

HEARTBEAT_S: Final = 1.0


class Reporter:
    """Writes one `GatewayReport` per registered model."""

    def __init__(self, watcher: Watcher, *, gateway_id: str, environment: str, url: str) -> None:
        self._watcher = watcher
        self._gateway_id, self._environment, self._url = gateway_id, environment, url
        self._away = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop, and withdraw the reports: a gateway that was stopped on purpose serves nothing."""
        self._stopping = True
        self._watcher.board_changed.set()
        self._thread.join(5.0)
        if self._away or self._thread.is_alive() or not _database_there():
            return
        try:
            with writing() as session:
                session.execute(delete(GatewayReport).where(GatewayReport.gateway_id == self._gateway_id))
        except (SQLAlchemyError, OSError) as failure:
            log.warning("the reports of this gateway were not withdrawn: %s", failure)

    def _run(self) -> None:
        changed = self._watcher.board_changed
        while not self._stopping:
            changed.clear()
            board = self._watcher.board
            try:
                # A board that was not read from the record may name rows that a restored database lacks.
                if board.entries and not self._watcher.stale() and _database_there():
                    self.report(board)
                    self._away = False
            except (SQLAlchemyError, OSError) as failure:
                if not self._away:
                    log.warning(
                        "what this gateway serves could not be reported: %s", str(failure).splitlines()[0]
                    )
                self._away = True
            changed.wait(HEARTBEAT_S)

    def report(self, board: Board) -> None:
        """One transaction for all models."""
        at = clock.now()
        with writing() as session:
            for name, entry in board.entries.items():
                serving = entry.serving
                session.merge(
                    GatewayReport(
                        gateway_id=self._gateway_id,
                        model=name,
                        environment=self._environment,
                        deployment_id=None if serving is None else serving.target.deployment_id,
                        version=None if serving is None else serving.target.version,
                        loaded_at=None if serving is None else serving.loaded_at,
                        reported_at=at,
                        error=entry.error,
                        url=self._url,
                    )
                )


def _database_there() -> bool:
    """SQLite would create an empty database where the file was moved away."""
    file = database_file()
    return file is None or (file.is_file() and file.stat().st_size > 0)
