"""Models of plain data: values mean the same in training and serving, and files that are none are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backend.errors import BadInput
from backend.serving.errors import NotLoadable
from backend.serving.loader import load_estimator
from backend.serving.portable import as_number, as_text, fitted_encoder, read_safetensors


def test_a_value_means_the_same_however_it_was_stored() -> None:
    assert as_text(pd.Series([3.0, None, 4.5])).tolist()[::2] == ["3", "4.5"]
    assert as_text(pd.Series([True, False])).tolist() == ["true", "false"]
    assert as_text(pd.Series(["a", None], dtype="category")).isna().tolist() == [False, True]
    numbers = as_number(pd.Series([True, "false", None, 2.5, "7"], dtype=object))
    assert np.array_equal(numbers, [1.0, 0.0, np.nan, 2.5, 7.0], equal_nan=True)
    with pytest.raises(BadInput, match="feature age: not every value is a number"):
        as_number(pd.Series(["old"], name="age", dtype=object))


def test_an_unseen_category_counts_as_missing() -> None:
    encoder = fitted_encoder(pd.DataFrame({"region": ["west", "north", None]}), [("region", "category")])
    assert encoder.columns[0].categories == ("north", "west")
    frame = pd.DataFrame({"region": ["west", "east", None]})
    assert encoder.encode(frame)[1].ravel().tolist() == [2, 0, 0]
    assert np.array_equal(encoder.matrix(frame).ravel(), [1, np.nan, np.nan], equal_nan=True)
    with pytest.raises(BadInput, match="features missing: region"):
        encoder.encode(pd.DataFrame({"other": [1]}))


def test_arrays_outside_their_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"

    def write(end: int, shape: list[int]) -> None:
        header = json.dumps({"bias": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}).encode()
        body = np.array([1, 2], dtype="<f4").tobytes()
        path.write_bytes(len(header).to_bytes(8, "little") + header + body)

    write(8, [2])
    assert read_safetensors(path)["bias"].tolist() == [1, 2]
    for end, shape in ((16, [4]), (8, [3])):
        write(end, shape)
        with pytest.raises(ValueError, match="the place of bias does not fit the file"):
            read_safetensors(path)
    path.write_bytes((1 << 40).to_bytes(8, "little"))
    with pytest.raises(ValueError, match="ends within its header"):
        read_safetensors(path)


def test_a_folder_that_is_no_model_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text(json.dumps({"flavors": {"warrant": {"data": "../elsewhere"}}}))
    with pytest.raises(NotLoadable, match="points outside of it"):
        load_estimator(tmp_path)
    (tmp_path / "MLmodel").write_text(json.dumps({"flavors": {"warrant": {"data": "model"}}}))
    with pytest.raises(NotLoadable, match="does not read: FileNotFoundError"):
        load_estimator(tmp_path)
