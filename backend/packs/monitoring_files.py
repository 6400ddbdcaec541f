"""What was measured of the models of a pack: windows and points as CSV, plots of them, and reports that jobs wrote."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select

from backend.database.session import ReadSession
from backend.documents import Chart, Line, chart_svg
from backend.errors import WarrantError
from backend.explain.reports import open_report
from backend.explain.tables import Report
from backend.identity.actor import Actor
from backend.monitoring.columns import parse_spec
from backend.monitoring.fairness import KIND as FAIRNESS
from backend.monitoring.performance import DEFINITIONS, PRIMARY
from backend.monitoring.tables import JUDGED, MetricPoint, WindowState
from backend.packs.container import safe_name
from backend.packs.draft import Draft
from backend.packs.fairness_files import add_fairness
from backend.packs.scope import Subject
from backend.registry.service import get_model
from backend.registry.tables import Model

MOST_WINDOWS: Final = 400
MOST_MODELS: Final = 12
MOST_REPORTS: Final = 20
LARGEST_REPORT: Final = 20_000_000
AROUND: Final = timedelta(days=30)  # before a change, so that what it rested on is seen
STALE_AFTER: Final = 7  # windows without a new one
_WINDOW: Final = (
    "start", "end", "version", "state", "rows", "labels_known", "labels_absent", "injected_rows", "computed_at",
)  # fmt: skip
_POINT: Final = (
    "window_start", "segment", "kind", "column", "statistic", "value", "low", "high", "threshold", "verdict", "level",
    "rows", "completeness", "text", "reason", "first_value", "first_computed_at", "computed_at",
)  # fmt: skip
_REPORT: Final = ("id", "kind", "model", "window_start", "created_at", "sha256")


@dataclass(frozen=True)
class Watched:
    """What the summary says of a model: counts, the newest window, and plots."""

    model: str
    metric: str
    windows: int
    start: datetime | None
    end: datetime | None
    alarms: int
    unclear: int
    newest: str
    charts: tuple[Chart, ...]
    folder: str


def add_monitoring(draft: Draft, session: ReadSession, maker: Actor, subject: Subject) -> list[Watched]:
    """Add `monitoring/` and `reports/`."""
    models = subject.models[:MOST_MODELS]
    if len(subject.models) > MOST_MODELS:
        draft.left_out.append(
            f"measurements of {len(subject.models) - MOST_MODELS} models: a pack has those of {MOST_MODELS} at most; "
            "make one about each"
        )
    found = [_add_model(draft, session, subject, get_model(session, maker, name)) for name in models]
    _add_reports(draft, session, maker, subject)
    return [one for one in found if one is not None]


def _add_model(draft: Draft, session: ReadSession, subject: Subject, model: Model) -> Watched | None:
    folder = f"monitoring/{safe_name(model.name)}"
    if not model.described:
        draft.gap(
            "medium", f"{model.name} is not described (task and features), so nothing of it is measured"
        )
        return None
    spec = parse_spec(model.spec)
    windows, earlier, before, first = _windows(session, subject, model.name, spec.window)
    if not windows:
        draft.gap(
            "high" if subject.whole_model else "medium", f"No window of {model.name} was measured", folder
        )
        return Watched(
            model.name, PRIMARY[spec.task], 0, None, None, 0, 0, "nothing was measured", (), folder
        )
    if earlier:
        draft.left_out.append(
            f"{earlier:,} windows of {model.name} before {windows[0].start:%Y-%m-%d %H:%M} UTC: a pack has "
            f"{MOST_WINDOWS} at most; {before:,} points of them alarmed, and are counted"
        )
    points = _points(session, windows, subject.as_of)
    draft.add_csv(f"{folder}/windows.csv", _WINDOW, [_cells(one, _WINDOW) for one in windows])
    draft.add_csv(f"{folder}/points.csv", _POINT, [_cells(one, _POINT) for one in points])
    add_fairness(draft, session, model.name, spec, windows, subject.as_of, folder)
    charts = charts_of(model.name, PRIMARY[spec.task], windows, points)
    for name, chart in charts.items():
        draft.add(f"{folder}/plots/{name}.svg", chart_svg(chart))
    _judge(draft, subject, model.name, windows, points, folder)
    newest = windows[-1]
    alarms = before + sum(one.verdict == "alarm" and one.segment == "" for one in points)
    return Watched(
        model.name, PRIMARY[spec.task], len(windows) + earlier, first or windows[0].start, newest.end, alarms,
        sum(one.verdict not in JUDGED and one.segment == "" and not _unbounded(one) for one in points),
        _words_of_newest(newest, points),
        tuple(charts.values()), folder,
    )  # fmt: skip


def _unbounded(point: MetricPoint) -> bool:
    """A gap between groups for which no bound is declared: shown, and nothing about it is unclear."""
    return point.kind == FAIRNESS and point.threshold is None and point.verdict != "no_data"


def _windows(
    session: ReadSession, subject: Subject, model: str, size: str
) -> tuple[list[WindowState], int, int, datetime | None]:
    """The newest computed ones, oldest first (of a version those that it answered most rows of); how many there are
    before them, how many points of those alarmed, and when the first of all began."""
    query = select(WindowState).where(
        WindowState.model == model, WindowState.environment == subject.environment, WindowState.size == size,
        WindowState.start < subject.end, WindowState.computed_at < subject.as_of,
    )  # fmt: skip
    if subject.start is not None:
        query = query.where(WindowState.end > subject.start)
    if subject.scope.kind == "version":
        query = query.where(WindowState.version == subject.scope.version)
    if subject.scope.kind == "change":
        began = _requested_at(session, subject)
        query = query.where(WindowState.start >= began - AROUND)
    newest = session.scalars(
        query.order_by(WindowState.start.desc(), WindowState.number.desc()).limit(MOST_WINDOWS)
    )
    found = list(newest)[::-1]
    if len(found) < MOST_WINDOWS:
        return found, 0, 0, None
    earlier = query.where(WindowState.id.not_in([one.id for one in found]))
    count = session.scalar(select(func.count()).select_from(earlier.subquery())) or 0
    first = session.scalar(earlier.order_by(WindowState.start).limit(1).with_only_columns(WindowState.start))
    alarmed = session.scalar(
        select(func.count()).select_from(MetricPoint).where(
            MetricPoint.window_id.in_(earlier.with_only_columns(WindowState.id)), MetricPoint.segment == "",
            MetricPoint.verdict == "alarm", MetricPoint.first_computed_at < subject.as_of,
        )
    )  # fmt: skip
    return found, count, alarmed or 0, first


def _requested_at(session: ReadSession, subject: Subject) -> datetime:
    from backend.governance.tables import Change

    return session.get_one(Change, subject.changes[0]).requested_at


def _points(session: ReadSession, windows: Sequence[WindowState], as_of: datetime) -> list[MetricPoint]:
    """Of whole windows all of them; of segments what alarmed."""
    found: list[MetricPoint] = []
    ids = [one.id for one in windows]
    for at in range(0, len(ids), 100):
        found += session.scalars(
            select(MetricPoint)
            .where(
                MetricPoint.window_id.in_(ids[at : at + 100]), MetricPoint.first_computed_at < as_of,
                (MetricPoint.segment == "") | (MetricPoint.verdict == "alarm"),
            )
            .order_by(MetricPoint.window_start, MetricPoint.kind, MetricPoint.column, MetricPoint.statistic,
                      MetricPoint.segment, MetricPoint.id)
        )  # fmt: skip
    return found


def charts_of(
    model: str, metric: str, windows: Sequence[WindowState], points: Sequence[MetricPoint]
) -> dict[str, Chart]:
    """Performance with its limit, columns that drift, and rows with their labels."""
    title = DEFINITIONS[metric].title if metric in DEFINITIONS else metric
    whole = [one for one in points if one.segment == ""]
    performance = [one for one in whole if one.statistic == metric and one.column == ""]
    realised = [one for one in performance if one.kind == "realised"]
    estimated = [one for one in performance if one.kind == "estimated"]
    length = windows[-1].end - windows[-1].start
    lines = [
        Line("measured", _line(((one.window_start, one.value) for one in realised), length)),
        Line("estimated", _line(((one.window_start, one.value) for one in estimated), length), "dashed"),
        Line(
            "limit",
            _line(((one.window_start, one.threshold) for one in realised or estimated), length),
            "dotted",
        ),
    ]
    known = tuple(one for one in lines if any(y is not None for _, y in one.points))
    drifting: dict[datetime, set[str]] = defaultdict(set)
    judged: set[datetime] = set()
    for one in whole:
        if one.kind == "drift" and one.verdict in JUDGED:
            judged.add(one.window_start)
            if one.verdict == "alarm":
                drifting[one.window_start].add(one.column)
    counts = [
        (one.start, float(len(drifting[one.start])) if one.start in judged else None) for one in windows
    ]
    return {
        "performance": Chart(
            f"{title} of {model}, a point a window", known,
            tuple((one.window_start.timestamp(), one.value) for one in performance
                  if one.verdict == "alarm" and one.value is not None),
        ),
        "drift": Chart(f"Columns of {model} that drift, by window", (Line("drifting columns", _line(counts, length)),)),
        "rows": Chart(
            f"Rows of {model}, by window",
            (Line("rows", _line(((one.start, float(one.rows)) for one in windows), length)),
             Line("with a label", _line(((one.start, float(one.labels_known)) for one in windows), length), "dashed")),
        ),
    }  # fmt: skip


def _line(
    points: Iterable[tuple[datetime, float | None]], length: timedelta
) -> tuple[tuple[float, float | None], ...]:
    """Broken where windows are missing: nothing is drawn of a time of which nothing is known."""
    found: list[tuple[float, float | None]] = []
    for at, value in points:
        if found and at.timestamp() - found[-1][0] > 2.5 * length.total_seconds():
            found.append((at.timestamp(), None))
        found.append((at.timestamp(), value))
    return tuple(found)


def _cells(row: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _words_of_newest(window: WindowState, points: Sequence[MetricPoint]) -> str:
    mine = [one for one in points if one.window_id == window.id and one.segment == ""]
    wrong = [
        one.text or f"{one.kind} {one.column} {one.statistic}".strip()
        for one in mine
        if one.verdict == "alarm"
    ]
    span = f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC, {window.rows:,} rows"
    return f"{span}: " + ("; ".join(wrong[:5]) if wrong else "nothing alarmed")


def _judge(
    draft: Draft,
    subject: Subject,
    name: str,
    windows: Sequence[WindowState],
    points: Sequence[MetricPoint],
    folder: str,
) -> None:
    """What is not known, and what alarmed last."""
    newest = windows[-1]
    length = newest.end - newest.start
    if subject.scope.kind == "model" and subject.as_of - newest.end > max(
        length * STALE_AFTER, timedelta(days=STALE_AFTER)
    ):
        draft.gap(
            "high",
            f"Nothing of {name} was measured since {newest.end:%Y-%m-%d %H:%M} UTC",
            f"{folder}/windows.csv",
        )
    for one in points:
        if (
            one.window_id == newest.id
            and one.segment == ""
            and one.verdict == "alarm"
            and one.level in ("page", "ticket")
        ):
            draft.gap("high" if one.level == "page" else "medium",
                      f"{name}, newest window: {one.text or f'{one.kind} {one.column} {one.statistic}'}",
                      f"{folder}/points.csv")  # fmt: skip
    realised = [
        one for one in points if one.kind == "realised" and one.segment == "" and one.value is not None
    ]
    if not realised:
        draft.gap(
            "medium", f"The performance of {name} was never measured with labels in these windows", folder
        )
    injected = sum(one.injected_rows > 0 for one in windows)
    if injected:
        draft.gap(
            "low", f"{injected} windows of {name} hold rows of the demo's faults", f"{folder}/windows.csv"
        )


def _add_reports(draft: Draft, session: ReadSession, maker: Actor, subject: Subject) -> None:
    """The newest reports of the models, each only if it is still the file that was written."""
    query = select(Report).where(Report.model.in_(subject.models), Report.created_at < subject.as_of)
    if subject.start is not None:
        query = query.where(Report.created_at >= subject.start)
    count = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    if count > MOST_REPORTS:
        draft.left_out.append(f"{count - MOST_REPORTS:,} earlier reports: a pack has {MOST_REPORTS} at most")
    rows = session.scalars(query.order_by(Report.created_at.desc(), Report.id).limit(MOST_REPORTS)).all()
    for row in rows:
        where = f"reports/{safe_name(f'{row.kind}-{row.id}')}.{'html' if row.media_type == 'text/html' else 'bin'}"
        if row.bytes > LARGEST_REPORT:
            draft.left_out.append(f"the report {row.id} of {row.model}: it has {row.bytes:,} bytes")
            continue
        try:
            _, path = open_report(session, maker, row.id)
            draft.add(where, path.read_bytes())
            draft.name(row.created_by)
        except WarrantError as error:
            draft.gap(
                "medium", f"The report {row.id} of {row.model} cannot be shown: {error.message}", "reports/"
            )
    if rows:
        draft.add_csv("reports/reports.csv", _REPORT, [_cells(one, _REPORT) for one in rows])
