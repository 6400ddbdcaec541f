"""Objectives judged: what of their sources is read next, and from stored counts their state, budget and alerts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Final

from sqlalchemy import func, select

from backend import clock
from backend.alerting.service import Firing, fingerprint, fire, resolve
from backend.alerting.tables import Alert
from backend.database.session import ReadSession, WriteSession
from backend.deployment.service import champion
from backend.errors import WarrantError
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.slo.burn_rates import (
    Budget,
    Counts,
    JudgedRow,
    RowState,
    State,
    exact_rows,
    is_quiet,
    judge_budget,
    judge_objective,
    judge_row,
)
from backend.slo.counting import last_events, moment, store_slots, sum_periods, sum_windows
from backend.slo.left_out import left_out
from backend.slo.objectives import WINDOWED, Objective
from backend.slo.objectives_service import ABSENT, KIND, list_objectives, objective_of
from backend.slo.sentences import absent_sentence, alert_sentence
from backend.slo.slots import HOUR, MINUTE, floor_to, length_at
from backend.slo.sources import Asked, Reading
from backend.slo.tables import ObjectiveRevision, ObjectiveState, SliCount

log = logging.getLogger("warrant.slo")

READ_AGAIN_S: Final = 300
"""Slots that ended so lately are read again: gateways write, and Prometheus scrapes, some seconds after the event."""
PAST_S: Final = 62 * 86_400
"""How much of the past is counted when an objective is new, or its whole period if that is longer: last month too."""
ABSENT_AFTER_S: Final = 600
RECENT_S: Final = 6 * HOUR
"""The forecast goes by the burn of these hours; for objectives about windows by the longest window of their rows."""
LEVELS: Final = ("page", "ticket")


@dataclass(frozen=True)
class Judged:
    """One objective as it stands at `at`: where its windows end."""

    revision: ObjectiveRevision
    objective: Objective
    at: datetime
    rows: tuple[JudgedRow, ...]
    budget: Budget
    state: State
    windows: Mapping[int, Counts]
    quiet_since: datetime | None = (
        None  # the end of the last slot with an event, where only events are missing
    )


def readings_due(session: ReadSession, actor: Actor, *, now: datetime) -> list[Asked]:
    """What has to be counted next: of a new objective its past, of any other what came since it was last read."""
    allow(session, actor, Permission.COMPUTE_METRICS)
    until_s = floor_to(now.timestamp(), MINUTE)
    states = _states(session)
    asked = []
    for row, objective in _readable(list_objectives(session, actor))[0]:
        state = states.get(row.key)
        if state is None:
            start, _ = objective.window.bounds(now)
            since_s = floor_to(min(start.timestamp(), until_s - PAST_S), HOUR)
            if objective.sli.kind in WINDOWED:
                since_s = 0  # windows are asked for by when they were computed
        else:
            since_s = state.read_until_s - READ_AGAIN_S
            if objective.sli.kind not in WINDOWED:  # whole slots, as long as they may have become since
                since_s = floor_to(since_s, length_at(until_s - since_s))
        asked.append(Asked(row.key, objective, min(since_s, until_s - READ_AGAIN_S), until_s))
    return asked


def store_readings(
    session: WriteSession, actor: Actor, asked: Sequence[Asked], readings: Mapping[str, Reading], *, now: datetime
) -> None:  # fmt: skip
    """Store what was counted. A reading that failed is asked for again, from where the last one ended."""
    allow(session, actor, Permission.COMPUTE_METRICS)
    states = _states(session)
    read, unread = _readable(list_objectives(session, actor))
    present, objectives = {row.key: row for row, _ in read}, {row.key: objective for row, objective in read}
    declared = left_out(session, objectives)
    for broken, problem in unread:
        _tell_unread(session, actor, broken, states.get(broken.key), problem, now=now)
    for one in asked:
        reading, row = readings.get(one.key), present.get(one.key)
        if reading is None or row is None or objectives[one.key] != one.objective:
            continue  # it was changed or retired while its source was read
        state = states.get(one.key)
        start, _ = one.objective.window.bounds(now)
        if state is None:
            state = ObjectiveState(
                objective=row.key, model=row.model, environment=row.environment, number=row.number,
                read_until_s=one.since_s, seen_until_s=0, period_start_s=int(start.timestamp()),
                state=State.NO_DATA.value, since=now, figures={}, problem="",
            )  # fmt: skip
            session.add(state)
        store_slots(session, row.key, reading.slots, source=reading.source, maintenance=declared[row.key])
        if reading.slots:
            state.read_until_s = one.until_s
            seen = (slot.end_s for slot in reading.slots if slot.counts.observed_s > 0)
            state.seen_until_s = max(state.seen_until_s, *seen, 0)
        state.problem, state.number, state.period_start_s = (
            reading.problem, row.number, int(start.timestamp())
        )  # fmt: skip
    session.flush()


def judge_all(session: ReadSession, actor: Actor, *, now: datetime) -> list[Judged]:
    """Every objective that was counted, judged by the counts up to the last full minute.

    None is `ok` while its source is absent: what was good before says nothing of now. Where the source is seen and
    nothing comes, no failure comes either: what the last counts said holds on.
    """
    states = _states(session)
    read = [found for found in _readable(list_objectives(session, actor))[0] if found[0].key in states]
    present, objectives = [row for row, _ in read], {row.key: objective for row, objective in read}
    now_s = floor_to(now.timestamp(), MINUTE)
    ends = _ends(session, objectives, now_s)
    windows = sum_windows(session, ends, _windows_of(objectives.values()))
    periods = sum_periods(session, now_s)
    judged = [
        judge_counts(
            row, objectives[row.key], windows=windows[row.key], period=periods.get(row.key, Counts()),
            at=moment(ends[row.key]), now=now,
        )
        for row in present
    ]  # fmt: skip
    judged = _hold_on(session, judged)
    return [
        replace(one, state=State.NO_DATA)
        if one.state is State.OK and absent_since(one, states[one.revision.key], now=now) is not None
        else one
        for one in judged
    ]


def _hold_on(session: ReadSession, judged: Sequence[Judged]) -> list[Judged]:
    """The quiet ones with the state of their last counts: in danger as long as an alert fires, which resolves only when
    events come, else by their budget. One whose period has no event stays without data."""
    quiet = {
        one.revision.key for one in judged
        if one.state is State.NO_DATA and one.budget.remaining is not None and is_quiet(one.rows)
    }  # fmt: skip
    if not quiet:
        return list(judged)
    since, firing = last_events(session, quiet), _firing(session)
    return [
        replace(one, state=_last_state(one, firing), quiet_since=moment(since[one.revision.key]))
        if one.revision.key in since
        else one
        for one in judged
    ]


def _last_state(judged: Judged, firing: Mapping[str, Alert]) -> State:
    subjects = (f"{judged.revision.key}/{level}" for level in LEVELS)
    fires = any(_fingerprint(judged, KIND, subject) in firing for subject in subjects)
    return State.BREACH if fires else State.OK


def judge_counts(
    row: ObjectiveRevision,
    objective: Objective,
    *,
    windows: Mapping[int, Counts],
    period: Counts,
    at: datetime,
    now: datetime,
) -> Judged:
    """One objective, from the counts of its windows (by length in seconds) and of its period."""
    target = Fraction(objective.target)
    period_s = objective.window.length_s(now)
    judged = tuple(
        judge_row(one, windows[one.long_s], windows[one.short_s], least_events=objective.minimum_events)
        for one in exact_rows(objective.rows, target=objective.target, period_s=period_s)
    )
    recent_s = recent_window(objective)
    _, end = objective.window.bounds(now)
    budget = judge_budget(
        target, period, period_s=period_s, recent=windows[recent_s], recent_s=recent_s,
        left_s=(end - at).total_seconds() if end > now else None,
    )  # fmt: skip
    return Judged(row, objective, at, judged, budget, judge_objective(judged, budget), windows)


def recent_window(objective: Objective) -> int:
    """The window by whose burn an objective's exhaustion is forecast, in seconds."""
    if objective.sli.kind in WINDOWED and objective.rows:
        return max(one.long_s for one in objective.rows)
    return RECENT_S


def store_judgements(
    session: WriteSession, actor: Actor, judged: Iterable[Judged], *, now: datetime
) -> dict[str, int]:
    """Store states, fire and resolve alerts. Returns how many objectives are in each state."""
    allow(session, actor, Permission.COMPUTE_METRICS)
    states, firing = _states(session), _firing(session)
    serving: dict[tuple[str, str], int | None] = {}
    counted: dict[str, int] = {}
    for one in judged:
        state = states.get(one.revision.key)
        if state is None:
            continue
        if state.state != one.state.value:
            state.state, state.since = one.state.value, now
        state.judged_at = one.at
        budget = one.budget
        state.remaining = None if budget.remaining is None else float(budget.remaining)
        state.burn = None if budget.burn is None else float(budget.burn)
        state.exhausted_at = None if budget.exhausted_in is None else one.at + budget.exhausted_in
        figures = figures_of(one)
        if state.figures != figures:
            state.figures = figures
        place = (one.objective.model, one.objective.environment)
        if place not in serving:
            found = champion(session, *place)
            serving[place] = None if found is None else found.version
        _tell(session, actor, one, firing, version=serving[place])
        _tell_absent(session, actor, one, state, firing, version=serving[place], now=now)
        counted[one.state.value] = counted.get(one.state.value, 0) + 1
    session.flush()
    return counted


def figures_of(judged: Judged) -> dict[str, Any]:
    """The counts by which an objective was judged, as they are stored."""
    return {
        "rows": [
            {
                "severity": one.row.severity, "long_s": one.row.long_s, "short_s": one.row.short_s,
                "factor": float(one.row.factor), "threshold": float(one.row.threshold), "state": one.state.value,
                "long": counts_json(one.long), "short": counts_json(one.short),
            }
            for one in judged.rows
        ],
        "windows": {str(window): counts_json(counts) for window, counts in judged.windows.items()},
        "period": counts_json(judged.budget.period),
        "period_s": judged.budget.period_s,
        "left_s": judged.budget.left_s,
        "burn_window_s": judged.budget.burn_window_s,
        "quiet_since": clock.to_iso(judged.quiet_since) if judged.quiet_since else None,
    }  # fmt: skip


def counts_json(counts: Counts) -> dict[str, float]:
    return {
        "good": counts.good, "total": counts.total, "observed_s": counts.observed_s, "excluded_s": counts.excluded_s,
    }  # fmt: skip


def _tell(
    session: WriteSession, actor: Actor, judged: Judged, firing: Mapping[str, Alert], *, version: int | None
) -> None:
    """One alert an objective and level: it fires by its worst row, and is resolved once none says more than `ok`.

    A row without data, or with too few events, leaves its alert as it is.
    """
    for level in LEVELS:
        rows = [one for one in judged.rows if one.row.severity == level]
        fires = [one for one in rows if one.state is RowState.FIRES]
        subject = f"{judged.revision.key}/{level}"
        known = firing.get(_fingerprint(judged, KIND, subject))
        if fires:
            worst = max(fires, key=lambda one: one.row.factor)
            fire(session, actor, _firing_of(judged, worst, subject, version=version))
        elif known is not None and all(one.state is RowState.OK for one in rows):
            resolve(session, actor, known, why="the budget burns no faster than it may")


def _firing_of(judged: Judged, worst: JudgedRow, subject: str, *, version: int | None) -> Firing:
    row = worst.row
    return Firing(
        model=judged.objective.model, environment=judged.objective.environment, version=version, kind=KIND,
        level=row.severity, title=alert_sentence(judged, worst), subject=subject,
        since=judged.at - timedelta(seconds=row.long_s),
        details={
            "objective": judged.revision.key, "name": judged.objective.name,
            "revision": judged.revision.number, "target": str(judged.objective.target),
            "long_s": row.long_s, "short_s": row.short_s, "factor": float(row.factor),
            "threshold": float(row.threshold), "value": float(worst.long.error or 0),
            "long": counts_json(worst.long), "short": counts_json(worst.short),
            "remaining": None if judged.budget.remaining is None else float(judged.budget.remaining),
        },
    )  # fmt: skip


def _tell_absent(
    session: WriteSession, actor: Actor, judged: Judged, state: ObjectiveState, firing: Mapping[str, Alert],
    *, version: int | None, now: datetime,
) -> None:  # fmt: skip
    """An alert of its own for an objective whose source is not seen any more: silence is not health."""
    known = firing.get(_fingerprint(judged, ABSENT, judged.revision.key))
    since = absent_since(judged, state, now=now)
    if since is not None:
        fire(
            session, actor,
            Firing(
                model=judged.objective.model, environment=judged.objective.environment, version=version,
                kind=ABSENT, level="ticket", title=absent_sentence(judged, state.problem, since),
                subject=judged.revision.key, since=since,
                details={"objective": judged.revision.key, "name": judged.objective.name, "problem": state.problem},
            ),
        )  # fmt: skip
    elif known is not None:
        resolve(session, actor, known, why="its source is seen again")


Readable = list[tuple[ObjectiveRevision, Objective]]
Unread = list[tuple[ObjectiveRevision, str]]


def _readable(rows: Iterable[ObjectiveRevision]) -> tuple[Readable, Unread]:
    """Those whose stored text reads, and the others with why it does not: an earlier release may have taken more, and
    what it left here holds up no other."""
    read: Readable = []
    unread: Unread = []
    for row in rows:
        try:
            read.append((row, objective_of(row)))
        except WarrantError as error:
            unread.append((row, error.message))
        except Exception as error:
            log.exception("the text of objective %s cannot be read; the others go on", row.key)
            unread.append((row, type(error).__name__))
    return read, unread


def _tell_unread(
    session: WriteSession, actor: Actor, row: ObjectiveRevision, state: ObjectiveState | None, problem: str,
    *, now: datetime,
) -> None:  # fmt: skip
    """Nothing is known of it, and somebody hears of that; `_tell_absent` ends the alert once it is judged again."""
    told = f"its definition cannot be read: {problem}"
    if state is not None:
        if state.state != State.NO_DATA.value:
            state.state, state.since = State.NO_DATA.value, now
        state.problem = told
    fire(
        session, actor,
        Firing(
            model=row.model, environment=row.environment, version=None, kind=ABSENT, level="ticket",
            title=f"{row.name}: {told}", subject=row.key, since=now,
            details={"objective": row.key, "name": row.name, "problem": told},
        ),
    )  # fmt: skip


def absent_since(judged: Judged, state: ObjectiveState, *, now: datetime) -> datetime | None:
    """Since when nothing of the objective's source was seen, if that is too long; None while it is not.

    Windows come as seldom as labels do: of them one whole period without any is too long.
    """
    seen = moment(state.seen_until_s) if state.seen_until_s else judged.revision.made_at
    patience = float(ABSENT_AFTER_S)
    if judged.objective.sli.kind in WINDOWED:
        patience = judged.budget.period_s
    if judged.objective.slice_s is not None:
        patience = max(patience, 2.0 * judged.objective.slice_s)
    return seen if (now - seen).total_seconds() > patience else None


def _fingerprint(judged: Judged, kind: str, subject: str) -> str:
    return fingerprint(judged.objective.model, judged.objective.environment, kind, subject)


def _states(session: ReadSession) -> dict[str, ObjectiveState]:
    return {row.objective: row for row in session.scalars(select(ObjectiveState))}


def _firing(session: ReadSession) -> dict[str, Alert]:
    found = session.scalars(select(Alert).where(Alert.state == "firing", Alert.kind.in_((KIND, ABSENT))))
    return {alert.fingerprint: alert for alert in found}


def _windows_of(objectives: Iterable[Objective]) -> set[int]:
    found = {RECENT_S, HOUR}
    for one in objectives:
        found |= {length for row in one.rows for length in (row.long_s, row.short_s)}
    return found


def _ends(session: ReadSession, objectives: Mapping[str, Objective], now_s: int) -> dict[str, int]:
    """Where the windows of each objective end: now, or for those about windows at the newest that was judged.

    Labels come late: the last week of a model whose labels take two is not the week that can be judged.
    """
    ends = dict.fromkeys(objectives, now_s)
    windowed = [key for key, one in objectives.items() if one.sli.kind in WINDOWED]
    if windowed:
        newest = session.execute(
            select(SliCount.objective, func.max(SliCount.end_s))
            .where(SliCount.objective.in_(windowed), SliCount.total > 0, SliCount.end_s <= now_s)
            .group_by(SliCount.objective)
        )
        ends |= {key: int(end_s) for key, end_s in newest}
    return ends
