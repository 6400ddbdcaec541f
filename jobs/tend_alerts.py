"""What happens to alerts by the clock: what was held for flapping and has stayed quiet is over, a gateway that is not
heard of any more is told of, an incident that a change answered is closed or reopened, and a page that is muted no
longer is heard."""

from __future__ import annotations

from backend import clock
from backend.alerting.gateways import watch_gateways
from backend.alerting.mitigation import tend_mitigated
from backend.alerting.service import release_held
from backend.alerting.unmuted import open_unheard
from backend.database.session import writing
from backend.queue import TEND_ALERTS
from jobs.runtime import Run, workflow

STEPS = ("release_held", "watch_gateways", "tend_mitigated", "open_unheard")


@workflow(TEND_ALERTS)
def tend_alerts(run: Run) -> None:
    run.progress(0.1, "looking at what was held")
    run.step("release_held", _release, run)
    run.step("watch_gateways", _watch, run)
    run.step("tend_mitigated", _tend, run)
    run.step("open_unheard", _open, run)


def _release(run: Run) -> int:
    with writing() as session:
        run.require_owned(session)
        return release_held(session, run.actor)


def _watch(run: Run) -> int:
    with writing() as session:
        run.require_owned(session)
        return len(watch_gateways(session, run.actor, clock.now()))


def _tend(run: Run) -> int:
    with writing() as session:
        run.require_owned(session)
        return tend_mitigated(session, run.actor)


def _open(run: Run) -> int:
    with writing() as session:
        run.require_owned(session)
        return open_unheard(session, run.actor)
