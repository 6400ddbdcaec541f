"""What kind a column of text is proposed as where most of it is numbers, and what is said where it is left out."""

import duckdb
import numpy as np
import pandas as pd
import pytest

from backend.monitoring import proposals
from backend.monitoring.proposals import Proposal, draw_sample, propose_columns


def propose(values: list[str], name: str = "m") -> Proposal:
    table = duckdb.connect().from_df(pd.DataFrame({name: values}))
    (found,) = propose_columns(table, draw_sample(table))
    return found


def numbers(rows: int, none: float = 0.0, *signs: str) -> list[str]:
    """Texts of N(50, 5), of which a share are one of the signs."""
    random = np.random.default_rng(7)
    texts = [f"{value:.3f}" for value in random.normal(50, 5, rows)]
    for at in np.flatnonzero(random.random(rows) < none):
        texts[at] = signs[at % len(signs)]
    return texts


@pytest.mark.parametrize("none", [0.02, 0.05, 0.3])
@pytest.mark.parametrize("signs", [("-",), ("-", "unknown", "?")], ids=["one sign", "three signs"])
def test_text_that_is_mostly_numbers_is_numeric_and_less_sure(none: float, signs: tuple[str, ...]) -> None:
    found = propose(numbers(5000, none, *signs))

    assert found.kind == "numeric"
    assert found.confidence < propose(numbers(5000)).confidence
    assert "are numbers" in found.reason and "unreadable" in found.reason


def test_a_large_table_is_told_by_its_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "SAMPLE", 1000)
    found = propose(numbers(5000, 0.1, "-"))

    assert (found.kind, found.rows) == ("numeric", 5000)


def test_text_of_which_too_little_is_numbers_says_so_and_how_to_decide() -> None:
    found = propose(numbers(5000, 0.6, "-"))

    assert found.kind is None
    assert found.reason.startswith("text of which 4") and "identifier" not in found.reason
    assert "--numeric" in found.advice and "--column" in found.advice


def test_many_different_texts_beside_numbers_are_no_sign_of_a_missing_one() -> None:
    texts = [f"{i}.5" if i % 4 else f"part {i}" for i in range(2000)]
    found = propose(texts)

    assert found.kind is None
    assert "75 % are numbers" in found.reason


@pytest.mark.parametrize("form", ["{:.2f} EUR", "{:.2f} €", "€{:,.2f}", "{:.3f} %"])
def test_numbers_with_a_unit_are_told_with_an_example(form: str) -> None:
    texts = [form.format(value) for value in np.random.default_rng(8).normal(5000, 500, 3000)]
    found = propose(texts)

    assert found.kind is None
    assert "look like numbers with a unit" in found.reason
    assert repr(min(texts)) in found.reason


def test_decimal_commas_are_told_and_dates_and_addresses_are_none() -> None:
    random = np.random.default_rng(9)
    commas = [f"{value:.4f}".replace(".", ",") for value in random.normal(size=2000)]
    dates = [f"{i % 28 + 1:02d}.{i % 12 + 1:02d}.{1000 + i}" for i in range(2000)]
    addresses = [f"10.0.{i % 200}.{i // 200}" for i in range(2000)]

    assert "decimal comma" in propose(commas).reason
    assert "identifier" in propose(dates).reason
    assert "identifier" in propose(addresses).reason


def test_digits_that_are_named_as_an_identifier_stay_one() -> None:
    digits = [str(100_000 + i) for i in range(2000)]

    assert propose(digits, "customer_id").kind is None
    assert propose(["-" if i % 9 == 0 else one for i, one in enumerate(digits)], "customer_id").kind is None
    assert propose(digits).kind == "numeric"


def test_few_rows_of_numbers_as_text_are_no_identifier() -> None:
    assert propose(numbers(120)).kind == "numeric"
    assert propose([f"{i:x}f" for i in range(120)]).kind is None
