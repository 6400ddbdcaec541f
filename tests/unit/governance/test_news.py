"""Whatever a decider was shown and is now another is told: no part of a snapshot moves unseen."""

from __future__ import annotations

import copy
from typing import Any

from backend.governance.news import differing

SHOWN: dict[str, Any] = {
    "schema": 2, "kind": "promote", "model": "toy", "environment": "production", "summary": "toy moves", "reason": "so",
    "revision": 1, "from_version": 2, "to_version": 3, "from_cutoff": 0.5, "to_cutoff": 0.5,
    "requested_by": "a", "trained_by": "b", "data_owner": None,
    "policy": {"name": "all", "revision": 4, "roles": {"ml_lead": 2}},
    "bound": {"card": "sha256:1", "policy": "sha256:2"},
    "gates": [{"gate": "external", "verdict": "pass", "text": "tests: 212 tests", "value": None, "rows": 10,
               "at": "2026-01-01", "details": {"tests": [{"verdict": "pass"}]}}],
    "evidence": {"flips": {"known": True, "counts": {"becomes_positive": 1}, "examples": [{"id": "x"}]},
                 "at_risk": {"a_day": 99.0}, "explanations": {"columns": [{"name": "dep", "share": 0.4}]},
                 "evaluations": [{"change": 1}]},
    "request_digest": "sha256:r", "digest": "sha256:d",
}  # fmt: skip


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [one for key in value for one in leaves(value[key], (*path, key))]
    if isinstance(value, list):
        return [one for number, each in enumerate(value) for one in leaves(each, (*path, number))]
    return [path]


def test_no_value_that_was_shown_moves_unseen() -> None:
    unseen = []
    for path in leaves(SHOWN):
        now = copy.deepcopy(SHOWN)
        place = now
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = "another"
        now["digest"] = "sha256:e"
        if not [one for one in differing(SHOWN, now) if one["before"] != one["after"]]:
            unseen.append(path)
    names = {"schema", "digest", "request_digest", "revision"}
    told_otherwise = {("bound", "policy"), ("gates", 0, "at"), ("evidence", "evaluations", 0, "change")}
    assert [one for one in unseen if one[0] not in names and one not in told_otherwise] == []


def test_it_is_told_in_words() -> None:
    now = copy.deepcopy(SHOWN)
    now["gates"][0]["text"] = "tests: 3 tests, 209 skipped"
    now["evidence"]["flips"]["counts"]["becomes_positive"] = 900
    now["evidence"]["at_risk"]["a_day"] = 1.0
    now["evidence"]["evaluations"].append({"change": 1})
    now["policy"]["roles"]["ml_lead"] = 1
    told = {one["part"]: (one["before"], one["after"]) for one in differing(SHOWN, now)}
    assert told == {
        "rule, roles, ml lead": (2, 1),
        "gate external": ("pass: tests: 212 tests", "pass: tests: 3 tests, 209 skipped"),
        "flips, counts, becomes positive": (1, 900),
        "at risk, a day": (99.0, 1.0),
        "evaluations of the gates": (1, 2),
    }


def test_of_many_values_the_first_are_told_and_how_many_more() -> None:
    now = copy.deepcopy(SHOWN)
    now["evidence"]["flips"]["examples"] = [{"id": number} for number in range(20)]
    rows = differing(SHOWN, now)
    assert (len(rows), rows[-1]["part"]) == (5, "flips, 16 more values")
    assert differing(SHOWN, {**SHOWN, "digest": "sha256:e", "revision": 2}) == [
        {"part": "revision", "before": 1, "after": 2}
    ]
