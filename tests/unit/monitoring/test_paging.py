from dataclasses import replace

import pytest

from backend.monitoring.effects import Effect
from backend.monitoring.evaluate import Point
from backend.monitoring.paging import Stakes, alarms_of, settle_levels

STAKES = Stakes({"age": 0.2, "note": 0.001, "old": 0.0}, margin=0.02)


def broken(column: str, rate: float, *, far: bool = True) -> Point:
    return Point(
        column, "missing_rate", "quality", rate, 0.05, "alarm", 1000, 1000, "", level="page",
        details={"break": far, "reference_rate": 0.0},
    )  # fmt: skip


def drifted(column: str) -> Point:
    return Point(column, "psi", "drift", 0.5, 0.1, "alarm", 1000, 1000, "", level="ticket")


def effect(column: str, points: float | None) -> Effect:
    return Effect(column, "roc_auc", points, 0.001, 0.3, None, 0.0, (), "", None)


@pytest.mark.parametrize(
    ("column", "rate", "level"),
    [
        ("age", 0.15, "page"),  # costs 0.03
        ("age", 0.05, "ticket"),  # costs 0.01
        ("note", 1.0, "ticket"),  # costs 0.001
        ("unknown", 0.4, "ticket"),
        ("unknown", 0.9, "page"),
    ],
)
def test_a_break_pages_when_it_must_cost_the_practical_margin(column: str, rate: float, level: str) -> None:
    (settled,) = settle_levels([broken(column, rate)], STAKES)
    assert settled.level == level


def test_a_small_break_is_a_ticket_whatever_the_column_is_worth() -> None:
    (settled,) = settle_levels([broken("age", 0.9, far=False)], STAKES)
    assert settled.level == "ticket"


def test_drift_is_a_ticket_where_it_is_felt_and_info_elsewhere_and_never_a_page() -> None:
    points = [drifted("age"), drifted("note"), drifted("score")]
    assert [p.level for p in settle_levels(points, STAKES)] == ["ticket", "info", "ticket"]
    felt = {"age": effect("age", 0.0001), "note": effect("note", 0.1)}
    assert [p.level for p in settle_levels(points, STAKES, felt)] == ["info", "ticket", "ticket"]


def test_an_effect_within_chance_is_not_felt_where_the_column_is_worth_nothing() -> None:
    unsure = {name: replace(effect(name, 0.012), se=0.01) for name in ("age", "note")}
    points = [drifted("age"), drifted("note")]
    assert [p.level for p in settle_levels(points, STAKES, unsure)] == ["ticket", "info"]


def test_one_drift_keeps_its_level_while_chance_moves_its_small_effect() -> None:
    day_by_day = (0.0058, -0.0015, 0.0032, 0.0024)
    for column, level in (("age", "ticket"), ("old", "info")):
        for points in day_by_day:
            unsure = {column: replace(effect(column, points), se=0.003)}
            assert [p.level for p in settle_levels([drifted(column)], STAKES, unsure)] == [level]


def test_a_segment_is_told_by_its_worst_point_unless_all_rows_say_the_same() -> None:
    far = replace(drifted("note"), segment="shop=a", value=0.9)
    same = replace(drifted("age"), segment="shop=b", value=0.9)
    told = alarms_of([drifted("age"), replace(far, column="old", value=0.5), far, same])
    assert [(p.column, p.segment) for p in told] == [("note", "shop=a"), ("age", "")]


def test_what_did_not_fire_keeps_no_level_and_one_alarm_is_told_of_each_column() -> None:
    quiet = replace(drifted("age"), verdict="ok", level=None)
    assert settle_levels([quiet], STAKES) == [quiet]
    twice = [drifted("age"), replace(drifted("age"), statistic="wasserstein", value=0.9), quiet]
    assert [(p.column, p.statistic) for p in alarms_of(twice)] == [("age", "wasserstein")]
