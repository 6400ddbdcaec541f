"""How many rows finished windows have, against what is usual for this model: points of kind volume.

Usual is what earlier windows of the model held at the same place of the week: a version's reference is a sample of
rows and says nothing about traffic. Points are derived from the stored windows alone, so whatever is missing or
outdated is made again.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import and_, delete, or_, select

from backend import clock
from backend.database.session import WriteSession
from backend.monitoring.columns import ModelSpec
from backend.monitoring.service import point_row
from backend.monitoring.tables import MetricPoint, WindowState
from backend.monitoring.volume import UsualRows, judge_volume
from backend.monitoring.windows import Window

WEEKS = 8
MOST_AT_ONCE = 500


def store_volume(session: WriteSession, *, model: str, environment: str, spec: ModelSpec) -> int:
    """Make the volume points that finished windows of the clock lack; gives how many. Again: none.

    Windows in which no traffic was expected, and windows of N rows, have none.
    """
    if spec.window_rows is not None:
        return 0
    made = 0
    mine = (WindowState.model == model, WindowState.environment == environment)
    for size in spec.sizes:
        lacking = session.execute(
            select(WindowState, MetricPoint)
            .outerjoin(
                MetricPoint, and_(MetricPoint.window_id == WindowState.id, MetricPoint.kind == "volume")
            )
            .where(
                *mine, WindowState.size == size, WindowState.state.in_(("complete", "no_traffic")),
                or_(MetricPoint.id.is_(None), MetricPoint.rows != WindowState.rows),
            )
            .order_by(WindowState.start)
            .limit(MOST_AT_ONCE)
        ).all()  # fmt: skip
        if not lacking:
            continue
        first, last = lacking[0][0].start, lacking[-1][0].start
        known = session.execute(
            select(WindowState.start, WindowState.rows)
            .where(
                *mine, WindowState.size == size, WindowState.state == "complete",
                WindowState.start >= first - timedelta(weeks=WEEKS), WindowState.start < last,
            )
            .order_by(WindowState.start)
        ).all()  # fmt: skip
        session.execute(
            delete(MetricPoint).where(
                MetricPoint.kind == "volume", MetricPoint.window_id.in_([state.id for state, _ in lacking])
            )
        )
        now = clock.now()
        rows: list[dict[str, object]] = []
        for state, before in lacking:
            since = state.start - timedelta(weeks=WEEKS)
            usual = [(one.start, one.rows) for one in known if since <= one.start < state.start]
            point = judge_volume(
                Window(state.start, state.end), state.rows,
                UsualRows(tuple(at for at, _ in usual), tuple(n for _, n in usual), size, spec.timezone),
            )  # fmt: skip
            row = point_row(
                point, window_id=state.id, model=model, environment=environment, size=size, start=state.start,
                completeness=None, now=now,
            )  # fmt: skip
            if before is not None:
                row["first_value"], row["first_computed_at"] = before.first_value, before.first_computed_at
            rows.append(row)
        session.execute(MetricPoint.__table__.insert(), rows)  # type: ignore[attr-defined]
        made += len(rows)
    session.expire_all()
    return made
