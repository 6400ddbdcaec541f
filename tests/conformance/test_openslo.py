"""Every published example of OpenSLO v1: what is read, and why the rest is not used or is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.slo.openslo import parse_openslo, read_openslo
from backend.slo.openslo_writing import write_openslo

EXAMPLES = Path(__file__).parent / "vectors" / "openslo"
ONE_WINDOW = (
    "Warrant alerts by pairs of windows (annotation warrant/alert-rows), not by conditions of one window"
)
SET_HERE = "whom Warrant tells is set in Warrant, not in this file"
# file -> (documents, objectives, what is said of those that are not used)
EXPECTED: dict[str, tuple[list[str], list[str], list[str]]] = {
    "alert_conditions.yaml": (
        ["AlertCondition cpu-usage-breach", "AlertCondition latency-too-high"], [],
        [f"1 cpu-usage-breach: not used; {ONE_WINDOW}", f"21 latency-too-high: not used; {ONE_WINDOW}"],
    ),
    "alert_notification_targets.yaml": (
        ["AlertNotificationTarget devs-email-notification", "AlertNotificationTarget pd-on-call-notification"], [],
        [f"1 devs-email-notification: not used; {SET_HERE}", f"14 pd-on-call-notification: not used; {SET_HERE}"],
    ),
    "alert_policies.yaml": (
        ["AlertPolicy low-priority", "AlertPolicy high-priority", "AlertPolicy medium-priority"], [],
        [
            f"1 low-priority: not used; {ONE_WINDOW}", f"19 high-priority: not used; {ONE_WINDOW}",
            f"51 medium-priority: not used; {ONE_WINDOW}",
        ],
    ),
    "data_sources.yaml": (
        ["DataSource prometheus", "DataSource datadog"], [],
        ["15 datadog: not used; Warrant does not read Datadog"],
    ),
    "services.yaml": (["Service example-service", "Service example-service"], [], []),
    "slis.yaml": (
        [
            "SLI search-availability", "SLI end-user-response", "SLI wifi-client-satisfaction",
            "SLI annotator-throughput",
        ], [],
        [
            "1 search-availability: not used; Warrant does not read Datadog",
            "28 end-user-response: not used; Warrant does not read AppDynamics",
        ],
    ),
    "slos.yaml": (["SLO web-availability"], ["web-availability"], []),
}  # fmt: skip


def test_every_example_is_expected() -> None:
    assert {path.name for path in EXAMPLES.glob("*.y*ml")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_is_read_as_stated(name: str) -> None:
    documents, objectives, remarks = EXPECTED[name]
    reading = read_openslo([(name, (EXAMPLES / name).read_text())])
    assert [f"{one.kind} {one.name}" for one in reading.documents] == documents
    assert [one.name for one in reading.objectives] == objectives
    assert [f"{one.place.line} {one.text}" for one in reading.findings] == remarks
    assert not reading.errors


@pytest.mark.parametrize(
    ("sli", "outcome"),
    [
        ("search-availability", "Warrant reads Prometheus and its own figures, not Datadog"),
        ("end-user-response", "Warrant reads Prometheus and its own figures, not AppDynamics"),
        ("wifi-client-satisfaction", ""),
        ("annotator-throughput", ""),
    ],
)
def test_an_example_of_an_indicator_is_used_by_name_or_refused_with_its_source(
    sli: str, outcome: str
) -> None:
    """An SLO in another file names it; its data source is in a third."""
    terms = "op: lt\n      value: 100\n      " if sli == "annotator-throughput" else ""
    slo = f"""
apiVersion: openslo/v1
kind: SLO
metadata: {{name: uses-it}}
spec:
  service: web
  indicatorRef: {sli}
  timeWindow: [{{duration: 4w, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives:
    - {terms}target: 0.99
"""
    files = [(name, (EXAMPLES / name).read_text()) for name in ("slis.yaml", "data_sources.yaml")]
    reading = read_openslo([("uses.yaml", slo), *files])
    refused = [f"{one.place} {one.text}" for one in reading.errors]
    if outcome:
        assert refused == [f"uses.yaml:7:3 {outcome}"]
        assert not reading.objectives
    else:
        assert not refused
        (objective,) = reading.objectives
        assert parse_openslo(write_openslo([objective])) == (objective,)


def test_the_example_of_an_slo_survives_writing_and_reading() -> None:
    read = parse_openslo((EXAMPLES / "slos.yaml").read_text())
    assert parse_openslo(write_openslo(read)) == read
