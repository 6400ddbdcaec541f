"""A stream: a model, the spec it is monitored by, and everything it said, with labels as late as they were."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
import yaml

Truth = Literal["real", "synthetic"]

SPEC_FILE: Final = "spec.yaml"
DATA_FILE: Final = "data.parquet"
OUTPUTS: Final = ("prediction_id", "ts", "split", "prediction", "score", "label", "label_ts")


class StreamMissing(Exception):
    """The data of a stream are not on this machine; the message says which package carries them."""


@dataclass(frozen=True)
class Stream:
    """One stream. `build` returns DATA; it raises `StreamMissing` where the source is not installed.

    spec    what `warrant backtest` reads: task, features, window, timezone, label_delay, budget
    source  where the data come from and under which licence; for a synthetic one what was planted
    """

    name: str
    truth: Truth
    source: str
    spec: Mapping[str, Any]
    build: Callable[[], pd.DataFrame]


def make_spec(
    task: str,
    *,
    numeric: tuple[str, ...] = (),
    categorical: tuple[str, ...] = (),
    window: str | int,
    timezone: str = "UTC",
    label_delay: str | None = None,
) -> dict[str, Any]:
    """A model spec with the default budget and nothing else set: no stream is given a setting of its own."""
    spec: dict[str, Any] = {
        "task": task,
        "features": dict.fromkeys(numeric, "numeric") | dict.fromkeys(categorical, "categorical"),
        "window": str(window),
        "timezone": timezone,
        "budget": {"pages_per_quarter": 1},
    }
    return spec if label_delay is None else {**spec, "label_delay": label_delay}


def split_in_time(frame: pd.DataFrame, *, trained_until: datetime, live_from: datetime) -> pd.Series:
    """`train` before the first moment, `reference` up to the second, `live` from there on."""
    ts = frame["ts"]
    return pd.Series(
        np.select([ts < trained_until, ts < live_from], ["train", "reference"], "live"), index=frame.index
    )


def split_by_share(frame: pd.DataFrame, *, train: float, reference: float) -> pd.Series:
    """The same by shares of the rows, in the order of `ts`."""
    place = np.arange(len(frame)) / len(frame)
    return pd.Series(
        np.select([place < train, place < train + reference], ["train", "reference"], "live"),
        index=frame.index,
    )


def streams_folder() -> Path:
    """The cache of built streams: `$WARRANT_HOME/streams`, or a folder of the system's temporary one."""
    home = os.environ.get("WARRANT_HOME")
    return Path(home) / "streams" if home else Path(tempfile.gettempdir()) / "warrant-streams"


def save(stream: Stream, folder: Path, *, again: bool = False) -> Path:
    """Write SPEC and DATA into `folder/<name>` unless they are there, and return that folder."""
    place = folder / stream.name
    spec = yaml.safe_dump(dict(stream.spec), sort_keys=False)
    if not again and (place / DATA_FILE).exists() and (place / SPEC_FILE).read_text() == spec:
        return place
    frame = checked(stream.build(), stream.spec)
    place.mkdir(parents=True, exist_ok=True)
    unfinished = place / f".{DATA_FILE}"
    frame.to_parquet(unfinished, index=False)
    (place / SPEC_FILE).write_text(spec)
    unfinished.replace(place / DATA_FILE)
    return place


def load(place: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """SPEC and DATA of a folder that `save` wrote."""
    return yaml.safe_load((place / SPEC_FILE).read_text()), read_data(place / DATA_FILE)


def read_data(path: Path) -> pd.DataFrame:
    """DATA from Parquet or CSV, its times with a zone."""
    frame = pd.read_csv(path, low_memory=False) if path.suffix == ".csv" else pd.read_parquet(path)
    return frame.assign(**{name: pd.to_datetime(frame[name], utc=True) for name in ("ts", "label_ts")})


def checked(frame: pd.DataFrame, spec: Mapping[str, Any]) -> pd.DataFrame:
    """DATA in its contract's columns and in the order of `ts`; without the rows the model was trained on."""
    kept = frame.loc[frame["split"] != "train", [*OUTPUTS, *spec["features"]]]
    kept = kept.sort_values(["ts", "prediction_id"], kind="stable", ignore_index=True)
    if kept["prediction_id"].duplicated().any():
        raise ValueError("prediction ids repeat")
    if (kept["label_ts"] < kept["ts"]).any():
        raise ValueError("a label is known before its prediction")
    for column in ("ts", "label_ts"):
        kept[column] = kept[column].dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    return kept
