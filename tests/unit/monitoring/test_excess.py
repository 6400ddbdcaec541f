"""One point and many are read alike: on which side of its limit each alarms."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

from backend.monitoring.excess import has_lower_limit, is_lower_limit


def test_one_point_is_read_as_many_are() -> None:
    points = [
        {"kind": kind, "value": value, "threshold": limit, "verdict": verdict}
        for kind, value, limit, verdict in product(
            ("quality", "drift"), (0.0, 0.2, 0.5, 1.0, 1.5, np.nan), (0.0, 0.3, 0.5, 1.0, np.nan),
            ("ok", "alarm", "page", "ticket", "info", "not_judged"),
        )
    ]  # fmt: skip
    many = has_lower_limit(pd.DataFrame(points)).tolist()
    assert [is_lower_limit(one) for one in points] == many
    assert 0 < sum(many) < len(many)
    assert not is_lower_limit({"value": 0.1, "threshold": 0.5, "verdict": "alarm"}), "of no kind"
