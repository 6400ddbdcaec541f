"""Our rules against those that Sloth makes of the same objectives: the published examples of both."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.slo.objectives import STANDARD_ROWS, Objective, Queries
from backend.slo.prometheus_rules import rules_of, write_rules
from backend.slo.windows import Rolling
from tests.promtool import Asked, Scene, check_rules, counter, run_scenes

VECTORS = Path(__file__).parent / "vectors" / "sloth"
EXAMPLES = sorted(path.name for path in VECTORS.glob("*.yml"))
COMPARED = re.compile(r"ratio_rate(\w+)\{[^}]*\} > \(([\d.e+-]+) \* ([\d.e+-]+)\)")
RECORDED = re.compile(r"(?:slo:sli|warrant:slo)_error:ratio_rate(\w+)")


def objectives_of(name: str) -> list[Objective]:
    """Sloth's own notation as objectives of ours."""
    document = yaml.safe_load((VECTORS / name).read_text())
    made = []
    for one in document["slos"]:
        events, raw = one["sli"].get("events"), one["sli"].get("raw")
        sli = (
            Queries(bad=events["error_query"].strip(), total=events["total_query"].strip())
            if events
            else Queries(raw=raw["error_ratio_query"].strip(), raw_type="failure")
        )
        off = {key for key in ("page_alert", "ticket_alert") if one["alerting"].get(key, {}).get("disable")}
        made.append(
            Objective(
                name=one["name"], model=document["service"], sli=sli, window=Rolling(30 * 24),
                target=Decimal(str(one["objective"])) / 100,
                rows=tuple(row for row in STANDARD_ROWS if f"{row.severity}_alert" not in off),
            )
        )  # fmt: skip
    return made


def theirs(name: str) -> dict[str, list[dict[str, Any]]]:
    """Sloth's rules, by the name of the SLO."""
    found: dict[str, list[dict[str, Any]]] = {}
    document = yaml.safe_load((VECTORS / "generated" / name).read_text())
    for group in document["groups"]:
        for rule in group["rules"]:
            # alerts are named by their group alone
            slo = rule["labels"].get("sloth_slo") or group["name"].removeprefix("sloth-slo-alerts-")
            key = next(
                one.name for one in objectives_of(name) if slo in (one.name, f"{one.model}-{one.name}")
            )
            found.setdefault(key, []).append(rule)
    return found


def compared(rules: list[dict[str, Any]], severity: str) -> dict[str, list[tuple[str, float, float]]]:
    """What burn alerts compare, by severity: (window, factor, threshold)."""
    found = {}
    for rule in rules:
        if "alert" in rule and COMPARED.search(rule["expr"]):
            found[rule["labels"][severity]] = [
                (window, float(factor), float(factor) * float(budget))
                for window, factor, budget in COMPARED.findall(rule["expr"])
            ]
    return found


def value_of(rules: list[dict[str, Any]], record: str) -> float:
    (rule,) = (one for one in rules if one.get("record") == record)
    return float(eval(rule["expr"].removeprefix("vector(").removesuffix(")")))  # noqa: S307 - "1-0.99" of a fixture


def test_the_examples_are_there() -> None:
    assert {path.name for path in (VECTORS / "generated").glob("*.yml")} == set(EXAMPLES)
    assert sum(len(objectives_of(name)) for name in EXAMPLES) == 7


@pytest.mark.parametrize("name", EXAMPLES)
def test_windows_factors_and_thresholds_are_those_of_sloth(name: str) -> None:
    generated = theirs(name)
    for objective in objectives_of(name):
        ours = [rule for group in rules_of(objective) for rule in group["rules"]]
        sloth = generated[objective.name]
        mine, other = compared(ours, "severity"), compared(sloth, "sloth_severity")
        assert set(mine) == set(other)
        for severity, pairs in other.items():
            assert [pair[0] for pair in mine[severity]] == [pair[0] for pair in pairs]
            for mine_one, other_one in zip(mine[severity], pairs, strict=True):
                assert mine_one[1:] == pytest.approx(other_one[1:], rel=1e-9)
        for record in ("objective:ratio", "error_budget:ratio", "time_period:days"):
            assert value_of(ours, f"warrant:slo_{record}") == pytest.approx(
                value_of(sloth, f"slo:{record}"), rel=1e-9
            )
        windows = {found[1] for one in sloth if (found := RECORDED.fullmatch(one.get("record", "")))} - {
            "30d"
        }
        mine_windows = {found[1] for one in ours if (found := RECORDED.fullmatch(one.get("record", "")))}
        # without alerts we record what the budget needs, Sloth all windows
        assert mine_windows == (windows if objective.rows else {"5m"})


@pytest.mark.parametrize("name", EXAMPLES)
def test_promtool_takes_the_rules(name: str, tmp_path: Path) -> None:
    check_rules(tmp_path, write_rules(objectives_of(name)))


def _same(times: list[str], sloth: str, ours: str, slo: str) -> list[Asked]:
    """At every time the ratios of all windows are the same, and so is whether pages and tickets fire."""
    asked = []
    for at in times:
        for window in ("5m", "30m", "1h", "2h", "6h", "1d", "3d"):
            difference = (
                f'abs(sum(slo:sli_error:ratio_rate{window}{{sloth_slo="{slo}"}})'
                f' - sum(warrant:slo_error:ratio_rate{window}{{slo="{slo}"}}))'
            )
            asked.append(Asked(at, f"{difference} < bool 1e-9", [1]))
        for severity in ("page", "ticket"):
            fired = [
                f'(count(ALERTS{{alertname="{name}",alertstate="firing",{label}="{severity}"}}) or vector(0))'
                for name, label in ((sloth, "sloth_severity"), (ours, "severity"))
            ]
            asked.append(Asked(at, f"{fired[0]} == bool {fired[1]}", [1]))
    return asked


def test_on_the_same_traffic_the_same_alerts_fire_at_the_same_time(tmp_path: Path) -> None:
    """Calm, then 1 % for half an hour, then 3 % for twenty minutes, then calm: looked at every seven minutes."""
    name, slo = "getting-started.yml", "requests-availability"
    rules = check_rules(tmp_path, write_rules(objectives_of(name)))
    job = 'http_request_duration_seconds_count{job="myservice",code='
    series = {
        f'{job}"200"}}': counter((90, 1000), (30, 990), (20, 970), (60, 1000)),
        f'{job}"500"}}': counter((90, 0), (30, 8), (20, 20), (60, 0)),
        f'{job}"429"}}': counter((90, 0), (30, 2), (20, 10), (60, 0)),
    }
    times = [f"{minutes}m" for minutes in range(20, 200, 7)]
    asked = _same(times, "MyServiceHighErrorRate", "WarrantErrorBudgetBurn", slo)
    fired = (
        'count(ALERTS{alertname="WarrantErrorBudgetBurn",alertstate="firing",severity="page"}) or vector(0)'
    )
    asked += [Asked("88m", fired, [0]), Asked("138m", fired, [1]), Asked("199m", fired, [0])]
    run_scenes(tmp_path, [rules, VECTORS / "generated" / name], [Scene("two steps", series, asked)])


def test_the_period_differs_from_sloths_mean_of_ratios_as_we_say(tmp_path: Path) -> None:
    """An hour of 1,000 requests a minute without failure, then one of 1 a minute in which all fail."""
    name = "getting-started.yml"
    rules = check_rules(tmp_path, write_rules(objectives_of(name)))
    job = 'http_request_duration_seconds_count{job="myservice",code='
    series = {f'{job}"200"}}': counter((60, 1000), (60, 0)), f'{job}"500"}}': counter((60, 0), (60, 1))}
    asked = [
        Asked("2h", "round(10 * sum(slo:sli_error:ratio_rate30d)) / 10", [0.5]),
        Asked("2h", "round(1e4 * sum(warrant:slo_period_error:ratio)) / 1e4", [0.001]),
    ]
    run_scenes(tmp_path, [rules, VECTORS / "generated" / name], [Scene("weights", series, asked)])
