"""The rows behind charts and tables of the monitoring pages, as CSV or JSON; read as the pages read them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.downloads import as_file, guarded
from app.formats import whole_number
from backend.database.session import ReadSession, reading
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.monitoring import distributions
from backend.monitoring import reading as monitoring
from backend.monitoring.limit_grounds import LimitGrounds, limit_grounds
from backend.monitoring.tables import WindowState
from backend.settings import settings

MOST_WINDOWS = 5000
MEASURED = ("realised", "estimated")
TAKEN = {
    "value": "value", "low": "low", "high": "high", "threshold": "limit", "reference_value": "reference",
    "verdict": "verdict", "level": "level", "reason": "reason",
}  # fmt: skip
KINDS = ("drift", "prediction", "quality", "realised", "estimated", "volume", "fairness", "attribution")


def routes() -> list[BaseRoute]:
    return [
        Route("/export/points.{form}", guarded(export_points)),
        Route("/export/windows.{form}", guarded(export_windows)),
        Route("/export/distribution.{form}", guarded(export_distribution)),
    ]


def export_points(request: Request, viewer: Actor) -> Response:
    """Metric points of `model` and `size`; `kind` (repeatable), `since`, `until`, `window`, `statistic`, `column`
    narrow them. `segment`: one segment, "" for all rows together; left out, both. Each says its window, version and
    reference, and what its limit rests on."""
    query = request.query_params
    model, size = _needed(request, "model"), _needed(request, "size")
    with reading() as session:
        found = monitoring.list_points(
            session,
            viewer,
            model,
            settings().environment,
            size=size,
            kinds=query.getlist("kind") or KINDS,
            since=moment_of(query.get("since"), "since"),
            until=moment_of(query.get("until"), "until"),
            window_id=_number(query.get("window")),
            statistic=query.get("statistic"),
            column=query.get("column"),
            segment=query.get("segment"),
        )
        found = _with_grounds(session, viewer, found, model, size)
    start = found["window_start"].min() if query.get("window") and len(found) else None
    name = named("points", query["model"], query["size"], query.get("statistic"), start)
    return as_file(name, request.path_params["form"], _rows(found))


def _with_grounds(
    session: ReadSession, viewer: Actor, points: pd.DataFrame, model: str, size: str
) -> pd.DataFrame:
    """Points with the end and version of their windows, and with what their limits rest on (`LimitGrounds`)."""
    windows = monitoring.list_windows(
        session, viewer, model, settings().environment, size=size, limit=MOST_WINDOWS
    ).set_index("id")
    version = points["window_id"].map(windows["version"])
    grounds = {
        one: limit_grounds(session, viewer, model, int(one), size) for one in version.dropna().unique()
    }
    usual = grounds or {None: limit_grounds(session, viewer, model, None, size)}
    told = next(iter(usual.values()))
    mine = [grounds.get(one, LimitGrounds()) for one in version]
    quiet = [
        ground.quiet.get((column, statistic))
        for ground, column, statistic in zip(mine, points["column"], points["statistic"], strict=True)
    ]
    wide = points.assign(
        model=model, size=size, window_end=points["window_id"].map(windows["end"]), time_zone=told.time_zone,
        version=version.astype("Int64"), reference=[one.reference for one in mine],
        quiet_windows=pd.Series(quiet, index=points.index, dtype="Int64"),
        budget_pages_per_quarter=told.pages_per_quarter,
    )  # fmt: skip
    first = ["model", "version", "size", "time_zone", "window_id", "window_start", "window_end"]
    return wide[[*first, *(name for name in wide if name not in first)]]


def export_windows(request: Request, viewer: Actor) -> Response:
    """Every window of `model` and `size`, oldest first; with `statistic` also that metric's values, intervals, limits
    and verdicts, from labels (`realised_`) and by estimate (`estimated_`)."""
    model, size = _needed(request, "model"), _needed(request, "size")
    statistic, place = request.query_params.get("statistic"), settings().environment
    with reading() as session:
        found = monitoring.list_windows(session, viewer, model, place, size=size, limit=MOST_WINDOWS)
        if statistic is not None:
            points = monitoring.list_points(
                session, viewer, model, place, size=size, kinds=MEASURED, statistic=statistic
            )
            found = _with_metric(found, points, statistic)
    return as_file(
        named("windows", model, size, statistic), request.path_params["form"], _rows(found)
    )  # fmt: skip


def _with_metric(windows: pd.DataFrame, points: pd.DataFrame, statistic: str) -> pd.DataFrame:
    """Windows with one metric's columns behind them, a set for each kind of figure."""
    joined = windows.assign(metric=statistic)
    for kind in MEASURED:
        mine = points.loc[points["kind"] == kind, ["window_id", *TAKEN]]
        mine = mine.rename(columns={name: f"{kind}_{word}" for name, word in TAKEN.items()})
        joined = joined.merge(mine, how="left", left_on="id", right_on="window_id").drop(columns="window_id")
    return joined


def export_distribution(request: Request, viewer: Actor) -> Response:
    """The shares that the chart of one `column` in one `window` is drawn from, `against` a reference."""
    query = request.query_params
    against = next((one for one in distributions.AGAINST if one == query.get("against", "rule")), None)
    if against is None:
        raise BadInput(f"against: write one of {', '.join(distributions.AGAINST)}")
    window, column = _number(_needed(request, "window")), _needed(request, "column")
    with reading() as session:
        found = distributions.compare_column(
            session,
            viewer,
            window or 0,
            column,
            against=against,
            segment=query.get("segment", ""),
            other=_number(query.get("other")),
        )
        state = session.get_one(WindowState, window)
        name = named("distribution", state.model, state.size, column, state.start)
    return as_file(name, request.path_params["form"], _share_rows(found))


def named(what: str, *parts: str | datetime | None) -> str:
    """The name of a file that says what it is about: `points-flight-delay-1d-roc_auc-20260301T0000Z`."""
    told = [f"{one.astimezone(UTC):%Y%m%dT%H%MZ}" if isinstance(one, datetime) else one for one in parts]
    return "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", one) for one in (what, *told) if one)


def _share_rows(found: distributions.Compared) -> list[dict[str, Any]]:
    shares = found.shares
    if shares is None:
        raise BadInput(found.reason or "there is nothing to compare with")
    sides = list(zip(shares["reference"], shares["current"], strict=True))
    if shares["kind"] == "numeric":
        places: Sequence[tuple[Any, Any]] = list(zip(shares["edges"], shares["edges"][1:], strict=False))
    else:
        places = [(label, label) for label in shares["labels"]]
    rows = [
        {"from": low, "to": high, "share_reference": reference, "share_window": current}
        for (low, high), (reference, current) in zip(places, sides, strict=True)
    ]
    rest = {
        "underflow": "below the grid",
        "overflow": "above the grid",
        "other": "all others",
        "null": "missing",
    }
    return rows + [
        {"from": word, "to": word, "share_reference": shares[key][0], "share_window": shares[key][1]}
        for key, word in rest.items()
        if shares.get(key)
    ]


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(key): value for key, value in row.items()} for row in plain.to_dict("records")]


def _needed(request: Request, name: str) -> str:
    value = request.query_params.get(name)
    if not value:
        raise BadInput(f"{name} is needed in the address")
    return value


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    number = whole_number(text)
    if number is None:
        raise BadInput(f"window: {text!r} is not the number of a window")
    return number


def moment_of(text: str | None, name: str) -> datetime | None:
    """A time of the address, with its zone."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadInput(f"{name}: {text!r} is not a time with its zone, such as 2026-03-01T00:00:00+00:00")
    return moment
