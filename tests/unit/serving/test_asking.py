"""What a client sends beside the row: request ids; and what an artefact's signature asks of the row."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.serving.errors import BadFeature, NotLoadable
from backend.serving.predictor import Predictor
from backend.serving.request_ids import request_id
from backend.serving.requests import parse_request
from backend.serving.signature import read_signature

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FEATURES: dict[str, Any] = {"hour": "numeric", "carrier": "categorical"}


class Fitted:
    def predict_proba(self, frame: Any) -> Any:
        return frame


def described(**types: str) -> dict[str, Any]:
    columns = [{"name": name, "type": type_, "required": True} for name, type_ in types.items()]
    return {"signature": {"inputs": json.dumps(columns)}}


def predictor(**types: str) -> Predictor:
    return Predictor(Fitted(), digest="", load_s=0, signature=read_signature(described(**types)))


@given(st.text(max_size=200))
def test_an_id_that_is_given_back_is_safe_in_a_header_and_on_a_line(given_id: str) -> None:
    found = request_id(given_id)
    assert found.isascii() and found.isprintable() and " " not in found and 0 < len(found) <= 128
    assert request_id(found) == found


def test_the_usual_ids_are_kept_and_others_replaced() -> None:
    for kept in (
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "Root=1-67891233-abcdef012345678912345678",
        "a/b:1.2_3~x",
    ):
        assert request_id(kept) == kept
    for replaced in (None, "", "a b", "x" * 129, "a\nb", "-a", "é"):
        assert request_id(replaced).startswith("req_")


def test_whole_numbers_are_asked_for_where_the_signature_has_them() -> None:
    whole = predictor(hour="long", carrier="string").whole
    for value, got, reason in (
        (17.5, "17.5", "is 17.5"),
        (None, "null", "is null"),
        ("x", 'text "x"', "is text"),
    ):
        body = json.dumps({"instances": [{"features": {"hour": 3, "carrier": "AA"}},
                                         {"features": {"hour": value, "carrier": "AA"}}]})  # fmt: skip
        with pytest.raises(BadFeature) as refused:
            parse_request(body.encode(), FEATURES, now=NOW, whole=whole)
        details = refused.value.details
        assert (details["row"], details["column"], details["got"]) == (1, "hour", got)
        assert details["expected"].startswith("a whole number")
        assert reason in details["reason"]
    fine = parse_request(b'{"features": {"hour": 17.0, "carrier": null}}', FEATURES, now=NOW, whole=whole)
    assert fine.instances[0].features == {"hour": 17.0}


@pytest.mark.parametrize(
    ("types", "why"),
    [
        ({"hour": "string"}, "hour as string, the model's spec as numeric"),
        ({"carrier": "long"}, "carrier as long, the model's spec as categorical"),
        ({"wind": "double"}, "wind, which the model's spec does not declare"),
    ],
)
def test_an_artefact_that_contradicts_the_spec_is_not_served(types: dict[str, str], why: str) -> None:
    with pytest.raises(NotLoadable, match=why):
        predictor(**types).check_fits(FEATURES, "binary")


def test_an_artefact_without_columns_in_its_signature_is_judged_by_the_spec() -> None:
    tensors = {"signature": {"inputs": '[{"type": "tensor", "tensor-spec": {"dtype": "float64"}}]'}}
    for description in ({}, tensors, {"signature": None}):
        assert read_signature(description) == {}
    with pytest.raises(NotLoadable, match="does not read"):
        read_signature({"signature": {"inputs": "{"}})
