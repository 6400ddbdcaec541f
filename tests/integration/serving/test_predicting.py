"""What a client gets for a request, right or wrong."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.serving.parts import (
    FEATURES,
    MODEL,
    GatewayProcess,
    deploy,
    register_model,
    spooled_ids,
    spooled_rows,
    wait_until,
)


def test_an_answer_names_version_and_deployment_and_follows_the_cutoff(
    sqlite_gateway: GatewayProcess,
) -> None:
    late = sqlite_gateway.predict(prediction_id="a", features={**FEATURES, "hour": 23}).json()
    early = sqlite_gateway.predict(features={**FEATURES, "hour": 1}).json()
    assert late["prediction_id"] == "a"
    assert (late["model"], late["version"], late["role"]) == (MODEL, 1, "champion")
    assert late["deployment_id"] == early["deployment_id"] == 1
    assert late["score"] >= 0.5 and late["prediction"] == "1"
    assert early["score"] < 0.5 and early["prediction"] == "0"
    assert early["prediction_id"] not in ("", "a")


def test_scores_are_those_of_the_recorded_artefact(
    sqlite_gateway: GatewayProcess, artefacts: dict[int, Any]
) -> None:
    import pandas as pd

    from backend.serving.loader import load_estimator

    rows = [
        {"carrier": carrier, "hour": float(hour), "wind": None}
        for carrier in ("AA", "ZZ", None)
        for hour in (0, 9, 20)
    ]
    answers = sqlite_gateway.predict(instances=[{"features": row} for row in rows]).json()["predictions"]
    frame = pd.DataFrame(rows).astype({"wind": "float64"})
    frame["carrier"] = frame["carrier"].where(frame["carrier"].notna(), float("nan"))
    expected = load_estimator(artefacts[1]).predict_proba(frame)[:, 1]
    assert [answer["score"] for answer in answers] == expected.tolist()


def test_a_prediction_is_in_the_spool_when_its_answer_arrives(sqlite_gateway: GatewayProcess) -> None:
    answer = sqlite_gateway.predict(prediction_id="kept", features=FEATURES, injected="unit-change").json()
    (row,) = [row for row in spooled_rows() if row["prediction_id"] == "kept"]
    assert row["features"] == {"carrier": "AA", "hour": 17.0, "wind": 2.5}
    assert (row["version"], row["environment"], row["role"], row["source"]) == (
        1,
        "production",
        "champion",
        "gateway",
    )
    assert (row["score"], row["prediction"], row["injected"]) == (
        answer["score"],
        answer["prediction"],
        "unit-change",
    )


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({"features": {"carrier": "AA", "hour": 17}}, "wind", "is missing"),
        ({"features": {**FEATURES, "weather": 1}}, "weather", "is not a feature"),
        ({"features": {**FEATURES, "hour": "five"}}, "hour", "is text; it must be a number"),
        ({"features": {**FEATURES, "hour": True}}, "hour", "it must be a number"),
        ({"features": {**FEATURES, "carrier": 1.5}}, "carrier", "category"),
        ({"features": {**FEATURES, "carrier": ["AA"]}}, "carrier", "is a list"),
        ({"features": [1, 2]}, "features", "must be an object"),
        ({"features": FEATURES, "prediction_id": 5}, "prediction_id", "must be text"),
        ({"features": FEATURES, "cutoff": 0.1}, "cutoff", "unknown key"),
        ({"instances": []}, "instances", "at least one"),
        ({"instances": [{"features": FEATURES}] * 1001}, "instances", "the limit is 1,000"),
    ],
)
def test_a_wrong_body_is_refused_with_field_and_reason(
    shared_gateway: GatewayProcess, body: dict[str, Any], field: str, reason: str
) -> None:
    answer = shared_gateway.predict(**body)
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = answer.json()
    assert problem["field"] == field
    assert reason in problem["reason"]


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"features": {"carrier": "AA", "hour": NaN, "wind": 1}}', b"\xff"]
)
def test_a_body_that_is_not_a_json_object_is_refused(shared_gateway: GatewayProcess, body: bytes) -> None:
    answer = shared_gateway.client.post(f"/v1/models/{MODEL}/predict", content=body)
    assert (answer.status_code, answer.json()["field"]) == (422, "body")


def test_one_wrong_instance_refuses_the_batch_and_is_named(shared_gateway: GatewayProcess) -> None:
    good, wrong = {"prediction_id": "b-0", "features": FEATURES}, {"features": {**FEATURES, "wind": "strong"}}
    problem = shared_gateway.predict(instances=[good, wrong]).json()
    assert (problem["row"], problem["field"]) == (1, "wind")
    # Its id was not taken: nothing of the batch was stored.
    assert shared_gateway.predict(prediction_id="b-0", features={**FEATURES, "hour": 2}).status_code == 200


def test_a_batch_is_answered_in_order(shared_gateway: GatewayProcess) -> None:
    instances = [{"prediction_id": f"o-{n}", "features": {**FEATURES, "hour": n % 24}} for n in range(1000)]
    answers = shared_gateway.predict(instances=instances).json()["predictions"]
    assert [answer["prediction_id"] for answer in answers] == [f"o-{n}" for n in range(1000)]
    assert answers[1]["score"] == answers[25]["score"] != answers[23]["score"]


def test_a_body_over_the_limit_is_refused(shared_gateway: GatewayProcess) -> None:
    answer = shared_gateway.client.post(f"/v1/models/{MODEL}/predict", content=b" " * (9 << 20))
    assert answer.status_code == 413


def test_an_unknown_model_is_404_and_one_without_deployment_503(sqlite_gateway: GatewayProcess) -> None:
    register_model("idle")
    assert sqlite_gateway.predict("nobody").status_code == 404
    wait_until(lambda: "idle" in sqlite_gateway.client.get("/readyz").json()["models"], what="the new model")
    answer = sqlite_gateway.predict("idle")
    assert answer.status_code == 503
    assert "no version of idle is deployed" in answer.json()["detail"]


def test_the_same_id_and_content_gets_the_same_answer_once_stored(sqlite_gateway: GatewayProcess) -> None:
    first = sqlite_gateway.predict(prediction_id="twice", features=FEATURES)
    deploy(2)
    sqlite_gateway.wait_version(2)
    again = sqlite_gateway.predict(prediction_id="twice", features=FEATURES)
    assert again.json() == first.json()
    assert spooled_ids().count("twice") == 1
    other = sqlite_gateway.predict(prediction_id="twice", features={**FEATURES, "hour": 3})
    assert other.status_code == 409
    assert "twice" in other.json()["detail"]


@pytest.mark.slow
def test_an_id_is_still_known_after_a_restart(sqlite_gateway: GatewayProcess) -> None:
    first = sqlite_gateway.predict(prediction_id="lost-answer", features=FEATURES).json()
    sqlite_gateway.kill()
    sqlite_gateway.start().wait_ready()
    again = sqlite_gateway.predict(prediction_id="lost-answer", features=FEATURES).json()
    assert {**again, "deployment_id": first["deployment_id"]} == first
    assert (
        sqlite_gateway.predict(prediction_id="lost-answer", features={**FEATURES, "hour": 3}).status_code
        == 409
    )


def test_metrics_parse_and_count_by_model_version_and_code(sqlite_gateway: GatewayProcess) -> None:
    sqlite_gateway.predict()
    sqlite_gateway.predict(features={})
    sqlite_gateway.predict("nobody%0A")
    text = sqlite_gateway.client.get("/metrics").text
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    here = ("environment", "production")
    of_version = (("model", MODEL), ("role", "champion"), ("version", "1"))
    loaded = (here, ("model", MODEL), ("version", "1"))
    assert samples["warrant_requests_total", (("code", "200"), here, *of_version)] == 1
    assert samples["warrant_requests_total", (("code", "422"), here, *of_version)] == 1
    assert samples["warrant_request_errors_total", (here, ("kind", "bad_request"), *of_version)] == 1
    assert samples["warrant_request_seconds_count", (here, *of_version)] == 2
    assert samples["warrant_request_seconds_bucket", (here, ("le", "0.001"), *of_version)] <= 2
    assert samples["warrant_request_seconds_bucket", (here, ("le", "10.0"), *of_version)] == 2
    assert samples["warrant_in_flight", (here,)] == 0
    assert samples["warrant_model_load_seconds_count", loaded] == 1
    assert samples["warrant_gateway_stale", (here,)] == 0
    info = [labels for name, labels in samples if name == "warrant_version_info"]
    assert [dict(labels)["version"] for labels in info] == ["1"]
    assert any(name == "process_resident_memory_bytes" for name, _ in samples)
    assert not any("nobody" in str(labels) for _, labels in samples)
