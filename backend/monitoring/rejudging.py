"""Judging windows again from stored profiles: where the rule of reference changed, or a window it looks back on did.

No row is read: profiles lie on the grids frozen from the version's reference, so they add up and compare whatever
the rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from sqlalchemy import delete, select, update

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.identity.actor import Actor
from backend.monitoring.columns import ModelSpec
from backend.monitoring.evaluate import Point
from backend.monitoring.inputs import judge_by_rule
from backend.monitoring.profiles import Profile
from backend.monitoring.reference_rules import look_back, rule_noise
from backend.monitoring.references import Reference, own_profiles
from backend.monitoring.segments import Parts
from backend.monitoring.service import point_row
from backend.monitoring.tables import MetricPoint, WindowProfile, WindowState
from backend.monitoring.thresholds import Noise
from backend.monitoring.windows import Window
from backend.monitoring.windows_service import is_unjudged
from backend.registry.tables import Model

KINDS = ("drift", "prediction", "quality")


@dataclass(frozen=True)
class UnjudgedWindow:
    """A computed window whose points of drift and quality do not follow the spec's rule of reference."""

    id: int
    size: str
    window: Window
    version: int
    computed_at: datetime


def windows_to_judge(
    session: ReadSession, *, model: str, environment: str, spec: ModelSpec
) -> list[UnjudgedWindow]:
    """Oldest first, by size: a window's reference may be the one before it."""
    found = session.scalars(
        select(WindowState)
        .where(WindowState.model == model, WindowState.environment == environment, is_unjudged(spec))
        .order_by(WindowState.size, WindowState.start, WindowState.number)
    )  # fmt: skip
    return [
        UnjudgedWindow(row.id, row.size, Window(row.start, row.end), row.version, row.computed_at)
        for row in found
        if row.version is not None and row.computed_at is not None
    ]


def load_past(
    session: ReadSession, *, model: str, environment: str, spec: ModelSpec, batch: Sequence[UnjudgedWindow]
) -> dict[int, tuple[WindowState, list[WindowProfile]]]:
    """The windows of a batch and all that their references may be made of, with their stored profiles, by id."""
    since, _ = look_back(spec.reference, batch[0].window.start)
    states = session.scalars(
        select(WindowState)
        .where(
            WindowState.model == model, WindowState.environment == environment, WindowState.size == batch[0].size,
            WindowState.start >= since, WindowState.start <= batch[-1].window.start, WindowState.rows > 0,
        )
        .order_by(WindowState.start, WindowState.number)
    ).all()  # fmt: skip
    found: dict[int, tuple[WindowState, list[WindowProfile]]] = {state.id: (state, []) for state in states}
    ids = list(found)
    for first in range(0, len(ids), 500):
        chosen = ids[first : first + 500]
        for row in session.scalars(select(WindowProfile).where(WindowProfile.window_id.in_(chosen))):
            found[row.window_id][1].append(row)
    return found


def judge_stored(
    spec: ModelSpec,
    reference: Reference,
    stored: Mapping[int, tuple[WindowState, list[WindowProfile]]],
    windows: Sequence[UnjudgedWindow],
) -> dict[int, list[Point]]:
    """{window id: its points of drift and quality} of windows of one version and size."""
    parts = {key: _read_parts(profiles, reference) for key, (_, profiles) in stored.items()}
    past = [(Window(state.start, state.end), parts[key]) for key, (state, _) in stored.items()]
    size = windows[0].size
    noise = reference.noise.get(size) if spec.reference.kind == "fixed" else _noise(spec, reference, size)
    return {
        one.id: judge_by_rule(spec, reference, one.window, parts.get(one.id, {}), past, noise=noise or None)
        for one in windows
    }


def store_judged(
    session: WriteSession,
    actor: Actor,
    *,
    model: Model,
    environment: str,
    spec: ModelSpec,
    judged: Sequence[tuple[UnjudgedWindow, Sequence[Point]]],
) -> None:
    """Replace the points of drift and quality of these windows; doing it again changes nothing.

    A window that was computed anew in the meantime is left as it is, and judged the next time.
    """
    from backend.monitoring.examination import STATISTICS as EXAMINED

    now = clock.now()
    rows: list[dict[str, object]] = []
    done: list[UnjudgedWindow] = []
    for one, points in judged:
        state = session.get(WindowState, one.id)
        if state is None or state.computed_at != one.computed_at:
            continue
        mine = (
            MetricPoint.window_id == one.id, MetricPoint.kind.in_(KINDS), MetricPoint.statistic.not_in(EXAMINED),
        )  # fmt: skip
        over = state.state != "open"
        first = {
            (point.segment, point.kind, point.column, point.statistic): (point.first_value, point.first_computed_at)
            for point in session.scalars(select(MetricPoint).where(*mine))
            if over
        }  # fmt: skip
        session.execute(delete(MetricPoint).where(*mine))
        session.execute(
            update(WindowState).where(WindowState.id == one.id).values(judged_by=spec.reference.text)
        )
        for point in points:
            row = point_row(
                point, window_id=one.id, model=model.name, environment=environment, size=one.size,
                start=one.window.start, completeness=None, now=now,
            )  # fmt: skip
            key = (row["segment"], row["kind"], row["column"], row["statistic"])
            row["first_value"], row["first_computed_at"] = first.get(key, (point.value, now))  # type: ignore[arg-type]
            rows.append(row)
        done.append(one)
    if rows:
        session.execute(MetricPoint.__table__.insert(), rows)  # type: ignore[attr-defined]
    session.expire_all()
    if done:
        record(
            session, actor, Action.WINDOW_COMPUTED, object_kind="model", object_id=model.name,
            payload={
                "environment": environment,
                "windows": [f"{one.size} {clock.to_iso(one.window.start)}" for one in done],
                "points": len(rows),
                "alarms": sum(row["verdict"] == "alarm" for row in rows),
                "reference": spec.reference.text,
            },
        )  # fmt: skip


def _read_parts(profiles: Sequence[WindowProfile], reference: Reference) -> Parts:
    """Those that lie on the grids of this reference; counts on another grid say nothing here."""
    found: dict[str, dict[str, Profile]] = {}
    for row in profiles:
        grid = reference.grids.get(row.column)
        if grid is not None and row.profile["grid"] == grid.digest:
            found.setdefault(row.segment, {})[row.column] = Profile.from_json(row.profile, grid)
    return found


def _noise(spec: ModelSpec, reference: Reference, size: str) -> Noise:
    return _rule_noise(_ByDigest(reference), spec, size)


class _ByDigest:
    """A reference as a cache key: equal where it is of the same data."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference

    def __hash__(self) -> int:
        return hash(self.reference.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByDigest) and self.reference.digest == other.reference.digest


@lru_cache(maxsize=8)
def _rule_noise(reference: _ByDigest, spec: ModelSpec, size: str) -> Noise:
    """What the statistics show between the reference's own windows when the rule compares them."""
    one = reference.reference
    return rule_noise(
        spec.reference,
        one.profiles,
        own_profiles(one, spec, size),
        timezone=spec.timezone,
        min_rows=spec.min_rows,
    )
