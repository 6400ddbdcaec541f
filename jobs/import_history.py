"""Imports what a model predicted before: its version with the reference rows, then every row, a batch at a time.

The rows are first written to one file of their own, so that a source that changes meanwhile changes nothing, and a
batch is the same rows whenever it is handed in. The store takes each id once: a batch that was cut short is handed in
again and adds what was missing. The file goes when the import is over, done or failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from backend.audit.actions import Action
from backend.audit.entries_about import entries_about
from backend.audit.log import record
from backend.database.session import WriteSession, reading, writing
from backend.errors import BadInput, Conflict
from backend.monitoring.columns import parse_spec
from backend.onboarding.document import Document
from backend.onboarding.given_files import forget_given
from backend.queue import IMPORT_HISTORY
from backend.registry.artefacts import artefact_digest
from backend.registry.service import NewVersion, register_version
from backend.registry.tables import Version
from jobs.runtime import Run, StepFailed, workflow

if TYPE_CHECKING:
    import pyarrow as pa

    from backend.observations.schema import Stream
    from backend.observations.store import Accepted

STEPS = ("prepare_rows", "register_version", "import_batch", "finish_import")

FULL_PAUSE_S: Final = 2.0
FULL_TRIES: Final = 300


@workflow(IMPORT_HISTORY)
def import_history(run: Run) -> None:
    """`arguments` are those of `backend.onboarding.history.request_history`; the model is the run's subject."""
    run.progress(0.01, "reading the source")
    try:
        batches = run.step("prepare_rows", prepare_rows, run)
        run.progress(0.1, "registering the version")
        run.step("register_version", register_imported, run)
        new = known = 0
        for number in range(batches):
            run.progress(0.15 + 0.8 * number / batches, f"storing batch {number + 1} of {batches}")
            done = run.step("import_batch", import_batch, run, number)
            new, known = new + done["new"], known + done["known"]
        run.step("finish_import", finish_import, run, new, known)
    except StepFailed:
        _prepared(run).unlink(missing_ok=True)
        raise
    run.progress(1.0, f"{new} rows stored, {known} were there already")


def prepare_rows(run: Run) -> int:
    """Write the rows to import. Gives the number of batches."""
    from backend.onboarding import import_files
    from backend.onboarding.source_files import source_digest

    source, document = Path(run.arguments["source"]), _document(run)
    assert document.history is not None  # noqa: S101 - asked for with one
    try:
        same = source_digest(source) == run.arguments["source_digest"]
    except OSError as error:
        raise BadInput(f"{source.name} cannot be read: {error.strerror}") from error
    if not same:
        raise Conflict(f"{source.name} has changed since the import was asked for; apply the document again")
    return import_files.prepare_rows(
        source, document.history, parse_spec(document.spec), _prepared(run)
    ).batches


def register_imported(run: Run) -> int:
    """Register the version, unless it is. Gives its number."""
    from backend.onboarding.import_files import write_version_files
    from backend.onboarding.proposing import blank_card

    document = _document(run)
    version, history = document.version, document.history
    assert version is not None  # noqa: S101 - asked for with both
    assert history is not None  # noqa: S101
    with reading() as session:
        if session.get(Version, (run.subject, version.number)) is not None:
            return version.number
    spec = parse_spec(document.spec)
    files = write_version_files(
        _prepared(run), model=run.subject, version=version.number, history=history,
        facts={"model": run.subject, "version": version.number, "source": run.arguments["source_digest"]},
        card=document.card or blank_card(run.subject), least=spec.min_rows,
    )  # fmt: skip
    new = NewVersion(
        model=run.subject, version=version.number, run_id="", uri=str(files.artefact),
        artefact_digest=artefact_digest(files.artefact), trained_by=run.arguments["trained_by"],
        data_owner=run.arguments["data_owner"], trained_at=version.trained_at, cutoff=spec.cutoff, parameters={},
        metrics={}, training={}, reference_path=str(files.reference), card_path=str(files.card),
    )  # fmt: skip
    with writing() as session:
        run.require_owned(session)
        register_version(session, run.actor, new=new)
    return version.number


def import_batch(run: Run, number: int) -> dict[str, int]:
    """Hand in one batch of predictions, then its labels. Gives how many rows were new, and how many known."""
    import pyarrow.parquet as pq

    from backend.onboarding.import_files import labels_of, predictions_of

    version = _document(run).version
    assert version is not None  # noqa: S101 - asked for with one
    if not _prepared(run).exists():  # this worker has another disk than the one that began
        prepare_rows(run)
    batch = pq.ParquetFile(_prepared(run)).read_row_group(number)
    predictions = _hand_in(
        run, "predictions", *predictions_of(batch, version.number, run.arguments["environment"])
    )
    labels, places = labels_of(batch)
    if labels.num_rows:
        _hand_in(run, "labels", labels, places)
    return {"new": predictions.rows_new, "known": predictions.rows_known}


def _hand_in(run: Run, stream: Stream, rows: pa.Table, places: pa.ChunkedArray) -> Accepted:
    """Store rows through the path of every batch; while the spool is full the writer is waited for.

    places  the number of each row in the source, from 1
    """
    from backend.observations.service import accept_batch, record_batch
    from backend.observations.validation import BadRow

    def accept() -> Accepted:
        with reading() as session:
            return accept_batch(
                session, run.actor, model=run.subject, stream=stream, payload=rows, source="backfill"
            )

    try:
        accepted = _while_full(accept)
    except BadRow as bad:
        row = f"row {places[bad.row_number].as_py()} (the first below the header is 1)"
        told = "Rows of batches before it are stored; correct it and apply the document again"
        raise BadInput(
            f"{Path(run.arguments['source']).name}, {row}, {bad.column}: {bad.reason}. {told}"
        ) from bad
    if accepted.rows_new:
        with writing() as session:
            run.require_owned(session)
            record_batch(
                session, run.actor, model=run.subject, stream=stream, accepted=accepted, source="backfill"
            )
    return accepted


def _while_full(accept: Callable[[], Accepted]) -> Accepted:
    from backend.observations.spool import SpoolFull

    for _ in range(FULL_TRIES):
        try:
            return accept()
        except SpoolFull:
            time.sleep(FULL_PAUSE_S)
    return accept()


def finish_import(run: Run, new: int, known: int) -> None:
    """Put the import on record, which is by what it is known to be done, and let go of the rows' file."""
    with writing() as session:
        run.require_owned(session)
        told = entries_about(session, "model", [run.subject], [Action.HISTORY_IMPORTED])[run.subject]
        if not any(one.says(run=run.run_id) for one in told):
            _record_import(session, run, new, known)
    _prepared(run).unlink(missing_ok=True)
    forget_given(Path(run.arguments["source"]))


def _record_import(session: WriteSession, run: Run, new: int, known: int) -> None:
    record(
            session, run.actor, Action.HISTORY_IMPORTED, object_kind="model", object_id=run.subject,
            payload={"run": run.run_id, "history": run.arguments["history"], "source": run.arguments["source_digest"],
                     "rows_new": new, "rows_known": known},
        )  # fmt: skip


def _document(run: Run) -> Document:
    return Document.model_validate(run.arguments["document"])


def _prepared(run: Run) -> Path:
    from backend.onboarding.import_files import prepared_path

    return prepared_path(run.arguments["history"])
