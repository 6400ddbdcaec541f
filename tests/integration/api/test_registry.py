"""The registry over HTTP: moves made elsewhere and their answers, and what served at a moment."""

from __future__ import annotations

from datetime import timedelta

from backend import clock
from backend.database.session import writing
from jobs.mirror_registry import compare_alias
from tests.integration.api.conftest import Callers
from tests.worlds import SYSTEM


def move_away(callers: Callers) -> int:
    """Somebody points the alias of `toy` at version 1, while version 2 serves; gives the move."""
    with writing() as session:
        assert compare_alias(session, SYSTEM, model="toy", alias=1)
    (move,) = callers.get("viewer", "/registry/moves", state="open").json()["moves"]
    assert (move["from_version"], move["to_version"], move["would_be"]) == (2, 1, "refused")
    return int(move["id"])


def test_a_move_is_reported_and_regularised_by_an_ordinary_request(callers: Callers) -> None:
    path = f"/registry/moves/{move_away(callers)}"
    report = callers.get("viewer", "/registry/moves").json()
    assert report["summary"].startswith("1 of 1 move would have been refused, by these rules: ")
    assert report["refused_by"]["approval"] == 1
    preview = callers.get("engineer", f"{path}/regularisation").json()
    assert (preview["kind"], preview["to_version"]) == ("promote", 1)
    stale = callers.post("engineer", f"{path}/regularisation", {"reason": "it serves", "digest": "sha256:x"})
    assert stale.status_code == 409
    asked = callers.post(
        "engineer", f"{path}/regularisation", {"reason": "it serves", "digest": preview["digest"]}
    )
    assert asked.status_code == 201, asked.text
    assert callers.get("viewer", path).json()["change_id"] == asked.json()["id"]


def test_restoring_is_one_run_however_often_it_is_asked_for(callers: Callers) -> None:
    path = f"/registry/moves/{move_away(callers)}/restoration"
    answers = [callers.post("on_call", path, {"reason": "a mistake"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert len({answer.json()["run_id"] for answer in answers}) == 1


def test_observing_again_is_refused_with_the_way_to_ask_for_it(callers: Callers) -> None:
    move = move_away(callers)
    path = "/models/toy/enforcement"
    answer = callers.post("lead", path, {"enforcement": "observe", "why": "it is being moved here"})
    assert answer.status_code == 403
    assert "change of kind observe" in answer.text
    assert callers.get("viewer", f"/registry/moves/{move}").json()["state"] == "open"
    wanted = {"kind": "observe", "model": "toy"}
    preview = callers.post("lead", "/changes/preview", wanted).json()
    asked = callers.post("lead", "/changes", {**wanted, "reason": "so", "digest": preview["digest"]})
    assert asked.status_code == 201, asked.text
    (entry,) = callers.get("viewer", "/registry/inventory").json()["models"]
    assert (entry["name"], entry["enforcement"], entry["imported"]) == ("toy", "enforce", None)
    assert [one["gaps"] for one in entry["versions"]] == [[], []]


def test_the_timeline_answers_for_a_period_and_for_a_moment(callers: Callers) -> None:
    whole = callers.get("viewer", "/models/toy/timeline").json()
    assert [[one["version"] for one in stretch["served"]] for stretch in whole["stretches"]] == [[1], [2]]
    assert whole["stretches"][1]["end"] is None
    border = whole["stretches"][1]["start"]
    part = callers.get("viewer", "/models/toy/timeline", until=border).json()
    assert [stretch["end"] for stretch in part["stretches"]] == [border]
    moment = callers.get("viewer", "/models/toy/timeline", at=border).json()
    assert (moment["known"], moment["served"][0]["version"]) == (True, 2)
    assert moment["why"] == ["version 2 answered 100% of the requests: history"]
    for query in ({"at": "2026-03-01T00:00:00"}, {"at": clock.to_iso(clock.now() + timedelta(days=1))},
                  {"from": border, "until": border}):  # fmt: skip
        assert callers.get("viewer", "/models/toy/timeline", **query).status_code == 422, query
    assert callers.get("viewer", "/models/nothing/timeline").status_code == 404
