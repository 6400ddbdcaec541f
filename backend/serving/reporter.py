"""Tells the database what this gateway serves: on each change, and once a second to show that it lives.

A thread of its own: a write may wait for locks, and following the record must not.
"""

from __future__ import annotations

import logging
import threading
import uuid
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.exc import SQLAlchemyError

from backend import clock
from backend.database.session import writing
from backend.deployment.tables import Deployment, GatewayReport, ServingTally
from backend.serving.board import Board
from backend.serving.outcome_writer import OutcomeWriter
from backend.serving.record import database_file
from backend.serving.tallies import Tallies
from backend.serving.watcher import Watcher

log = logging.getLogger(__name__)

HEARTBEAT_S: Final = 1.0


class Reporter:
    """Writes one `GatewayReport` per registered model, the tallies of what is tried beside champions, and the counts of
    requests."""

    def __init__(
        self,
        watcher: Watcher,
        tallies: Tallies,
        outcomes: OutcomeWriter,
        *,
        gateway_id: str,
        environment: str,
        url: str,
    ) -> None:
        self._watcher, self._tallies, self._outcomes = watcher, tallies, outcomes
        self._recovered = False
        self._process = uuid.uuid4().hex
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
            self._outcomes.keep(at_once=True)
            return
        try:
            self.report_outcomes()
            self.report_tallies()
            with writing() as session:
                session.execute(delete(GatewayReport).where(GatewayReport.gateway_id == self._gateway_id))
        except (SQLAlchemyError, OSError) as failure:
            log.warning("the reports of this gateway were not withdrawn: %s", failure)
            self._outcomes.keep(at_once=True)

    def _run(self) -> None:
        changed = self._watcher.board_changed
        while not self._stopping:
            changed.clear()
            board = self._watcher.board
            self._outcomes.note_presence()
            try:
                if _database_there():
                    self.report_outcomes()
                else:
                    self._outcomes.keep()
                # A board that was not read from the record may name rows that a restored database lacks.
                if board.entries and not self._watcher.stale() and _database_there():
                    self.report(board)
                    self.report_tallies()
                    self._away = False
            except (SQLAlchemyError, OSError) as failure:
                if not self._away:
                    log.warning(
                        "what this gateway serves could not be reported: %s", str(failure).splitlines()[0]
                    )
                self._away = True
                self._outcomes.keep()
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
                        load_s=None if serving is None else serving.predictor.load_s,
                        reported_at=at,
                        error=entry.error,
                        url=self._url,
                        beside=[
                            {
                                "deployment_id": one.wanted.deployment_id,
                                "version": one.wanted.version,
                                "role": one.wanted.role,
                                "share": one.wanted.share,
                                "segments": one.wanted.segments,
                                "loaded": one.serving is not None,
                                "error": one.error,
                            }
                            for one in entry.beside
                        ],
                    )
                )

    def report_outcomes(self) -> None:
        """Write what became of requests since the last call, and once what earlier processes kept."""
        self._outcomes.flush()
        if not self._recovered:
            self._outcomes.recover()
            self._recovered = True

    def report_tallies(self) -> None:
        """Write what was counted since the last call; a restored database that lacks a deployment loses its tally."""
        taken = self._tallies.take()
        if not taken:
            return
        at = clock.now()
        try:
            with writing() as session:
                known = set(
                    session.scalars(
                        select(Deployment.id).where(Deployment.id.in_({one for key in taken for one in key}))
                    )
                )
                for (deployment_id, tried), tally in taken.items():
                    if deployment_id not in known or tried not in known:
                        continue
                    session.merge(
                        ServingTally(
                            deployment_id=deployment_id,
                            tried=tried,
                            gateway_id=self._gateway_id,
                            process=self._process,
                            rows=tally.rows,
                            failed=tally.failed,
                            scored=tally.scored,
                            score_sum=tally.score_sum,
                            buckets={str(bucket): rows for bucket, rows in sorted(tally.buckets.items())},
                            updated_at=at,
                        )
                    )
        except BaseException:
            self._tallies.give_back(taken)
            raise


def _database_there() -> bool:
    """SQLite would create an empty database where the file was moved away."""
    file = database_file()
    return file is None or (file.is_file() and file.stat().st_size > 0)
