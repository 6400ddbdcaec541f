"""Training-serving skew: the same prediction should have the same features wherever they are read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from backend.errors import BadInput
from backend.monitoring.columns import Column
from backend.monitoring.skew import Skew, compare_by_id

COLUMNS = [Column("price", "numeric"), Column("size", "numeric"), Column("origin", "categorical")]


def rows(count: int = 1000) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "prediction_id": [f"p{i}" for i in range(count)],
            "price": random.normal(100, 10, count),
            "size": random.integers(1, 9, count).astype(float),
            "origin": random.choice(["EWR", "JFK"], count),
        }
    )


def verdicts(skew: Skew) -> dict[str | None, str]:
    return {point.column: point.verdict for point in skew.points}


def test_the_same_rows_in_another_order_and_precision_show_no_skew() -> None:
    logged = rows()
    extracted = logged.sample(frac=1, random_state=1).astype({"price": "float32", "size": "int64"})
    for other in (extracted, pa.Table.from_pandas(extracted)):
        found = compare_by_id(logged, other, COLUMNS)
        assert (found.joined, found.only_logged, found.only_extracted) == (1000, 0, 0)
        assert [skew.differing for skew in found.columns] == [0, 0, 0]
        assert set(verdicts(found).values()) == {"ok"}


def test_a_skew_that_keeps_the_distribution_is_found_with_examples() -> None:
    """Values permuted between rows: every distribution is the same."""
    logged = rows()
    extracted = logged.assign(price=np.roll(logged["price"].to_numpy(), 1))
    found = compare_by_id(logged, extracted, COLUMNS)
    assert verdicts(found) == {None: "ok", "price": "alarm", "size": "ok", "origin": "ok"}
    price = found.columns[0]
    assert price.share == 1.0
    assert price.mean_difference == pytest.approx(0.0, abs=1e-9)
    example = price.examples[0]
    before = dict(zip(logged["prediction_id"], logged["price"], strict=True))
    assert example.logged == pytest.approx(before[example.id]) and example.extracted != example.logged


def test_a_constant_offset_is_told_as_the_mean_difference() -> None:
    logged = rows()
    found = compare_by_id(logged, logged.assign(price=logged["price"] - 2.5), COLUMNS)
    point = found.points[1]
    assert point.text == (
        "Skew of price: 100.0% of values differ (limit 1.0%), 1,000 ids, logged less extracted +2.5 on average"
    )
    assert point.level == "ticket"


def test_missing_on_one_side_differs_and_on_both_is_the_same() -> None:
    logged, extracted = rows(), rows()
    logged.loc[:99, "origin"] = None
    extracted.loc[50:199, "origin"] = None
    logged.loc[:9, "size"], extracted.loc[:9, "size"] = np.nan, np.inf
    found = compare_by_id(logged, extracted, COLUMNS)
    origin = found.columns[2]
    assert (origin.differing, origin.only_logged, origin.only_extracted) == (150, 100, 50)
    assert {example.logged for example in origin.examples} <= {None, "EWR", "JFK"}
    assert found.columns[1].differing == 0


def test_a_few_differences_stay_below_the_limit() -> None:
    extracted = rows()
    extracted.loc[:9, "price"] += 1
    assert verdicts(compare_by_id(rows(), extracted, COLUMNS))["price"] == "ok"
    assert verdicts(compare_by_id(rows(), extracted, COLUMNS, limit=0.009))["price"] == "alarm"


def test_a_column_that_one_side_lacks_is_an_alarm_that_says_which() -> None:
    found = compare_by_id(rows(), rows().drop(columns="price"), COLUMNS)
    assert found.columns[0].absent == "extracted"
    assert found.points[1].text == "Skew of price: the extracted rows do not have this column"
    assert verdicts(found) == {None: "ok", "price": "alarm", "size": "ok", "origin": "ok"}
    neither = compare_by_id(rows().drop(columns="price"), rows().drop(columns="price"), COLUMNS)
    assert verdicts(neither)["price"] == "inconclusive"


def test_ids_on_one_side_and_repeated_ones_are_counted() -> None:
    logged, extracted = rows(), rows()[100:]
    extracted = pd.concat([extracted, extracted[:7].assign(price=0.0)])
    found = compare_by_id(logged, extracted, COLUMNS)
    assert (found.joined, found.only_logged, found.only_extracted) == (900, 100, 0)
    assert (found.repeated_logged, found.repeated_extracted) == (0, 7)
    assert verdicts(found) == {None: "alarm", "price": "ok", "size": "ok", "origin": "ok"}
    assert "100 only logged and 0 only extracted of 1,000" in found.points[0].text


def test_few_or_no_common_ids_are_inconclusive() -> None:
    apart = compare_by_id(rows(), rows().assign(prediction_id=[f"q{i}" for i in range(1000)]), COLUMNS)
    assert apart.joined == 0
    assert verdicts(apart) == {
        None: "alarm",
        "price": "inconclusive",
        "size": "inconclusive",
        "origin": "inconclusive",
    }
    assert set(verdicts(compare_by_id(rows(0), rows(0), COLUMNS)).values()) == {"inconclusive"}


def test_sides_without_ids_are_bad_input() -> None:
    with pytest.raises(BadInput, match="the extracted rows have no column 'prediction_id'"):
        compare_by_id(rows(), rows().drop(columns="prediction_id"), COLUMNS)


def test_a_column_that_turned_to_text_differs_where_it_cannot_be_read() -> None:
    extracted = rows()
    extracted["price"] = extracted["price"].astype(str)
    extracted.loc[:499, "price"] = "n/a"
    assert compare_by_id(rows(), extracted, COLUMNS).columns[0].differing == 500
