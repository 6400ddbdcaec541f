"""Holds what an installation has accepted against what is there: each write once, and the log whole."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from backend.observations.reader import row_counts
from backend.observations.snapshots import connect, parquet_source, snapshot
from benchmarks.accepted import OVER, Accepted
from benchmarks.installation import ROOT, WARRANT, Installation
from benchmarks.small_home import MODEL

ONE_ENTRY = ("governance:change:request", "governance:change:approve", "governance:execution:start")
ENDS = ("governance:execution:finish", "governance:execution:fail", "governance:execution:overtake")


@dataclass
class Faults:
    """How many writes are lost or doubled, what is wrong with the log, each in words, and how long the log is."""

    lost: int = 0
    doubled: int = 0
    log: int = 0
    entries: int = 0
    words: list[str] = field(default_factory=list)

    def compare(self, what: str, accepted: Iterable[Any], there: Iterable[Any]) -> None:
        """Each accepted one is there once, and none is there twice, whether or not it was answered."""
        counted = Counter(there)
        for one in accepted:
            if not counted[one]:
                self.lost += 1
                self.words.append(f"lost: {what} {one}")
        for one, many in counted.items():
            if many > 1:
                self.doubled += many - 1
                self.words.append(f"{many} times: {what} {one}")


def check(site: Installation, accepted: Accepted, *, within_s: float) -> Faults:
    """Once jobs and spool have settled (`within_s` at most), everything is compared."""
    _settle(site, accepted, within_s)
    faults = Faults()
    faults.compare(
        "note", accepted.notes, _texts(site, "SELECT text FROM incident_entries WHERE kind = 'note'")
    )
    faults.compare("prediction", accepted.predictions, _prediction_ids(site))
    faults.compare("change", accepted.changes, _texts(site, "SELECT reason FROM changes"))
    _check_changes(site, accepted, faults)
    _check_notes(site, faults)
    _check_log(site, faults)
    return faults


def _settle(site: Installation, accepted: Accepted, within_s: float) -> None:
    until = time.monotonic() + within_s
    wanted = len(accepted.predictions)
    while time.monotonic() < until:
        stored = row_counts(site.home / "observations", MODEL).predictions
        open_runs = site.rows(
            "SELECT count(*) FROM job_runs WHERE name = 'execute_change' AND finished_at IS NULL"
        )
        if stored >= wanted and not open_runs[0][0]:
            return
        time.sleep(0.5)


def _check_changes(site: Installation, accepted: Accepted, faults: Faults) -> None:
    """A decision, its entry, and the begin and the end of what it set off: one each."""
    decided = [one for (one,) in site.rows("SELECT change_id FROM decisions")]
    faults.compare("decision on change", accepted.approvals, decided)
    found = site.rows("SELECT action, object_id FROM audit_entries WHERE object_kind = 'change'")
    for action in ONE_ENTRY:
        wanted = accepted.changes.values() if action == ONE_ENTRY[0] else accepted.approvals
        there = [number for name, number in found if name == action]
        faults.compare(f"entry {action} of change", map(str, wanted), there)
    ended = [number for name, number in found if name in ENDS]
    faults.compare("end of the execution of change", map(str, accepted.approvals), ended)
    for number, state in site.rows("SELECT id, state FROM changes"):
        if number in accepted.approvals and state not in OVER:
            faults.lost += 1
            faults.words.append(f"lost: change {number} was approved and is {state}")


def _check_notes(site: Installation, faults: Faults) -> None:
    """Each note has its entry in the log, and each entry its note."""
    rows = site.rows("SELECT id FROM incident_entries WHERE kind = 'note'")
    told = site.rows(
        "SELECT payload FROM audit_payloads p JOIN audit_entries e ON e.seq = p.seq WHERE e.action = :action",
        action="alerting:incident:note",
    )
    entries = [_entry_of(json.loads(payload)) for (payload,) in told]
    faults.compare("entry of note", [one for (one,) in rows], entries)
    faults.compare("note of entry", entries, [one for (one,) in rows])


def _entry_of(payload: dict[str, Any]) -> int:
    """The note that an entry tells of, wherever in the payload the action's facts are."""
    return int(payload["entry"] if "entry" in payload else payload["payload"]["entry"])


def _check_log(site: Installation, faults: Faults) -> None:
    verified = subprocess.run(
        [*WARRANT, "audit", "verify", "--json"],
        cwd=ROOT,
        env=site.environment,
        capture_output=True,
        text=True,
    )
    faults.entries = int(site.rows("SELECT count(*) FROM audit_entries")[0][0])
    if verified.returncode != 0:
        faults.log += 1
        faults.words.append(f"the log does not verify: {verified.stdout}{verified.stderr}"[:2000])


def _texts(site: Installation, query: str) -> list[str]:
    return [one for (one,) in site.rows(query)]


def _prediction_ids(site: Installation) -> list[str]:
    found = snapshot(site.home / "observations", MODEL, "predictions")
    if found is None:
        return []
    with connect() as connection:
        query = f"SELECT prediction_id FROM {parquet_source(found.files)}"  # noqa: S608 - files of our own
        return [one for (one,) in connection.execute(query).fetchall()]
