"""The sample sets that NannyML ships, with the scores it ships: loans, commuting, cards, used cars, houses."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.streams.stream import Stream, StreamMissing, make_spec

SOURCE = "PyPI nannyml 0.13.1, {} (Apache-2.0)"
DAY = pd.Timedelta(days=1)


def _read(stem: str, target: str) -> pd.DataFrame:
    """Reference and analysis rows, these with the labels of the file `target` if one is named."""
    spec = find_spec("nannyml")
    if spec is None or not spec.submodule_search_locations:
        raise StreamMissing("nannyml is not installed")
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "data"
    reference = pd.read_csv(folder / f"{stem}_reference.csv", low_memory=False)
    analysis = pd.read_csv(folder / f"{stem}_analysis.csv", low_memory=False)
    if target:
        analysis = analysis.merge(pd.read_csv(folder / f"{target}.csv"), on="id", validate="one_to_one")
    frame = pd.concat([reference.assign(split="reference"), analysis.assign(split="live")], ignore_index=True)
    frame["ts"] = pd.to_datetime(frame["timestamp"], format="ISO8601", utc=True)
    frame["prediction_id"] = "row-" + frame["id"].astype(str).str.zfill(6)
    frame["prediction"] = frame["y_pred"]
    return frame


def _binary(stem: str, target: str, label: str, late: pd.Timedelta) -> pd.DataFrame:
    frame = _read(stem, target)
    return _texts(
        frame.assign(
            label=frame[label].astype("float64").astype("Int64"),
            score=frame["y_pred_proba"].astype("float64"),
            label_ts=frame["ts"] + late,
        )
    )


def _texts(frame: pd.DataFrame) -> pd.DataFrame:
    """Truth values and codes of categories as text, so that a missing one stays missing."""
    for column in frame.columns:
        if frame[column].dtype == bool:
            frame[column] = frame[column].astype(str)
    for column in ("repaid_loan_on_prev_car", "wfh_prev_workday", "size_of_downpayment", "is_customer"):
        if column in frame:
            frame[column] = frame[column].astype(str).where(frame[column].notna(), None)
    return frame


def _cards() -> pd.DataFrame:
    frame = _read("mc", "mc_analysis_gt")
    chances = frame[[name for name in frame.columns if str(name).startswith("y_pred_proba_")]].to_numpy(
        "float64"
    )
    return _texts(
        frame.assign(label=frame["y_true"], score=np.max(chances, axis=1), label_ts=frame["ts"] + 7 * DAY)
    )


def _cars() -> pd.DataFrame:
    frame = _read("regression_synthetic", "regression_synthetic_analysis_targets")
    return frame.assign(
        label=frame["y_true"].astype("float64"),
        prediction=frame["y_pred"].astype("float64"),
        score=np.nan,
        label_ts=frame["ts"] + DAY,
    )


def _loans_broken() -> pd.DataFrame:
    """The damaged loans with the labels of the whole ones: both are the same applications."""
    whole = _binary("synthetic_car_loan", "synthetic_car_loan_analysis_target", "repaid", 28 * DAY)
    broken = _texts(_read("synthetic_car_loan_dq", ""))
    kept = whole[["prediction_id", "label", "label_ts"]]
    found = broken.merge(kept, on="prediction_id", validate="one_to_one")
    return found.assign(score=found["y_pred_proba"].astype("float64"))


_LOAN: dict[str, Any] = {
    "numeric": ("car_value", "debt_to_income_ratio", "loan_length", "driver_tenure"),
    "categorical": ("salary_range", "repaid_loan_on_prev_car", "size_of_downpayment"),
}
_COMMUTE: dict[str, Any] = {
    "numeric": ("distance_from_office", "gas_price_per_litre", "public_transportation_cost", "tenure"),
    "categorical": ("salary_range", "wfh_prev_workday", "workday"),
}
_CARD: dict[str, Any] = {
    "numeric": ("app_behavioral_score", "requested_credit_limit", "credit_bureau_score", "stated_income"),
    "categorical": ("acq_channel", "app_channel", "is_customer"),
}
_CAR: dict[str, Any] = {
    "numeric": ("car_age", "km_driven", "price_new", "accident_count"),
    "categorical": ("door_count", "fuel", "transmission"),
}
_HOUSE: dict[str, Any] = {
    "numeric": (
        "MedInc", "HouseAge", "AveRooms", "AveBedrms", "Population", "AveOccup", "Latitude", "Longitude",
    ),
    "categorical": (),
}  # fmt: skip

STREAMS = (
    Stream(
        "loans", "synthetic", SOURCE.format("synthetic_car_loan"),
        make_spec("binary", **_LOAN, window="1w", label_delay="1w"),
        lambda: _binary("synthetic_car_loan", "synthetic_car_loan_analysis_target", "repaid", 7 * DAY),
    ),
    Stream(
        "loans_broken", "synthetic", SOURCE.format("synthetic_car_loan_dq"),
        make_spec("binary", **_LOAN, window=1000, label_delay="4w"),
        _loans_broken,
    ),
    Stream(
        "commuting", "synthetic", SOURCE.format("synthetic_sample"),
        make_spec("binary", **_COMMUTE, window=1000, label_delay="1d"),
        lambda: _binary("synthetic_sample", "synthetic_sample_analysis_gt", "work_home_actual", DAY),
    ),
    Stream(
        "cards", "synthetic", SOURCE.format("mc"),
        make_spec("multiclass", **_CARD, window="1d", label_delay="1w"), _cards,
    ),
    Stream(
        "cars", "synthetic", SOURCE.format("regression_synthetic"),
        make_spec("regression", **_CAR, window=1000, label_delay="1d"), _cars,
    ),
    Stream(
        "houses", "real", SOURCE.format("california_housing"),
        make_spec("binary", **_HOUSE, window="1w", label_delay="1d"),
        lambda: _binary("california_housing", "california_housing_analysis_gt", "clf_target", DAY),
    ),
)  # fmt: skip
