"""Writes Evidently's HTML report of one window against the reference of the version that answered most of it.

The report is one file. It names no outside resource (Evidently 0.7.23 puts scripts and fonts inside), and the policy
put into it forbids its scripts to fetch any: it can be opened anywhere and calls nobody.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from backend import clock
from backend.database.session import reading, writing
from backend.durable import write_text
from backend.errors import BadInput, NotFound
from backend.explain.reports import WrittenReport, store_report
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.queue import WRITE_REPORT
from backend.registry.artefacts import file_digest
from backend.registry.reference_file import reference_of
from backend.registry.service import get_model, get_version
from backend.settings import settings
from jobs.runtime import Run, workflow

if TYPE_CHECKING:
    import pandas as pd

STEPS = ("write_file", "record_report")

MAX_ROWS: Final = 20_000
SEED: Final = 7
ROLES: Final = ("champion", "canary", "backfill")  # a shadow's answers reached nobody
POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; worker-src blob:; base-uri 'none'; form-action 'none'"
)


@workflow(WRITE_REPORT)
def write_report(run: Run) -> None:
    """`arguments`: environment, start, end (ISO 8601). The model is the run's subject."""
    run.progress(0.05, "loading Evidently")
    written = run.step("write_file", write_file, run)
    run.progress(0.95, "recording the report")
    run.step("record_report", record_report, run, written)


def write_file(run: Run) -> dict[str, Any]:
    """Write the report. The file's name comes from the run, so doing it again replaces it."""

    from backend.observations.reader import Filter, read

    environment = str(run.arguments["environment"])
    start, end = clock.from_iso(run.arguments["start"]), clock.from_iso(run.arguments["end"])
    with reading() as session:
        spec = parse_spec(get_model(session, run.actor, run.subject).spec)
    rows = read(
        settings().observations, run.subject, Filter(start, end, environments=[environment], roles=ROLES)
    ).to_pandas()
    if rows.empty:
        raise NotFound(
            f"{run.subject} has no prediction in {environment} from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
        )
    number = int(rows["version"].mode().iloc[0])
    with reading() as session:
        version = get_version(session, run.actor, run.subject, number)
    reference = reference_of(version).to_pandas()
    current = rows[rows["version"] == number]
    run.progress(0.3, f"comparing {len(current)} rows with {len(reference)} of the reference")
    page = render(
        current, reference, spec,
        heading=f"{run.subject} version {number}, {environment}, {_span(start, end)}",
    )  # fmt: skip
    target = settings().artefacts / "reports" / f"{run.run_id}.html"
    write_text(target, page)
    return {
        "path": str(target.relative_to(settings().artefacts)),
        "bytes": target.stat().st_size,
        "sha256": file_digest(target),
    }


def record_report(run: Run, written: dict[str, Any]) -> str:
    """Returns the report's id."""
    with writing() as session:
        run.require_owned(session)
        report = store_report(
            session, run.actor,
            written=WrittenReport(
                id=f"rep_{run.run_id}", kind="evidently", model=run.subject,
                environment=str(run.arguments["environment"]), window_start=clock.from_iso(run.arguments["start"]),
                path=written["path"], media_type="text/html", bytes=written["bytes"], sha256=written["sha256"],
                created_by=run.requested_by,
            ),
        )  # fmt: skip
        return report.id


def render(current: pd.DataFrame, reference: pd.DataFrame, spec: ModelSpec, *, heading: str) -> str:
    """Evidently's data-drift and data-summary report as one HTML page, with what it is about at its top.

    At most `MAX_ROWS` rows of each side are compared, drawn with a fixed seed, and the page says so. A column that is
    empty on one side is left out, which the page says too: Evidently fails on it.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    columns = [column for column in spec.columns if column.name in current and column.name in reference]
    empty = [
        column.name
        for column in columns
        if not current[column.name].notna().any() or not reference[column.name].notna().any()
    ]
    kinds = {column.name: column.kind for column in columns if column.name not in empty}
    if not kinds:
        raise BadInput(
            "no column has values in both the window and the reference; there is nothing to compare"
        )
    definition = DataDefinition(
        numerical_columns=[name for name, kind in kinds.items() if kind == "numeric"],
        categorical_columns=[name for name, kind in kinds.items() if kind == "categorical"],
    )
    sides = [
        Dataset.from_pandas(_typed(_drawn(side), kinds), data_definition=definition)
        for side in (current, reference)
    ]
    snapshot = Report([DataDriftPreset(), DataSummaryPreset()]).run(sides[0], sides[1])
    facts = [
        f"{len(current)} rows of the window and {len(reference)} of the reference",
        *(
            [f"at most {MAX_ROWS} of each drawn (seed {SEED})"]
            if max(len(current), len(reference)) > MAX_ROWS
            else []
        ),
        *([f"left out, empty on one side: {', '.join(empty)}"] if empty else []),
        "statistics and thresholds are Evidently's own",
    ]
    return _framed(snapshot.get_html_str(as_iframe=False), heading, "; ".join(facts))


def _drawn(frame: pd.DataFrame) -> pd.DataFrame:
    return frame if len(frame) <= MAX_ROWS else frame.sample(MAX_ROWS, random_state=SEED)


def _typed(frame: pd.DataFrame, kinds: Mapping[str, str]) -> pd.DataFrame:
    chosen = frame[list(kinds)].reset_index(drop=True)
    return chosen.astype({name: "float64" if kind == "numeric" else "object" for name, kind in kinds.items()})


def _framed(page: str, heading: str, facts: str) -> str:
    """The page with our policy first in its head and our heading first in its body."""
    if "<head>" not in page or "<body>" not in page:
        raise BadInput("Evidently's page has another shape than expected; its version must be 0.7.23")
    policy = f'<head><meta http-equiv="Content-Security-Policy" content="{html.escape(POLICY)}">'
    top = (
        '<body><header style="font-family: sans-serif; padding: 16px 24px">'
        f"<h1 style='font-size: 20px; margin: 0'>{html.escape(heading)}</h1>"
        f"<p style='margin: 4px 0 0'>{html.escape(facts)}</p></header>"
    )
    return page.replace("<head>", policy, 1).replace("<body>", top, 1)


def _span(start: datetime, end: datetime) -> str:
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
