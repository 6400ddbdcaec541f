"""Looks at Warrant itself, end to end: drift of known rows, an alert, the console. A heartbeat leaves only where all of
it works (`backend.heartbeat`); where it does not, this run fails with the reason."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from backend.database.session import writing
from backend.errors import WarrantError
from backend.queue import WATCH_SELF
from backend.settings import settings
from jobs.runtime import Run, workflow

STEPS = ("measure_drift", "raise_alert", "ask_console")
ROWS: Final = 400
TIMEOUT_S: Final = 5.0


class NotWorking(WarrantError):
    """A part of Warrant does not do what it is for."""

    title = "Warrant does not work"


class _TakenBack(Exception):
    pass


@workflow(WATCH_SELF)
def watch_self(run: Run) -> None:
    run.progress(0.1, "measuring drift of known rows")
    run.step("measure_drift", measure_drift)
    run.progress(0.5, "raising an alert and taking it back")
    run.step("raise_alert", raise_alert, run)
    run.progress(0.8, "asking the console")
    run.step("ask_console", ask_console)


def measure_drift() -> float:
    """PSI of rows that moved by half their range; the same rows have none. Gives the PSI."""
    import pyarrow as pa

    from backend.monitoring.columns import Column
    from backend.monitoring.grids import freeze_grids
    from backend.monitoring.profiles import profile_table
    from backend.monitoring.statistics import compute, find_statistic

    before = pa.table({"x": [float(number) for number in range(ROWS)]})
    after = pa.table({"x": [float(number + ROWS // 2) for number in range(ROWS)]})
    grids = freeze_grids(before, [Column("x", "numeric")])
    reference, moved = (profile_table(rows, grids)["x"] for rows in (before, after))
    psi = find_statistic("psi")
    same, drift = (compute(psi, reference, one).value for one in (reference, moved))
    if same is None or drift is None or abs(same) > 1e-9 or drift < 0.25:
        raise NotWorking(
            f"the drift of known rows came out as {same} and {drift}, not as 0 and more than 0.25"
        )
    return drift


def raise_alert(run: Run) -> bool:
    """An alert goes into the tables and the log, and is taken back before anybody could see it."""
    from backend import clock
    from backend.alerting.service import Firing, fire

    with suppress(_TakenBack), writing() as session:
        run.require_owned(session)
        alert = fire(
            session, run.actor,
            Firing("", settings().environment, None, "job", "info", "a look at Warrant itself", "watch_self/alert",
                   clock.now(), {"run": run.run_id}),
        )  # fmt: skip
        session.flush()
        if alert.state != "firing":
            raise NotWorking(f"an alert that was raised is {alert.state}")
        raise _TakenBack
    return True


def ask_console() -> int:
    """The console says that it can answer. Gives the status."""
    import httpx

    url = f"{settings().public_url or f'http://{settings().local_host}:{settings().port}'}/healthz"
    try:
        status = httpx.get(url, timeout=TIMEOUT_S).status_code
    except httpx.HTTPError as error:
        raise NotWorking(f"the console does not answer at {url} ({type(error).__name__})") from None
    if status != 200:
        raise NotWorking(f"the console answers {status} at {url}")
    return status
