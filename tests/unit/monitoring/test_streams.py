"""Streams keep the contract of `warrant backtest`, and what they plant is there to be found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from backend.monitoring.columns import parse_spec
from benchmarks.streams.catalogue import streams
from benchmarks.streams.measuring import add_up
from benchmarks.streams.packages import DataPackage, read_member
from benchmarks.streams.scoring import Score, find_truth
from benchmarks.streams.stream import OUTPUTS, StreamMissing, checked, load, save


def _score(pages: int, right: int, caught: int, episodes: int, delay_h: float | None) -> Score:
    return Score(pages, right, 0, episodes, caught, 50, 10, delay_h, 10.0, ())


def test_every_stream_has_a_spec_that_monitoring_reads() -> None:
    assert len(streams()) >= 30
    for stream in streams().values():
        assert parse_spec(stream.spec).task == stream.spec["task"], stream.name
        assert stream.spec["budget"] == {"pages_per_quarter": 1}


@pytest.mark.slow
def test_saved_stream_holds_the_columns_of_the_contract_and_is_built_once(tmp_path: Path) -> None:
    stream = streams()["concept_only"]
    place = save(stream, tmp_path)
    spec, data = load(place)
    assert list(data.columns) == [*OUTPUTS, *spec["features"]]
    assert set(data["split"]) == {"reference", "live"}
    assert data["ts"].is_monotonic_increasing and data["prediction_id"].is_unique
    assert (data["label_ts"] >= data["ts"]).all()
    assert save(replace(stream, build=lambda: pytest.fail("built again")), tmp_path) == place

    truth = find_truth(spec, data, draws=60)
    days = [place for place, window in enumerate(truth.windows) if window.bad]
    assert {*range(30, 42), *range(60, 65)} <= set(days)
    assert len(set(days) - {*range(30, 42), *range(60, 65)}) <= 1


def test_labels_before_their_prediction_are_refused() -> None:
    moment = pd.Timestamp("2025-01-01", tz="UTC")
    frame = pd.DataFrame(
        {
            "prediction_id": ["a"], "ts": [moment], "split": ["live"], "prediction": [1], "score": [0.9],
            "label": [1], "label_ts": [moment - pd.Timedelta(hours=1)],
        }
    )  # fmt: skip
    with pytest.raises(ValueError, match="before its prediction"):
        checked(frame, {"features": {}})


def test_file_that_is_not_the_pinned_one_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARRANT_HOME", str(tmp_path))
    folder = tmp_path / "streams" / "packages"
    folder.mkdir(parents=True)
    (folder / "some_data-1.0-py3-none-any.whl").write_bytes(b"other bytes")
    with pytest.raises(StreamMissing, match="not the file"):
        read_member(DataPackage("some_data", "1.0", "0" * 64), "data.csv")


def test_totals_add_pages_and_not_shares() -> None:
    total = add_up([_score(10, 10, 1, 1, 5.0), _score(2, 0, 0, 3, None)])
    assert total.precision == pytest.approx(10 / 12)
    assert total.caught_share == pytest.approx(1 / 4)
    assert total.false_per_quiet_window == pytest.approx(2 / 100)
    assert total.late == pytest.approx(0.5)
