"""One column of one window against any reference, from stored profiles: no raw row is read.

rule      what the model's spec says its windows are compared with
fixed     the reference data of the version that served
previous  the window before
weekday   the same weekday of the eight weeks before; for windows of an hour, the same hour of it
last_7, last_28   the last 7 or 28 windows together
window    any other stored window of the same size, earlier or later
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from sqlalchemy import select

from backend.database.session import ReadSession
from backend.errors import NotFound
from backend.identity.actor import Actor
from backend.monitoring.columns import ModelSpec, ReferenceRule, parse_spec
from backend.monitoring.grids import Grid
from backend.monitoring.profiles import Profile
from backend.monitoring.reference_rules import Chosen, Counted, choose_reference
from backend.monitoring.statistics import statistics_for
from backend.monitoring.tables import ReferenceProfile, WindowProfile, WindowState
from backend.monitoring.windows import Window
from backend.registry.service import get_model

Against = Literal["rule", "fixed", "previous", "weekday", "last_7", "last_28", "window"]
AGAINST: Mapping[Against, str] = {
    "rule": "what it is judged against",
    "fixed": "the version's reference data",
    "previous": "the window before",
    "weekday": "the same weekday before",
    "last_7": "the last 7 windows together",
    "last_28": "the last 28 windows together",
    "window": "a window of your choice",
}
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
SHOWN_CATEGORIES = 15
MOST_PAST = 800
_WEEKS = 8
_WEEK_S = 604_800.0


@dataclass(frozen=True)
class Side:
    """One side in figures. Shares are of all rows, 0..1; None where there is nothing to say.

    quantiles  {0.05: x, ...}; one that lies outside the grid is given as the grid's end
    beyond     which of them do, {0.95: "above"}: all that is known is that they lie above or below it
    valued     rows with a value, infinite ones too: what `unseen` and `outside` are shares of
    unseen     share of values the version's reference never had; outside: share beyond the grid, or infinite
    absent     share of rows whose data lack the column; invalid: share that cannot be read as its kind. Both are
               missing too
    """

    rows: int
    missing: float | None
    unseen: float | None
    outside: float | None
    valued: int
    mean: float | None
    std: float | None
    low: float | str | None
    high: float | str | None
    quantiles: Mapping[float, float] = field(default_factory=dict)
    absent: float | None = None
    invalid: float | None = None
    beyond: Mapping[float, Literal["above", "below"]] = field(default_factory=dict)


@dataclass(frozen=True)
class Compared:
    """Two sides, shares for a chart, and the drift statistics of this very pair (without limits: those belong to the
    model's own rule). `shares` and `reference` are None where the wanted reference has nothing, and `reason` says so.
    `than` is the start of the window that was chosen to compare with.
    """

    against: str
    windows: int
    shares: dict[str, Any] | None
    reference: Side | None
    current: Side
    statistics: Mapping[str, float]
    reason: str | None = None
    than: datetime | None = None


def compare_column(
    session: ReadSession,
    viewer: Actor,
    window_id: int,
    column: str,
    *,
    against: Against = "rule",
    segment: str = "",
    other: int | None = None,
) -> Compared:
    """One column of one window (or one segment of it) beside a reference, by the words of the module's docstring.

    other   the window's number, for `window`

    Raises `NotFound` where a window, or its counts of this column, or the reference's, are not stored.
    """
    window, spec, current, fixed = _sides(session, viewer, window_id, column, segment)
    if against == "window":
        return _against_window(session, viewer, window, column, segment, current, other)
    rule = spec.reference if against == "rule" else ReferenceRule()
    past: list[Counted] = []
    if against not in ("rule", "fixed") or rule.kind != "fixed":
        past = _past(session, window, column, segment, fixed.grid)
    here = Window(window.start, window.end)
    if against != "rule":
        rule = _rule(against, here, window.size, past, spec.min_rows)
    chosen = choose_reference(
        rule, {column: fixed}, past, here, timezone=spec.timezone, min_rows=spec.min_rows
    )
    return _compared(column, chosen, current, words=_words(against, rule, window))


def _against_window(
    session: ReadSession, viewer: Actor, window: WindowState, column: str, segment: str, current: Profile,
    other: int | None,
) -> Compared:  # fmt: skip
    """Beside another window of the same model, environment and size, where its counts lie on the same grid."""
    if other is None:
        raise NotFound("choose the window to compare with")
    than = _window(session, viewer, other)
    if (than.model, than.environment, than.size) != (window.model, window.environment, window.size):
        raise NotFound("only windows of the same model, environment and size can be compared")
    counted = session.get(WindowProfile, (other, column, segment))
    if counted is None:
        chosen = Chosen({}, 0, "its counts are not stored")
    elif counted.profile["grid"] != current.grid.digest:
        chosen = Chosen({}, 0, "it was counted on the grid of another version's reference")
    else:
        chosen = Chosen({column: Profile.from_json(counted.profile, current.grid)}, 1)
    return replace(_compared(column, chosen, current, words="another window"), than=than.start)


def compare_segments(
    session: ReadSession, viewer: Actor, window_id: int, column: str, *, most: int = 6
) -> dict[str, Compared]:
    """{segment: the column in it beside the same segment of the version's reference}, the largest `most` first.

    Empty where the model has no segments, or none was counted for this window.
    """
    window = _window(session, viewer, window_id)
    rows = session.scalars(
        select(WindowProfile).where(
            WindowProfile.window_id == window_id, WindowProfile.column == column, WindowProfile.segment != ""
        )
    ).all()
    rows = [row for row in rows if not row.segment.startswith(f"{column}=")]  # one value by itself
    largest = sorted(rows, key=lambda row: (-int(row.profile["rows"]), row.segment))[:most]
    found: dict[str, Compared] = {}
    for row in largest:
        frozen = session.get(ReferenceProfile, (window.model, row.version, column, row.segment))
        whole = frozen or session.get(ReferenceProfile, (window.model, row.version, column, ""))
        if whole is None:
            continue
        grid = Grid.from_json(whole.grid)
        chosen = (
            Chosen({column: Profile.from_json(frozen.profile, grid)}, 0)
            if frozen is not None
            else Chosen({}, 0, "the version's reference has no rows of this segment")
        )
        found[row.segment] = _compared(
            column, chosen, Profile.from_json(row.profile, grid), words=f"reference of v{row.version}"
        )
    return found


def describe_columns(session: ReadSession, viewer: Actor, window_id: int) -> dict[str, tuple[Side, Side]]:
    """{column: (the version's reference, the window) in figures}; a column that the reference lacks is left out."""
    window = _window(session, viewer, window_id)
    counted = session.scalars(
        select(WindowProfile).where(WindowProfile.window_id == window_id, WindowProfile.segment == "")
    ).all()
    versions = {row.version for row in counted}
    frozen = {
        (row.version, row.column): row
        for row in session.scalars(
            select(ReferenceProfile).where(
                ReferenceProfile.model == window.model, ReferenceProfile.version.in_(versions),
                ReferenceProfile.segment == "",
            )
        )
    }  # fmt: skip
    found: dict[str, tuple[Side, Side]] = {}
    for row in counted:
        reference = frozen.get((row.version, row.column))
        if reference is None:
            continue
        grid = Grid.from_json(reference.grid)
        found[row.column] = (
            describe(Profile.from_json(reference.profile, grid)), describe(Profile.from_json(row.profile, grid)),
        )  # fmt: skip
    return found


def quantiles(profile: Profile, levels: Sequence[float] = LEVELS) -> dict[float, float]:
    """Quantiles of the finite numbers, linear within a bin and exact for few values; empty for categories."""
    grid = profile.grid
    total = int(profile.counts.sum())
    if grid.kind != "numeric" or not total or not (grid.edges or grid.values):
        return {}
    filled = np.cumsum(profile.counts) / total
    if grid.edges:
        found = np.interp(levels, filled[:-1], grid.borders)
    else:
        at = np.searchsorted(filled, np.asarray(levels) - 1e-12)
        found = grid.places[np.minimum(at, grid.cells - 1)]
    return dict(zip(levels, found.tolist(), strict=True))


def beyond_grid(profile: Profile, levels: Sequence[float] = LEVELS) -> dict[float, Literal["above", "below"]]:
    """Those of `levels` whose quantile lies among the rows outside the grid, and on which side of it."""
    counts, grid = profile.counts, profile.grid
    total = int(counts.sum())
    if grid.kind != "numeric" or not total or not (grid.edges or grid.values):
        return {}
    under, over = int(counts[0]) / total, int(counts[-1]) / total
    found: dict[float, Literal["above", "below"]] = {}
    for level in levels:
        if level < under - 1e-12:
            found[level] = "below"
        elif level > 1 - over + 1e-12:
            found[level] = "above"
    return found


def describe(profile: Profile) -> Side:
    """A profile in figures."""
    rows, grid = profile.rows, profile.grid

    def share(count: int, of: int) -> float | None:
        return count / of if of else None

    valued = profile.known + profile.infinite
    categorical = grid.kind == "categorical"
    outside = None if categorical or not grid.cells else int(profile.counts[0]) + int(profile.counts[-1])
    return Side(
        rows=rows,
        missing=share(profile.missing, rows),
        unseen=share(int(profile.counts[-1]), valued) if categorical and grid.complete else None,
        outside=None if outside is None else share(outside + profile.infinite, valued),
        valued=valued,
        mean=profile.mean,
        std=profile.std,
        low=profile.low,
        high=profile.high,
        quantiles=quantiles(profile),
        absent=share(profile.absent, rows),
        invalid=share(profile.invalid, rows),
        beyond=beyond_grid(profile),
    )


def _compared(column: str, chosen: Chosen, current: Profile, *, words: str) -> Compared:
    reference = chosen.profiles.get(column)
    if reference is None:
        return Compared(words, 0, None, None, describe(current), {}, chosen.reason)
    values = {
        one.name: one.compute(reference, current).value
        for one in statistics_for(current.grid.kind)
        if one.family == "drift"
    }
    return Compared(
        words, chosen.windows, shares_of(current.grid, reference, current), describe(reference), describe(current),
        {name: value for name, value in values.items() if value is not None}, chosen.reason,
    )  # fmt: skip


def _window(session: ReadSession, viewer: Actor, window_id: int) -> WindowState:
    window = session.get(WindowState, window_id)
    if window is None:
        raise NotFound("there is no such window that you may see")
    get_model(session, viewer, window.model)
    return window


def _sides(
    session: ReadSession, viewer: Actor, window_id: int, column: str, segment: str
) -> tuple[WindowState, ModelSpec, Profile, Profile]:
    window = _window(session, viewer, window_id)
    spec = parse_spec(get_model(session, viewer, window.model).spec)
    of = f" of the segment {segment}" if segment else ""
    counted = session.get(WindowProfile, (window_id, column, segment))
    if counted is None:
        raise NotFound(f"no profile of {column}{of} is stored for this window; compute its metrics first")
    frozen = session.get(ReferenceProfile, (window.model, counted.version, column, segment))
    if frozen is None:
        raise NotFound(f"version {counted.version} has no reference profile of {column}{of}")
    grid = Grid.from_json(frozen.grid)
    return window, spec, Profile.from_json(counted.profile, grid), Profile.from_json(frozen.profile, grid)


def _past(session: ReadSession, window: WindowState, column: str, segment: str, grid: Grid) -> list[Counted]:
    """Earlier windows of the same size whose counts of this column lie on the same grid, oldest first."""
    rows = session.execute(
        select(WindowState.start, WindowState.end, WindowProfile.profile)
        .join(WindowProfile, WindowProfile.window_id == WindowState.id)
        .where(
            WindowState.model == window.model, WindowState.environment == window.environment,
            WindowState.size == window.size, WindowState.end <= window.start, WindowState.end > WindowState.start,
            WindowProfile.column == column, WindowProfile.segment == segment,
        )
        .order_by(WindowState.start.desc()).limit(MOST_PAST)
    ).all()  # fmt: skip
    return [
        Counted(Window(start, end), {column: Profile.from_json(profile, grid)})
        for start, end, profile in reversed(rows)
        if profile["grid"] == grid.digest
    ]


def _rule(against: Against, here: Window, size: str, past: Sequence[Counted], min_rows: int) -> ReferenceRule:
    if against == "fixed":
        return ReferenceRule()
    if against == "previous":
        return ReferenceRule("previous")
    if against == "weekday":
        season: Literal["hour_of_week", "weekday"] = "hour_of_week" if size == "1h" else "weekday"
        return ReferenceRule("seasonal", length_s=_WEEKS * _WEEK_S, season=season)
    count = int(against.removeprefix("last_"))
    usable = [one for one in past if one.rows >= min_rows][-count:]
    length = (here.start - usable[0].window.start).total_seconds() if usable else 0.0
    return ReferenceRule("rolling", length_s=length)


def _words(against: Against, rule: ReferenceRule, window: WindowState) -> str:
    if rule.kind == "fixed":
        return f"reference of v{window.version}" if window.version is not None else "reference"
    if against != "rule":
        return AGAINST[against].removesuffix(" together")
    return {"rolling": "the windows before", "previous": "the window before"}.get(
        rule.kind, "the same season before"
    )


def shares_of(grid: Grid, reference: Profile, current: Profile) -> dict[str, Any]:
    """Two profiles of one grid as shares of all their rows, in the layout of `app.charts.distribution_figure`.

    Few numeric values are drawn as bins around each value. Infinite values count as above.
    """
    both = (reference, current)

    def share(counts: Any, profile: Profile) -> Any:
        return counts / max(profile.rows, 1)

    null = tuple(share(profile.missing, profile) for profile in both)
    if grid.kind == "categorical":
        return _category_shares(grid, reference, current) | {"null": null}
    infinite = [share(profile.infinite, profile) for profile in both]
    outside = {
        "underflow": tuple(share(int(profile.counts[0]), profile) for profile in both),
        "overflow": tuple(
            share(int(profile.counts[-1]), profile) + extra
            for profile, extra in zip(both, infinite, strict=True)
        ),
        "null": null,
    }
    if grid.edges:
        series = {
            name: share(grid.draw(profile.counts), profile).tolist()
            for name, profile in zip(("reference", "current"), both, strict=True)
        }
        return {"kind": "numeric", "edges": grid.drawn_borders.tolist(), **series, **outside}
    if len(grid.values) < 3:
        labels = [f"{value:g}" for value in grid.values]
        series = {
            name: share(profile.counts[1::2][: len(labels)], profile).tolist()
            for name, profile in zip(("reference", "current"), both, strict=True)
        }
        rest = tuple(
            max(0.0, 1.0 - sum(series[name]) - gone)
            for name, gone in zip(("reference", "current"), null, strict=True)
        )
        return {"kind": "categorical", "labels": labels, **series, "other": rest, "null": null}
    values = [float(value) for value in grid.values]
    middles = [(a + b) / 2 for a, b in pairwise(values)]
    edges = [values[0] - (middles[0] - values[0]), *middles, values[-1] + (values[-1] - middles[-1])]
    series = {}
    for name, profile in zip(("reference", "current"), both, strict=True):
        inner = profile.counts[1:-1]
        at, between = inner[0::2].copy(), inner[1::2]
        at[: len(between)] += between
        series[name] = share(at, profile).tolist()
    return {"kind": "numeric", "edges": edges, **series, **outside}


def _category_shares(grid: Grid, reference: Profile, current: Profile) -> dict[str, Any]:
    """The most frequent categories of either side, the unseen ones of the window, and the rest together."""
    labels = [str(value) for value in grid.values]
    sides = [(profile.counts / max(profile.rows, 1)).tolist() for profile in (reference, current)]
    ranked = sorted(range(len(labels)), key=lambda i: max(sides[0][i], sides[1][i]), reverse=True)[
        :SHOWN_CATEGORIES
    ]
    shown = {"reference": [sides[0][i] for i in ranked], "current": [sides[1][i] for i in ranked]}
    names, unseen = [labels[i] for i in ranked], []
    strange = sorted((current.unseen or {}).items(), key=lambda item: -item[1])[:5]
    for label, rows in strange:
        names.append(label)
        unseen.append(label)
        shown["reference"].append(0.0)
        shown["current"].append(rows / max(current.rows, 1))
    known = [sum(side) for side in sides]
    other = tuple(max(0.0, known[i] - sum(shown[name])) for i, name in enumerate(("reference", "current")))
    return {"kind": "categorical", "labels": names, **shown, "unseen": unseen, "other": other}
