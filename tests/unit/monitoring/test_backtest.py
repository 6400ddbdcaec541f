"""A replayed past: what fires, about which window, when it could be known, and what odd files give."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backend.errors import BadInput
from backend.monitoring.backtest import Alarm, Backtest, replay
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.monitoring.history import check_history

START = datetime(2026, 1, 5, tzinfo=UTC)
ROWS = 300
REFERENCE_DAYS, LIVE_DAYS = 10, 12
BAD = range(6, 9)
LABELS_AFTER = timedelta(hours=30)


def spec(**keys: Any) -> ModelSpec:
    return parse_spec(
        {"task": "binary", "features": {"x": "numeric", "group": "categorical"}, "window": "1d"} | keys
    )


def rows(days: int, since: datetime, split: str, seed: int, bad: range = range(0)) -> pd.DataFrame:
    """`ROWS` a day; in bad days the label no longer follows x, which nothing but labels can show."""
    draw = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), ROWS)
    x = draw.normal(size=day.size)
    score = 1 / (1 + np.exp(-1.5 * x))
    follows = np.where(np.isin(day, list(bad)), 0.0, 1.5)
    label = (draw.random(day.size) < 1 / (1 + np.exp(-follows * x))).astype(int)
    ts = pd.Series([since + timedelta(days=int(d)) for d in day]) + pd.to_timedelta(
        draw.integers(0, 86_400, day.size), unit="s"
    )
    return pd.DataFrame(
        {
            "prediction_id": [f"{split}{i}" for i in range(day.size)], "ts": ts, "score": score,
            "prediction": (score > 0.5).astype(int), "label": label.astype(float), "label_ts": ts + LABELS_AFTER,
            "x": x, "group": draw.choice(["a", "b"], day.size), "split": split,
        }
    )  # fmt: skip


def history(**changes: Any) -> pd.DataFrame:
    reference = rows(REFERENCE_DAYS, START, "reference", 1)
    live = rows(LIVE_DAYS, START + timedelta(days=REFERENCE_DAYS), "live", 2, BAD)
    return pd.concat([reference, live], ignore_index=True).assign(**changes)


def played(frame: pd.DataFrame, wanted: ModelSpec | None = None) -> Backtest:
    wanted = wanted or spec()
    return replay(wanted, check_history(frame, wanted))


@lru_cache
def usual() -> Backtest:
    return played(history())


def pages(found: Backtest) -> list[Alarm]:
    return [alarm for alarm in found.alarms if alarm.level == "page"]


def day(number: int) -> datetime:
    return START + timedelta(days=REFERENCE_DAYS + number)


def test_bad_days_page_once_their_labels_have_come_and_no_other_day_does() -> None:
    found = pages(usual())
    names = [window.window for window in usual().windows]
    assert [names.index(alarm.window) for alarm in found] == list(BAD)
    for alarm, number in zip(found, BAD, strict=True):
        end = day(number + 1)
        assert end < alarm.fired_at <= end + LABELS_AFTER
        assert (alarm.kind, alarm.statistic, alarm.column) == ("realised", "roc_auc", None)
        assert alarm.value is not None
        assert alarm.threshold is not None
        assert alarm.value < alarm.threshold
    assert [alarm.notifies for alarm in found] == [True, False, False]
    assert len({alarm.episode for alarm in found}) == 1


def test_alarms_come_in_the_order_in_which_they_could_be_known() -> None:
    fired = [alarm.fired_at for alarm in usual().alarms]
    assert fired == sorted(fired)


def test_the_same_past_gives_the_same_alarms() -> None:
    assert played(history()).alarms == usual().alarms


def test_what_comes_later_changes_nothing_that_was_said_before() -> None:
    """Rows and labels after a moment are cut away: all that had fired by then fires all the same."""
    moment = day(9)
    frame = history()
    known = frame[(frame["split"] == "reference") | (frame["ts"] < moment)].copy()
    late = known["label_ts"] > moment
    known.loc[late & (known["split"] == "live"), ["label", "label_ts"]] = [np.nan, pd.NaT]
    before = [alarm for alarm in usual().alarms if alarm.fired_at < moment]
    assert [alarm for alarm in played(known).alarms if alarm.fired_at < moment] == before
    assert before


def test_windows_say_what_was_seen_first_and_what_is_known_now() -> None:
    window = usual().windows[2]
    assert (window.rows, window.label_completeness) == (ROWS, 1.0)
    assert window.labelled_at is not None
    assert window.end <= window.labelled_at
    assert set(window.first_metrics) == set(window.metrics)


def test_windows_may_be_runs_of_rows() -> None:
    found = played(history(), spec(window=500))
    assert [window.rows for window in found.windows] == [500] * (ROWS * LIVE_DAYS // 500)
    assert found.windows[1].window == "rows 501-1000"
    assert {alarm.window for alarm in pages(found)} <= {window.window for window in found.windows}
    assert pages(found)


def test_drift_alone_never_pages() -> None:
    frame = history()
    live = frame["split"] == "live"
    frame.loc[live, "group"] = "a"
    found = played(frame)
    drifted = [alarm for alarm in found.alarms if alarm.column == "group"]
    assert drifted
    assert all(alarm.level != "page" for alarm in drifted)
    assert [alarm.window for alarm in pages(found)] == [alarm.window for alarm in pages(usual())]


def test_a_broken_column_is_reported_and_the_others_are_computed() -> None:
    frame = history()
    frame.loc[frame["split"] == "live", "x"] = np.nan
    found = played(frame)
    broken = {(alarm.column, alarm.statistic) for alarm in found.alarms if alarm.kind == "quality"}
    assert ("x", "missing_rate") in broken
    points = {(point.column, point.verdict) for point in found.windows[0].points}
    assert ("group", "ok") in points


def test_a_window_without_labels_or_without_rows_is_no_alarm() -> None:
    frame = history()
    live = frame["split"] == "live"
    frame = frame[~(live & (frame["ts"] >= day(3)) & (frame["ts"] < day(4)))]
    unlabelled = frame["ts"] >= day(10)
    frame.loc[unlabelled, ["label", "label_ts"]] = [np.nan, pd.NaT]
    found = played(frame)
    assert (found.windows[3].rows, found.windows[3].label_completeness) == (0, None)
    assert found.windows[10].label_completeness == 0
    assert found.windows[10].labelled_at is None
    assert found.windows[10].metrics == {}
    (silent,) = [alarm for alarm in found.alarms if alarm.kind == "volume"]
    assert (silent.window, silent.level) == (found.windows[3].window, "ticket")
    assert silent.text == "no prediction came, where 300 are usual"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f[f["split"] == "live"], "no row has split = 'reference'"),
        (lambda f: f.assign(split="test"), "no row has split = 'reference'"),
        (lambda f: f.assign(ts=np.arange(len(f))), "ts holds numbers"),
        (lambda f: f.assign(ts="yesterday"), "values of ts are not times, such as 'yesterday'"),
        (lambda f: f.assign(label="maybe"), "the data: label holds maybe, .*positive_label: 'maybe'"),
    ],
)
def test_a_file_that_cannot_be_replayed_is_refused_with_what_and_where(change: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        played(change(history()))


def test_a_few_rows_without_a_readable_time_are_set_aside_and_counted() -> None:
    frame = history()
    texts = frame["ts"].map(lambda moment: moment.isoformat())
    texts.iloc[[3, 40]], texts.iloc[7] = "2026-13-45", None
    labelled = frame["label_ts"].astype("string")
    labelled.iloc[11] = "soon"
    found = played(frame.assign(ts=texts, label_ts=labelled))
    told = " ".join(found.notes)
    assert "values of ts that are not times, such as '2026-13-45', rows left out: 2" in told
    assert "rows without a time, left out: 1" in told
    assert "values of label_ts that are not times, such as 'soon', taken as no time: 1" in told
    assert sum(window.rows for window in found.windows) >= len(frame[frame["split"] == "live"]) - 3


def test_what_is_odd_in_a_file_is_set_aside_and_said() -> None:
    frame = history()
    odd = frame.iloc[[5]].assign(ts=frame["ts"].iloc[5] + timedelta(hours=1))
    frame = pd.concat([frame, odd, frame.iloc[[7]].assign(split="train")], ignore_index=True)
    frame.loc[frame.index[-3], "score"] = np.inf
    frame = frame.sample(frac=1, random_state=1)
    found = played(frame)
    told = " ".join(found.notes)
    for words in (
        "rows that repeat a prediction_id, left out but for the earliest of each: 1",
        "rows in neither split, ignored: 1",
        "infinite values of score, taken as missing: 1",
    ):
        assert words in told
    assert [alarm.window for alarm in pages(found)] == [alarm.window for alarm in pages(usual())]


def test_a_class_never_seen_in_the_reference_is_reported() -> None:
    frame = history()
    live = frame["split"] == "live"
    frame["prediction"] = frame["prediction"].astype(float)
    classes = np.where(frame["x"] > 0.7, "high", np.where(frame["x"] < -0.7, "low", "middle"))
    frame["prediction"] = frame["label"] = classes
    frame.loc[live & (frame["x"] > 1), ["prediction", "label"]] = "extreme"
    found = played(frame, replace(spec(), task="multiclass"))
    assert ("prediction", "unseen_rate") in {(a.column, a.statistic) for a in found.alarms}
    assert found.windows[0].metrics["accuracy"].value == 1.0


def test_a_regression_pages_when_its_error_grows() -> None:
    draw = np.random.default_rng(7)
    frame = history()
    live_day = (frame["ts"] - pd.Timestamp(day(0))).dt.days
    spread = np.where((frame["split"] == "live") & live_day.isin(list(BAD)), 2.0, 1.0)
    frame["prediction"] = 10 + 2 * frame["x"]
    frame["label"] = frame["prediction"] + draw.normal(size=len(frame)) * spread
    found = played(frame.drop(columns="score"), replace(spec(), task="regression"))
    names = [window.window for window in found.windows]
    assert [names.index(alarm.window) for alarm in pages(found)] == list(BAD)
    assert {alarm.statistic for alarm in pages(found)} == {"mae"}


def test_a_wrong_year_in_a_few_rows_makes_no_century_of_windows() -> None:
    frame = history()
    frame.loc[frame.index[-5:], "ts"] = pd.Timestamp("2190-01-01", tz="UTC")
    found = played(frame)
    assert len(found.windows) == LIVE_DAYS
    assert "live rows far from all others in time (2190), left out: 5" in " ".join(found.notes)


def test_a_window_that_the_data_leave_unfinished_is_shown_and_not_judged() -> None:
    frame = history()
    frame = frame[frame["ts"] < day(7) + timedelta(hours=2)].copy()
    late = frame["label_ts"] > day(7) + timedelta(hours=2)
    frame.loc[late, ["label", "label_ts"]] = [np.nan, pd.NaT]
    found = played(frame)
    last = found.windows[-1]
    assert (last.complete, last.points) == (False, ())
    assert last.window not in {alarm.window for alarm in found.alarms}
    assert "is not over where the data end" in " ".join(found.notes)


def test_windows_that_the_live_rows_begin_or_end_in_are_incomplete_and_their_volume_is_not_judged() -> None:
    frame = history()
    frame.loc[frame["ts"] < day(0) + timedelta(hours=19), "split"] = "reference"
    frame = frame[frame["ts"] < day(LIVE_DAYS - 1) + timedelta(hours=17)]
    found = played(frame)
    first, *between, last = found.windows
    assert (first.complete, last.complete) == (False, False), "though labels came after the end of the last"
    assert all(window.complete for window in between)
    assert not [alarm for alarm in found.alarms if alarm.kind == "volume"]
    for window, does in ((first, "begin"), (last, "end")):
        (volume,) = [point for point in window.points if point.family == "volume"]
        assert (volume.verdict, volume.level) == ("inconclusive", None)
        told = f"the live rows {does} within the window {window.window}: its volume was not judged"
        assert told in found.notes
        assert {p.verdict for p in window.points if p.statistic == "kolmogorov_smirnov"} == {"ok"}


def test_hours_that_never_have_rows_leave_no_window_incomplete() -> None:
    frame = history()
    midnight = frame["ts"].dt.floor("D")
    frame["ts"] = midnight + (frame["ts"] - midnight) / 3 + timedelta(hours=8)
    frame["label_ts"] = frame["ts"]
    found = played(frame)
    assert all(window.complete for window in found.windows)
    assert not [note for note in found.notes if "within the window" in note or "is not over" in note]


@pytest.mark.parametrize("wrong", [0, 1])
def test_times_without_a_zone_are_told_also_where_one_of_them_is_no_time(wrong: int) -> None:
    frame = history()
    bare = frame["ts"].dt.strftime("%Y-%m-%dT%H:%M:%S").copy()
    zoned = frame["label_ts"].dt.strftime("%Y-%m-%dT%H:%M:%S-05:00").copy()
    bare.iloc[:wrong] = zoned.iloc[:wrong] = "rubbish"
    notes = check_history(frame.assign(ts=bare, label_ts=zoned), spec(timezone="America/New_York")).notes
    assert "ts has no zone; it was read as UTC" in notes
    assert not [note for note in notes if note.startswith("label_ts has no zone")]
    bare.iloc[5] = "2026-01-05T03:00Z"
    mixed = check_history(frame.assign(ts=bare), spec()).notes
    assert f"values of ts without a zone, read as UTC: {len(frame) - 1 - wrong:,}" in mixed


def test_a_reference_too_small_to_judge_inputs_by_is_told() -> None:
    frame = history()
    few = pd.concat([frame[frame["split"] == "reference"].head(30), frame[frame["split"] == "live"]])
    assert "no input is judged: the reference has 30 rows, and 50 are needed" in played(few).notes
    frame.loc[frame[frame["split"] == "reference"].index[40:], "x"] = np.nan
    told = "drift not judged, as the reference has fewer than 50 usable rows: x (40)"
    assert told in played(frame).notes


def test_one_id_for_every_row_is_refused() -> None:
    with pytest.raises(BadInput, match="once rows without a time and repeated ids are left out"):
        played(history(prediction_id="a"))


def test_a_positive_label_that_never_occurs_is_refused_with_what_occurs() -> None:
    frame = history()
    frame["label"] = np.where(frame["label"] == 1, "yes", "no")
    for positive, says in (("YES", "holds no, yes"), (True, "YAML reads an unquoted yes")):
        with pytest.raises(BadInput, match=says):
            played(frame, spec(positive_label=positive))


def test_too_many_windows_are_refused_and_too_large_ones_are_said() -> None:
    frame = history()
    live = frame["split"] == "live"
    frame.loc[live, "ts"] = day(0) + pd.to_timedelta(np.linspace(0, 3e4, live.sum()), unit="h")
    with pytest.raises(BadInput, match="windows of 1h"):
        played(frame, spec(window="1h"))
    assert "do not fill one window" in " ".join(played(history(), spec(window=10_000_000)).notes)


@pytest.mark.parametrize("there", ["no column", "an empty column"])
def test_labels_without_a_time_come_after_the_declared_delay(there: str) -> None:
    frame = history()
    frame = frame.drop(columns="label_ts") if there == "no column" else frame.assign(label_ts=pd.NaT)
    found = played(frame, spec(label_delay="2d"))
    names = [window.window for window in found.windows]
    assert [names.index(alarm.window) for alarm in pages(found)] == list(BAD)
    for alarm, number in zip(pages(found), BAD, strict=True):
        assert day(number + 2) < alarm.fired_at <= day(number + 3)
    assert "48 h after its prediction (label_delay)" in " ".join(found.notes)
    at_once = pages(played(frame))
    assert [alarm.fired_at for alarm in at_once] == [day(number + 1) for number in BAD]


def shifted_at_weekends() -> pd.DataFrame:
    """x is higher on Saturdays and Sundays of the live rows; the first live day is a Thursday."""
    frame = history()
    weekend = (frame["split"] == "live") & (frame["ts"].dt.dayofweek >= 5)
    frame.loc[weekend, "x"] += 2
    return frame


@pytest.mark.parametrize(
    ("reference", "days"),
    [
        ("fixed", {2, 3, 9, 10}),
        ("previous", {2, 4, 9, 11}),  # into the weekend and out of it
        ({"kind": "rolling", "length": "3d"}, {2, 3, 4, 5, 6, 9, 10, 11}),
        ({"kind": "seasonal", "season": "weekday", "length": "2w"}, set()),
    ],
)
def test_windows_are_held_against_what_the_rule_of_reference_says(reference: Any, days: set[int]) -> None:
    found = played(shifted_at_weekends(), spec(reference=reference))
    names = [window.window for window in found.windows]
    moved = {
        names.index(a.window) for a in found.alarms if (a.kind, a.column, a.segment) == ("drift", "x", "")
    }
    assert moved == days


def test_segments_have_points_and_alarms_that_name_them_and_page_nobody() -> None:
    frame = history()
    draw = np.random.default_rng(3)
    mine = (frame["split"] == "live") & (frame["group"] == "a")
    frame.loc[mine, "label"] = draw.integers(0, 2, int(mine.sum())).astype(float)
    rare = frame.index % 8 != 0  # so few of them that all rows together are not bad
    frame.loc[rare & (frame["group"] == "a"), "group"] = "b"
    frame.loc[mine & rare, "label"] = history().loc[mine & rare, "label"]
    found = played(frame, spec(segments=["group"], min_labels=20, min_rows=20, window="1w"))
    told = {alarm.segment for alarm in found.alarms if alarm.kind == "realised"}
    assert told - {""} == {"group=a"}
    assert {alarm.level for alarm in found.alarms if alarm.segment} == {"ticket"}
    assert {point.segment for point in found.windows[0].points} == {"", "group=a", "group=b"}


def test_declared_rules_are_judged_when_their_window_ends() -> None:
    frame = history()
    broken = (frame["split"] == "live") & (frame["ts"] >= day(5))
    frame.loc[broken, "x"] = frame.loc[broken, "x"].abs()
    for window in ("1d", 300):
        found = played(frame, spec(rules=["x < 0 or group == 'a'"], window=window))
        fired = [alarm for alarm in found.alarms if alarm.statistic == "rule_violations"]
        names = [one.window for one in found.windows]
        assert {names.index(alarm.window) for alarm in fired} == set(range(5, LIVE_DAYS))
        assert all(alarm.fired_at == found.windows[names.index(alarm.window)].end for alarm in fired)
        verdicts = [
            p.verdict for one in found.windows for p in one.points if p.statistic == "rule_violations"
        ]
        assert verdicts == ["ok"] * 5 + ["alarm"] * (LIVE_DAYS - 5)


def test_drift_of_a_column_without_a_part_in_the_model_is_info_and_says_why() -> None:
    frame = history()
    frame["idle"] = np.random.default_rng(11).standard_t(3, len(frame))
    frame.loc[frame["split"] == "live", "idle"] += 3
    features = {"x": "numeric", "group": "categorical", "idle": "numeric"}
    found = played(frame, spec(features=features))
    fired = [alarm for alarm in found.alarms if alarm.column == "idle"]
    assert len({alarm.window for alarm in fired}) == LIVE_DAYS
    assert {alarm.level for alarm in fired if alarm.kind == "drift"} == {"info"}
    assert all(alarm.importance is not None and alarm.importance < 0.01 for alarm in fired)
    assert all(alarm.effect is not None for alarm in fired if alarm.kind == "drift")


def test_text_in_a_numeric_column_is_told_as_unreadable_and_not_as_missing() -> None:
    frame = history()
    frame["x"] = frame["x"].map(str)
    later = (frame["split"] == "live") & (frame["ts"] >= day(10))
    frame.loc[later, "x"] = "1.234 cm"
    found = played(frame)
    fired = [a for a in found.alarms if (a.column, a.statistic) == ("x", "missing_rate")]
    assert len(fired) == 2
    assert all(alarm.text.startswith("Unreadable values of x from 0 % to 100 %") for alarm in fired)
    assert f"such as '1.234 cm': {2 * ROWS} in live rows, 0 in the reference" in " ".join(found.notes)
    frame["x"] = pd.to_numeric(frame["x"], errors="coerce")
    (empty, _) = [a for a in played(frame).alarms if (a.column, a.statistic) == ("x", "missing_rate")]
    assert empty.text.startswith("Missing values of x")


def test_labels_of_a_new_class_are_told_where_performance_falls() -> None:
    frame = history()
    frame["prediction"] = frame["label"] = np.where(frame["x"] > 0, "high", "low")
    late = (frame["split"] == "live") & (frame["ts"] >= day(8)) & (frame["x"] > 0.5)
    frame.loc[late, "label"] = "extreme"
    found = played(frame, replace(spec(), task="multiclass"))
    told = {alarm.window for alarm in pages(found) if "the reference does not have: extreme" in alarm.text}
    assert told == {window.window for window in found.windows[8:]}
    assert f"classes that the reference does not have (extreme): {late.sum()}" in " ".join(found.notes)


@pytest.mark.parametrize(("kept", "says"), [(25, "cannot page: "), (60, "pages below 0."), (3000, None)])
def test_a_reference_too_small_to_page_by_is_told(kept: int, says: str | None) -> None:
    frame = history()
    spare = frame[frame["split"] == "reference"].index[kept:]
    notes = " ".join(played(frame.drop(index=spare), spec(min_labels=20)).notes)
    assert ("realised roc_auc" in notes) is (says is not None)
    assert says is None or says in notes


def test_drift_and_quality_need_no_label_column() -> None:
    found = played(history().drop(columns=["label", "label_ts"]))
    assert "the data has no column label" in " ".join(found.notes)
    assert not [a for a in found.alarms if a.kind in ("realised", "estimated")]
    assert {p.verdict for p in found.windows[0].points if p.statistic == "psi"} == {"ok"}


def test_scores_that_are_percentages_are_told() -> None:
    found = played(history().assign(score=history()["score"] * 100))
    assert "percentages are divided by 100" in " ".join(found.notes)
    assert [alarm.window for alarm in pages(found)] == [alarm.window for alarm in pages(usual())]
