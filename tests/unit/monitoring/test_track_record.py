"""The estimator's record is made of what was stored before labels came, and of nothing that happened later."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from backend.errors import WarrantError
from backend.monitoring.estimation import Trust
from backend.monitoring.track_record import (
    EstimateAfterLabels,
    Realised,
    StoredEstimate,
    TrackPoint,
    TrackRecord,
    allowed_to_page,
    settle,
    track_record,
)
from backend.monitoring.windows import Window

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY = timedelta(days=1)
TRUSTED = Trust({"accuracy": 0.01, "mae": 0.5}, 10, frozenset({"accuracy", "mae"}))


def window(day: int) -> Window:
    return Window(START + day * DAY, START + (day + 1) * DAY)


def estimate(
    day: int, value: float, *, metric: str = "accuracy", after: float = 0, half: float = 0.03
) -> StoredEstimate:
    made = window(day).end + after * DAY
    return StoredEstimate(window(day), metric, value, value - half, value + half, made)


def came(day: int, value: float, *, metric: str = "accuracy", se: float = 0.005) -> Realised:
    return Realised(window(day), metric, value, window(day).end + 7 * DAY, se)


def recorded(misses: list[float], *, metric: str = "accuracy", half: float = 0.03, around: float = 0.8,
             se: float = 0.005) -> TrackRecord:  # fmt: skip
    estimates = [estimate(day, around + miss, metric=metric, half=half) for day, miss in enumerate(misses)]
    realised = [came(day, around, metric=metric, se=se) for day in range(len(misses))]
    until = window(len(misses)).end + 7 * DAY
    found = track_record(settle((), estimates, realised), metric, until=until)
    assert found is not None
    return found


def test_a_record_says_how_far_off_and_how_often_inside() -> None:
    misses = [0.008, -0.008] * 28
    misses[3] = misses[8] = 0.04
    found = recorded(misses)
    assert found.points == 56
    assert found.error == pytest.approx((54 * 0.008 + 0.08) / 56)
    assert found.bias == pytest.approx(np.mean(misses))
    assert found.sentence == "off by 0.9 points over the last 8 weeks, inside its band 96% of the time"
    errors = recorded([0.4, -0.4] * 7, metric="mae", half=1.0, around=20.0, se=0.1)
    assert errors.sentence == "off by 0.4 (2%) over the last 2 weeks, inside its band 100% of the time"


def test_labels_that_are_deleted_or_corrected_later_leave_the_past_record_unchanged() -> None:
    estimates = [estimate(day, 0.8) for day in range(20)]
    realised = [came(day, 0.79) for day in range(20)]
    first = settle((), estimates, realised[:12])
    later = settle(first, estimates, realised)
    assert later[:12] == first
    assert len(later) == 20
    until = window(40).end
    before = track_record(later, "accuracy", until=until)
    assert settle(later, estimates, []) == later  # the labels are gone
    assert (
        settle(later, [], [came(day, 0.1) for day in range(20)]) == later
    )  # estimates are, labels are others
    refitted = [estimate(day, 0.99) for day in range(20)]
    assert track_record(settle(later, refitted, realised), "accuracy", until=until) == before


def test_an_estimate_made_after_the_labels_is_no_point() -> None:
    with pytest.raises(EstimateAfterLabels, match="labels had come by 2026-01-13"):
        TrackPoint(window(0), "accuracy", 0.8, 0.7, 0.9, 0.8, window(7).end, window(7).end)
    assert issubclass(EstimateAfterLabels, WarrantError)
    assert settle((), [estimate(0, 0.8, after=7)], [came(0, 0.8)]) == ()
    with pytest.raises(ValueError, match="zone"):
        TrackPoint(window(0), "accuracy", 0.8, 0.7, 0.9, 0.8, datetime(2026, 1, 6), window(7).end)  # noqa: DTZ001


def test_the_last_estimate_before_the_labels_counts() -> None:
    stored = [estimate(0, 0.70, after=1), estimate(0, 0.75, after=3), estimate(0, 0.99, after=9)]
    (point,) = settle((), stored, [came(0, 0.8)])
    assert point.estimated == 0.75
    assert point.inside is False
    assert replace(point, low=None).inside is None


def test_only_windows_of_the_last_weeks_that_were_realised_by_then_count() -> None:
    points = settle((), [estimate(d, 0.8) for d in range(100)], [came(d, 0.8) for d in range(100)])
    until = window(70).end
    found = track_record(points, "accuracy", until=until)
    assert found is not None
    assert found.points == 8 * 7
    early = track_record(points, "accuracy", until=window(20).end)
    assert early is not None
    assert early.points == 14  # labels of the last week had not come
    assert track_record(points, "accuracy", until=START) is None
    assert track_record(points, "roc_auc", until=until) is None


def test_an_estimator_that_has_been_wrong_may_not_page_alone() -> None:
    good, reason = allowed_to_page(recorded([0.01, -0.01] * 10), TRUSTED)
    assert good
    assert reason.startswith("off by 1.0 point over the last 3 weeks")
    wrong, reason = allowed_to_page(recorded([0.06, -0.05] * 10), TRUSTED)
    assert not wrong
    assert reason.startswith("it has been wrong: off by 5.5 points")
    biased, _ = allowed_to_page(recorded([0.05] * 10), TRUSTED)
    assert not biased


def test_one_that_went_wrong_lately_is_stopped_before_its_average_shows_it() -> None:
    found = recorded([0.002] * 40 + [0.05] * 3)
    assert found.excess < 0.02
    allowed, reason = allowed_to_page(found, TRUSTED)
    assert not allowed
    assert "last 3 estimates" in reason
    assert allowed_to_page(recorded([0.002] * 40 + [0.05, -0.05, 0.05]), TRUSTED)[0]


def test_one_that_follows_but_misses_the_size_may_page_and_one_that_cries_wolf_may_not() -> None:
    truth = np.where(np.arange(40) % 10 < 3, 0.65, 0.80)

    def record(estimates: np.ndarray) -> TrackRecord:
        stored = [estimate(day, float(value)) for day, value in enumerate(estimates)]
        realised = [came(day, float(value)) for day, value in enumerate(truth)]
        found = track_record(settle((), stored, realised), "accuracy", until=window(60).end)
        assert found is not None
        return found

    shrunk = record(0.8 + (truth - 0.8) * 0.6)
    assert (shrunk.margin or 1) < shrunk.excess
    assert shrunk.follows
    assert allowed_to_page(shrunk, TRUSTED)[0]
    wolf = record(np.roll(truth, 5))
    assert (wolf.skill or 0) < 0
    assert not allowed_to_page(wolf, TRUSTED)[0]
    assert not allowed_to_page(record(np.full(40, 0.8)), TRUSTED)[0]  # says nothing while it falls


def test_misses_that_chance_explains_are_not_held_against_it() -> None:
    random = np.random.default_rng(0)
    found = recorded(list(random.normal(0, 0.04, 40)), se=0.04, half=0.12)
    assert found.error > 0.02
    assert allowed_to_page(found, TRUSTED)[0]


def test_without_a_record_trust_decides_and_without_trust_nothing_pages() -> None:
    allowed, reason = allowed_to_page(None, TRUSTED, "accuracy")
    assert allowed
    assert "0 windows with labels so far" in reason
    assert allowed_to_page(recorded([0.09]), TRUSTED)[0]  # one window says little
    untrusted = Trust({}, 0, frozenset(), "too few rows")
    assert allowed_to_page(recorded([0.0] * 10), untrusted) == (False, "too few rows")
    assert allowed_to_page(recorded([0.0] * 10), {"trusted": ["roc_auc"]})[0] is False
    assert allowed_to_page(recorded([0.0] * 10), {"trusted": ["accuracy"], "error": {}})[0] is True
