"""The page of one incident under which ten thousand alerts came and many still fire, with every cache empty.

A small home of its own on SQLite. Counted is the script's whole run on the page *Incident* (`benchmarks.pages`), and
the answer of `/i/INCIDENT`, the page for a phone; beside these the processor time of the first, which other work on the
machine does not lengthen.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from unittest.mock import PropertyMock, patch

from benchmarks.figures import Figure, figure, percentile
from benchmarks.pages import MAIN, timed_run
from benchmarks.small_home import MODEL, make

ALERTS: Final = 10_000
FIRING: Final = 3_000
PAST_INCIDENTS: Final = 60
COLUMNS: Final = 500
ROUNDS: Final = 20
TARGET_MS: Final = 300


def measure() -> list[Figure]:
    """p95 of both pages, in milliseconds, and the processor time of the first."""
    from backend.database.engine import use_database
    from backend.settings import settings

    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, {"WARRANT_HOME": folder}):
        settings.cache_clear()
        use_database(None)
        try:
            make()
            number = _fill(datetime.now(UTC))
            page, processor, plain = _times(number)
        finally:
            use_database(None)
            settings.cache_clear()
    return [
        figure(f"incident page script time with {ALERTS:,} alerts, p95", percentile(page, 0.95), "ms",
               rows=ROUNDS, target=TARGET_MS),
        figure(f"incident page script with {ALERTS:,} alerts, processor time, median", percentile(processor, 0.5), "ms",
               rows=ROUNDS),
        figure(f"incident page for a phone with {ALERTS:,} alerts, p95", percentile(plain, 0.95), "ms",
               rows=ROUNDS, target=TARGET_MS),
    ]  # fmt: skip


def _times(number: int) -> tuple[list[float], list[float], list[float]]:
    import httpx
    import streamlit as st
    from sqlalchemy import select
    from starlette.applications import Starlette
    from streamlit.testing.v1 import AppTest

    from app.phone_pages import routes
    from backend.api.security import COOKIE
    from backend.database.session import writing
    from backend.identity.sessions import open_session
    from backend.identity.tables import Person

    with writing() as session:
        person = session.scalars(select(Person).where(Person.username == "oncall")).one()
        token = open_session(session, person, address=None, user_agent="benchmark").token
    cookies: Any = PropertyMock(return_value={COOKIE: token})
    with patch.object(type(st.context), "cookies", cookies):
        test = AppTest.from_file(str(MAIN), default_timeout=120).run()
        test.query_params["id"] = str(number)
        test = test.switch_page("../pages/incident.py").run()
        page, processor = [], []
        for _ in range(ROUNDS):
            began = time.process_time()
            page.append(timed_run(test, st))
            processor.append((time.process_time() - began) * 1000)
        if test.exception:
            raise RuntimeError(f"the page failed: {test.exception[0].value}")
    plain: list[float] = []

    async def ask() -> None:
        transport = httpx.ASGITransport(Starlette(routes=routes()))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://console", cookies={COOKIE: token}
        ) as client:
            for _ in range(ROUNDS + 1):
                began = time.perf_counter()
                answer = await client.get(f"/i/{number}")
                plain.append((time.perf_counter() - began) * 1000)
                if answer.status_code != 200:
                    raise RuntimeError(f"/i/{number} answered {answer.status_code}: {answer.text[:300]}")

    asyncio.run(ask())
    return page, processor, plain[1:]  # the first reads the templates


def _fill(now: datetime) -> int:
    """The incident with its alerts, and those before it. Returns its number."""
    from backend.alerting.tables import Alert, Incident
    from backend.database.session import writing

    def incident(at: datetime, **more: Any) -> Incident:
        found = Incident(model=MODEL, environment="production", title="column 0 is missing", opened_at=at,
                         severity=2, **more)  # fmt: skip
        session.add(found)
        session.flush()
        return found

    def alert(of: Incident, place: int, at: datetime, *, fires: bool) -> Alert:
        column = f"column-{place}"
        return Alert(
            fingerprint=f"{MODEL}/production/quality/{column}", model=MODEL, environment="production", version=2,
            kind="quality", level="page" if place % 3 == 0 else "ticket", state="firing" if fires else "resolved",
            title=f"{column} is missing in {place % 90 + 5} % of the rows", since=at, fired_at=at, last_seen_at=now,
            resolved_at=None if fires else at + timedelta(minutes=5), incident_id=of.id,
            details={"column": column, "statistic": "missing_rate", "value": 0.4, "window_rows": 20_000, "size": "1d"},
        )  # fmt: skip

    with writing() as session:
        for day in range(PAST_INCIDENTS):
            at = now - timedelta(days=PAST_INCIDENTS + 1 - day)
            past = incident(at, state="closed", phase="resolved", cause="data", closed_because="mended",
                            closed_at=at + timedelta(hours=1))  # fmt: skip
            session.add_all(alert(past, place, at, fires=False) for place in range(5))
        number = incident(now - timedelta(hours=6)).id
        current = session.get_one(Incident, number)
        for one in range(ALERTS):
            at = now - timedelta(hours=6) + timedelta(seconds=2 * one)
            fires = one >= ALERTS - FIRING
            session.add(alert(current, one if fires else one % COLUMNS, at, fires=fires))
    return number
