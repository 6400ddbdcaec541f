"""What a window's inputs and outputs say: its profiles held against those of its reference, by column and segment.

From counts alone: where the rule of reference changes, stored profiles are judged again and no row is read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace

from backend.monitoring.columns import Column, ModelSpec
from backend.monitoring.effects import Effect, estimate_effects
from backend.monitoring.evaluate import Level, Point, alarms_below, evaluate_window, rank
from backend.monitoring.grids import Grid
from backend.monitoring.paging import Stakes, settle_levels
from backend.monitoring.profiles import Profile
from backend.monitoring.reference_rules import Counted, choose_reference, look_back
from backend.monitoring.references import Measured, margin_of
from backend.monitoring.segments import ALL, Parts, name_in
from backend.monitoring.statistics import statistics_for
from backend.monitoring.thresholds import Noise
from backend.monitoring.unreadable import tell_unreadable
from backend.monitoring.windows import Window


def stakes_of(spec: ModelSpec, reference: Measured) -> Stakes:
    """What each column is worth to the model."""
    return Stakes(reference.importances.if_lost, margin_of(spec, reference.performance))


def judge_inputs(
    spec: ModelSpec, reference: Measured, against: Parts, current: Parts, *, noise: Noise | None = None
) -> list[Point]:
    """Points of drift and quality of all rows and of every segment that both sides have, under one error rate.

    reference  whose grids, importances and losses count, whatever `against` is
    against    what the window is compared with
    noise      values in quiet windows by (name, statistic); a segment's columns are named by `segments.name_in`

    A segment's alarm is a ticket at most: a page is about the whole model.
    """
    names: dict[str, tuple[str, str]] = {}
    columns: list[Column] = []
    grids: dict[str, Grid] = {}
    sides: tuple[dict[str, Profile], dict[str, Profile]] = ({}, {})
    for segment in [ALL, *sorted(segment for segment in current if segment != ALL and segment in against)]:
        for column in spec.columns:
            if segment.partition("=")[0] == column.name:  # it is what the segment is made by
                continue
            grid = reference.grids.get(column.name)
            found = against.get(segment, {}).get(column.name), current.get(segment, {}).get(column.name)
            if grid is None or found[0] is None or found[1] is None:
                continue
            name = name_in(column.name, segment)
            names[name] = segment, column.name
            columns.append(Column(name, column.kind))
            grids[name], sides[0][name], sides[1][name] = grid, found[0], found[1]
    compared = [
        replace(point, segment=names[point.column or ""][0], column=names[point.column or ""][1])
        for point in evaluate_window(spec, grids, *sides, noise=noise, columns=columns)
    ]
    compared = [p for p in compared if not (p.column == "prediction" and p.statistic == "constant_value")]
    whole = [point for point in compared if point.segment == ALL]
    effects = _effects(reference, whole, current.get(ALL, {}))
    importance = reference.importances.shares
    settled = settle_levels(whole, stakes_of(spec, reference), effects)
    settled += settle_levels(
        [point for point in compared if point.segment != ALL], stakes_of(spec, reference)
    )
    return [_finish(point, effects, importance) for point in settled]


def judge_by_rule(
    spec: ModelSpec,
    reference: Measured,
    window: Window,
    current: Parts,
    past: Sequence[tuple[Window, Parts]],
    *,
    noise: Noise | None,
) -> list[Point]:
    """`judge_inputs` against what the spec's rule of reference chooses among past windows, from profiles alone.

    past  windows in order of time with their profiles, on the grids of `reference`
    """
    fixed: dict[str, Mapping[str, Profile]] = {ALL: reference.profiles, **reference.segments}
    if spec.reference.kind == "fixed":
        return judge_inputs(spec, reference, fixed, current, noise=noise)
    since, until = look_back(spec.reference, window.start)
    first, last = (bisect_left(past, edge, key=lambda one: one[0].start) for edge in (since, until))
    recent = past[first:last]
    against: dict[str, Mapping[str, Profile]] = {}
    for segment in [name for name in fixed if name in current]:
        chosen = choose_reference(
            spec.reference, fixed[segment], [Counted(one, parts.get(segment, {})) for one, parts in recent], window,
            timezone=spec.timezone, min_rows=spec.min_rows,
        )  # fmt: skip
        if segment == ALL and chosen.reason is not None:
            return _without(spec, current, chosen.reason)
        against[segment] = chosen.profiles
    return judge_inputs(spec, reference, against, current, noise=noise)


def find_broken_input(
    spec: ModelSpec,
    reference: Measured,
    points: Sequence[Point],
    current: Parts,
    *,
    noise: Noise | None = None,
) -> str | None:
    """Which column that the model reads is broken, and how; None where none is, or where its loss would not be felt.

    An estimator learnt from the version's reference what scores are worth, so that is what counts here, whatever the
    rule of reference: `points` are of this window by the rule, `current` its profiles.
    """
    if spec.reference.kind != "fixed":
        only = {ALL: current.get(ALL, {})}
        points = judge_inputs(spec, reference, {ALL: reference.profiles}, only, noise=noise or None)
    stakes, read = stakes_of(spec, reference), {column.name for column in spec.features}
    broken = [
        point
        for point in points
        if point.family == "quality"
        and point.verdict == "alarm"
        and point.segment == ALL
        and point.column in read
        and not alarms_below(point)
        and stakes.matters(point.column)
    ]
    return min(broken, key=rank).text if broken else None


def _without(spec: ModelSpec, current: Parts, reason: str) -> list[Point]:
    """Every statistic of every column, inconclusive for one reason."""
    return [
        Point(column.name, statistic.name, statistic.family, None, None, "inconclusive", 0, profile.rows,
              f"{statistic.title} of {column.name}: {reason}", reason)
        for column in spec.columns
        if (profile := current.get(ALL, {}).get(column.name)) is not None
        for statistic in statistics_for(profile.grid.kind)
    ]  # fmt: skip


def _effects(
    reference: Measured, points: Sequence[Point], current: Mapping[str, Profile]
) -> dict[str, Effect]:
    """What the drift of each column that drifted does to the primary metric."""
    drifted = {p.column for p in points if p.family == "drift" and p.verdict == "alarm"}
    losses = {name: found for name, found in reference.losses.items() if name in drifted}
    return {one.column: one for one in estimate_effects(losses, current, reference.importances)}


def _finish(point: Point, effects: Mapping[str, Effect], importance: Mapping[str, float]) -> Point:
    level: Level | None = "ticket" if point.segment != ALL and point.level == "page" else point.level
    effect = effects.get(point.column or "") if point.family == "drift" and point.segment == ALL else None
    return replace(
        point,
        text=_tell_unreadable(point),
        level=level,
        importance=importance.get(point.column or ""),
        effect=None if effect is None else effect.effect,
        effect_se=None if effect is None else effect.se,
    )


def _tell_unreadable(point: Point) -> str:
    """The text of a point; values that are there and cannot be read as what they are declared are told apart."""
    if point.statistic != "missing_rate" or point.verdict != "alarm":
        return point.text
    return tell_unreadable(point.text, point.details)
