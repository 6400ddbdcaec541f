"""Looks at Warrant itself: drift of known rows, an alert, a notice through the outbox, whether people can be told,
what stands still, the console. A heartbeat leaves only where all of it works (`backend.heartbeat`); where it does not,
this run fails with the reason."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta
from typing import Final

from backend.database.session import reading, writing
from backend.errors import WarrantError
from backend.queue import WATCH_SELF
from backend.settings import settings
from jobs.runtime import Run, workflow

STEPS = (
    "put_notice", "measure_drift", "raise_alert", "look_at_notices", "look_at_pagers", "look_for_standstill",
    "ask_console", "await_notice",
)  # fmt: skip
ROWS: Final = 400
TIMEOUT_S: Final = 5.0
TOLD_WITHIN: Final = timedelta(minutes=5)  # five attempts and more
LOOK_AGAIN_S: Final = 0.5


class NotWorking(WarrantError):
    """A part of Warrant does not do what it is for."""

    title = "Warrant does not work"


class _TakenBack(Exception):
    pass


@workflow(WATCH_SELF)
def watch_self(run: Run) -> None:
    run.progress(0.05, "putting a notice into the outbox")
    notice = run.step("put_notice", put_notice, run)
    run.progress(0.1, "measuring drift of known rows")
    run.step("measure_drift", measure_drift)
    run.progress(0.5, "raising an alert and taking it back")
    run.step("raise_alert", raise_alert, run)
    run.progress(0.7, "looking whether people are told")
    run.step("look_at_notices", look_at_notices)
    run.step("look_at_pagers", look_at_pagers)
    run.progress(0.8, "looking what stands still")
    run.step("look_for_standstill", look_for_standstill)
    run.step("ask_console", ask_console)
    run.progress(0.9, "waiting for the notice")
    run.step("await_notice", await_notice, notice)


def put_notice(run: Run) -> int:
    """A notice to Warrant's own door goes into the outbox, for the notifier to deliver. Gives its number."""
    from backend import clock
    from backend.notifications.probe import put_probe

    with writing() as session:
        run.require_owned(session)
        return put_probe(session, clock.now()).id


def await_notice(notice_id: int) -> bool:
    """The notice of this look was delivered by whoever delivers all notices, within its time."""
    from backend.notifications.probe import DELIVERED_WITHIN, came_through

    ends = time.monotonic() + DELIVERED_WITHIN.total_seconds()
    while True:
        with reading() as session:
            if came_through(session, notice_id):
                return True
        if time.monotonic() >= ends:
            raise NotWorking("a notice to Warrant itself was not delivered in time: the outbox stands still")
        time.sleep(LOOK_AGAIN_S)


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


def look_at_notices() -> bool:
    """No incident has waited for minutes while no channel takes a notice of it: else, whoever waits outside has to
    page."""
    from backend import clock
    from backend.notifications.service import told_to_nobody

    with reading() as session:
        owed = told_to_nobody(session, clock.now() - TOLD_WITHIN)
    if owed:
        named = ", ".join(f"INC-{one}" for one in owed[:5]) + (" and more" if len(owed) > 5 else "")
        raise NotWorking(f"no channel takes notices: nobody was told of {named}; see Notifications")
    return True


def look_at_pagers() -> bool:
    """Somebody would be told of a SEV-1, and by channels of which none that wakes people up is known to be broken."""
    from backend import clock
    from backend.errors import BadInput
    from backend.notifications.contacts import contacts_path
    from backend.notifications.pagers import stand, why_nobody_is_paged
    from backend.notifications.shifts import contacts_now

    if contacts_path() is None:
        raise NotWorking("nobody is told of anything: WARRANT_CONTACTS is not set")
    with reading() as session:
        try:
            contacts = contacts_now(session)
        except BadInput as error:
            raise NotWorking(f"nobody is told of anything: {error.message}") from None
        problem = why_nobody_is_paged(contacts, stand(session, contacts, clock.now()))
    if problem:
        raise NotWorking(problem)
    return True


def look_for_standstill() -> bool:
    """Every queue has a worker, predictions are stored, gateways answer."""
    from backend import clock
    from backend.standing_still import spool_over_limit, unanswered_environments, unserved_queues

    with reading() as session:
        queues = unserved_queues(session, clock.now())
        silent = unanswered_environments(session, clock.now())
    if queues:
        raise NotWorking(f"no worker serves {', '.join(queues)} any more")
    if silent:
        raise NotWorking(f"no gateway is heard of any more in {', '.join(silent)}")
    if backlog := spool_over_limit():
        raise NotWorking(backlog)
    return True


def ask_console() -> int:
    """The console says that it can answer, and it is the console that says so. Gives the status."""
    import httpx

    url = f"{settings().public_url or f'http://{settings().local_host}:{settings().port}'}/healthz"
    try:
        answer = httpx.get(url, timeout=TIMEOUT_S)
    except httpx.HTTPError as error:
        raise NotWorking(f"the console does not answer at {url} ({type(error).__name__})") from None
    if answer.status_code != 200:
        raise NotWorking(f"the console answers {answer.status_code} at {url}")
    if '"status":"ok"' not in answer.text:  # the page of a proxy, say
        raise NotWorking(f"what answers at {url} is not the console")
    return answer.status_code
