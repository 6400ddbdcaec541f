"""How long the script of each page takes on the demo, with every cache empty.

`measure()` works on a copy of the database of a demo that has been loaded (`WARRANT_HOME`, else `.warrant`), draws
each page as an ML lead through `streamlit.testing`, and counts the script's whole run: sign-in check, reads, figures
and messages. The browser's own work is not in it.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final
from unittest.mock import PropertyMock, patch

from benchmarks.figures import Figure, figure, not_measured, percentile

ROUNDS: Final = 7
TARGET_MS: Final = 300
EXPLAINING: Final = ("explanations", "prediction")
NAME: Final = "page script time, p95 over all pages"
MAIN: Final = Path(__file__).resolve().parents[1] / "app" / "main.py"


def measure() -> list[Figure]:
    """The p95 over all pages, and the median of each page."""
    home = Path(os.environ.get("WARRANT_HOME", ".warrant")).absolute()
    source = home / "warrant.db"
    if not source.exists():
        return not_measured(
            NAME, "ms", f"there is no demo at {source}; load it with `make run`", target=TARGET_MS
        )
    with tempfile.TemporaryDirectory() as folder:
        with sqlite3.connect(source) as stored, sqlite3.connect(Path(folder) / "warrant.db") as copy:
            stored.backup(copy)
        stored_at = {"WARRANT_OBSERVATIONS_URL": str(home / "observations")}  # pages read from it alone
        with patch.dict(os.environ, {"WARRANT_HOME": folder, "WARRANT_DEMO": "true", **stored_at}):
            times = _times()
    everything = [ms for values in times.values() for ms in values]
    overall = figure(NAME, percentile(everything, 0.95), "ms", rows=len(everything), target=TARGET_MS)
    each = [
        figure(f"page script time, {page}, median", statistics.median(values), "ms", rows=len(values))
        for page, values in times.items()
    ]
    explained = [ms for page in EXPLAINING for ms in times.get(page, [])]
    if not explained:
        return [overall, *each]
    where = figure(
        "page script time, p95 of the explanation pages", percentile(explained, 0.95), "ms", rows=len(explained),
        target=TARGET_MS,
    )  # fmt: skip
    return [overall, where, *each]


def _times() -> dict[str, list[float]]:
    """Milliseconds of each round of each page."""
    import streamlit as st
    from sqlalchemy import select
    from streamlit.testing.v1 import AppTest

    from app.nav import PAGES
    from backend.alerting.tables import Incident
    from backend.database.engine import use_database
    from backend.database.session import writing
    from backend.explain.tables import PredictionExplanation
    from backend.governance.tables import Change
    from backend.identity.roles import Role, permissions_of
    from backend.identity.sessions import open_session
    from backend.identity.tables import Person
    from backend.registry.tables import Model
    from backend.retraining.tables import RetrainingRun
    from backend.settings import settings

    settings.cache_clear()
    use_database(None)
    with writing() as session:
        lead = session.scalars(select(Person).where(Person.username == "lead")).one()
        token = open_session(session, lead, address=None, user_agent="benchmark").token
        model = session.scalars(select(Model.name).order_by(Model.name.desc())).first() or ""
        explained = session.scalars(
            select(PredictionExplanation.prediction_id).where(PredictionExplanation.model == model).limit(1)
        ).first()
        # Each page about one thing is drawn with one of them, and left out where the demo has none.
        things: dict[str, dict[str, Any]] = {
            "change": {"id": session.scalar(select(Change.id).limit(1))},
            "incident": {"id": session.scalar(select(Incident.id).limit(1))},
            "retraining_run": {"id": session.scalar(select(RetrainingRun.id).limit(1))},
            "prediction": {"model": model, "prediction": explained},
            "audit_entry": {"seq": 1},
        }
    times: dict[str, list[float]] = {}
    cookies: Any = PropertyMock(return_value={"warrant_session": token})
    with patch.object(type(st.context), "cookies", cookies):
        for row in (row for row in PAGES if row.needs in permissions_of(frozenset({Role.ML_LEAD}))):
            query = things.get(row.path, {"model": model})
            if None in query.values():
                continue
            test = AppTest.from_file(str(MAIN), default_timeout=60).run()
            for name, value in query.items():
                test.query_params[name] = str(value)
            test = test if row.default else test.switch_page(f"../pages/{row.path}.py")
            test.run()
            times[row.path] = [timed_run(test, st) for _ in range(ROUNDS)]
            if test.exception:
                raise RuntimeError(f"the page {row.path} failed: {test.exception[0].value}")
    use_database(None)
    settings.cache_clear()
    return times


def timed_run(test: Any, st: Any) -> float:
    """Milliseconds of one run of a page's script, with every cache empty."""
    st.cache_data.clear()
    st.cache_resource.clear()
    began = time.perf_counter()
    test.run()
    return (time.perf_counter() - began) * 1000
