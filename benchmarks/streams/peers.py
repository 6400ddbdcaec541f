"""What Evidently and NannyML say about a stream at their defaults, as alarms about its windows.

Every peer sees what Warrant sees: the reference rows with labels, and the live windows one at a time. A drift
or an estimate is known when its window ends, a realised metric when the last label of the window is there.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from backend.settings import disable_telemetry
from benchmarks.streams.scoring import Alarm, cut
from benchmarks.streams.stream import DATA_FILE, load

FILE: Final = "peers.json"
Answer = list[Alarm] | str  # the alarms, or why there are none to be had
Peer = Callable[[Mapping[str, Any], pd.DataFrame], Answer]


def peer_alarms(place: Path) -> dict[str, Answer]:
    """Peer to its alarms on the stream in `place`, computed once for these data and these versions."""
    versions = f"evidently {version('evidently')}, nannyml {version('nannyml')}"
    key = hashlib.sha256((place / DATA_FILE).read_bytes() + versions.encode()).hexdigest()
    stored = place / FILE
    known: dict[str, Any] = json.loads(stored.read_text()) if stored.exists() else {}
    if known.get("key") != key:
        known = {"key": key, "versions": versions, "peers": {}}
    spec, data = load(place)
    for name, peer in PEERS.items():
        if name not in known["peers"]:
            known["peers"][name] = _stored(_ask(peer, spec, data))
            stored.write_text(json.dumps(known, indent=1))
    return {name: _read(answer) for name, answer in known["peers"].items() if name in PEERS}


def evidently_dataset(spec: Mapping[str, Any], data: pd.DataFrame) -> Answer:
    """Dataset drift: at least half of the features drifted by the default test at its default threshold.

    The preset's own choice of test and its cleaning, without the drawings that take most of its time.
    """
    from evidently.legacy.calculations.stattests.registry import get_stattest
    from evidently.legacy.core import ColumnType

    kinds = {"numeric": ColumnType.Numerical, "categorical": ColumnType.Categorical}
    reference = {name: _clean(column) for name, column in _features(spec, data, "reference").items()}
    found = []
    for start, end, rows in _windows(spec, data):
        columns = _features(spec, rows, "live")
        drifted = 0
        for name, kind in spec["features"].items():
            current = _clean(columns[name])
            if current.empty or reference[name].empty:
                continue  # the preset stops with an error here; the other columns still speak
            test = get_stattest(reference[name], current, kinds[kind], None)
            drifted += bool(test(reference[name], current, kinds[kind], None).drifted)
        if drifted / len(spec["features"]) >= 0.5:
            found.append(Alarm(start, end, "drift"))
    return found


def nannyml_univariate(spec: Mapping[str, Any], data: pd.DataFrame) -> Answer:
    """An alert of any feature: Jensen-Shannon distance, mean + 3 standard deviations of the reference's chunks."""
    from nannyml import UnivariateDriftCalculator

    calculator = UnivariateDriftCalculator(
        column_names=list(spec["features"]), timestamp_column_name="at", **_chunks(spec)
    )
    return _about(spec, data, _run(calculator, spec, data))


def nannyml_reconstruction(spec: Mapping[str, Any], data: pd.DataFrame) -> Answer:
    """PCA reconstruction error over all features."""
    from nannyml import DataReconstructionDriftCalculator

    calculator = DataReconstructionDriftCalculator(
        column_names=list(spec["features"]), timestamp_column_name="at", **_chunks(spec)
    )
    return _about(spec, data, _run(calculator, spec, data))


def nannyml_estimated(spec: Mapping[str, Any], data: pd.DataFrame) -> Answer:
    """CBPE of ROC AUC, or DLE of MAE. CBPE of several classes needs a score for each, which DATA does not hold."""
    from nannyml import CBPE, DLE

    if spec["task"] == "multiclass":
        return "CBPE needs a score for each class"
    if spec["task"] == "binary":
        estimator = CBPE(
            metrics=["roc_auc"], y_pred_proba="score", y_pred="prediction", y_true="label",
            problem_type="classification_binary", timestamp_column_name="at", **_chunks(spec),
        )  # fmt: skip
    else:
        estimator = DLE(
            feature_column_names=list(spec["features"]), y_pred="prediction", y_true="label", metrics=["mae"],
            timestamp_column_name="at", **_chunks(spec),
        )  # fmt: skip
    return _about(spec, data, _run(estimator, spec, data))


def nannyml_realised(spec: Mapping[str, Any], data: pd.DataFrame) -> Answer:
    """The realised metric against mean ± 3 standard deviations of the reference's chunks, labels all there."""
    from nannyml import PerformanceCalculator

    task, metric = {
        "binary": ("classification_binary", "roc_auc"),
        "multiclass": ("classification_multiclass", "accuracy"),
        "regression": ("regression", "mae"),
    }[str(spec["task"])]
    if spec["task"] == "multiclass":
        return "the calculator needs a score for each class"
    scores = {"y_pred_proba": "score"} if spec["task"] == "binary" else {}
    calculator = PerformanceCalculator(
        metrics=[metric], y_true="label", y_pred="prediction", problem_type=task, timestamp_column_name="at",
        **scores, **_chunks(spec),
    )  # fmt: skip
    return _about(spec, data, _run(calculator, spec, data, labels=True), late=True)


PEERS: Final[dict[str, Peer]] = {
    "evidently dataset drift": evidently_dataset,
    "nannyml univariate, any column": nannyml_univariate,
    "nannyml PCA reconstruction": nannyml_reconstruction,
    "nannyml CBPE / DLE": nannyml_estimated,
    "nannyml realised": nannyml_realised,
}


def _ask(peer: Peer, spec: Mapping[str, Any], data: pd.DataFrame) -> Answer:
    try:
        with _quietly():
            return peer(spec, data)
    except Exception as failure:  # noqa: BLE001 - a peer that cannot answer is told of, the others are asked
        return f"{type(failure).__name__}: {failure}"[:200]


@contextmanager
def _quietly() -> Iterator[None]:
    disable_telemetry()
    os.environ.setdefault("NML_DISABLE_USAGE_LOGGING", "1")
    with warnings.catch_warnings(), np.errstate(all="ignore"), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


def _windows(spec: Mapping[str, Any], data: pd.DataFrame) -> list[tuple[datetime, datetime, pd.DataFrame]]:
    return cut(data[data["split"] == "live"], str(spec["window"]), str(spec.get("timezone", "UTC")))


def _features(spec: Mapping[str, Any], data: pd.DataFrame, split: str) -> pd.DataFrame:
    return data.loc[data["split"] == split, list(spec["features"])]


def _clean(column: pd.Series) -> pd.Series:
    return column.replace([-np.inf, np.inf], np.nan).dropna()


def _chunks(spec: Mapping[str, Any]) -> dict[str, Any]:
    size = str(spec["window"])
    if size.isdigit():
        return {"chunk_size": int(size)}
    return {"chunk_period": {"1h": "h", "1d": "D", "1w": "W", "1mo": "M"}[size]}


def _run(
    calculator: Any, spec: Mapping[str, Any], data: pd.DataFrame, *, labels: bool = False
) -> list[pd.Timestamp]:
    """Where the chunks begin that alert, on the clock of the spec's zone."""
    frame = _frame(spec, data)
    reference, live = frame[frame["split"] == "reference"], frame[frame["split"] == "live"]
    calculator.fit(
        reference.dropna(subset=["label"]) if hasattr(calculator, "estimate") or labels else reference
    )
    ask = getattr(calculator, "estimate", None) or calculator.calculate
    answer = ask(live.reset_index(drop=True)).filter(period="analysis").to_df()
    alerts = [name for name in answer.columns if name[-1] == "alert"]
    chunk = next(name for name in answer.columns if "chunk" in str(name[-2:]) and name[-1] == "start_index")
    fired = answer.loc[answer[alerts].fillna(False).astype(bool).any(axis=1), chunk].astype(int)
    return list(live["ts"].iloc[fired])


def _frame(spec: Mapping[str, Any], data: pd.DataFrame) -> pd.DataFrame:
    """DATA in the types that NannyML wants: naive local times, categories as such, numbers as floats."""
    ts = data["ts"].dt.tz_convert(str(spec.get("timezone", "UTC"))).dt.tz_localize(None)
    frame = data.assign(at=ts).sort_values(["ts", "prediction_id"], kind="stable", ignore_index=True)
    for name, kind in spec["features"].items():
        frame[name] = frame[name].astype("category" if kind == "categorical" else "float64")
    if spec["task"] != "multiclass":
        frame["label"] = frame["label"].astype("float64")
    return frame


def _about(
    spec: Mapping[str, Any], data: pd.DataFrame, fired: list[pd.Timestamp], *, late: bool = False
) -> Answer:
    """Alarms about the windows that hold these moments."""
    windows = _windows(spec, data)
    starts = pd.DatetimeIndex([start for start, _, _ in windows])
    found = []
    for moment in fired:
        start, end, rows = windows[int(starts.searchsorted(moment, side="right")) - 1]
        known = rows.loc[rows["label"].notna(), "label_ts"].max()
        when = max(end, known.to_pydatetime()) if late and not pd.isna(known) else end
        found.append(Alarm(start, when, "realised" if late else "drift"))
    return found


def _stored(answer: Answer) -> Any:
    if isinstance(answer, str):
        return {"reason": answer}
    return [[alarm.start.isoformat(), alarm.fired_at.isoformat(), alarm.kind] for alarm in answer]


def _read(answer: Any) -> Answer:
    if isinstance(answer, dict):
        return str(answer["reason"])
    return [
        Alarm(datetime.fromisoformat(start), datetime.fromisoformat(fired), kind)
        for start, fired, kind in answer
    ]
