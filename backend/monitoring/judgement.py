"""From metric points to alerts: what the newest windows of the present champion say.

Which window speaks, by kind of finding:

    quality, estimated   the newest window of each size with enough rows, also while it fills; where its labels speak,
                         they take the place of its estimate
    realised             the newest window of each size for which its labels speak (`backend.monitoring.label_lag`)
    drift, prediction    the newest finished window of the trend's size: neither an hour nor a morning is
                         distributed like a year
    fairness             each gap that has a bound, by itself: the newest finished window of the trend's size, where it
                         needs labels the newest for which they speak
    attribution          the newest finished window of the trend's size of which rows are explained
    segments             as these kinds do, about what all rows do not say already; one subject of each kind
    volume               the newest finished window of the shortest size, where windows follow the clock

A page comes from realised performance, trusted estimates or broken data, as its point says. Drift never pages, and
what is only worth knowing (`info`) raises nothing.

Windows in which another version answered most rows, and windows from before the model was watched, raise
nothing. A firing alert is resolved when the window that speaks now is fine; an inconclusive one leaves it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from backend.alerting.service import Firing, fingerprint, fire, resolve
from backend.alerting.tables import Alert
from backend.database.session import ReadSession, WriteSession
from backend.deployment.service import champion
from backend.deployment.tables import Deployment
from backend.identity.actor import Actor
from backend.monitoring.columns import ModelSpec
from backend.monitoring.fairness import KIND as FAIRNESS
from backend.monitoring.fairness.standing import gap_points, subject_of, subjects_of
from backend.monitoring.monitor_judgement import evaluate_monitors
from backend.monitoring.standings import keep_standings
from backend.monitoring.tables import ATTRIBUTION, MetricPoint, WindowState
from backend.registry.tables import Model

LEVELS = ("page", "ticket", "info")
KINDS = ("realised", "estimated", "quality", "drift", "volume", FAIRNESS, ATTRIBUTION)


@dataclass(frozen=True)
class Finding:
    """What one window says about one subject: alarm, ok, or nothing."""

    kind: str
    subject: str
    window: WindowState
    points: tuple[MetricPoint, ...]

    @property
    def alarms(self) -> tuple[MetricPoint, ...]:
        return tuple(point for point in self.points if point.verdict == "alarm" and point.level != "info")

    @property
    def says_ok(self) -> bool:
        return not self.alarms and any(point.verdict == "ok" for point in self.points)


def judge(
    session: WriteSession, actor: Actor, *, model: Model, environment: str, spec: ModelSpec
) -> list[Alert]:
    """Fire, refresh and resolve the alerts of a model, those of its people's monitors too; gives those that fire
    now. How it stands by its windows is kept for lists of many models.
    """
    firing = _judge_champion(session, actor, model=model, environment=environment, spec=spec)
    keep_standings(session, [model], environment)
    return firing


def _judge_champion(
    session: WriteSession, actor: Actor, *, model: Model, environment: str, spec: ModelSpec
) -> list[Alert]:
    serving = champion(session, model.name, environment)
    if serving is None:
        return []
    findings = _findings(session, model, environment, spec, serving)
    subjects: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        subjects.setdefault((finding.kind, finding.subject), []).append(finding)
    firing: list[Alert] = []
    for found in subjects.values():
        alarmed = [finding for finding in found if finding.alarms]
        if alarmed:
            firing.append(fire(session, actor, _firing(model, environment, serving, alarmed)))
    kept = {alert.fingerprint for alert in firing}
    bounded = {fingerprint(model.name, environment, FAIRNESS, one) for one in subjects_of(spec)}
    by_fingerprint = {
        fingerprint(model.name, environment, kind, subject): found
        for (kind, subject), found in subjects.items()
    }
    for alert in session.scalars(
        select(Alert).where(
            Alert.model == model.name, Alert.environment == environment, Alert.state == "firing",
            Alert.kind.in_(KINDS),
        )
    ):  # fmt: skip
        now = by_fingerprint.get(alert.fingerprint, [])
        if alert.kind == FAIRNESS and alert.fingerprint not in bounded:
            resolve(session, actor, alert, why="the model's spec declares no bound for it any more")
            continue
        if alert.fingerprint not in kept and now and all(finding.says_ok for finding in now):
            window = max(finding.window.end for finding in now)
            resolve(
                session, actor, alert, why=f"the window to {window:%Y-%m-%d %H:%M UTC} is within its limits"
            )
    return firing + evaluate_monitors(session, actor, model=model, environment=environment)


def _findings(
    session: ReadSession, model: Model, environment: str, spec: ModelSpec, serving: Deployment
) -> list[Finding]:
    findings: list[Finding] = []
    for size in spec.sizes:
        recent = list(
            session.scalars(
                select(WindowState)
                .where(
                    WindowState.model == model.name, WindowState.environment == environment,
                    WindowState.size == size, WindowState.end > model.created_at,
                    WindowState.end > serving.started_at, WindowState.computed_at.is_not(None),
                )
                .order_by(WindowState.start.desc())
                .limit(60)
            )
        )  # fmt: skip
        mine = [
            window
            for window in recent
            if window.version == serving.version
            and window.rows >= spec.min_rows
            and (window.number == 0 or window.state == "complete")
        ]
        if mine:
            points = _points(session, mine[0].id)
            findings += _by_column(mine[0], points, "quality")
            findings.append(_about_estimates(mine[0], points))
            findings.append(_about_segments(mine[0], points, ("quality",)))
        finished = next((window for window in mine if window.state == "complete"), None)
        if finished is not None and size == spec.window:
            points = _points(session, finished.id)
            findings.append(_about(finished, points, ("drift", "prediction"), "inputs and predictions"))
            findings.append(_about_segments(finished, points, ("drift", "prediction")))
            findings += _about_groups(finished, gap_points(session, finished.id, labels=False))
        if size == spec.window:
            findings += _about_attributions(session, mine)
        labelled = next((window for window in mine if window.labelled_at is not None), None)
        if labelled is not None:
            points = _points(session, labelled.id)
            findings.append(_about(labelled, points, ("realised",), "performance"))
            findings.append(_about_segments(labelled, points, ("realised",)))
            findings += _about_groups(labelled, gap_points(session, labelled.id, labels=True))
        if size == spec.sizes[-1] and spec.window_rows is None:
            findings += _traffic(session, recent)
    return findings


def _points(session: ReadSession, window_id: int) -> list[MetricPoint]:
    return list(session.scalars(select(MetricPoint).where(MetricPoint.window_id == window_id)))


def _about(
    window: WindowState, points: Sequence[MetricPoint], kinds: tuple[str, ...], subject: str
) -> Finding:
    mine = tuple(point for point in points if point.kind in kinds and not point.segment)
    return Finding(kinds[0], subject, window, mine)


def _about_estimates(window: WindowState, points: Sequence[MetricPoint]) -> Finding:
    """Where labels speak for the window, what came true takes over: it clears an estimate's alarm or fires itself."""
    if window.labelled_at is None:
        return _about(window, points, ("estimated",), "performance")
    realised = _about(window, points, ("realised",), "performance")
    return Finding(
        "estimated", "performance", window, tuple(point for point in realised.points if point.verdict == "ok")
    )


def _about_segments(window: WindowState, points: Sequence[MetricPoint], kinds: tuple[str, ...]) -> Finding:
    """What segments say beyond the whole: a column or metric that alarms for all rows is told there."""
    told = {
        (point.kind, point.column, "" if point.column else point.statistic)
        for point in points
        if not point.segment and point.verdict == "alarm"
    }
    mine = tuple(
        point
        for point in points
        if point.kind in kinds
        and point.segment
        and not (
            point.verdict == "alarm"
            and (point.kind, point.column, "" if point.column else point.statistic) in told
        )
    )
    return Finding(kinds[0], "segments", window, mine)


def _by_column(window: WindowState, points: Sequence[MetricPoint], kind: str) -> list[Finding]:
    mine = [point for point in points if point.kind == kind and not point.segment]
    return [
        Finding(kind, column, window, tuple(point for point in mine if point.column == column))
        for column in sorted({point.column for point in mine})
    ]


def _about_attributions(session: ReadSession, windows: Sequence[WindowState]) -> list[Finding]:
    """The newest of the finished windows of which rows are explained."""
    ids = [window.id for window in windows if window.state == "complete"]
    told = set(
        session.scalars(
            select(MetricPoint.window_id).where(
                MetricPoint.window_id.in_(ids), MetricPoint.kind == ATTRIBUTION
            )
        )
    )
    newest = next((window for window in windows if window.id in told), None)
    if newest is None:
        return []
    points = _points(session, newest.id)
    return [
        _about(newest, points, (ATTRIBUTION,), "what it leans on"),
        _about_segments(newest, points, (ATTRIBUTION,)),
    ]


def _about_groups(window: WindowState, points: Iterable[MetricPoint]) -> list[Finding]:
    return [
        Finding(FAIRNESS, subject_of(point.statistic, point.column), window, (point,))
        for point in points
        if point.threshold is not None
    ]


def _traffic(session: ReadSession, recent: Sequence[WindowState]) -> list[Finding]:
    """What the newest finished window says of traffic: none where some was expected, far too little or too much."""
    finished = next(
        (window for window in recent if window.state not in ("open", "no_traffic_expected")), None
    )
    if finished is None:
        return []
    silent = finished.state == "no_traffic"
    if not silent:
        told = [point for point in _points(session, finished.id) if point.kind == "volume"]
        if told and told[0].verdict == "alarm":
            return [Finding("volume", "traffic", finished, (told[0],))]
    since = finished
    for window in recent:
        if window.start <= finished.start and window.state == "no_traffic":
            since = window
        elif window.start < finished.start and window.state != "no_traffic_expected":
            break
    point = MetricPoint(
        kind="volume", column="", statistic="rows", value=float(finished.rows), threshold=1.0, level="ticket",
        verdict="alarm" if silent else "ok", rows=finished.rows, rows_reference=0,
        text=f"no prediction has come since {since.start:%Y-%m-%d %H:%M UTC}",
    )  # fmt: skip
    return [Finding("volume", "traffic", since if silent else finished, (point,))]


def _firing(model: Model, environment: str, serving: Deployment, alarmed: Sequence[Finding]) -> Firing:
    """One alert for a subject, told by its worst point."""
    points = [(point, finding.window) for finding in alarmed for point in finding.alarms]
    points.sort(key=lambda pair: (LEVELS.index(pair[0].level or "info"), -_excess(pair[0])))
    worst, window = points[0]
    names = list(dict.fromkeys(_subject_of(point) for point, _ in points))
    finding = alarmed[0]
    level = worst.level or "ticket"
    if finding.kind == "drift" and level == "page":
        level = "ticket"
    title = worst.text
    if finding.kind == "drift" and len(names) > 1:
        title = f"{len(names)} columns drift; most: {worst.text}"
    elif finding.subject == "segments" and len(names) > 1:
        title = f"{worst.text}; {len(names) - 1} more in segments"
    return Firing(
        model=model.name, environment=environment, version=serving.version, kind=finding.kind,
        level=level, title=title, subject=finding.subject,
        since=max(finding.window.start for finding in alarmed),
        details={
            "column": worst.column, "statistic": worst.statistic, "value": worst.value,
            "threshold": worst.threshold, "rows": worst.rows, "window_rows": window.rows,
            "window": window.start.isoformat(),
            "window_end": window.end.isoformat(), "size": window.size, "injected_rows": window.injected_rows,
            "columns": names, "segment": worst.segment or None, "effect": worst.effect,
        },
    )  # fmt: skip


def _subject_of(point: MetricPoint) -> str:
    what = point.column or point.statistic
    return f"{what} in {point.segment}" if point.segment else what


def _excess(point: MetricPoint) -> float:
    """How far over its limit, as a ratio: what ranks alarms of one level."""
    if point.value is None or not point.threshold:
        return 0.0
    return abs(point.value - point.threshold) / abs(point.threshold)
