"""Quiet models stay within the false-alarm budget; `make bench NAME=rota` does it with 200 of them."""

import pytest

from benchmarks.rota import LIVE_DAYS, QUARTER_DAYS, count_pages

MODELS = 8


@pytest.mark.slow
def test_quiet_models_page_less_than_their_budget() -> None:
    found = [count_pages(number) for number in range(100, 100 + MODELS)]
    allowed = MODELS * LIVE_DAYS / QUARTER_DAYS
    assert sum(pages for pages, _ in found) <= allowed
    assert all(rows > 1000 for _, rows in found)
