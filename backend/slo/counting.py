"""Counts of objectives in the database: stored by slot, added up by window, made coarser with age."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import ColumnElement, and_, case, delete, func, insert, or_, select

from backend.database.session import ReadSession, WriteSession
from backend.slo.burn_rates import Counts
from backend.slo.left_out import LeftOut
from backend.slo.slots import AGES, Slot, compact
from backend.slo.sources import STORE
from backend.slo.tables import ObjectiveState, SliCount

KEPT_S: Final = 100 * 86_400
"""How long counts are kept: a quarter and some days, so that last month can be reported whole."""
_BATCH: Final = 400


def moment(second: float) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def store_slots(
    session: WriteSession, objective: str, slots: Sequence[Slot], *, source: str, maintenance: Sequence[LeftOut]
) -> None:  # fmt: skip
    """Store what was counted; a slot that was counted before is replaced. Storing again changes nothing.

    Sources that read a span without gaps replace all of it, in slots of whatever length; stored figures are events of
    single minutes, and replace those.
    """
    if not slots:
        return
    if source == STORE:
        _delete_same(session, objective, slots)
    else:
        start_s, end_s = min(slot.start_s for slot in slots), max(slot.end_s for slot in slots)
        session.execute(
            delete(SliCount).where(
                SliCount.objective == objective, SliCount.end_s > start_s, SliCount.end_s <= end_s,
                SliCount.end_s - SliCount.length_s >= start_s,
            )
        )  # fmt: skip
    spans = spans_of(maintenance)
    _insert(session, objective, [in_maintenance(slot, spans) for slot in slots], source=source)


def _delete_same(session: WriteSession, objective: str, slots: Sequence[Slot]) -> None:
    ends = [slot.end_s for slot in slots]
    for first in range(0, len(ends), _BATCH):
        session.execute(
            delete(SliCount).where(
                SliCount.objective == objective, SliCount.end_s.in_(ends[first : first + _BATCH]),
                SliCount.length_s.in_({slot.length_s for slot in slots}),
            )
        )  # fmt: skip


def _insert(session: WriteSession, objective: str, slots: Iterable[Slot], *, source: str) -> None:
    """In one statement and past the session: five hundred objectives store theirs every minute."""
    rows = [
        {
            "objective": objective, "end_s": slot.end_s, "length_s": slot.length_s, "excluded": slot.excluded,
            "good": slot.counts.good, "total": slot.counts.total, "observed_s": slot.counts.observed_s,
            "excluded_s": slot.counts.excluded_s, "source": source,
        }
        for slot in slots
    ]  # fmt: skip
    if rows:
        session.execute(insert(SliCount), rows)


def in_maintenance(slot: Slot, spans: Iterable[tuple[float, float]]) -> Slot:
    """The slot as it counts: out of the sums where maintenance lies over any part of it."""
    excluded = any(start < slot.end_s and end > slot.start_s for start, end in spans)
    counts = replace(slot.counts, excluded_s=float(slot.length_s) if excluded else 0.0)
    return Slot(slot.start_s, slot.length_s, counts, excluded)


def spans_of(maintenance: Iterable[LeftOut]) -> list[tuple[float, float]]:
    """Starts and ends in seconds since 1970."""
    return [(one.starts_at.timestamp(), one.ends_at.timestamp()) for one in maintenance]


def slot_of(row: SliCount) -> Slot:
    counts = Counts(row.good, row.total, row.observed_s, row.excluded_s)
    return Slot(row.end_s - row.length_s, row.length_s, counts, row.excluded)


def load_slots(session: ReadSession, objective: str, *, start_s: float, end_s: float) -> list[Slot]:
    """Every slot of an objective that ends in (start_s, end_s], oldest first."""
    rows = session.scalars(
        select(SliCount)
        .where(SliCount.objective == objective, SliCount.end_s > start_s, SliCount.end_s <= end_s)
        .order_by(SliCount.end_s)
    )
    return [slot_of(row) for row in rows]


def sum_windows(
    session: ReadSession, ends: Mapping[str, int], windows_s: Iterable[int]
) -> dict[str, dict[int, Counts]]:
    """{objective: {window: counts of (end - window, end]}}, one query for any number of objectives.

    ends   {objective: the second at which its windows end}; all windows that end at one second are one pass
    """
    wanted = sorted(set(windows_s))
    found: dict[str, dict[int, Counts]] = {key: {one: Counts() for one in wanted} for key in ends}
    by_end: dict[int, list[str]] = {}
    for key, end_s in ends.items():
        by_end.setdefault(end_s, []).append(key)
    for end_s, keys in by_end.items():
        columns = [
            func.coalesce(func.sum(case((SliCount.end_s > end_s - window, value), else_=0.0)), 0)
            for window in wanted
            for value in _values()
        ]
        query = (
            select(SliCount.objective, *columns)
            .where(SliCount.end_s > end_s - wanted[-1], SliCount.end_s <= end_s)
            .group_by(SliCount.objective)
        )
        if len(keys) <= _BATCH:
            query = query.where(SliCount.objective.in_(keys))
        for key, *sums in session.execute(query):
            if ends.get(key) == end_s:
                found[key] = {
                    window: _counts(sums[4 * index : 4 * index + 4]) for index, window in enumerate(wanted)
                }
    return found


def sum_periods(session: ReadSession, now_s: int) -> dict[str, Counts]:
    """{objective: counts of its period up to now}; `ObjectiveState.period_start_s` says where each begins."""
    query = (
        select(SliCount.objective, *(func.coalesce(func.sum(value), 0) for value in _values()))
        .join(ObjectiveState, ObjectiveState.objective == SliCount.objective)
        .where(SliCount.end_s > ObjectiveState.period_start_s, SliCount.end_s <= now_s)
        .group_by(SliCount.objective)
    )
    return {key: _counts(sums) for key, *sums in session.execute(query)}


def last_events(session: ReadSession, objectives: Iterable[str]) -> dict[str, int]:
    """{objective: the end of the last slot in which anything was counted}, in seconds since 1970."""
    keys = sorted(objectives)
    found: dict[str, int] = {}
    for first in range(0, len(keys), _BATCH):
        query = (
            select(SliCount.objective, func.max(SliCount.end_s))
            .where(SliCount.objective.in_(keys[first : first + _BATCH]), SliCount.total > 0)
            .group_by(SliCount.objective)
        )
        found |= {key: int(end_s) for key, end_s in session.execute(query)}
    return found


def _values() -> tuple[ColumnElement[float], ...]:
    """good, total, observed and excluded seconds, as they count."""
    counted = [
        case((SliCount.excluded.is_(False), column), else_=0.0)
        for column in (SliCount.good, SliCount.total, SliCount.observed_s)
    ]
    return (*counted, case((SliCount.excluded.is_(True), SliCount.excluded_s), else_=0.0))


def _counts(sums: Sequence[float]) -> Counts:
    good, total, observed, excluded = (float(one) for one in sums)
    return Counts(good, total, observed, excluded)


def compact_counts(
    session: WriteSession, objective: str, *, now_s: float, kept_s: float = KEPT_S, hourly: bool = True
) -> int:
    """Add up slots that are old enough, and let go what is older than `kept_s`. Returns how many rows are fewer."""
    session.execute(delete(SliCount).where(SliCount.objective == objective, SliCount.end_s < now_s - kept_s))
    old = or_(*(and_(SliCount.length_s < longer, SliCount.end_s <= now_s - age) for age, longer in AGES))
    rows = list(session.scalars(select(SliCount).where(SliCount.objective == objective, old)))
    merged = compact([slot_of(row) for row in rows], now_s=now_s, hourly=hourly)
    if len(merged) == len(rows):
        return 0
    source = rows[-1].source
    for row in rows:
        session.delete(row)
    session.flush()
    _insert(session, objective, merged, source=source)
    return len(rows) - len(merged)


def mark_maintenance(
    session: WriteSession, objective: str, maintenance: Sequence[LeftOut], *, start_s: float, end_s: float
) -> None:
    """Count the slots of a span anew as in or out of maintenance, after one was declared, ended or withdrawn.

    Slots that were made longer since are taken as a whole.
    """
    spans = spans_of(maintenance)
    rows = session.scalars(
        select(SliCount).where(
            SliCount.objective == objective, SliCount.end_s > start_s,
            SliCount.end_s - SliCount.length_s < end_s,
        )
    ).all()  # fmt: skip
    found: dict[tuple[int, int, bool], Slot] = {}
    sources = {row.source for row in rows}
    for row in rows:
        slot = in_maintenance(slot_of(row), spans)
        key = (slot.end_s, slot.length_s, slot.excluded)
        before = found.get(key)
        if before is not None:  # what counted and what did not are one again
            counts = replace(slot.counts + before.counts, excluded_s=slot.counts.excluded_s)
            slot = Slot(slot.start_s, slot.length_s, counts, slot.excluded)
        found[key] = slot
        session.delete(row)
    session.flush()
    if found:
        _insert(session, objective, found.values(), source=min(sources))


def totals_by_step(
    session: ReadSession, objectives: Sequence[str], *, since_s: int, step_s: int, until_s: int | None = None
) -> dict[str, dict[int, Counts]]:
    """{objective: {second at which a step of `step_s` begins (counted from 1970): counts}} of slots that end in
    (since_s, until_s]."""
    step = SliCount.end_s - 1 - (SliCount.end_s - 1) % step_s
    found: dict[str, dict[int, Counts]] = {key: {} for key in objectives}
    for first in range(0, len(objectives), _BATCH):
        query = (
            select(SliCount.objective, step, *(func.coalesce(func.sum(value), 0) for value in _values()))
            .where(SliCount.objective.in_(objectives[first : first + _BATCH]), SliCount.end_s > since_s)
            .group_by(SliCount.objective, step)
            .order_by(step)
        )
        if until_s is not None:
            query = query.where(SliCount.end_s <= until_s)
        for key, start, *sums in session.execute(query):
            found[key][int(start)] = _counts(sums)
    return found
