"""A column that the model reads is broken: its estimate has no verdict, live and in a backtest."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sqlalchemy import select

from backend.alerting.tables import Alert
from backend.database.session import reading
from backend.monitoring.backtest import replay
from backend.monitoring.columns import parse_spec
from backend.monitoring.history import check_history
from tests.integration.monitoring.conftest import SPEC, ago, make_monitored, sample


def broken(rows: pa.Table, share: float, gaps: int = 0) -> pa.Table:
    """`x` in another unit in a share of the rows, and missing in some of the others."""
    x = rows.column("x").to_numpy().copy()
    many = int(share * x.size)
    x[:many] = 1000 + x[:many]
    x[many : many + gaps] = np.nan
    return rows.set_column(rows.column_names.index("x"), "x", pa.array(x, from_pandas=True))


@pytest.mark.parametrize("changes", [{}, {"reference": "previous"}], ids=["fixed", "previous"])
def test_an_estimate_on_a_broken_column_is_not_trusted_live_nor_in_a_backtest(
    database: str, tmp_path: Path, changes: dict[str, Any]
) -> None:
    reference = sample(ago(90), 3000, seed=1001, hours=24 * 30)
    shopper = make_monitored(tmp_path / "files", reference_data=reference, **changes)
    # The last day has the fault of the one before it: nothing new by the rule "previous", as broken all the same.
    days = {day: sample(ago(day), 300, seed=day) for day in (4, 3)}
    days |= {day: broken(sample(ago(day), 300, seed=day), 0.6, gaps=3) for day in (2, 1)}
    frames = []
    for split, table in [("reference", reference), *(("live", rows) for rows in days.values())]:
        frame = table.to_pandas()
        frames.append(frame.assign(split=split, label_ts=frame["ts"] + timedelta(days=30)))
    spec = parse_spec({**SPEC, **changes})
    told = replay(spec, check_history(pd.concat(frames, ignore_index=True), spec))
    for rows in days.values():
        shopper.predict(rows)
        shopper.compute()
    wanted = {
        (window.start, point.statistic): (point.verdict, point.reason or "")
        for window in told.windows
        for point in window.points
        if point.family == "estimated" and window.complete
    }
    found = {
        (point.window_start, point.statistic): (point.verdict, point.reason)
        for day in days
        for point in shopper.points(ago(day), "estimated")
    }
    assert {key: found[key] for key in wanted} == wanted
    assert {verdict for (start, _), (verdict, _) in wanted.items() if start <= ago(3)} == {"ok"}
    doubted = [one for (start, _), one in wanted.items() if start >= ago(2)]
    assert {verdict for verdict, _ in doubted} == {"inconclusive"}
    assert all("not to be trusted" in str(reason) and "range of x" in str(reason) for _, reason in doubted)
    with reading() as session:
        alerts = session.scalars(select(Alert).where(Alert.kind == "quality")).all()
    if not changes:
        assert [(one.details["rows"], one.details["window_rows"]) for one in alerts] == [(297, 300)]
