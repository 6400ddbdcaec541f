"""Every day: let go what the models' rules of retention no longer keep, unless a hold keeps it, what was kept for
requests of data subjects that are over, and evidence packs; and look whether files on hold are still there."""

from __future__ import annotations

import logging
import time
from datetime import date, timedelta
from typing import Final

from backend.audit.findings import HELD_LOST, close_finding, open_finding, open_findings
from backend.data_rights import retention
from backend.data_rights.handing_out import forget_documents
from backend.data_rights.requests import forget_withdrawn
from backend.data_rights.retention import Due, models_to_trim, record_trimmed, trim_payloads, trim_rows
from backend.database.session import reading, writing
from backend.holds.artefacts import held_artefacts
from backend.holds.rows import kept_rows
from backend.leases import WRITER, give_back, take_lease
from backend.packs.letting_go import forget_packs
from backend.queue import KEEP_DATA
from backend.settings import settings
from jobs.retraining.copies import forget_copies_of, forget_old_copies
from jobs.runtime import Run, workflow

log = logging.getLogger("warrant.jobs")

STEPS = ("trim_models", "forget_requests", "forget_copies", "forget_packs", "look_at_held")
LEASE_LASTS: Final = timedelta(minutes=2)
TRIES: Final = 60
MOST_KEPT: Final = 20_000  # ids in one condition of the store
PAUSE_S: Final = 0.5


@workflow(KEEP_DATA)
def keep_data(run: Run) -> None:
    """What is not done today is done tomorrow."""
    run.progress(0.1, "letting go what no rule keeps")
    run.step("trim_models", trim_models, run)
    run.step("forget_requests", forget_requests, run)
    run.step("forget_copies", forget_copies, run)
    run.step("forget_packs", let_packs_go, run)
    run.step("look_at_held", look_at_held, run)


def trim_models(run: Run) -> dict[str, dict[str, int]]:
    """Every model with a rule that has an end; gives what went, by model and kind."""
    with reading() as session:
        due = models_to_trim(session)
    return {one.model: trim_model(run, one) for one in due}


def trim_model(run: Run, due: Due) -> dict[str, int]:
    """Gives how many rows by kind. Predictions and labels go by whole UTC days, under the writer's lease."""
    counts: dict[str, int] = {}
    if due.predictions_before is not None:
        counts |= _trim_store(run, due.model, due.predictions_before)
    with writing() as session:
        run.require_owned(session)
        if any(counts.values()):
            forget_copies_of(session, due.model)
        counts |= trim_rows(session, run.actor, due)
        lot = trim_payloads(session, run.actor, due)
        record_trimmed(session, run.actor, due.model, counts | ({"payloads": lot} if lot else {}))
    payloads = lot
    while lot >= retention.AT_ONCE:  # in small transactions, so that nobody waits for the database
        with writing() as session:
            run.require_owned(session)
            lot = trim_payloads(session, run.actor, due)
            record_trimmed(session, run.actor, due.model, {"payloads": lot} if lot else {})
        payloads += lot
    return counts | ({"payloads": payloads} if payloads else {})


def _trim_store(run: Run, model: str, before: date) -> dict[str, int]:
    from backend.observations.writer import WriterBusy, trim_model_rows

    holder = f"{run.worker_id}/{run.run_id}"
    for _ in range(TRIES):
        with writing() as session:
            kept = kept_rows(session, model)
            if kept.hold is not None:
                return {}
            if len(kept.ids) > MOST_KEPT:
                log.warning("%s has %d rows of people on hold; it is not trimmed", model, len(kept.ids))
                return {}
            free = take_lease(session, WRITER, holder=holder, lasts=LEASE_LASTS) is not None
        if free:
            try:
                return trim_model_rows(
                    settings().observations, settings().spool, model, before=before, keep=kept.ids
                )
            except WriterBusy:
                log.debug("the spool is being moved; its writer lost the lease")
            finally:
                with writing() as session:
                    give_back(session, WRITER, holder=holder)
        time.sleep(PAUSE_S)
    log.warning("the store's writer is busy all the time; %s is trimmed tomorrow", model)
    return {}


def forget_copies(run: Run) -> int:
    """Rows beside the store that runs of retraining which are over were to be begun again with."""
    run.require_owned()
    with reading() as session:
        return forget_old_copies(session)


def let_packs_go(run: Run) -> int:
    """Files of evidence packs that were kept long enough, or hold what was erased since."""
    with writing() as session:
        run.require_owned(session)
        return forget_packs(session, run.actor)


def forget_requests(run: Run) -> int:
    """Who requests were about that nobody carried out, and documents that were kept long enough."""
    with writing() as session:
        run.require_owned(session)
        return forget_withdrawn(session) + forget_documents(session)


def look_at_held(run: Run) -> int:
    """Open a finding for each version on hold whose files are gone or altered, close those that are mended or no longer
    held. Gives how many are wrong."""
    with reading() as session:
        held = held_artefacts(session)
        known = {one.subject for one in open_findings(session) if one.kind == HELD_LOST}
    problems = {one.name: (one, problem) for one in held if (problem := one.problem)}
    with writing() as session:
        run.require_owned(session)
        for name, (one, problem) in problems.items():
            open_finding(
                session, run.actor, HELD_LOST, subject=name, level="page", details={"model": one.model},
                title=f"the files of {name} are on hold, and {problem}",
            )  # fmt: skip
        for name in sorted(known - problems.keys()):
            close_finding(
                session, run.actor, HELD_LOST, subject=name, why="they are as recorded, or not on hold now"
            )
    return len(problems)
