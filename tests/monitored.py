"""`toy` of `make_world` as the monitoring engine leaves a model: weeks of windows with drift, broken data, segments,
labels that come late, estimates with a track record, rules and joint drift. Everything is drawn from one seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import delete

from backend import clock
from backend.alerting.service import Firing, fire
from backend.database.session import WriteSession, writing
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.monitoring.evaluate import Point, evaluate_window
from backend.monitoring.profiles import Profile, freeze_grids, profile_table
from backend.monitoring.service import point_row
from backend.monitoring.tables import (
    MetricPoint,
    ReferenceProfile,
    TrackedEstimate,
    WindowProfile,
    WindowState,
)
from backend.registry.tables import Model
from tests.worlds import SPEC, SYSTEM

FEATURES: dict[str, str] = {
    "distance": "numeric", "dep_delay": "numeric", "temperature": "numeric", "seats": "numeric",
    "carrier": "categorical", "origin": "categorical", "tail_number": "id", "remark": "text",
}  # fmt: skip
RULES = ("dep_delay <= distance", "seats > 0")
CARRIERS = ("AA", "B6", "UA")
ROWS = 400
UNLABELLED = 5
"""So many of the newest windows have no labels yet."""

EFFECTS: Mapping[str, tuple[float, float, float]] = {
    "dep_delay": (0.021, 0.004, 0.41), "distance": (0.003, 0.002, 0.22), "carrier": (0.0002, 0.001, 0.05),
    "temperature": (-0.004, 0.0015, 0.12),
}  # fmt: skip
"""{column: (effect, its standard error, importance)}; the others are not known."""


def monitor(*, days: int = 28, rows: int = ROWS, segments: bool = True, ago: int = 0) -> list[datetime]:
    """Daily windows up to today, which is not over, or up to `ago` days before it, since when nothing has come; gives
    their starts. The last third has moved: dep_delay by half,
    carrier by mix; two days before today origin is half missing, and its rows meet strange values.
    """
    mapping = _mapping(segments=segments)
    drawn = _drawn(days, rows, segments)
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    starts = [today - timedelta(days=ago + age) for age in range(days, -1, -1)]
    with writing() as session:
        session.get_one(Model, "toy").spec = mapping
        session.execute(delete(MetricPoint))  # of the months before, which are of no interest here
        session.execute(delete(WindowState))
        for segment, profiles in drawn.reference.items():
            for name, profile in profiles.items():
                session.add(
                    ReferenceProfile(
                        model="toy", version=2, column=name, segment=segment, reference_digest="x",
                        grid=profile.grid.to_json(), profile=profile.to_json(),
                    )
                )  # fmt: skip
        for start, made in zip(starts, drawn.windows, strict=True):
            _store(session, start, made)
        fire(
            session, SYSTEM,
            Firing("toy", "production", 2, "drift", "ticket", "inputs moved: dep_delay, carrier",
                   "inputs and predictions", starts[-2], {"statistic": "psi"}),
        )  # fmt: skip
        fire(
            session, SYSTEM,
            Firing("toy", "production", 2, "quality", "page", "origin: missing_rate 0.5 (limit 0.06)", "origin",
                   starts[-3], {"statistic": "missing_rate", "column": "origin"}),
        )  # fmt: skip
    return starts


def _rows(draw: np.random.Generator, rows: int, *, moved: float = 0.0, broken: bool = False) -> pa.Table:
    origin = draw.choice(["EWR", "JFK", "LGA"], rows).astype(object)
    if broken:
        origin[draw.random(rows) < 0.5] = None
        origin[:12] = "XXX"
    mix = np.array([0.4 + 0.2 * moved, 0.3, 0.3 - 0.2 * moved])
    temperature = draw.normal(12, 8, rows) + 6 * moved
    return pa.table(
        {
            "distance": draw.gamma(2, 400, rows) + 40 * moved,
            "dep_delay": draw.gamma(1.2, 14, rows) * (1 + 0.6 * moved) - 4,
            "temperature": temperature,
            "seats": draw.choice([50.0, 120.0, 180.0, 300.0], rows),
            "carrier": draw.choice(CARRIERS, rows, p=mix),
            "origin": pa.array(origin.tolist(), pa.string()),
            "score": draw.beta(2, 5 - 1.5 * moved, rows),
            "prediction": draw.choice(["0", "1"], rows, p=[0.7 - 0.15 * moved, 0.3 + 0.15 * moved]),
        }
    )


def _parts(rows: pa.Table, spec: ModelSpec) -> list[tuple[str, pa.Table]]:
    parts = [("", rows)]
    for column in spec.segments:
        parts += [(f"{column}={value}", rows.filter(pc.equal(rows[column], value))) for value in CARRIERS]
    return parts


@dataclass(frozen=True)
class _Made:
    """One window: its state, and by segment its counts and points. `track` are (estimated, low, high, realised)."""

    state: str
    rows: int
    labelled: int
    profiles: Mapping[str, Mapping[str, Profile]]
    points: Sequence[tuple[str, Point]]
    track: tuple[float, float, float, float] | None


@dataclass(frozen=True)
class _Drawn:
    reference: Mapping[str, Mapping[str, Profile]]
    windows: Sequence[_Made]


def _mapping(*, segments: bool) -> dict[str, Any]:
    mapping = dict(SPEC) | {"features": FEATURES, "rules": list(RULES), "label_delay": "5d"}
    return mapping | ({"segments": ["carrier"]} if segments else {})


@lru_cache(maxsize=4)
def _drawn(days: int, rows: int, segments: bool) -> _Drawn:
    """Everything that does not depend on today, oldest first."""
    spec = parse_spec(_mapping(segments=segments))
    draw = np.random.default_rng(7)
    reference = _rows(draw, rows * 6)
    grids = freeze_grids(reference, spec.columns)
    frozen = {name: profile_table(part, grids) for name, part in _parts(reference, spec)}
    return _Drawn(
        frozen, [_window(spec, frozen, draw, age, days, rows) for age in range(days, -1, -1)]
    )  # fmt: skip


def _window(
    spec: ModelSpec, frozen: Mapping[str, Mapping[str, Profile]], draw: np.random.Generator, age: int, days: int,
    rows: int,
) -> _Made:  # fmt: skip
    place = days - age
    is_open, empty, small = age == 0, place == days // 3, place == days // 3 + 1
    state = "open" if is_open else "no_traffic" if empty else "complete"
    count = 0 if empty else 30 if small else rows // 3 if is_open else rows
    labelled = 0 if age < UNLABELLED else int(count * (0.97 if age > UNLABELLED + 2 else 0.6))
    if empty:
        return _Made(state, 0, 0, {}, [], None)
    moved = 1.0 if age < days / 3 else 0.0
    grids = {name: profile.grid for name, profile in frozen[""].items()}
    profiles: dict[str, Mapping[str, Profile]] = {}
    points: list[tuple[str, Point]] = []
    for segment, part in _parts(_rows(draw, count, moved=moved, broken=age == 2), spec):
        profiles[segment] = profile_table(part, grids)
        if not segment or 0 < age < 4:
            points += [
                (segment, one) for one in evaluate_window(spec, grids, frozen[segment], profiles[segment])
            ]
        points += [
            (segment, one) for one in _performance(draw, segment, part.num_rows, moved, labelled / count)
        ]
    points += [("", one) for one in _examined(draw, count, moved, broken=age == 2)]
    came = 0.72 - 0.035 * moved
    track = (came + float(draw.normal(0, 0.008)), came - 0.02, came + 0.02, came)
    return _Made(state, count, labelled, profiles, points, track if labelled and place >= 4 else None)


def _store(session: WriteSession, start: datetime, made: _Made) -> None:
    window = WindowState(
        model="toy", environment="production", size="1d", start=start, end=start + timedelta(days=1), version=2,
        rows=made.rows, labels_known=made.labelled, state=made.state, computed_at=clock.now(),
        watermark=start + timedelta(hours=20) if made.rows else None,
    )  # fmt: skip
    session.add(window)
    session.flush()
    for segment, profiles in made.profiles.items():
        for name, profile in profiles.items():
            session.add(
                WindowProfile(
                    window_id=window.id, column=name, segment=segment, version=2, profile=profile.to_json()
                )
            )
    for segment, point in made.points:
        store_point(session, window, point, segment=segment)
    if made.track is None:
        return
    estimated, low, high, realised = made.track
    session.add(
        TrackedEstimate(
            model="toy", environment="production", version=2, size="1d", window_id=window.id,
            window_start=window.start, window_end=window.end, metric="roc_auc", estimated=estimated, low=low, high=high,
            realised=realised, realised_se=0.01, estimated_at=window.end, realised_at=window.end + timedelta(days=4),
        )
    )  # fmt: skip


def _performance(
    draw: np.random.Generator, segment: str, rows: int, moved: float, completeness: float
) -> list[Point]:
    weak = 0.05 if segment.endswith("UA") else 0.0
    value = 0.72 - 0.035 * moved - weak * moved + float(draw.normal(0, 0.006))
    shared: dict[str, Any] = {"column": None, "rows_reference": 2400, "text": "", "reason": None}
    points = []
    for statistic, at in (("roc_auc", value), ("accuracy", value + 0.05), ("f1", value - 0.2)):
        fell = moved > 0 and statistic == "roc_auc" and not segment
        details = {"reference": 0.72 + (at - value)}
        band = replace(
            Point(statistic=statistic, family="estimated", value=at, threshold=0.69 + (at - value), verdict="ok",
                  rows_current=rows, low=at - 0.02, high=at + 0.02, details=details, **shared),
            value=at + float(draw.normal(0, 0.005)),
        )  # fmt: skip
        points.append(replace(band, verdict="alarm", level="ticket") if fell else band)
        if completeness == 0:
            points.append(
                replace(band, family="realised", value=None, low=None, high=None, verdict="no_data",
                        threshold=None, reason="no label has come")
            )  # fmt: skip
        else:
            judged = completeness >= 0.8
            points.append(
                replace(band, family="realised", value=at, low=at - 0.05, high=at + 0.05,
                        verdict=("alarm" if fell else "ok") if judged else "inconclusive",
                        level="page" if fell and judged else None, rows_current=int(rows * completeness),
                        reason=None if judged else "60 % of the labels are known, 80 % are needed")
            )  # fmt: skip
    return points


def _examined(draw: np.random.Generator, rows: int, moved: float, *, broken: bool) -> list[Point]:
    shared: dict[str, Any] = {"rows_reference": 2400, "rows_current": rows, "text": ""}
    joint = 0.51 + 0.2 * moved + float(draw.normal(0, 0.01))
    rates = (0.004 + float(draw.random()) * 0.004, 0.08 if broken else 0.0)
    return [
        Point(None, "domain_classifier", "drift", joint, 0.57, "alarm" if moved else "ok",
              level="ticket" if moved else None, **shared),
        Point(None, "outlier_rows", "quality", 0.01 + float(draw.random()) * 0.01, 0.05, "ok", **shared),
        *(
            Point(rule, "rule_violations", "quality", rate, 0.02, "alarm" if rate > 0.02 else "ok",
                  level="ticket" if rate > 0.02 else None, **shared)
            for rule, rate in zip(RULES, rates, strict=True)
        ),
    ]  # fmt: skip


def store_point(session: WriteSession, window: WindowState, point: Point, *, segment: str = "") -> None:
    """A computed point as the metrics job stores it."""
    row = point_row(
        point, window_id=window.id, model="toy", environment="production", size=window.size, start=window.start,
        completeness=0.97, now=clock.now(),
    )  # fmt: skip
    row["segment"] = segment
    if point.family == "drift" and point.column in EFFECTS:
        row["effect"], row["effect_se"], row["importance"] = EFFECTS[point.column]
    if point.family == "realised" and point.value is not None and point.verdict == "inconclusive":
        row["first_value"], row["first_computed_at"] = point.value - 0.02, clock.now() - timedelta(days=2)
    session.add(MetricPoint(**row))
