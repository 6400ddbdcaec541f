"""How each model is, in a word: the worst thing known about it. What is not known is never "ok"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import and_, select

from backend import clock
from backend.alerting.service import worst_by_model
from backend.alerting.tables import Alert
from backend.database.many import among
from backend.database.session import ReadSession
from backend.deployment.tables import Deployment
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.monitoring.columns import parse_spec
from backend.monitoring.labels_now import Beyond, Heard, hear_labels
from backend.monitoring.performance.registry import unit_of
from backend.monitoring.reading import RecentPoint, RecentWindows, recent_windows
from backend.monitoring.tables import JUDGED
from backend.registry.service import get_model, list_models
from backend.registry.tables import Model, Version

WORST_FIRST = ("page", "attention", "unknown", "ok")
STALE_WINDOWS = 2.5
_LENGTH = {
    "1h": timedelta(hours=1), "1d": timedelta(days=1), "1w": timedelta(weeks=1), "1mo": timedelta(days=31),
}  # fmt: skip

State = tuple[str, str, str, datetime | None]
"""level, word, because, since"""
NOT_SERVING: Final[State] = ("unknown", "not serving", "no version serves in this environment", None)
NO_DATA: Final[State] = ("unknown", "no data", "no window with predictions has been computed", None)


@dataclass(frozen=True)
class ModelHealth:
    """One line of the overview.

    level      page | attention | unknown | ok
    word       the state in a word or two; `because` one sentence; `since` when it began, where known
    value      latest judged realised value of the model's primary `metric` (by its name in the registry of metrics), in
               `unit`; `reference` what it is held against, else the champion's held-out one
    estimated  whether `value` is an estimate because no label has come
    heard      what labels say of its other metrics, and of a newer window that is not judged yet
    history    (value, verdict) of up to 28 windows, oldest first, for a sparkline; an alarm's verdict is its level
    """

    model: str
    title: str
    tier: str
    owner: str | None
    notice: str | None
    level: str
    word: str
    because: str
    since: datetime | None
    metric: str
    unit: str
    value: float | None
    reference: float | None
    estimated: bool
    history: tuple[tuple[float | None, str], ...]
    window: str
    window_start: datetime | None
    rows: int | None
    completeness: float | None
    computed_at: datetime | None
    version: int | None
    serving_since: datetime | None
    alerts: int
    heard: Heard = field(default_factory=Heard)
    last_end: datetime | None = None  # of the newest window with predictions


def overview(session: ReadSession, viewer: Actor, environment: str) -> list[ModelHealth]:
    """Every model the viewer may see, worst first."""
    models = list_models(session, viewer)
    found = _health(session, viewer, models, environment)
    return sorted(found, key=lambda one: (WORST_FIRST.index(one.level), one.since or clock.now(), one.model))


def health_of(session: ReadSession, viewer: Actor, model: str, environment: str) -> ModelHealth:
    return _health(session, viewer, [get_model(session, viewer, model)], environment)[0]


def health_among(
    session: ReadSession, viewer: Actor, names: Sequence[str], environment: str
) -> dict[str, ModelHealth]:
    """How those of these models are that are described; by name."""
    models = list_models(session, viewer, names=names)
    return {one.model: one for one in _health(session, viewer, models, environment)}


def health_by_windows(
    session: ReadSession, viewer: Actor, models: Sequence[Model], environment: str
) -> list[ModelHealth]:
    """How described models are by their windows alone, whatever fires: `live_state` comes before it."""
    return _health(session, viewer, models, environment, by_windows=True)


def _health(
    session: ReadSession,
    viewer: Actor,
    models: Sequence[Model],
    environment: str,
    *,
    by_windows: bool = False,
) -> list[ModelHealth]:
    names = [model.name for model in models]
    champions = {
        row.model: row
        for row in session.scalars(
            select(Deployment).where(
                among(Deployment.model, names), Deployment.environment == environment,
                Deployment.role == "champion", Deployment.ended_at.is_(None),
            )
        )
    }  # fmt: skip
    held_out = {
        row.model: row.metrics
        for row in session.execute(
            select(Version.model, Version.metrics)
            .join(Deployment, and_(Deployment.model == Version.model, Deployment.version == Version.version))
            .where(among(Deployment.id, [one.id for one in champions.values()]))
        )
    }
    recent = recent_windows(session, viewer, models, environment)
    fires = {} if by_windows else worst_by_model(session, viewer, names, environment)
    heard = hear_labels(session, recent)
    owners = names_of(session, {model.owner_id for model in models})
    return [
        _one(
            model, champions.get(model.name), held_out.get(model.name, {}), recent[model.name], fires.get(model.name),
            owners.get(model.owner_id or ""), heard.get(model.name, Heard()), by_windows=by_windows,
        )
        for model in models
    ]  # fmt: skip


def _one(
    model: Model, champion: Deployment | None, serving: Mapping[str, Any],
    recent: RecentWindows, fires: tuple[Alert, int] | None, owner: str | None, heard: Heard, *, by_windows: bool,
) -> ModelHealth:  # fmt: skip
    held_out = serving.get(recent.metric) or {}
    judged = _last_judged(recent.realised)
    estimate = _last_judged(recent.estimated)
    # A newer estimate says more about now than the last labels, but a realised figure is shown where there is one.
    shown = judged or estimate
    live = None if by_windows else live_state(champion, fires[0] if fires else None)
    level, word, because, since = live or _state_of_windows(champion, recent, judged, estimate, heard)
    history = recent.realised if judged else recent.estimated
    return ModelHealth(
        model=model.name, title=model.title, tier=model.tier, owner=owner, notice=model.notice, level=level,
        word=word, because=because, since=since, metric=recent.metric,
        unit=unit_of(recent.metric, parse_spec(model.spec)), value=shown.value if shown else None,
        reference=_reference(shown, held_out), estimated=judged is None and estimate is not None,
        history=tuple((point.value, _verdict(point)) for point in history), window=recent.size,
        window_start=shown.window_start if shown else recent.last_start,
        rows=shown.rows if shown else recent.last_rows,
        completeness=shown.completeness if shown else recent.last_completeness, computed_at=recent.computed_at,
        version=champion.version if champion else None,
        serving_since=(champion.serving_at or champion.started_at) if champion else None,
        alerts=fires[1] if fires else 0, heard=heard, last_end=recent.last_end,
    )  # fmt: skip


def live_state(champion: Deployment | None, worst: Alert | None) -> State | None:
    """What is known without looking at windows: alerts that fire, and what serves; None where that says nothing.

    The first that applies is the worst that is known; what windows say comes after it.
    """
    if worst is not None and worst.level == "page":
        return "page", f"{worst.kind} alert", worst.title, worst.fired_at
    if champion is not None and champion.state == "failed":
        return "page", "deployment failed", champion.reason, champion.started_at
    if worst is not None and worst.level == "ticket":
        return "attention", f"{worst.kind} alert", worst.title, worst.fired_at
    if champion is None:
        return NOT_SERVING
    return None


def stale_at(last_end: datetime | None, size: str) -> datetime | None:
    """From when on windows of this size, the last of which ended then, say nothing any more."""
    return None if last_end is None else last_end + _LENGTH.get(size, timedelta(days=1)) * STALE_WINDOWS


def too_old(last_end: datetime | None) -> State:
    """What a model is of which no newer window came."""
    return "unknown", "no data", "no newer window with predictions has been computed", last_end


def _state_of_windows(
    champion: Deployment | None, recent: RecentWindows, judged: RecentPoint | None, estimate: RecentPoint | None,
    heard: Heard,
) -> State:  # fmt: skip
    """What its windows say of a model whose champion is this."""
    if champion is None:
        return NOT_SERVING
    if recent.last_end is None:
        return NO_DATA
    if clock.now() - recent.last_end > _length(recent) * STALE_WINDOWS:
        return too_old(recent.last_end)
    if judged is not None and judged.verdict == "alarm" and judged.version == champion.version:
        return "attention", "worse", "the last judged window was worse than its limit", judged.window_start
    if judged is not None and recent.last_end - judged.window_end > _length(recent) * STALE_WINDOWS:
        ago = f"the last labels are of {judged.window_start:%B %Y}"
        if estimate is not None and estimate.verdict == "alarm":
            return "attention", "estimated worse", f"estimated to be worse; {ago}", estimate.window_start
        guess = "estimated to hold" if estimate is not None else "not estimated"
        return "unknown", "waiting for labels", f"{guess}; {ago}", None
    if judged is not None and judged.version != champion.version:
        because = f"v{champion.version} has no judged window yet; the last one was of v{judged.version}"
        return "unknown", "not judged", because, champion.serving_at or champion.started_at
    if judged is not None and heard.settled:
        names = _named(heard.settled)
        return (
            "attention",
            "worse",
            f"{names} of the last judged window beyond the limit",
            judged.window_start,
        )
    if heard.so_far is not None and heard.so_far.beyond:
        names, so_far = _named(heard.so_far.beyond), heard.so_far
        because = (
            f"{so_far.labels} of {so_far.rows} labels of a newer window say {names} beyond the limit so far"
        )
        return "unknown", "not judged", because, so_far.window_start
    if judged is not None:
        return "ok", "holds", "the last judged window was within its limit", None
    if estimate is not None and estimate.verdict == "alarm":
        return (
            "attention",
            "estimated worse",
            "the last estimate was worse than its limit",
            estimate.window_start,
        )
    if estimate is not None:
        return "unknown", "waiting for labels", "estimated to hold, and no label has come to confirm it", None
    return "unknown", "not judged", "too few rows or labels to judge any recent window", None


def _reference(shown: RecentPoint | None, held_out: dict[str, Any]) -> float | None:
    """What the shown value was held against; without one, the champion's pooled held-out value."""
    return held_out.get("value") if shown is None or shown.reference is None else shown.reference


def _length(recent: RecentWindows) -> timedelta:
    return _LENGTH.get(recent.size, timedelta(days=1))


def _last_judged(points: Sequence[RecentPoint]) -> RecentPoint | None:
    return next((point for point in reversed(points) if point.verdict in JUDGED), None)


def _verdict(point: RecentPoint) -> str:
    return point.level or point.verdict if point.verdict == "alarm" else point.verdict


def _named(metrics: Sequence[Beyond]) -> str:
    """`recall, f1 and 2 more`."""
    rest = f" and {len(metrics) - 3} more" if len(metrics) > 3 else ""
    return ", ".join(one.metric.replace("_", " ") for one in metrics[:3]) + rest
