"""The rules that are exported: whether they fire, and when they must not, as Prometheus itself evaluates them."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from backend.serving.metrics import GatewayMetrics
from backend.serving.outcomes import EDGES_S
from backend.slo.objectives import (
    AlertRow,
    Availability,
    Budgeting,
    Latency,
    Objective,
    Queries,
    Threshold,
)
from backend.slo.prometheus_rules import write_rules
from backend.slo.promql import edge_of
from backend.slo.windows import Rolling
from tests.promtool import Asked, Scene, check_rules, counter, firing, gone, run_scenes

AVAILABILITY = Objective(
    name="availability", model='flight "delay"', sli=Availability(), target=Decimal("0.999"), window=Rolling(720),
    title="Answers", minimum_events=20, labels=(("team", ("ml", "ops")),),
)  # fmt: skip
OF = 'model="flight \\"delay\\"",environment="production",version="1"'
OK = f'warrant_requests_total{{{OF},role="champion",code="200"}}'
FAILED = f'warrant_requests_total{{{OF},role="champion",code="500"}}'
SERVED = f"warrant_version_info{{{OF}}}"
ALWAYS = "1x600"
MARK = '{slo="availability", model="flight \\"delay\\"", environment="production"}'


def test_every_edge_of_the_histogram_is_named_as_the_gateway_exports_it() -> None:
    metrics = GatewayMetrics("production")
    metrics.seconds.labels("m", "1", "champion").observe(0.1)
    exported = re.findall(r'[{,]le="([^"]+)"', generate_latest(metrics.registry).decode())
    assert {edge_of(Decimal(str(edge)) * 1000) for edge in EDGES_S} == set(exported) - {"+Inf"}


PAGE, TICKET = firing("page"), firing("ticket")
BURNING = [
    Scene(
        "3 % of 100 a minute fail for 35 minutes",
        {OK: counter((180, 100), (35, 97), (20, 100)), FAILED: counter((180, 0), (35, 3), (20, 0)), SERVED: ALWAYS},
        [
            Asked("3h16m", PAGE, [0]),  # 16 of 60 minutes: 0.8 % of the hour
            Asked("3h32m", PAGE, [1]),  # 1.5 % and more
            Asked("3h45m", PAGE, [0]),  # the last 5 minutes are good again
        ],
    ),
    Scene(
        "0.4 % fail: four times what the budget allows",
        {OK: counter((60, 996)), FAILED: counter((60, 4)), SERVED: ALWAYS},
        [Asked("55m", PAGE, [0]), Asked("55m", TICKET, [1])],
    ),
    Scene(
        "0.09 % fail",
        {OK: counter((60, 9991)), FAILED: counter((60, 9)), SERVED: ALWAYS},
        [Asked("55m", PAGE, [0]), Asked("55m", TICKET, [0])],
    ),
    Scene(
        "12 requests in an hour, all fail",
        {FAILED: counter((135, 0.2)), SERVED: ALWAYS},
        [Asked("80m", PAGE, [0]), Asked("80m", TICKET, [0]), Asked("2h10m", PAGE, [1])],  # 20 of 6 hours by then
    ),
]  # fmt: skip


@pytest.mark.parametrize("scene", BURNING, ids=lambda scene: scene.name)
def test_pages_and_tickets_fire_when_the_budget_burns_and_not_otherwise(scene: Scene, tmp_path: Path) -> None:
    rules = check_rules(tmp_path, write_rules([AVAILABILITY]))
    run_scenes(tmp_path, [rules], [scene])


def test_no_traffic_is_no_data_and_an_absent_indicator_is_an_alert_of_its_own(tmp_path: Path) -> None:
    rules = check_rules(tmp_path, write_rules([AVAILABILITY]))
    error = f"sum(warrant:slo_error:ratio_rate5m{MARK})"
    absent = firing("ticket", alertname="WarrantIndicatorAbsent")
    quiet = Scene(
        "requests until minute 60, then none; failures never",
        {OK: counter((60, 10), (60, 0)), SERVED: ALWAYS},
        [Asked("30m", error, [0]), Asked("90m", error), Asked("90m", absent, [0]), Asked("90m", firing("page"), [0])],
    )  # fmt: skip
    away = Scene(
        "the gateway is no longer scraped",
        {OK: f"{counter((60, 10))} {gone(60)}", SERVED: f"1x60 {gone(60)}"},
        [Asked("70m", absent, [0]), Asked("80m", absent, [1])],
    )
    run_scenes(tmp_path, [rules], [quiet, away])


def test_the_period_counts_events(tmp_path: Path) -> None:
    """An hour of 1,000 a minute without failure, then one of 1 a minute in which all fail: 0.1 %, not the half."""
    rules = check_rules(tmp_path, write_rules([AVAILABILITY]))
    series = {OK: counter((60, 1000), (60, 0)), FAILED: counter((60, 0), (60, 1)), SERVED: ALWAYS}
    asked = [
        Asked("2h", f"round(1e4 * sum(warrant:slo_period_error:ratio{MARK})) / 1e4", [0.001]),
        Asked("2h", "round(10 * sum(warrant:slo_period_error_budget_remaining:ratio)) / 10", [0]),
    ]
    run_scenes(tmp_path, [rules], [Scene("a busy hour and a quiet one", series, asked)])


def test_an_alert_says_what_burns_how_fast_and_carries_the_labels_of_people(tmp_path: Path) -> None:
    rules = check_rules(tmp_path, write_rules([AVAILABILITY]))
    labels = {
        "slo": "availability", "model": 'flight "delay"', "environment": "production", "severity": "page",
        "team": "ml,ops",
    }  # fmt: skip
    text = {
        "summary": 'flight "delay", Answers: the error budget burns too fast',
        "description": "100% of the events in the short window were bad, 0.1% may be. It fires at 14.4x over 1h and 5m "
        "(2% of the budget) or 6x over 6h and 30m (5% of the budget). The budget of 30d is spent.",
    }  # fmt: skip
    page = {"exp_labels": labels, "exp_annotations": text}
    ticket = {
        "exp_labels": labels | {"severity": "ticket"},
        "exp_annotations": text
        | {"description": text["description"].replace(
            "14.4x over 1h and 5m (2% of the budget) or 6x over 6h and 30m (5% of the budget)",
            "3x over 1d and 2h (10% of the budget) or 1x over 3d and 6h (10% of the budget)",
        )},
    }  # fmt: skip
    expected = {"eval_time": "30m", "alertname": "WarrantErrorBudgetBurn", "exp_alerts": [page, ticket]}
    scene = Scene("everything fails", {FAILED: counter((40, 10)), SERVED: ALWAYS}, alerts=[expected])
    run_scenes(tmp_path, [rules], [scene])


def test_what_people_wrote_is_no_template_and_no_query(tmp_path: Path) -> None:
    odd = replace(
        AVAILABILITY, model='a`b"} or vector(1) #', title="{{{ $labels }}", labels=(("team", ("{{ . }}",)),)
    )
    rules = check_rules(tmp_path, write_rules([odd]))
    model = 'model="a`b\\"} or vector(1) #",environment="production"'
    series = {f'warrant_requests_total{{{model},code="500"}}': counter((30, 10)),
              f"warrant_version_info{{{model}}}": ALWAYS}  # fmt: skip
    asked = [
        Asked("25m", 'count(ALERTS{alertname="WarrantErrorBudgetBurn",team="{ { . }}"})', [2]),
        Asked("25m", "round(sum(warrant:slo_period_error:ratio))", [1]),
    ]
    run_scenes(tmp_path, [rules], [Scene("an odd name", series, asked)])


def test_every_kind_of_query_makes_rules_that_answer(tmp_path: Path) -> None:
    weekly, rows = Rolling(168), (AlertRow("ticket", 3600, 300, factor=Decimal(2)),)
    objectives = [
        Objective("latency", "m", Latency(Decimal(1000)), Decimal("0.9"), weekly, rows=rows),
        Objective(
            "slices", "m", Queries(good='sum(ok_total{a="}"})', total="all_total", counter=True), Decimal("0.9"),
            weekly, budgeting=Budgeting.TIMESLICES, slice_s=120, slice_target=Decimal("0.95"), rows=rows,
        ),
        Objective(
            "ratios", "m", Queries(bad="sum(rate(bad_total[{{.window}}]))", total="sum(rate(all_total[{{.window}}]))"),
            Decimal("0.9"), weekly, budgeting=Budgeting.RATIO_TIMESLICES, slice_s=120, rows=rows,
        ),
        Objective("lag", "m", Threshold("lag", "lte", Decimal(200)), Decimal("0.9"), weekly, rows=rows),
        Objective("stored", "m", Queries(raw="satisfied", raw_type="success"), Decimal("0.9"), weekly, rows=rows),
        Objective(
            "gauges", "m", Queries(bad="broken", total="machines"), Decimal("0.9"), weekly,
            rows=rows,
        ),
    ]  # fmt: skip
    rules = check_rules(tmp_path, write_rules(objectives))
    series = {
        'warrant_request_seconds_bucket{model="m",environment="production",le="1.0"}': counter((100, 8)),
        'warrant_request_seconds_bucket{model="m",environment="production",le="0.5"}': counter((100, 1)),
        'warrant_request_seconds_count{model="m",environment="production"}': counter((100, 10)),
        'ok_total{a="}",i="1"}': counter((60, 10), (10, 5), (30, 10)),
        "all_total": counter((100, 10)), "bad_total": counter((60, 0), (40, 5)),
        "lag": "100x74 300x24", "satisfied": "0.75x100", "broken": "1x100", "machines": "4x100",
        'warrant_version_info{model="m",environment="production"}': "1x100",
    }  # fmt: skip

    def error(name: str, window: str) -> str:
        return f'round(100 * sum(warrant:slo_error:ratio_rate{window}{{slo="{name}"}})) / 100'

    asked = [
        Asked("99m", error("latency", "5m"), [0.2]),
        Asked("99m", error("lag", "1h").replace("100", "10"), [0.4]),  # 25 of 60 looks
        Asked("65m", error("lag", "5m"), [0]),
        Asked("99m", error("stored", "1h"), [0.25]),
        Asked("99m", error("gauges", "5m"), [0.25]),
        Asked("69m", error("slices", "5m"), [1]),
        Asked("59m", error("slices", "1h"), [0]),
        Asked("99m", error("ratios", "5m"), [0.5]),
        Asked("99m", firing("ticket", slo="gauges"), [1]),
        Asked("99m", 'count(ALERTS{alertname=~"WarrantIndicator.*"}) or vector(0)', [0]),
    ]
    run_scenes(tmp_path, [rules], [Scene("one of each", series, asked)])
