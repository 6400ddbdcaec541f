"""A world, and alerts that fire and settle as a job would say it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backend import clock
from backend.alerting.service import Firing, fire, resolve
from backend.alerting.tables import Alert
from backend.database.session import reading, writing
from tests.worlds import SYSTEM, World, make_world

Raise = Callable[..., Alert]


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    return make_world(tmp_path / "files")


class Time:
    """What `backend.clock` says, moved by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 6, 1, 12, tzinfo=UTC)

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Iterator[Time]:
    moved = Time()
    monkeypatch.setattr(clock, "now", lambda: moved.now)
    yield moved


def raised(subject: str = "distance", **facts: Any) -> Alert:
    """Fire it once more, or for the first time."""
    told: dict[str, Any] = {
        "model": "toy", "environment": "production", "version": 2, "kind": "quality", "level": "page",
        "title": f"{subject} is missing", "since": clock.now(), "details": {"column": subject},
    }  # fmt: skip
    with writing() as session:
        return fire(session, SYSTEM, Firing(subject=subject, **told | facts))


def settled(alert: Alert, **how: Any) -> Alert:
    with writing() as session:
        resolve(session, SYSTEM, session.get_one(Alert, alert.id), why="fine again", **how)
    return now(alert)


def now(alert: Alert) -> Alert:
    with reading() as session:
        return session.get_one(Alert, alert.id)
