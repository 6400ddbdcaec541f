"""What the points of the performance page say before a word of them is written: pure, from frame to frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from backend.monitoring.health import STALE_WINDOWS
from backend.monitoring.labels_now import Beyond
from backend.monitoring.performance import DEFINITIONS, LOWER_IS_BETTER, lies_beyond
from backend.monitoring.tables import JUDGED

NO_LIMIT = "too few rows for a limit"


def reference_of(points: pd.DataFrame, model: Mapping[str, Any], metric: str) -> float | None:
    """What the newest figure was held against: the reference's own windows, else the held-out rows of the version
    that serves; None when neither is known."""
    against = points[points["reference_value"].notna()]
    if len(against):
        return float(against["reference_value"].iloc[-1])
    serving = next(
        (one for one in model["deployments"] if one["ended_at"] is None and one["role"] == "champion"), None
    )
    version = next((v for v in model["versions"] if serving and v["version"] == serving["version"]), None)
    return held_out(version, metric)


def held_out(version: Mapping[str, Any] | None, metric: str) -> float | None:
    """A version's metric over all its held-out rows at once; None where it is not known."""
    known = (version["metrics"].get(metric) or {}) if version else {}
    return known.get("value") if isinstance(known, dict) else known


def beyond_of(points: pd.DataFrame, metric: str) -> tuple[Beyond, ...]:
    """Those of one window's realised points, other than of `metric`, that alarm or, not judged yet, lie beyond their
    limits so far."""
    mine = judgeable(points[(points["statistic"] != metric) & (points["kind"] == "realised")])
    found = []
    for one in records(mine[mine["value"].notna() & mine["threshold"].notna()]):
        worse = lies_beyond(one["statistic"], one["value"], one["threshold"])
        if one["verdict"] == "alarm" or (worse and one["verdict"] not in JUDGED):
            found.append(Beyond(one["statistic"], one["value"], one["threshold"]))
    return tuple(found)


def with_labels(points: pd.DataFrame, windows: pd.DataFrame) -> pd.DataFrame:
    """Points with `completeness`, `labels` and `window_rows` of their windows as they are now; a point itself keeps
    what was known when it was computed."""
    now = windows.set_index("start")
    taken = {"completeness": "completeness", "labels": "labels_known", "window_rows": "rows"}
    return points.assign(**{name: points["window_start"].map(now[of]) for name, of in taken.items()})


def judgeable(points: pd.DataFrame) -> pd.DataFrame:
    """The same points, where a limit that no value can lie beyond judges nothing: it comes of too few rows."""
    idle = [_is_idle(*one) for one in zip(points["statistic"], points["threshold"], strict=True)]
    if not any(idle):
        return points
    kept = ~pd.Series(idle, index=points.index)
    return points.assign(
        verdict=points["verdict"].where(kept, "inconclusive"),
        threshold=points["threshold"].where(kept),
        reason=points["reason"].where(kept, NO_LIMIT),
    )


def _is_idle(metric: str, limit: float) -> bool:
    definition = DEFINITIONS.get(metric)
    if definition is None or definition.unit != "share" or pd.isna(limit):
        return False
    return bool(limit >= 1 if definition.lower_is_better else limit <= 0)


def records(points: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in points.to_dict("records")]


def come_together(realised: pd.DataFrame, estimated: pd.DataFrame) -> bool:
    """Whether every window with both figures got its estimate no earlier than its labels; False without any."""
    known = realised.loc[realised["value"].notna()].set_index("window_start")["first_computed_at"]
    both = estimated[estimated["value"].notna() & estimated["window_start"].isin(known.index)]
    seen = realised.set_index("window_start")["first_value"]
    late = both["first_computed_at"] >= both["window_start"].map(known)
    return bool(len(both) and (late & both["window_start"].map(seen).notna()).all())


def has_old_labels(realised: pd.DataFrame, windows: pd.DataFrame) -> bool:
    """Whether the newest window with rows ended more than `STALE_WINDOWS` windows after the last one that labels
    judged; the overview asks the same."""
    judged = realised.loc[realised["verdict"].isin(JUDGED), "window_start"]
    filled = windows[windows["rows"] > 0]
    if judged.empty or filled.empty:
        return False
    last = windows[windows["start"] == judged.max()]
    if last.empty:
        return True
    length = last["end"].iloc[0] - last["start"].iloc[0]
    return bool(filled["end"].iloc[-1] - last["end"].iloc[0] > STALE_WINDOWS * length)


def worst_segments(points: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Points of segments in the order of how much the newest known value is worse than the segment's reference."""
    worse = {}
    for segment, mine in points[points["segment"] != ""].groupby("segment"):
        known = mine[mine["value"].notna()].sort_values("window_start")
        if known.empty:
            worse[segment] = float("-inf")
            continue
        last = known.iloc[-1]
        fall = last["reference_value"] - last["value"]
        worse[segment] = -fall if metric in LOWER_IS_BETTER else fall
    order = sorted(worse, key=lambda one: (-worse[one] if pd.notna(worse[one]) else 0.0, str(one)))
    placed = points[points["segment"].isin(order)].copy()
    placed["place"] = placed["segment"].map({name: place for place, name in enumerate(order)})
    return placed.sort_values(["place", "window_start"]).drop(columns="place")
