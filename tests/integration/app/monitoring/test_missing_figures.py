"""All three pages in every state in which something is missing: nothing unknown is ever called fine."""

from __future__ import annotations

from datetime import datetime

import pytest
from sqlalchemy import delete, select

from backend.database.session import writing
from backend.monitoring.tables import (
    MetricPoint,
    ReferenceProfile,
    TrackedEstimate,
    WindowProfile,
    WindowState,
)
from tests.integration.app.monitoring.opened import DAYS, PAGES, Open, silence, text_of


def test_what_an_address_asks_for_in_vain_is_said(open_page: Open, starts: list[datetime]) -> None:
    for page, name, wanted, shown in (
        ("quality", "model", "nope", "toy"),
        ("drift", "size", "3m", "windows of 1d"),
        ("drift", "window", "2020-01-01", "rows"),
        ("quality", "column", "nothing", "score"),
        ("monitors", "monitor", "mon_x", "a new monitor"),
    ):
        test = open_page(page, **{name: wanted})
        (warning,) = test.warning
        assert f"`{wanted}`" in warning.value
        assert shown in warning.value.split("Shown instead")[1]
        assert not open_page(page).warning


def test_a_window_that_is_not_over_is_never_fine(open_page: Open, starts: list[datetime]) -> None:
    silence()
    for page in ("drift", "quality"):
        said = text_of(open_page(page, window=starts[-1].isoformat()))
        assert "So far, not over yet" in said
        assert "w-headline w-unknown" in said


def test_a_window_with_too_few_rows_is_not_judged(open_page: Open, starts: list[datetime]) -> None:
    small = starts[DAYS // 3 + 1].isoformat()
    assert "Drift could not be judged in this window" in text_of(open_page("drift", window=small))
    assert "w-headline w-ok" not in text_of(open_page("quality", window=small))


def test_pages_without_any_model_say_what_to_do(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    from app import data

    monkeypatch.setattr(data, "models", lambda scope: {})
    for page in PAGES:
        assert "No model is registered" in text_of(open_page(page))


def test_pages_without_windows_say_what_to_do(open_page: Open, starts: list[datetime]) -> None:
    with writing() as session:
        for table in (MetricPoint, WindowProfile, TrackedEstimate, WindowState):
            session.execute(delete(table))
    for page in PAGES:
        said = text_of(open_page(page))
        assert "No window has been computed" in said
        assert "is not known" in said
        assert "w-headline w-ok" not in said


def test_pages_without_points_say_that_figures_are_missing(open_page: Open, starts: list[datetime]) -> None:
    with writing() as session:
        session.execute(delete(MetricPoint))
    for page in PAGES:
        assert "No figure is stored for these windows" in text_of(open_page(page))


def test_pages_without_a_reference_still_show_what_was_judged(
    open_page: Open, starts: list[datetime]
) -> None:
    with writing() as session:
        session.execute(delete(ReferenceProfile))
    assert "The counts of this column are not stored" in text_of(open_page("drift"))
    assert "checks are within their limits" in text_of(open_page("quality"))


def test_where_everything_is_inconclusive_nothing_is_fine(open_page: Open, starts: list[datetime]) -> None:
    silence()
    with writing() as session:
        for point in session.scalars(select(MetricPoint)):
            point.value, point.verdict, point.reason = None, "inconclusive", "too few rows"
    sentences = ("could not be judged", "cannot be told yet", "could not be judged")
    for page, sentence in zip(PAGES, sentences, strict=True):
        said = text_of(open_page(page))
        assert sentence in said
        assert "w-headline w-unknown" in said
        assert "w-badge w-ok" not in said
