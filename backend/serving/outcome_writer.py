"""Brings what a gateway counted, and what it took of its machine, into the database, also across an outage of that.

Counts are absolute for each minute and process: writing them again changes nothing. While the database is away they
stand in `<home>/gateway/outcomes-<process>.json`; whichever gateway starts next in this home writes them down.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from backend import clock
from backend.database.session import writing
from backend.durable import write_json
from backend.serving.outcome_log import write_outcomes, write_presence
from backend.serving.outcomes import PENDING_MINUTES, Key, Minute, OutcomeCounts
from backend.serving.usage import UsageMeter
from backend.serving.usage_log import write_usage

log = logging.getLogger(__name__)

KEPT_EVERY_S: Final = 5.0  # at most so much is lost by a kill -9 while the database is away


class OutcomeWriter:
    """Not thread-safe: the reporter's thread owns it."""

    def __init__(
        self,
        counts: OutcomeCounts,
        folder: Path,
        *,
        environment: str,
        gateway_id: str,
        usage: UsageMeter | None = None,
    ) -> None:
        self._counts, self._folder, self._usage = counts, folder, usage
        self._place = {"environment": environment, "gateway_id": gateway_id, "process": uuid.uuid4().hex}
        self._path = folder / f"outcomes-{self._place['process']}.json"
        self._ran: set[datetime] = set()
        self._told: datetime | None = None
        self._kept_at = -KEPT_EVERY_S

    def note_presence(self) -> None:
        """This gateway runs now, and takes so much; said with the next `flush`."""
        if self._usage is not None:
            self._usage.note()
        minute = clock.now().replace(second=0, microsecond=0)
        if minute != self._told:
            self._ran = {*sorted(self._ran)[-PENDING_MINUTES:], minute}

    def flush(self) -> None:
        """Write what is new. Raises what the database raises; then everything is kept, and written next time."""
        self._flush_usage()
        taken = self._counts.take(clock.now())
        if not taken and not self._ran:
            return
        try:
            _write(taken, self._ran, **self._place)
        except BaseException:
            self._counts.give_back(taken)
            raise
        self._told = max(self._ran, default=self._told)
        self._ran = set()
        if self._kept_at > 0:
            self._path.unlink(missing_ok=True)
            self._kept_at = -KEPT_EVERY_S

    def _flush_usage(self) -> None:
        """Minutes that are over; they wait in memory while the database is away."""
        minutes = [] if self._usage is None else self._usage.over()
        if self._usage is None or not minutes:
            return
        with writing() as session:
            write_usage(session, minutes, self._usage, **self._place)
        self._usage.forget(minutes)

    def keep(self, *, at_once: bool = False) -> None:
        """The database is away: put what it has not got into the file, at most every `KEPT_EVERY_S`."""
        if not at_once and time.monotonic() - self._kept_at < KEPT_EVERY_S:
            return
        taken = self._counts.take(clock.now())
        self._counts.give_back(taken)
        if not taken and not self._ran:
            return
        document = {
            **self._place,
            "ran": [clock.to_iso(minute) for minute in sorted(self._ran)],
            "minutes": [
                {"model": model, "version": version, "role": role, "start": clock.to_iso(start), "codes": one.codes,
                 "kinds": one.kinds, "buckets": one.buckets, "seconds_sum": one.seconds_sum, "rows": one.rows}
                for (model, version, role, start), one in taken.items()
            ],
        }  # fmt: skip
        try:
            write_json(self._path, document)
        except OSError as failure:
            log.warning("counts of requests are not kept while the database is away: %s", failure)
        self._kept_at = time.monotonic()

    def recover(self) -> None:
        """Write down what earlier processes of this home could not. A file that does not read is set aside."""
        for path in sorted(self._folder.glob("outcomes-*.json")):
            if path == self._path:
                continue
            try:
                document = json.loads(path.read_bytes())
                taken = {_key(one): _minute(one) for one in document["minutes"]}
                ran = {clock.from_iso(minute) for minute in document["ran"]}
                place = {name: str(document[name]) for name in ("environment", "gateway_id", "process")}
            except (ValueError, KeyError, TypeError) as failure:
                log.warning("counts of requests in %s do not read (%s); set aside", path, failure)
                path.rename(path.with_suffix(".unread"))
                continue
            _write(taken, ran, **place)
            path.unlink(missing_ok=True)
            log.info("counts of requests that an earlier gateway kept are written down: %s", path.name)


def _write(
    taken: Mapping[Key, Minute], ran: set[datetime], *, environment: str, gateway_id: str, process: str
) -> None:
    with writing() as session:
        write_outcomes(session, taken, environment=environment, gateway_id=gateway_id, process=process)
        write_presence(session, ran, environment=environment, gateway_id=gateway_id)


def _key(kept: Mapping[str, Any]) -> Key:
    return kept["model"], kept["version"], kept["role"], clock.from_iso(kept["start"])


def _minute(kept: Mapping[str, Any]) -> Minute:
    return Minute(
        Counter(kept["codes"]),
        Counter(kept["kinds"]),
        list(kept["buckets"]),
        float(kept["seconds_sum"]),
        int(kept["rows"]),
    )
