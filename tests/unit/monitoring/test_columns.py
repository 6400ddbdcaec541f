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
        ({"features": {"note": "text"}}, "no feature is numeric or categorical"),
        ({"segments": ["origin"]}, "segments: 'origin'"),
        ({"budget": {"pages_per_hour": 1}}, "budget: pages_per_hour"),
        ({"rules": ["distance >= depth"]}, "depth"),
        ({"budget": 0}, "budget.pages_per_quarter: 0"),
        ({"costs": {"tp": "much"}}, "costs: 'much'"),
        ({"reference": "last"}, "reference.kind: 'last'"),
        ({"reference": {"kind": "rolling", "length": "soon"}}, "reference.length: 'soon'"),
        ({"windw": "1h"}, "windw: there is no such key; is window meant?"),
        ({"quiet": 5}, "quiet: write"),
        ({"quiet": "at night"}, "quiet: write"),
        ({"quiet": "22:00-24:00"}, "quiet: write"),
    ],
)
def test_a_wrong_spec_is_refused_with_what_and_where(change: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_spec({**GOOD, **change})
    assert says in refused.value.message


def test_everything_else_a_spec_can_say() -> None:
    spec = parse_spec(
        {
            "task": "binary",
            "features": [
                {"name": "distance", "kind": "numeric"},
                {"name": "carrier", "type": "categorical"},
                {"name": "note", "kind": "text"},
                {"name": "vector", "kind": "embedding"},
            ],
            "segments": ["carrier"],
            "budget": {"pages_per_week": 1, "rota": "night"},
            "costs": {"tp": 5, "fn": -20},
            "reference": {"kind": "seasonal", "season": "weekday", "length": "4w"},
        }
    )
    assert [c.name for c in spec.features] == ["distance", "carrier"]
    assert (spec.excluded, spec.embeddings, spec.segments) == ((("note", "text"),), ("vector",), ("carrier",))
    assert (round(spec.budget.pages_per_quarter, 2), spec.budget.rota) == (13.04, "night")
    assert spec.costs == (("1", "1", 5.0), ("0", "1", -20.0))
    assert (spec.reference.kind, spec.reference.season, spec.reference.length_s) == (
        "seasonal",
        "weekday",
        2_419_200,
    )


@pytest.mark.parametrize(
    ("kind", "meant"),
    [
        ("float", "is numeric meant?"), ("float64", "is numeric meant?"), ("int", "is numeric meant, or categorical"),
        ("Int64", "is numeric meant, or categorical"), ("bool", "is categorical meant?"),
        ("string", "is categorical meant, text"), ("object", "is categorical meant, text"),
        ("datetime64[ns, UTC]", "is time meant?"), ("uuid", "is id meant?"), ("numerical", "is numeric meant?"),
        ("Categorical", "is categorical meant?"),
    ],
)  # fmt: skip
def test_a_kind_by_another_tools_name_is_refused_with_the_one_that_is_meant(kind: str, meant: str) -> None:
    with pytest.raises(BadInput, match="is not one of numeric, categorical") as refused:
        parse_spec({"task": "binary", "features": {"a": kind}})
    assert meant in str(refused.value)


def test_a_kind_that_is_like_none_is_refused_without_a_guess() -> None:
    with pytest.raises(BadInput, match=r"time$"):
        parse_spec({"task": "binary", "features": {"a": "purple"}})
