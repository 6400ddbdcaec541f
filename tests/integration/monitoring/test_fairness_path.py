"""Fairness from rows to alert, gate, card, control, objective and pack: one stored figure, read everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import select, update

from backend.alerting.tables import Alert
from backend.cards.facts import collect_facts
from backend.database.engine import use_database
from backend.database.session import reading, writing
from backend.governance.gates import Asked, Finding, gates
from backend.monitoring.columns import parse_spec
from backend.monitoring.fairness.standing import standing, verdict_of
from backend.monitoring.monitor_history import read_history
from backend.monitoring.monitor_replay import replay
from backend.monitoring.monitors import Figure, parse_monitor
from backend.monitoring.tables import MetricPoint, WindowState
from backend.packs.draft import Draft
from backend.packs.fairness_files import add_fairness
from backend.registry.tables import Model, Version
from backend.slo.objectives import Quality
from backend.slo.sources.store import _inside
from tests.integration.monitoring.conftest import Monitored, ago, make_monitored, sample
from tests.worlds import SYSTEM

LIMITS = {"demographic_parity_ratio": 0.8, "equalized_odds_difference": 0.15}
RATIO, ODDS = "demographic_parity_ratio", "equalized_odds_difference"


@pytest.fixture
def shopper(migrated_home: Path, tmp_path: Path) -> Iterator[Monitored]:
    """Men and women, a column that is no feature; on SQLite: no query here differs by database."""
    yield make_monitored(
        tmp_path / "files", protected=["sex", "shop"], favourable="positive", fairness={"limits": LIMITS}
    )
    use_database(None)


def people(start: datetime, rows: int = 600, *, seed: int, less: float = 0.0, few: int = 0) -> pa.Table:
    """Rows of both sexes; women are refused more often by `less`; `few` people of a third sex are all refused."""
    table = sample(start, rows, seed=seed)
    draw = np.random.default_rng(seed)
    sex = draw.choice(["f", "m"], rows)
    refused = (sex == "f") & (draw.random(rows) < less)
    sex[:few], refused[:few] = "x", True
    decided = np.where(refused, "0", np.array(table.column("prediction").to_pylist()))
    table = table.set_column(table.column_names.index("prediction"), "prediction", pa.array(decided.tolist()))
    return table.append_column("sex", pa.array(sex.tolist()))


def gap(shopper: Monitored, start: datetime, statistic: str, column: str = "sex") -> MetricPoint:
    return shopper.point(start, "fairness", statistic, column)


def alerts() -> dict[str, str]:
    """{subject: state}"""
    with reading() as session:
        found = session.scalars(select(Alert).where(Alert.kind == "fairness").order_by(Alert.id))
        return {one.fingerprint.split("/", 3)[3]: one.state for one in found}


def gate() -> Finding:
    with reading() as session:
        model = session.get_one(Model, "shopper")
        asked = Asked(
            session, model, parse_spec(model.spec), "production", None, None,
            session.get_one(Version, ("shopper", 1)), 0.5,
        )  # fmt: skip
        one = gates()["fairness_within_bounds"]
        return one.check(asked, one.parameters())


def test_labels_that_come_late_are_counted_when_they_come(shopper: Monitored) -> None:
    rows = people(ago(3), seed=1, less=0.5)
    shopper.predict(rows)
    shopper.compute()
    parity, odds = (gap(shopper, ago(3), name) for name in (RATIO, ODDS))
    assert parity.verdict == "alarm" and parity.value is not None and parity.value < 0.7
    assert (odds.value, odds.verdict, odds.reason) == (
        None,
        "inconclusive",
        "no label has come that counts for it",
    )

    shopper.label(rows.slice(0, 240))
    shopper.compute()
    early = gap(shopper, ago(3), ODDS)
    assert early.value is not None and early.verdict == "inconclusive"
    assert "240 of about 600 labels have come" in early.reason

    shopper.label(rows.slice(240, 280))
    shopper.compute()
    spoke = gap(shopper, ago(3), ODDS)
    assert spoke.verdict == "alarm" and spoke.first_value == spoke.value
    shopper.label(rows.slice(520))
    shopper.compute()
    now = gap(shopper, ago(3), ODDS)
    assert now.first_value == spoke.value != now.value
    assert now.first_computed_at == spoke.first_computed_at and now.completeness == 1.0
    again = gap(shopper, ago(3), RATIO)
    assert (again.value, again.first_value) == (parity.value, parity.value)


def test_an_alert_fires_once_is_kept_by_the_unknown_and_resolved_by_what_is_within(
    shopper: Monitored,
) -> None:
    shopper.predict(people(ago(5), seed=2, less=0.5))
    shopper.compute()
    subject = "demographic parity ratio by sex"
    assert alerts()[subject] == "firing"
    shopper.predict(people(ago(4), seed=3, less=0.5))
    shopper.compute()
    with reading() as session:
        fired = [one for one in session.scalars(select(Alert)) if one.fingerprint.endswith(subject)]
    assert (
        len(fired) == 1
        and fired[0].level == "ticket"
        and fired[0].title.startswith("sex=f gets a favourable")
    )
    assert (fired[0].details["column"], fired[0].details["statistic"]) == ("sex", RATIO)

    shopper.predict(people(ago(3), 80, seed=4))
    shopper.compute()
    assert gap(shopper, ago(3), RATIO).verdict == "inconclusive"
    assert alerts()[subject] == "firing"
    shopper.predict(people(ago(2), 3000, seed=5))
    shopper.compute()
    assert gap(shopper, ago(2), RATIO).verdict == "ok"
    assert alerts()[subject] == "resolved"


def test_an_alert_ends_with_the_bound_it_is_about(shopper: Monitored) -> None:
    shopper.predict(people(ago(3), seed=6, less=0.5))
    shopper.compute()
    assert "firing" in alerts().values()
    with writing() as session:
        model = session.get_one(Model, "shopper")
        model.spec = {**model.spec, "fairness": {"limits": {}}}
    shopper.predict(people(ago(2), seed=7, less=0.5))
    shopper.compute()
    assert set(alerts().values()) == {"resolved"}


def test_a_dozen_people_raise_nothing(shopper: Monitored) -> None:
    shopper.predict(people(ago(2), 3000, seed=8, few=12))
    shopper.compute()
    points = shopper.points(ago(2), "fairness")
    few = [one for one in points if (one.segment, one.statistic) == ("sex=x", "selection_rate")]
    assert [(one.value, one.rows, one.verdict) for one in few] == [(0.0, 12, "inconclusive")]
    assert alerts() == {}


def test_gate_card_control_and_pack_say_what_is_stored(shopper: Monitored) -> None:
    assert gate().verdict == "inconclusive" and "no fairness figure" in gate().text
    rows = people(ago(2), 3000, seed=9, less=0.5)
    shopper.predict(rows)
    shopper.compute()
    stored = gap(shopper, ago(2), RATIO)
    found = gate()
    assert (found.verdict, found.value, found.low, found.high, found.limit) == (
        "fail", stored.value, stored.low, stored.high, 0.8,
    )  # fmt: skip
    assert stored.text in found.text and "version 1" in found.text
    with reading() as session:
        facts = collect_facts(session, SYSTEM, "shopper", 1).block("fairness").facts
        told = next(one for one in facts if one.label == "Demographic parity ratio, sex")
        assert told.text.startswith(stored.text)
        unknown = next(one for one in facts if one.label == "Equalised odds difference, sex")
        assert "no label has come" in unknown.text
        windows = list(session.scalars(select(WindowState).where(WindowState.rows > 0)))
        draft = Draft()
        model = session.get_one(Model, "shopper")
        ever = datetime.max.replace(tzinfo=UTC)
        add_fairness(draft, session, "shopper", parse_spec(model.spec), windows, ever, "monitoring")
    text = draft.files["monitoring/fairness.csv"].decode()
    assert "sex=f" in text and repr(stored.value) in text and "sex × shop" in text


def test_the_gate_passes_where_every_gap_with_a_bound_is_within(shopper: Monitored) -> None:
    draw = people(ago(2), 6000, seed=10)
    shops = pa.array(np.random.default_rng(1).choice(["north", "south"], len(draw)).tolist())
    rows = draw.set_column(draw.column_names.index("shop"), "shop", shops)
    shopper.predict(rows)
    shopper.compute()
    waiting = gate()
    assert waiting.verdict == "inconclusive" and "no label has come" in waiting.text
    shopper.label(rows)
    shopper.compute()
    assert gate().verdict == "pass", gate().text
    with writing() as session:
        session.execute(update(WindowState).where(WindowState.rows > 0).values(end=ago(100), start=ago(101)))
    assert "more than 1080 h ago" in gate().text


def test_an_old_bound_or_another_version_is_not_mixed_in(shopper: Monitored) -> None:
    shopper.predict(people(ago(2), seed=11, less=0.5))
    shopper.compute()
    with reading() as session:
        spec = parse_spec(session.get_one(Model, "shopper").spec)
        asked = {"model": "shopper", "environment": "production", "spec": spec}
        assert verdict_of(standing(session, **asked)) == "fail"  # type: ignore[arg-type]
        assert standing(session, **asked, version=7) == []  # type: ignore[arg-type]
        assert verdict_of([]) == "inconclusive"


@pytest.mark.parametrize(
    ("low", "high", "inside"), [(0.7, 0.75, False), (0.7, 0.9, None), (0.85, 0.9, True), (None, None, None)]
)
def test_an_objective_counts_a_window_by_the_whole_interval(low: Any, high: Any, inside: bool | None) -> None:
    point = MetricPoint(kind="fairness", value=0.78, low=low, high=high, verdict="inconclusive")
    assert _inside(Quality(RATIO, at_least=Decimal("0.8")), point) is inside


def test_a_monitor_of_ones_own_fires_by_the_whole_interval(shopper: Monitored) -> None:
    for days, less in ((4, 0.0), (3, 0.12), (2, 0.6)):
        shopper.predict(people(ago(days), 600, seed=20 + days, less=less))
    shopper.compute()
    shown = [gap(shopper, ago(days), RATIO) for days in (4, 3, 2)]
    bound = (shown[1].low + shown[1].high) / 2  # type: ignore[operator]
    assert shown[1].value is not None
    figure = {"kind": "fairness", "column": "sex", "statistic": RATIO}
    monitor = parse_monitor(
        {"name": "parity", "level": "ticket", "size": "1d", "windows": {"fire": 1, "of": 1},
         "when": {**figure, "threshold": {"kind": "constant", "side": "below", "value": bound}}},
        sizes=("1d",),
    )  # fmt: skip
    with reading() as session:
        history = read_history(
            session, "shopper", "production", size="1d", figures=[Figure("fairness", "sex", RATIO)], limit=10
        )
    series = history.series[Figure("fairness", "sex", RATIO)]
    assert series.low is not None and series.low[-2] == pytest.approx(shown[2].low)
    found = replay(monitor, history)
    assert np.isnan(found.held[1]) and found.held[2] == 1
    assert "the interval holds the limit" in found.why_not
