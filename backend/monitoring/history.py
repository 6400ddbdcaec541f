"""A file of predictions and their late labels, checked: what `warrant backtest` and a replay read.

Columns: prediction_id, ts, prediction, score, label, label_ts (when the label became known), the features, and split
(`reference` or `live`; rows marked otherwise are ignored). What is odd in it is counted in `notes`, not guessed at.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from backend.errors import BadInput
from backend.monitoring.columns import ModelSpec
from backend.monitoring.label_lag import describe_span
from backend.monitoring.new_classes import classes_of, count_new_classes, list_names
from backend.monitoring.performance import class_name
from backend.monitoring.performance._core import read_classes
from backend.monitoring.tablefiles import open_table

NEEDED = ("ts", "prediction", "split")
OPTIONAL = ("prediction_id", "score", "label", "label_ts")
SPLITS = ("reference", "live")
STRAYS = 0.005
ZONE = r"[Tt ]\d\d.*(?:[Zz]|UTC|[+-]\d\d(?::?\d\d)?)\s*$"  # at the end of an ISO 8601 time
UNREADABLE = 0.5  # of the times: beyond it the column holds something else


@dataclass(frozen=True)
class History:
    """Rows in the order of (ts, prediction_id), times UTC. `notes` say what was set aside and why.

    reference, live   frames with prediction_id, ts, prediction, score, label, label_ts, split and the features
    """

    reference: pd.DataFrame
    live: pd.DataFrame
    notes: tuple[str, ...]


def read_history(path: Path | str, spec: ModelSpec) -> History:
    """Raises `BadInput` for a file that cannot be read, lacks a needed column, or holds no reference or live rows."""
    relation = open_table(path)
    there = list(relation.columns)
    features = [c.name for c in spec.features] + [name for _, name in spec.classes] + list(spec.protected)
    for name in NEEDED:
        if name not in there:
            raise BadInput(f"{path} has no column {name!r}; there are {', '.join(there)}")
    if spec.task == "binary" and "score" not in there:
        raise BadInput(f"{path} has no column 'score', which a binary model's performance needs")
    chosen = [name for name in dict.fromkeys([*NEEDED, *OPTIONAL, *features]) if name in there]
    picked = ", ".join('"' + name.replace('"', '""') + '"' for name in chosen)
    table: pa.Table = relation.query("data", f"select {picked} from data").to_arrow_table()  # noqa: S608 - quoted
    # Column by column, each given back once it is read: the table and its frame are never there together.
    frame = table.to_pandas(split_blocks=True, self_destruct=True)
    del table
    return check_history(frame, spec, name=str(path))


def check_history(frame: pd.DataFrame, spec: ModelSpec, *, name: str = "the data") -> History:
    """The same for a frame."""
    notes: list[str] = []
    absent = [c.name for c in spec.features if c.name not in frame.columns]
    if absent:
        notes.append(f"not in {name}, so without figures: {', '.join(absent)}")
    # Only the columns that are checked move about; features are picked once, when it is known which rows stay.
    kept = frame[[name for name in (*NEEDED, *OPTIONAL) if name in frame.columns]].reset_index(drop=True)
    kept = kept[kept["split"].astype("string").isin(SPLITS)]
    if len(kept) < len(frame):
        notes.append(f"rows in neither split, ignored: {len(frame) - len(kept):,}")
    _need_both(kept, name)
    none = int(kept["ts"].isna().sum())
    kept["ts"] = _times(kept["ts"], "ts", name, notes)
    if none:
        notes.append(f"rows without a time, left out: {none:,}")
    kept = kept[kept["ts"].notna()]
    if "prediction_id" not in kept:
        kept["prediction_id"] = np.arange(len(kept)).astype(str)
    kept["prediction_id"] = kept["prediction_id"].astype("string")
    kept = kept.sort_values(["ts"] if kept["ts"].is_unique else ["ts", "prediction_id"], kind="stable")
    twice = kept["prediction_id"].duplicated() & kept["prediction_id"].notna()
    if twice.any():
        notes.append(
            f"rows that repeat a prediction_id, left out but for the earliest of each: {int(twice.sum()):,}"
        )
        kept = kept[~twice]
    _need_both(kept, name, " once rows without a time and repeated ids are left out")
    kept = _without_strays(kept, notes)
    if "label" not in kept:
        notes.append(f"{name} has no column label: realised performance is not measured")
        kept["label"] = np.nan
    if spec.task == "binary" and spec.positive is not None:
        _check_positive(kept["label"], spec.positive)
    elif spec.task == "binary":
        _check_binary(kept["label"], name)
    if "score" not in kept:
        kept["score"] = np.nan
    kept["score"] = _numbers(kept["score"], "score", notes)
    if spec.task == "binary":
        _look_at_scores(kept["score"], notes)
    if spec.task == "regression":
        for column in ("prediction", "label"):
            kept[column] = _numbers(kept[column], column, notes)
    kept["label_ts"] = _label_times(kept, name, spec.label_delay_s, notes)
    if spec.task == "multiclass":
        _look_at_classes(kept, notes)
    _look_at_features(frame, kept, spec, notes)
    reference, live = (_pick(frame, kept[kept["split"] == split]) for split in SPLITS)
    if live["ts"].min() < reference["ts"].max():
        notes.append("live rows begin before the reference ends; both were taken as marked")
    return History(reference, live, tuple(notes))


def _pick(frame: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Checked rows, whose index is their place in the frame, with the frame's other columns."""
    others = {
        name: values.take(rows.index.to_numpy()).array
        for name, values in frame.items()
        if name not in rows.columns
    }
    # Every column for itself: a table of one block would be a second copy of them all.
    return pd.DataFrame({**{name: values.array for name, values in rows.items()}, **others}, copy=False)


def _need_both(kept: pd.DataFrame, name: str, when: str = "") -> None:
    for split in SPLITS:
        if not (kept["split"] == split).any():
            raise BadInput(
                f"{name}: no row has split = {split!r}{when}; both reference and live rows are needed"
            )


def _without_strays(kept: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Live rows without the few whose time lies further from all others than these are from each other.

    A wrong year in one row would otherwise make a century of empty windows.
    """
    live = kept["split"] == "live"
    moments = kept.loc[live, "ts"].sort_values()
    edge = int(STRAYS * len(moments))
    low, high = pd.Timestamp(moments.iloc[edge]), pd.Timestamp(moments.iloc[-1 - edge])
    reach = max(high - low, pd.Timedelta(days=30))
    stray = live & ((kept["ts"] > high + reach) | (kept["ts"] < low - reach))
    if stray.any():
        years = sorted(set(kept.loc[stray, "ts"].dt.year))
        told = str(years[0]) if len(years) == 1 else f"{years[0]} to {years[-1]}"
        notes.append(f"live rows far from all others in time ({told}), left out: {int(stray.sum()):,}")
    near: pd.DataFrame = kept[~stray]
    return near


def _check_positive(labels: pd.Series[Any], positive: str) -> None:
    found = sorted({class_name(value) for value in labels.dropna().unique()})
    if positive in found:
        return
    hint = (
        "; YAML reads an unquoted yes, no, on or off as true or false"
        if positive in ("True", "False")
        else ""
    )
    raise BadInput(
        f"positive_label: {positive!r} never occurs in label, which holds {', '.join(found[:10])}{hint}"
    )


def _check_binary(labels: pd.Series[Any], name: str) -> None:
    found = labels.dropna().unique()
    try:
        read_classes(list(found), None, "label")
    except BadInput:
        kinds = sorted({class_name(value) for value in found})
        raise BadInput(
            f"{name}: label holds {', '.join(kinds[:10])}, which are not 0 and 1; say in SPEC which of them counts "
            f"as 1: positive_label: {kinds[-1]!r}"
        ) from None


def _look_at_scores(scores: pd.Series[Any], notes: list[str]) -> None:
    low, high = scores.min(), scores.max()
    if low < 0 or high > 1:
        percent = "; percentages are divided by 100" if 1 < high <= 100 and low >= 0 else ""
        notes.append(
            f"score goes from {low:.4g} to {high:.4g}, where the probability of class 1 lies between 0 and 1{percent}: "
            "only its order counts (roc_auc, average precision)"
        )


def _look_at_classes(kept: pd.DataFrame, notes: list[str]) -> None:
    """Say which classes of live labels the reference does not have."""
    then, now = (kept.loc[kept["split"] == split, "label"] for split in SPLITS)
    found = count_new_classes(now, classes_of(then))
    if found:
        notes.append(
            f"labels of classes that the reference does not have ({list_names(found)}): {found.total():,}"
        )


def _look_at_features(frame: pd.DataFrame, kept: pd.DataFrame, spec: ModelSpec, notes: list[str]) -> None:
    """Say where a column that is declared numeric holds text that is no number.

    kept   checked rows, whose index is their place in the frame
    """
    for column in spec.features:
        if column.kind != "numeric" or column.name not in frame:
            continue
        values = frame[column.name]
        if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
            continue
        values = values.take(kept.index.to_numpy()).set_axis(kept.index)
        bad = values.notna() & pd.to_numeric(values, errors="coerce").isna()
        bad &= values.astype("string").str.strip().str.lower() != "nan"
        if bad.any():
            live = int((bad & (kept["split"] == "live")).sum())
            notes.append(
                f"values of {column.name}, declared numeric, that are not numbers, such as {values[bad].iloc[0]!r}: "
                f"{live:,} in live rows, {int(bad.sum()) - live:,} in the reference"
            )


def _times(values: pd.Series[Any], column: str, name: str, notes: list[str]) -> pd.Series[Any]:
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        moments: pd.Series[Any] = values.dt.tz_convert("UTC").astype("datetime64[us, UTC]")
        return moments
    if pd.api.types.is_numeric_dtype(values) and values.notna().any():
        raise BadInput(f"{name}: {column} holds numbers; write times as timestamps or ISO 8601 text")
    known = values.notna()
    read = pd.to_datetime(values, utc=True, format="ISO8601" if known.any() else None, errors="coerce")
    bad = known & read.isna()
    if bad.any():
        example = f"such as {values[bad].iloc[0]!r}"
        if bad.sum() > UNREADABLE * known.sum():
            raise BadInput(
                f"{name}: {int(bad.sum()):,} of {int(known.sum()):,} values of {column} are not times, {example}; "
                "write timestamps or ISO 8601 text"
            )
        what = "rows left out" if column == "ts" else "taken as no time"
        notes.append(f"values of {column} that are not times, {example}, {what}: {int(bad.sum()):,}")
    bare = int((known & read.notna() & ~_with_zone(values)).sum())
    if 0 < bare < int(read.notna().sum()):
        notes.append(f"values of {column} without a zone, read as UTC: {bare:,}")
    elif bare or pd.api.types.is_datetime64_any_dtype(values):
        notes.append(f"{column} has no zone; it was read as UTC")
    times: pd.Series[Any] = read.astype("datetime64[us, UTC]")
    return times


def _with_zone(values: pd.Series[Any]) -> pd.Series[Any]:
    """(n,) whether each time says its zone: of text, whether its end does after a time of day."""
    if pd.api.types.is_datetime64_any_dtype(values):
        return pd.Series(False, index=values.index)
    return values.astype("string").str.contains(ZONE, regex=True).fillna(False).astype(bool)


def _label_times(kept: pd.DataFrame, name: str, delay_s: float | None, notes: list[str]) -> pd.Series[Any]:
    """When each label became known; never before its prediction.

    delay_s  how long a label without a time of its own took (`label_delay`); None: it was known at once
    """
    labelled = kept["label"].notna()
    assumed = kept["ts"] if delay_s is None else kept["ts"] + pd.Timedelta(seconds=delay_s)
    taken = (
        "with its prediction"
        if delay_s is None
        else f"{describe_span(delay_s)} after its prediction (label_delay)"
    )
    if "label_ts" not in kept and not labelled.any():
        return kept["ts"].where(labelled, pd.NaT)
    if "label_ts" not in kept:
        notes.append(f"there is no label_ts: every label was taken as known {taken}")
        known = assumed.copy()
    else:
        known = _times(kept["label_ts"], "label_ts", name, notes)
        without = labelled & known.isna()
        if without.any():
            notes.append(f"labels without label_ts, each taken as known {taken}: {int(without.sum()):,}")
        known = known.fillna(assumed)
        early = labelled & (known < kept["ts"])
        if early.any():
            notes.append(f"labels older than their prediction, its time taken: {int(early.sum()):,}")
        known = known.where(known >= kept["ts"], kept["ts"])
    return known.where(labelled, pd.NaT)


def _numbers(values: pd.Series[Any], column: str, notes: list[str]) -> pd.Series[Any]:
    read = pd.to_numeric(values, errors="coerce").astype("float64")
    unread = int((read.isna() & values.notna()).sum())
    infinite = int(np.isinf(read).sum())
    if unread:
        notes.append(f"values of {column} that are not numbers, taken as missing: {unread:,}")
    if infinite:
        notes.append(f"infinite values of {column}, taken as missing: {infinite:,}")
    return read.where(np.isfinite(read))
