"""The rows behind charts and tables of the monitoring pages, as CSV or JSON; read as the pages read them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pandas as pd
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.downloads import as_file, guarded
from backend.database.session import reading
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.monitoring import distributions
from backend.monitoring import reading as monitoring
from backend.settings import settings

KINDS = ("drift", "prediction", "quality", "realised", "estimated", "volume")


def routes() -> list[BaseRoute]:
    return [
        Route("/export/points.{form}", guarded(export_points)),
        Route("/export/windows.{form}", guarded(export_windows)),
        Route("/export/distribution.{form}", guarded(export_distribution)),
    ]


def export_points(request: Request, viewer: Actor) -> Response:
    """Metric points of `model` and `size`; `kind` (repeatable), `since`, `window`, `statistic`, `column` narrow them.
    `segment`: one segment, "" for all rows together; left out, both."""
    query = request.query_params
    with reading() as session:
        found = monitoring.list_points(
            session,
            viewer,
            _needed(request, "model"),
            settings().environment,
            size=_needed(request, "size"),
            kinds=query.getlist("kind") or KINDS,
            since=_moment(query.get("since")),
            window_id=_number(query.get("window")),
            statistic=query.get("statistic"),
            column=query.get("column"),
            segment=query.get("segment"),
        )
    return as_file("points", request.path_params["form"], _rows(found))


def export_windows(request: Request, viewer: Actor) -> Response:
    """Every window of `model` and `size`, oldest first."""
    with reading() as session:
        found = monitoring.list_windows(
            session,
            viewer,
            _needed(request, "model"),
            settings().environment,
            size=_needed(request, "size"),
            limit=5000,
        )
    return as_file("windows", request.path_params["form"], _rows(found))


def export_distribution(request: Request, viewer: Actor) -> Response:
    """The shares that the chart of one `column` in one `window` is drawn from, `against` a reference."""
    query = request.query_params
    against = next((one for one in distributions.AGAINST if one == query.get("against", "rule")), None)
    if against is None:
        raise BadInput(f"against: write one of {', '.join(distributions.AGAINST)}")
    window, column = _number(_needed(request, "window")), _needed(request, "column")
    with reading() as session:
        found = distributions.compare_column(
            session, viewer, window or 0, column, against=against, segment=query.get("segment", "")
        )
    return as_file("distribution", request.path_params["form"], _share_rows(found))


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
    if not text.isdigit() or len(text) > 18:
        raise BadInput(f"window: {text!r} is not the number of a window")
    return int(text)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadInput(f"since: {text!r} is not a time with its zone, such as 2026-03-01T00:00:00+00:00")
    return moment
