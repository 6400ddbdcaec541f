"""The rows of the tables for one synthetic model, in the order in which the metrics job would have stored them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np

from backend.monitoring.service import point_row
from backend.monitoring.tables import MetricPoint, WindowProfile, WindowState
from jobs.fleet.figures import DAY, Figures, Whole, start_of
from jobs.fleet.judging import Judge, profile_of
from jobs.fleet.plan import FleetPlan, ModelPlan
from jobs.fleet.references import Shared, values_of

SIZE: Final = "1d"
COMPUTED_AFTER: Final = timedelta(minutes=10)
WINDOW_COLUMNS: Final = tuple(column.name for column in WindowState.__table__.columns)
PROFILE_COLUMNS: Final = tuple(column.name for column in WindowProfile.__table__.columns)
POINT_COLUMNS: Final = tuple(column.name for column in MetricPoint.__table__.columns if column.name != "id")


@dataclass(frozen=True)
class Stored:
    """Everything of one model that is written in bulk. `ids`: (days,) of its windows."""

    plan: FleetPlan
    model: ModelPlan
    figures: Figures
    judges: Mapping[int, Judge]
    environment: str
    ids: Sequence[int]

    def windows(self) -> Iterator[tuple[Any, ...]]:
        for day in range(self.plan.days):
            yield tuple(self._window(day)[name] for name in WINDOW_COLUMNS)

    def _window(self, day: int) -> dict[str, Any]:
        start, rows = start_of(self.plan, day), int(self.figures.rows[day])
        judge = self.judges[int(self.figures.version[day])]
        hearing = judge.hearing(day) if rows else None
        spoke = hearing is not None and hearing.speaks
        return {
            "id": self.ids[day], "model": self.model.name, "environment": self.environment, "size": SIZE, "number": 0,
            "start": start, "end": start + DAY, "version": judge.shared.version if rows else None, "rows": rows,
            "injected_rows": 0, "labels_known": int(self.figures.labelled[day]), "labels_absent": 0,
            "labelled_at": min(start + self._heard_after, self.plan.until) if spoke else None, "look_at": None,
            "state": "complete" if rows else "no_traffic", "dirty_at": None,
            "computed_at": start + DAY + COMPUTED_AFTER,
            "watermark": start + DAY - timedelta(seconds=30) if rows else None,
            "examined_rows": rows, "judged_by": judge.spec.reference.text,
        }  # fmt: skip

    @property
    def _heard_after(self) -> timedelta:
        return DAY + timedelta(days=self.model.label_days) + COMPUTED_AFTER

    def points(self) -> Iterator[tuple[Any, ...]]:
        for day in map(int, np.flatnonzero(self.figures.rows)):
            start = start_of(self.plan, day)
            judge = self.judges[int(self.figures.version[day])]
            share = int(self.figures.labelled[day]) / int(self.figures.rows[day])
            for point in judge.points(day):
                row = point_row(
                    point, window_id=self.ids[day], model=self.model.name, environment=self.environment, size=SIZE,
                    start=start, completeness=round(share, 9), now=start + DAY + COMPUTED_AFTER,
                )  # fmt: skip
                yield tuple(row[name] for name in POINT_COLUMNS)

    def profiles(self) -> Iterator[tuple[Any, ...]]:
        templates = {version: templates_of(judge.shared) for version, judge in self.judges.items()}
        for day in map(int, np.flatnonzero(self.figures.rows)):
            version = int(self.figures.version[day])
            for place, (name, write) in enumerate(templates[version]):
                text = write(self.figures.counts[day, place], int(self.figures.missing[day, place]))
                yield (self.ids[day], name, "", version, text)


def templates_of(shared: Shared) -> list[tuple[str, Any]]:
    """(column, how its counts become the text of a stored profile), in the order of the columns."""
    return [(column.name, _Template(shared, column.name)) for column in shared.spec.columns]


class _Template:
    """`Profile.to_json` as text, of profiles of one column whose values are all there: the others go that way."""

    def __init__(self, shared: Shared, column: str) -> None:
        self.shared, self.column = shared, column
        cells = shared.cells[column]
        self.size = cells.size
        self.order = np.argsort(cells)
        numeric = next(
            (one for one in shared.spec.columns if one.name == column and one.kind == "numeric"), None
        )
        self.values = None if numeric is None else values_of(numeric)
        filled = np.ones(10, dtype=np.int64)
        document = profile_of(shared, column, filled, 0).to_json()
        document["counts"] = "COUNTS"
        document |= {name: name.upper() for name in ("null", "rows", "total", "squares")}
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        pairs = ",".join(f"[{int(cells[at])},%d]" for at in self.order)
        for name, form in (
            ("COUNTS", f"[{pairs}]"),
            ("NULL", "%d"),
            ("ROWS", "%d"),
            ("SQUARES", "%r"),
            ("TOTAL", "%r"),
        ):
            text = text.replace(f'"{name}"', form)
        self.text = text

    def __call__(self, counts: Whole, missing: int) -> str:
        if self.size < 10 or not counts.all():
            document = profile_of(self.shared, self.column, counts, missing).to_json()
            return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        total = squares = 0.0
        if self.values is not None:
            total, squares = round(float(counts @ self.values), 9), round(float(counts @ self.values**2), 9)
        rows = int(counts.sum()) + missing
        return self.text % (*counts[self.order].tolist(), missing, rows, squares, total)
