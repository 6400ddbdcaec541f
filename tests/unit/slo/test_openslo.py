"""Objectives as OpenSLO: what is read, what is refused with line and reason, and that nothing is lost in writing."""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.slo.lint import Rule, findings_of
from backend.slo.objectives import (
    STANDARD_ROWS,
    AlertRow,
    Availability,
    Budgeting,
    Completeness,
    Freshness,
    Latency,
    Objective,
    Quality,
    Queries,
    Sli,
    Threshold,
    default_minimum_events,
    default_rows,
)
from backend.slo.openslo import OpenSloRefused, parse_openslo, read_openslo
from backend.slo.openslo_writing import write_openslo
from backend.slo.prometheus_rules import write_rules
from backend.slo.promql import NotExportable
from backend.slo.windows import Calendar, Rolling

ROOT = Path(__file__).parents[3]
SLO = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: latency
  displayName: Answers in time
  labels: {team: ml}
  annotations: {warrant/alert-rows: page 1h 5m 2%; ticket 3d 6h 1x}
spec:
  service: flight-delay
  indicator:
    metadata: {name: latency}
    spec:
      thresholdMetric:
        metricSource:
          type: Warrant
          spec: {metric: request_latency_ms}
  timeWindow:
    - duration: 30d
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - op: lte
      value: 250
      target: 0.99
"""


def test_an_objective_is_read_whole() -> None:
    assert parse_openslo(SLO) == (
        Objective(
            name="latency", model="flight-delay", sli=Latency(Decimal(250)), target=Decimal("0.99"),
            window=Rolling(720), title="Answers in time", minimum_events=20,
            rows=(
                AlertRow("page", 3600, 300, budget_share=Decimal("0.02")),
                AlertRow("ticket", 259_200, 21_600, factor=Decimal(1)),
            ),
            labels=(("team", ("ml",)),),
        ),
    )  # fmt: skip


REFUSED = {
    "a slip in a key": ("      target: 0.99", "      targt: 0.99", 24, 7, "did you mean 'target'?"),
    "a target of 1": ("target: 0.99", "target: 1", 24, 7, "leaves no budget"),
    "per cent as a share": ("target: 0.99", "target: 99.9", 24, 7, "or write it as targetPercent"),
    "no target": ("      target: 0.99\n", "", 22, 7, "either a target or a targetPercent"),
    "a number in quotes": ("value: 250", "value: '250'", 23, 7, "it is a number, not '250'"),
    "a label that is a number": ("{team: ml}", "{tier: 2}", 6, 12, "it is a text: write '2' in quotes"),
    "a length that is none": ("duration: 30d", "duration: 30 days", 18, 7, "'30 days' is no duration"),
    "months that roll": ("duration: 30d", "duration: 1M", 18, 7, "has no fixed length; write days"),
    "no calendar": ("isRolling: true", "isRolling: false", 18, 7, "needs a calendar with startTime and timeZone"),
    "two windows": ("isRolling: true", "isRolling: true\n    - duration: 1d", 17, 3, "it has more than 1"),
    "another version": ("openslo/v1", "openslo/v2alpha", 1, 1, "openslo/v1 is read"),
    "another kind": ("kind: SLO", "kind: SLOs", 2, 1, "there is no kind 'SLOs'"),
    "another source": ("type: Warrant", "type: Datadog", 12, 5, "not Datadog"),
    "an unknown measure": ("request_latency_ms", "label_age_s, of: x", 12, 5, "has no of here"),
    "an exclusive bound": ("op: lte", "op: lt", 12, 5, "compared by lte or gte"),
    "no bound": ("    - op: lte\n      value: 250\n      target", "    - target", 22, 7, "needs op and value"),
    "slices without need": ("target: 0.99", "target: 0.99\n      timeSliceWindow: 1m", 25, 7, "belongs to Timeslices"),
    "slices without length": ("Occurrences", "Timeslices", 22, 7, "needs a timeSliceWindow"),
    "an alert row": ("page 1h 5m 2%;", "page 1h 2%;", 7, 17, "'page 1h 2%' is no alert row"),
    "a short window that is longer": ("1h 5m", "5m 1h", 7, 17, "shorter than the long one"),
    "an annotation of ours": ("warrant/alert-rows", "warrant/alert-row", 7, 17, "there is no annotation"),
    "a name with spaces": ("  name: latency\n  display", "  name: La tency\n  display", 4, 3, "made of a-z"),
    "an indicator of two kinds": (
        "      thresholdMetric:", "      ratioMetric: {}\n      thresholdMetric:", 12, 5, "either a thresholdMetric or"
    ),
    "a composite": ("target: 0.99", "target: 0.99\n      indicatorRef: x", 25, 7, "one SLO for each indicator"),
    "an indicator that is nowhere": (
        "  service:", "  indicatorRef: x\n  service:", 8, 1, "either an indicator or an indicatorRef"
    ),
    "no YAML": ("service: flight-delay", "service: [", 11, 13, "it is no YAML"),
    "a key twice": ("  service:", "  service: a\n  service:", 10, 3, "'service' is there twice"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_is_refused_with_line_column_and_reason(case: str) -> None:
    old, new, line, column, reason = REFUSED[case]
    assert SLO.count(old) >= 1
    reading = read_openslo([("a.yaml", SLO.replace(old, new, 1))])
    assert not reading.objectives
    assert any(
        (one.place.line, one.place.column) == (line, column) and reason in one.text for one in reading.errors
    ), [f"{one.place} {one.text}" for one in reading.errors]


def test_every_fault_of_a_file_is_told_at_once_and_the_error_names_them() -> None:
    text = SLO.replace("value: 250", "value: x").replace("kind: SLO", "kind: SLO\nkindness: 1")
    with pytest.raises(
        OpenSloRefused, match=r"a\.yaml:3:1: kindness: .*a\.yaml:24:7: .*it is a number"
    ) as caught:
        parse_openslo(text, file="a.yaml")
    assert len(caught.value.findings) == 2


def test_a_target_in_per_cent_is_the_same_target() -> None:
    (share,) = parse_openslo(SLO.replace("target: 0.99", "target: 0.999"))
    (percent,) = parse_openslo(SLO.replace("target: 0.99", "targetPercent: 99.9"))
    assert share == percent
    assert share.budget == Decimal("0.001")


def test_several_targets_are_several_objectives_with_names_of_their_own() -> None:
    more = (
        SLO
        + "    - {displayName: At once, op: lte, value: 50, target: 0.5}\n    - {op: lte, value: 10, target: 0.1}\n"
    )
    read = parse_openslo(more)
    assert [one.name for one in read] == ["latency-1", "latency-at-once", "latency-3"]
    assert parse_openslo(write_openslo(read)) == read


def test_one_name_is_one_objective_over_all_files() -> None:
    reading = read_openslo([("a.yaml", SLO), ("b.yaml", SLO)])
    assert [f"{one.place} {one.text}" for one in reading.errors] == [
        "b.yaml:4:3 there is an SLO named 'latency' of flight-delay already, at a.yaml:4:3"
    ]
    other = SLO.replace("service: flight-delay", "service: fraud")
    assert len(parse_openslo(f"{SLO}---\n{other}")) == 2


def test_a_file_without_slo_is_no_file_of_objectives() -> None:
    with pytest.raises(OpenSloRefused, match="there is no SLO in it"):
        parse_openslo("{apiVersion: openslo/v1, kind: Service, metadata: {name: a}}")
    with pytest.raises(OpenSloRefused, match="there is no document in it"):
        parse_openslo("# nothing\n")


SHARES = st.decimals(min_value=0, max_value="0.999999", places=6)
NUMBERS = st.decimals(min_value="-1000", max_value=1000, places=4)
WORDS = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), min_size=1, max_size=12
).filter(lambda text: text.strip() == text)
QUERIES = st.builds(
    lambda word: f'sum(rate(x{{a="{word}"}}[{{{{.window}}}}]))', st.text("abc.|+*", max_size=5)
)
SLIS: st.SearchStrategy[Sli] = st.one_of(
    st.just(Availability()),
    st.builds(Latency, st.decimals(min_value="0.5", max_value=10_000, places=1)),
    st.builds(Freshness, st.sampled_from(("labels", "metrics")), st.integers(1, 10**7)),
    st.builds(Completeness, st.decimals(min_value="0.001", max_value=1, places=3), st.sampled_from(("", "1d"))),
    st.builds(
        lambda metric, bounds, low, column, segment: Quality(
            metric, *{"none": (None, None), "low": (low, None), "high": (None, low), "both": (low, low + 1)}[bounds],
            column=column, segment=segment,
        ),
        st.sampled_from(("auc", "psi", "demographic_parity")), st.sampled_from(("none", "low", "high", "both")),
        NUMBERS, st.one_of(st.just(""), WORDS), st.one_of(st.just(""), WORDS),
    ),
    st.builds(lambda q, t, c: Queries(bad=q, total=t, counter=c), QUERIES, QUERIES, st.booleans()),
    st.builds(lambda q, t: Queries(good=q, total=t, source="prom"), QUERIES, QUERIES),
    st.builds(lambda q, k: Queries(raw=q, raw_type=k), QUERIES, st.sampled_from(("success", "failure"))),
    st.builds(Threshold, QUERIES, st.sampled_from(("lte", "gte", "lt", "gt")), NUMBERS),
)  # fmt: skip
WINDOWS = st.one_of(
    st.builds(Rolling, st.integers(1, 366 * 24)),
    st.builds(
        Calendar, st.sampled_from(("d", "w", "M", "Q", "Y")), st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001
        st.sampled_from(("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe")),
    ),
)  # fmt: skip
ROWS = st.lists(
    st.builds(
        lambda severity, short, times, number, share: AlertRow(
            severity, short * 60 * times, short * 60, number / 100 if share else None, None if share else number,
        ),
        st.sampled_from(("page", "ticket")), st.integers(1, 5000), st.integers(2, 20),
        st.decimals(min_value="0.0001", max_value=100, places=4), st.booleans(),
    ),
    max_size=5, unique_by=lambda row: (row.severity, row.long_s, row.short_s),
)  # fmt: skip


@given(
    st.data(), SLIS, SHARES, WINDOWS, st.one_of(st.none(), ROWS), st.one_of(st.none(), st.integers(0, 10**6)),
    st.sampled_from(Budgeting), st.one_of(st.just(""), WORDS),
)  # fmt: skip
def test_every_objective_survives_writing_and_reading(
    data: st.DataObject, sli: Sli, target: Decimal, window: Rolling | Calendar, rows: list[AlertRow] | None,
    least: int | None, budgeting: Budgeting, title: str,
) -> None:  # fmt: skip
    if not isinstance(sli, Availability | Latency | Queries | Threshold):
        budgeting = Budgeting.OCCURRENCES
    sliced = budgeting is not Budgeting.OCCURRENCES
    objective = Objective(
        name="a-1", model="m", sli=sli, target=target, window=window, title=title, budgeting=budgeting,
        rows=default_rows(sli.kind) if rows is None else tuple(rows),
        minimum_events=default_minimum_events(sli.kind) if least is None else least,
        slice_s=data.draw(st.integers(1, 600)) * 60 if sliced else None,
        slice_target=Decimal("0.95") if budgeting is Budgeting.TIMESLICES else None,
        labels=(("env", ("a", "b")), ("team", ("ml",))),
    )  # fmt: skip
    assert parse_openslo(write_openslo([objective])) == (objective,)


def test_the_four_rows_are_the_usual_ones() -> None:
    (objective,) = parse_openslo(
        SLO.replace("  annotations: {warrant/alert-rows: page 1h 5m 2%; ticket 3d 6h 1x}\n", "")
    )
    assert objective.rows == STANDARD_ROWS


def test_the_examples_of_the_documentation_are_accepted_and_every_rule_is_listed() -> None:
    page = (ROOT / "docs" / "slos.md").read_text()
    example = page.split("```yaml\n")[1].split("```")[0]
    assert [one.name for one in parse_openslo(example)] == ["availability", "auc"]
    assert set(re.findall(r"^\| `([a-z0-9-]+)` \| ", page, re.MULTILINE)) == set(get_args(Rule))


EVERY = [*yaml.safe_load_all((ROOT / "docs" / "slos.md").read_text().split("```yaml\n")[1].split("```")[0])]
JUNK: list[Any] = [
    None, True, 0, -1, 1.5, float("inf"), float("nan"), 10**400, "", "x", "{{", "{{.window}}", "30d", "1M", "0d", [],
    {}, [1], {"a": 1}, "2026-01-01", "Timeslices", "none", "page 1h 5m 0%", "page 1h 5m 1e999%", "page 999999d 1m 5%",
]  # fmt: skip


def places_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places_of(value[key], (*path, key))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from places_of(one, (*path, index))


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_document_is_taken_whole_or_refused_and_never_breaks_the_reader(
    data: st.DataObject,
) -> None:
    document = copy.deepcopy(data.draw(st.sampled_from(EVERY)))
    for _ in range(data.draw(st.integers(1, 2))):
        *path, last = data.draw(st.sampled_from([one for one in places_of(document) if one]))
        part = document
        for key in path:
            part = part[key]
        if data.draw(st.booleans()):
            part[last] = copy.deepcopy(data.draw(st.sampled_from(JUNK)))
        else:
            del part[last]
        if not document:
            break
    reading = read_openslo([("a.yaml", yaml.safe_dump(document))])
    assert bool(reading.objectives) is not bool(reading.errors)
    assert all(one.place.line >= 1 and one.text for one in findings_of(reading))
    if reading.objectives:
        assert parse_openslo(write_openslo(reading.objectives)) == reading.objectives
        with contextlib.suppress(NotExportable):
            assert write_rules(reading.objectives)
