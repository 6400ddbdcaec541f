"""Faults change what upstream delivers, say when they did, and are switched through one file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from backend.demo_state import fault_file
from backend.errors import BadInput, NotFound
from jobs.demo import faults
from jobs.demo.faults import FAULTS, TARGET

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
FEATURES = {"carrier": "UA", "distance": 1400.0, TARGET: 12.5}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_never_changes_what_it_was_given(name: str) -> None:
    given = dict(FEATURES)
    for seed in range(50):
        FAULTS[name].apply(given, np.random.default_rng(seed))
    assert given == FEATURES


def _touched(name: str, features: dict[str, object]) -> list[dict[str, object]]:
    applied = [FAULTS[name].apply(features, np.random.default_rng(seed)) for seed in range(2_000)]
    return [result for result in applied if result is not features]


def test_unit_change_sends_seconds() -> None:
    assert _touched("unit-change", FEATURES) == [FEATURES | {TARGET: 750.0}] * 2_000


def test_null_burst_empties_three_in_ten() -> None:
    touched = _touched("null-burst", FEATURES)
    assert len(touched) == pytest.approx(600, abs=80)
    assert all(result[TARGET] is None for result in touched)


def test_stuck_value_always_sends_zero() -> None:
    assert _touched("stuck-value", FEATURES) == [FEATURES | {TARGET: 0.0}] * 2_000


def test_errors_leaves_the_field_out_of_a_quarter() -> None:
    touched = _touched("errors", FEATURES)
    assert len(touched) == pytest.approx(500, abs=80)
    assert all(set(result) == {"carrier", "distance"} for result in touched)


def test_latency_changes_nothing_but_time() -> None:
    assert _touched("latency", FEATURES) == []
    delays = [FAULTS["latency"].delay_s(np.random.default_rng(seed)) for seed in range(2_000)]
    assert np.median(delays) == pytest.approx(0.8, rel=0.1)
    assert max(delays) <= 5.0
    assert all(FAULTS[name].delay_s(np.random.default_rng(0)) == 0 for name in FAULTS if name != "latency")


@pytest.mark.parametrize("name", ["unit-change", "null-burst"])
def test_a_value_that_is_missing_anyway_is_not_marked_as_touched(name: str) -> None:
    assert _touched(name, FEATURES | {TARGET: None}) == []


def test_a_fault_applies_from_its_start_to_its_end(home: Path) -> None:
    faults.switch_on(home, "unit-change", since=NOW, until=NOW + timedelta(minutes=10))
    assert faults.active_fault(home, NOW - timedelta(seconds=1)) is None
    active = faults.active_fault(home, NOW)
    assert active is not None
    assert active.fault is FAULTS["unit-change"]
    assert faults.active_fault(home, NOW + timedelta(minutes=10)) is None


def test_a_later_fault_replaces_the_earlier_and_switching_off_clears_it(home: Path) -> None:
    faults.switch_on(home, "unit-change", since=NOW)
    faults.switch_on(home, "latency", since=NOW)
    active = faults.active_fault(home, NOW + timedelta(days=30))
    assert active is not None
    assert active.fault.name == "latency"
    assert faults.switch_off(home)
    assert faults.active_fault(home, NOW) is None
    assert not faults.switch_off(home)


def test_an_unknown_fault_is_refused_with_the_names_there_are(home: Path) -> None:
    with pytest.raises(NotFound, match="null-burst"):
        faults.switch_on(home, "gremlins", since=NOW)
    with pytest.raises(BadInput, match="before it starts"):
        faults.switch_on(home, "errors", since=NOW, until=NOW)
    assert faults.active_fault(home, NOW) is None


@pytest.mark.parametrize("text", ["", "[]", '{"name": "gremlins", "since": "x", "until": null}', "{}"])
def test_a_file_nobody_wrote_is_named_in_the_error(home: Path, text: str) -> None:
    path = fault_file(home)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(BadInput, match=r"fault\.json"):
        faults.active_fault(home, NOW)
