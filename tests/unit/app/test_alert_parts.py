"""An alert leads to the window it is about, whatever its kind, and says which size that window has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from app.components.alert_parts import alert_address, alert_window

START = datetime(2026, 2, 2, tzinfo=UTC)


def alert(kind: str, **details: str) -> dict[str, Any]:
    return {
        "model": "m",
        "environment": "e",
        "kind": kind,
        "level": "ticket",
        "since": START,
        "details": details,
    }


@pytest.mark.parametrize("kind", ["volume", "quality", "drift", "realised", "estimated", "kpi"])
def test_an_alert_leads_to_its_window_and_says_its_size(kind: str) -> None:
    one = alert(kind, window="2026-02-01T05:00:00+00:00", size="1h")
    page, _, query = alert_address(one, "1d").partition("?")
    assert page in ("/quality", "/drift", "/performance")
    assert query == "model=m&size=1h&window=2026-02-01T05%3A00%3A00%2B00%3A00"
    assert alert_window(one, "1d").endswith("windows of 1h")


def test_traffic_is_shown_on_the_page_of_data_quality() -> None:
    assert alert_address(alert("volume", size="1d"), "1d").startswith(
        "/quality?model=m&size=1d&window=2026-02-02"
    )


def test_a_moved_order_of_attributions_is_shown_at_its_window_among_explanations() -> None:
    one = alert("attribution", window="2026-02-01T05:00:00+00:00", size="1d")
    assert alert_address(one, "1d") == (
        "/explanations?model=m&show=windows&segment=all&window=2026-02-01T05%3A00%3A00.000000Z"
    )
