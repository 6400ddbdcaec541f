from typing import Any

import pytest

from backend.errors import BadInput
from backend.monitoring.columns import Column, parse_spec

GOOD: dict[str, Any] = {"task": "binary", "features": {"distance": "numeric", "carrier": "categorical"}}


def test_a_spec_is_read_with_its_defaults() -> None:
    spec = parse_spec(
        {**GOOD, "window": "1w", "timezone": "America/New_York", "label_delay": "2d", "owner": "x"}
    )
    assert spec.features == (Column("distance", "numeric"), Column("carrier", "categorical"))
    assert (spec.window, spec.cutoff, spec.label_delay_s, spec.window_rows) == ("1w", 0.5, 172_800, None)
    assert [c.name for c in spec.columns] == ["distance", "carrier", "score", "prediction"]


def test_a_window_may_be_a_number_of_rows() -> None:
    assert parse_spec({**GOOD, "window": 5000}).window_rows == 5000


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"task": "ranking"}, "task: 'ranking'"),
        ({"task": None}, "task: missing"),
        ({"features": {}}, "features: write a mapping"),
        ({"features": {"distance": "number"}}, "features.distance: 'number'"),
        ({"features": {"label": "numeric"}}, "features.label"),
        ({"window": "2d"}, "window: '2d'"),
        ({"window": "0"}, "window: '0'"),
        ({"timezone": "Mars/Base"}, "timezone: 'Mars/Base'"),
        ({"cutoff": 3}, "cutoff: 3"),
        ({"min_rows": 0}, "min_rows: 0"),
        ({"protected": "SEX"}, "protected: write a list"),
        ({"label_delay": "soon"}, "label_delay: 'soon'"),
        ({"quiet": 5}, "quiet: write"),
        ({"quiet": "at night"}, "quiet: write"),
        ({"quiet": "22:00-24:00"}, "quiet: write"),
    ],
)
def test_a_wrong_spec_is_refused_with_what_and_where(change: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_spec({**GOOD, **change})
    assert says in refused.value.message
