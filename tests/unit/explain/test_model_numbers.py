"""Numbers that a model's process answers with: the same here as there, and nothing else is taken for numbers."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from jobs.models.numbers import packed, unpacked


@pytest.mark.parametrize(
    "numbers",
    [np.array([0.1, -0.0, np.nan, np.inf, 5e-324]), np.zeros((0, 3)), np.arange(24.0).reshape(2, 3, 4).T,
     np.arange(3), np.float32([[0.1], [0.2]])],
)  # fmt: skip
def test_numbers_come_out_as_they_went_in(numbers: np.ndarray) -> None:
    found = unpacked(json.loads(json.dumps(packed(numbers))))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, numbers.astype("float64"))


EIGHT = base64.b64encode(bytes(8)).decode()


@pytest.mark.parametrize(
    "told",
    [
        [0.1], None, {}, {"shape": [1]}, {"shape": [2], "numbers": EIGHT}, {"shape": [-1], "numbers": EIGHT},
        {"shape": [True], "numbers": EIGHT}, {"shape": 1, "numbers": EIGHT}, {"shape": [1], "numbers": "*"},
        {"shape": [1], "numbers": "AAAA"}, {"shape": [1], "numbers": 1}, {"shape": ["1"], "numbers": EIGHT},
        {"shape": [10**30, 0], "numbers": ""},
    ],
)  # fmt: skip
def test_what_is_no_array_is_refused(told: Any) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        unpacked(told)
