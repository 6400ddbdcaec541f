"""Segments of a rollout: how they are written, and of which models a request tells them."""

from __future__ import annotations

from typing import Any

import pytest

from backend.deployment.segments import (
    check_shape,
    holds,
    in_words,
    read_segments,
    refuse_unroutable,
    routable,
)
from backend.errors import BadInput
from backend.governance.policy_document import read_policy
from backend.monitoring.columns import parse_spec

SPEC = parse_spec(
    {
        "task": "binary", "window": "1d",
        "features": {"distance": "numeric", "carrier": "categorical", "region": "categorical", "who": "categorical"},
        "protected": {"age": "categorical"},
        "segments": ["carrier", "distance", "age", "who"], "pseudonymise": ["who"],
    }
)  # fmt: skip
POLICY = "rules: [{{name: all, rule: {{rollout: {{{}}}}}}}]"


def test_what_is_written_is_read_and_said_again() -> None:
    found = check_shape(read_segments(["carrier=UA", "carrier=A=B", "region=EU", "carrier=UA"]))
    assert found == {"carrier": ["A=B", "UA"], "region": ["EU"]}
    assert in_words(found) == "carrier=A=B, carrier=UA, region=EU"
    assert holds({}, {}) and holds(found, {"carrier": "UA"}) and holds(found, {"region": "EU"})
    assert not holds(found, {"carrier": "B6"}) and not holds(found, {})
    with pytest.raises(BadInput, match="write it as column=value"):
        read_segments(["carrier"])


@pytest.mark.parametrize(
    "column, reason",
    [
        ("region", "it is no segment column of the model's spec; those are carrier, distance, age, who"),
        ("distance", "it is a number"),
        ("age", "it is no feature"),
        ("who", "it is stored as a pseudonym"),
    ],
)
def test_what_a_request_does_not_tell_is_refused_with_the_reason(column: str, reason: str) -> None:
    with pytest.raises(BadInput, match=f"a rollout cannot be kept to {column}: {reason}"):
        refuse_unroutable(SPEC, {column: ["x"]})


def test_what_a_request_tells_is_offered() -> None:
    assert routable(SPEC) == ["carrier"]
    refuse_unroutable(SPEC, {"carrier": ["AA"]})


@pytest.mark.parametrize(
    "rollout, reason",
    [
        ("segments: {carrier: [AA]}", "all_at_once parts no requests"),
        ("strategy: shadow_first, bake_s: 9, segments_on_request: true", "shadow_first parts no requests"),
        (
            "strategy: canary, steps: [1], segments: {carrier: []}",
            "carrier needs a list with at least one value",
        ),
        ("strategy: canary, steps: [1], segments: {carrier: [7]}", "a value of carrier is a text, not '7'"),
        ("strategy: canary, steps: [1], segments: [AA]", "segments are columns with their values"),
        (
            "strategy: canary, steps: [1], segments: {a: [x]}, segments_on_request: true",
            "either `segments` names",
        ),
    ],
)
def test_a_policy_with_segments_that_part_nothing_is_refused(rollout: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        read_policy(POLICY.format(rollout))


def test_a_policy_with_segments_is_written_and_read_again() -> None:
    text = "strategy: canary, steps: [0.2, 1], segments: {carrier: [UA, AA]}"
    document = read_policy(POLICY.format(text))
    assert dict(document.rules[0].rule.rollout.segments) == {"carrier": ("AA", "UA")}
    assert read_policy(document.as_yaml()) == document


def test_the_command_names_segments() -> None:
    from backend.commands.change_commands import _wanted

    found: dict[str, Any] = _wanted("promote", "toy", 1, None, None, None, ["carrier=AA"], None, None)
    assert found["subject"] == {"segments": {"carrier": ["AA"]}}
