"""`warrant backtest`: a model's past, replayed from a file; no server, no registration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.commands.group import Json, refuse_plainly
from backend.commands.output import say, write_json
from backend.errors import BadInput

if TYPE_CHECKING:
    from backend.monitoring.backtest import Backtest, ReplayedWindow
    from backend.monitoring.evaluate import Point

commands = typer.Typer()


@commands.command()
@refuse_plainly
def backtest(
    spec: Annotated[Path, typer.Argument(help="the model spec, YAML")],
    data: Annotated[
        Path,
        typer.Argument(
            help="Parquet or CSV: prediction_id, ts, prediction, score, label, label_ts, split, features"
        ),
    ],
    points: Annotated[bool, typer.Option(help="also write every metric point of every window")] = True,
    as_json: Json = False,
) -> None:
    """Replay stored predictions with their late labels: the alarms Warrant would have raised, and when."""
    from backend.monitoring.backtest import replay
    from backend.monitoring.history import read_history

    parsed = read_spec(spec)

    def progress(fraction: float, doing: str) -> None:
        say(f"{fraction:4.0%} {doing}", error=True)

    found = replay(parsed, read_history(data, parsed), progress=progress)
    for note in found.notes:
        say(f"note: {note}", error=True)
    if as_json:
        write_json(to_document(found, points=points))
    else:
        for line in to_lines(found):
            say(line)


def read_spec(path: Path) -> Any:
    """The spec in a YAML file. Raises `BadInput` that names the file."""
    import yaml

    from backend.monitoring.columns import parse_spec

    if not path.is_file():
        raise BadInput(f"there is no file {path}")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not YAML: {' '.join(str(error).split())[:200]}") from error
    try:
        return parse_spec(document)
    except BadInput as error:
        raise BadInput(f"{path}: {error.message}") from error


def to_document(found: Backtest, *, points: bool = True) -> dict[str, Any]:
    """The JSON document of the outside contract."""
    return {
        "windows": [_window(window, points=points) for window in found.windows],
        "alarms": [
            {
                "window": alarm.window,
                "fired_at": _iso(alarm.fired_at),
                "level": alarm.level,
                "kind": alarm.kind,
                "column": alarm.column,
                "segment": alarm.segment or None,
                "statistic": alarm.statistic,
                "value": alarm.value,
                "threshold": alarm.threshold,
                "side": alarm.side,
                "effect": alarm.effect,
                "importance": alarm.importance,
                "text": alarm.text,
                "episode": alarm.episode,
                "notifies": alarm.notifies,
            }
            for alarm in found.alarms
        ],
        "reference": {
            "rows": found.reference.rows,
            "metrics": {name: metric.value for name, metric in found.reference.performance.metrics.items()},
            "estimator": dict(found.reference.trust),
        },
        "track_record": _record(found),
        "notes": list(found.notes),
    }


def to_lines(found: Backtest) -> list[str]:
    """For people: pages and tickets in the order they fired, then how many there were."""
    lines = [
        f"{_iso(alarm.fired_at)}  {alarm.level:<6}  {alarm.window}  {alarm.text}"
        for alarm in found.alarms
        if alarm.level != "info" and alarm.notifies
    ]
    counts = {level: sum(a.level == level for a in found.alarms) for level in ("page", "ticket", "info")}
    told = ", ".join(f"{count} at level {level}" for level, count in counts.items())
    return [*lines, f"{len(found.windows)} windows; alarms: {told}"]


def _window(window: ReplayedWindow, *, points: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "window": window.window,
        "start": _iso(window.start),
        "end": _iso(window.end),
        "rows": window.rows,
        "complete": window.complete,
        "watermark": None if window.watermark is None else _iso(window.watermark),
        "label_completeness": window.label_completeness,
        "labelled_at": None if window.labelled_at is None else _iso(window.labelled_at),
        "metrics": {
            name: {
                "value": metric.value,
                "low": metric.low,
                "high": metric.high,
                "rows": metric.rows,
                "first_value": window.first_metrics[name].value if name in window.first_metrics else None,
                "first_rows": window.first_metrics[name].rows if name in window.first_metrics else None,
                "reason": metric.reason,
            }
            for name, metric in window.metrics.items()
        },
    }
    if points:
        document["points"] = [_point(point) for point in window.points]
    return document


def _record(found: Backtest) -> dict[str, str]:
    from backend.monitoring.track_record import track_record

    if not found.track:
        return {}
    until = max(point.realised_at for point in found.track)
    records = (track_record(found.track, name, until=until) for name in {p.metric for p in found.track})
    return {record.metric: record.sentence for record in records if record is not None}


def _point(point: Point) -> dict[str, Any]:
    return {
        "kind": point.family,
        "column": point.column,
        "segment": point.segment or None,
        "statistic": point.statistic,
        "value": point.value,
        "threshold": point.threshold,
        "verdict": point.verdict,
        "level": point.level,
        "effect": point.effect,
        "importance": point.importance,
        "rows": point.rows_current,
        "reason": point.reason,
    }


def _iso(moment: Any) -> str:
    return str(moment.isoformat()).replace("+00:00", "Z")
