"""The list of models over HTTP: filters, tags, acts that are previewed first, and views."""

from __future__ import annotations

from tests.integration.api.conftest import Callers
from tests.worlds import add_model


def test_models_are_listed_filtered_and_paged(callers: Callers) -> None:
    for name in ("fares", "seats"):
        add_model(callers.world, name, tier="high" if name == "fares" else "low")
    tagged = callers.post("engineer", "/models/fares/tags", {"add": ["EU", "loans"]})
    assert (tagged.status_code, tagged.json()) == (201, {"model": "fares", "tags": ["eu", "loans"]})
    found = callers.get("viewer", "/fleet", tier=["high", "low"], sort="name").json()
    assert [one["model"] for one in found["models"]] == ["fares", "seats"]
    assert (found["total"], found["known"], found["next"]) == (2, 3, None)
    assert found["models"][0]["tags"] == ["eu", "loans"]
    assert found["models"][0]["version"] == 2
    first = callers.get("viewer", "/fleet", sort="name", limit=1).json()
    second = callers.get("viewer", "/fleet", sort="name", limit=1, offset=first["next"]).json()
    assert [one["models"][0]["model"] for one in (first, second)] == ["fares", "seats"]
    assert callers.get("viewer", "/fleet", tag=["eu"]).json()["total"] == 1
    assert callers.get("viewer", "/fleet", sort="colour").status_code == 422


def test_an_act_is_done_by_the_digest_of_its_preview(callers: Callers) -> None:
    add_model(callers.world, "fares")
    asked = {"act": "silence", "models": ["toy", "fares", "gone"], "hours": 2, "why": "planned work"}
    seen = callers.post("on_call", "/fleet/acts/preview", asked).json()
    assert [one["model"] for one in seen["planned"]] == ["fares", "toy"]
    assert seen["left_out"] == [{"model": "gone", "reason": "there is no such model that you may see"}]
    assert callers.post("on_call", "/fleet/acts", asked | {"digest": "sha256:0"}).status_code == 409
    assert callers.get("on_call", "/silences").json()["silences"] == []
    done = callers.post("on_call", "/fleet/acts", asked | {"digest": seen["digest"]})
    assert done.status_code == 201
    assert [one["model"] for one in done.json()["done"]] == ["fares", "toy"]
    assert done.json()["refused"] == []
    silences = callers.get("on_call", "/silences").json()["silences"]
    assert {one["matchers"]["model"] for one in silences} == {"fares", "toy"}


def test_views_are_saved_read_and_removed(callers: Callers) -> None:
    body = {"name": "High", "filters": {"tier": ["high"]}, "sort": "tier", "shared": True}
    made = callers.post("lead", "/views", body)
    assert made.status_code == 201
    (seen,) = callers.get("viewer", "/views").json()["views"]
    assert (seen["name"], seen["filters"], seen["is_mine"]) == ("High", {"tier": ["high"]}, False)
    path = f"/views/{made.json()['id']}/removal"
    assert callers.post("viewer", path).status_code == 403
    assert callers.post("lead", path).json() == {"removed": made.json()["id"]}
    assert callers.get("viewer", "/views").json() == {"views": [], "next": None}
