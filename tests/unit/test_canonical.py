"""Canonical JSON is RFC 8785 byte for byte, whichever encoder wrote it."""

from __future__ import annotations

import enum
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backend.canonical import _is_plain, _with_whole_numbers, canonical_json
from backend.governance.policies import built_in

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
NAMES = st.one_of(st.text(st.characters(max_codepoint=127), max_size=8), TEXT)
NUMBERS = st.one_of(
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(1e-5, 1e-3),
    st.floats(1e14, 1e17),
    st.decimals(-100, 100, places=4).map(float),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), TEXT, NUMBERS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.lists(inner, max_size=3).map(tuple), st.dictionaries(NAMES, inner)
    ),
    max_leaves=12,
)


class Word(enum.StrEnum):
    ONE = "eins"


@settings(deadline=None, max_examples=400)
@given(VALUES)
@example({"\ue000": 1, "\U0001f600": 2, "a": 3})
@example({"": '\x00\x1f\x7f\x80\u2028\\"/\b\f\n\r\t'})
@example([1e16, 1e21, 1e-4, 9.999e-5, 1e-7, -0.0, 0.0, 1.0, 123456789012345.6, 5e-324])
def test_the_bytes_are_those_of_rfc_8785(value: Any) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)


@settings(deadline=None)
@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_number_that_the_fast_encoder_writes_is_written_alike(value: float) -> None:
    if _is_plain(value):
        assert repr(value).encode() == rfc8785.dumps(value)


def test_what_audit_entries_are_made_of_takes_the_fast_encoder() -> None:
    assert _is_plain(
        {"before": {"cutoff": 0.4}, "after": None, "why": "späť", "numbers": [1, True], "t": (2,)}
    )


def test_what_rules_of_a_policy_are_made_of_takes_the_fast_encoder_too() -> None:
    rule = built_in().document.rules[-1].rule.model_dump(mode="json")
    assert not _is_plain(rule)
    assert _is_plain(_with_whole_numbers(rule))
    assert canonical_json(rule) == rfc8785.dumps(rule)


@pytest.mark.parametrize("value", [{"a": Word.ONE}, {Word.ONE: 1}, {"a": [1.0]}, {"ß": 1, "z": 2}])
def test_what_is_not_plain_is_left_to_the_reference(value: Any) -> None:
    assert not _is_plain(value)
    assert canonical_json(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    "value", [2**53, float("nan"), float("inf"), {"a": object()}, {1: "a"}, "\ud800", {"a": "\udc00"}]
)
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(rfc8785.CanonicalizationError):
        canonical_json(value)
