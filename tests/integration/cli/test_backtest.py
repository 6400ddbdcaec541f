"""`warrant backtest` as a stranger uses it: two files in, one document out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.integration.cli.test_commands import warrant

SPEC = {"task": "binary", "features": {"x": "numeric"}, "window": "1d", "budget": {"pages_per_quarter": 1}}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Twelve days, the last four bad; the first six are the reference."""
    draw = np.random.default_rng(3)
    day = np.repeat(np.arange(12), 250)
    x = draw.normal(size=day.size)
    follows = np.where(day < 8, 2.0, 0.0)
    ts = pd.Series([datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=int(d), minutes=5) for d in day])
    data = pd.DataFrame(
        {
            "prediction_id": np.arange(day.size).astype(str), "ts": ts, "x": x, "score": 1 / (1 + np.exp(-2 * x)),
            "prediction": (x > 0).astype(int), "label": (draw.random(day.size) < 1 / (1 + np.exp(-follows * x))) * 1,
            "label_ts": ts + timedelta(hours=30), "split": np.where(day < 6, "reference", "live"),
        }
    )  # fmt: skip
    data.to_parquet(tmp_path / "data.parquet")
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SPEC))
    return tmp_path / "spec.yaml", tmp_path / "data.parquet"


def test_a_past_is_replayed_into_windows_points_and_alarms(files: tuple[Path, Path]) -> None:
    spec, data = files
    said = warrant("backtest", str(spec), str(data), "--json")
    assert said.code == 0, said.err
    document = said.document
    assert [window["rows"] for window in document["windows"]] == [250] * 6
    assert {"window", "start", "end", "rows", "label_completeness", "metrics", "points"} <= set(
        document["windows"][0]
    )
    keys = {"window", "fired_at", "level", "kind", "column", "statistic", "value", "threshold", "text"}
    assert all(keys <= set(alarm) for alarm in document["alarms"])
    paged = [alarm["window"] for alarm in document["alarms"] if alarm["level"] == "page"]
    assert paged == [f"2026-01-{day:02}T00:00:00Z" for day in (9, 10, 11, 12)]
    plain = warrant("backtest", str(spec), str(data), "--no-points")
    assert plain.code == 0
    assert "realised roc_auc from" in plain.out


@pytest.mark.slow
def test_what_cannot_be_replayed_is_refused_in_one_line(files: tuple[Path, Path], tmp_path: Path) -> None:
    spec, data = files
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("task: ranking\nfeatures: {x: numeric}\n")
    for arguments, says in (
        ((str(wrong), str(data)), "wrong.yaml: task: 'ranking'"),
        ((str(spec), str(tmp_path / "none.parquet")), "there is no file"),
        ((str(tmp_path / "none.yaml"), str(data)), "there is no file"),
        ((str(data), str(data)), "is not YAML"),
    ):
        said = warrant("backtest", *arguments, "--json")
        assert said.code == 2
        assert says in said.line
