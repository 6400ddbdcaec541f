from dataclasses import replace

import pytest

from backend.monitoring.budget import (
    LEAST_SIGMA,
    LOOKS,
    PARTS,
    Rota,
    look_alpha,
    pages_per_quarter,
    sigmas,
    window_alpha,
)
from backend.monitoring.columns import Budget, Column, ModelSpec
from backend.monitoring.spec_fields import QUARTER_DAYS

SPEC = ModelSpec("binary", (Column("a", "numeric"),), "1d")


def test_the_chance_of_a_false_page_adds_up_to_the_budget() -> None:
    windows = 365.25 / 4 * 24
    hours = [window_alpha(SPEC, 3600, kind=kind) for kind in PARTS]
    assert sum(hours) * windows == pytest.approx(1.0)
    assert window_alpha(SPEC, 86_400) == pytest.approx(24 * window_alpha(SPEC, 3600))


def test_a_tenth_of_the_budget_asks_for_more_certainty() -> None:
    strict = ModelSpec("binary", SPEC.features, "1d", budget=Budget(pages_per_quarter=0.1))
    assert window_alpha(strict, 3600) == pytest.approx(window_alpha(SPEC, 3600) / 10)
    assert sigmas(window_alpha(strict, 3600)) > sigmas(window_alpha(SPEC, 3600)) > LEAST_SIGMA


def test_long_windows_never_ask_for_less_than_about_three_standard_errors() -> None:
    assert sigmas(window_alpha(SPEC, 30 * 86_400)) == LEAST_SIGMA


def test_the_stricter_of_model_and_rota_binds() -> None:
    budget = Budget()
    assert pages_per_quarter(budget, "medium", Rota(("medium",) * 200)) == 1.0
    crowded = Rota(("medium",) * 2000)
    assert pages_per_quarter(budget, "medium", crowded) == pytest.approx(2 * 182.625 / 2000)


def test_a_rotas_pages_are_split_by_tier() -> None:
    rota = Rota(("high", "low", "low"))
    assert (rota.share("high"), rota.share("low")) == (0.6, 0.2)


def test_looks_at_rows_share_two_false_tickets_for_every_false_page() -> None:
    for window_s in (3600.0, 86_400.0):
        windows = QUARTER_DAYS * 86_400 / window_s
        for pages in (0.5, 1.0):
            asked = replace(SPEC, budget=Budget(pages_per_quarter=pages))
            assert look_alpha(asked, window_s) * LOOKS * windows == pytest.approx(2 * pages)
    assert look_alpha(SPEC, 30 * 86_400.0) == 0.01
