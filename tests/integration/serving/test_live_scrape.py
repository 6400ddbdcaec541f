"""A Prometheus that scrapes a living gateway, and the gateway's own log of outcomes: both count the same requests."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from backend.database.session import reading
from backend.slo.burn_rates import Counts
from backend.slo.objectives import Availability, Latency, Objective
from backend.slo.slots import MINUTE, floor_to
from backend.slo.sources import Asked, Reading
from backend.slo.sources.gateway import count_requests
from backend.slo.sources.prometheus import count_in_prometheus
from backend.slo.windows import Rolling
from tests.integration.serving.parts import (
    FEATURES,
    MODEL,
    WORKER,
    GatewayProcess,
    deploy,
    register_version,
)
from tests.prometheus import running_prometheus

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCRAPED_S = 2
QUIET_S = (
    3 * SCRAPED_S
)  # no request so long about the edges of the time: what was scraped there is what was counted
ANSWERED = Objective(
    name="answers", model=MODEL, sli=Availability(), target=Decimal("0.99"), window=Rolling(720)
)
OBJECTIVES = (
    ANSWERED,
    *(replace(ANSWERED, name=f"within-{ms}", sli=Latency(Decimal(ms))) for ms in (5, 250)),
)


def scraped_by(gateway: GatewayProcess) -> str:
    return (
        f"global: {{scrape_interval: {SCRAPED_S}s, scrape_timeout: {SCRAPED_S}s}}\n"
        "scrape_configs:\n"
        f"  - {{job_name: gateway, static_configs: [{{targets: ['127.0.0.1:{gateway.port}']}}]}}\n"
    )


def version_that_fails(folder: Path) -> int:
    """Fitted on numbers alone, so that the column of text makes each request a 500."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import numpy as np
        import pandas as pd
        import skops.io
        from sklearn.linear_model import LogisticRegression

        frame = pd.DataFrame({name: [0.0, 1.0] for name in FEATURES})
        folder.mkdir()
        skops.io.dump(LogisticRegression().fit(frame, np.array([0, 1])), folder / "model.skops")
    register_version(4, folder)
    return 4


def total_of(counted: Reading) -> Counts:
    assert not counted.problem
    return sum((slot.counts for slot in counted.slots), Counts())


def send(gateway: GatewayProcess, *, bad: int, good: int, status: int) -> None:
    """Requests that are refused for what they are, and others, single and in batches."""
    for number in range(good):
        rows = [{"features": {**FEATURES, "hour": one % 24}} for one in range(1 + number % 3 * 40)]
        assert gateway.predict(instances=rows).status_code == status
    for _ in range(bad):
        assert gateway.predict(features={"hour": "five"}).status_code == 422


def test_prometheus_and_the_outcome_log_count_the_same_requests_of_a_living_gateway(
    sqlite_gateway: GatewayProcess, tmp_path: Path
) -> None:
    failing = version_that_fails(tmp_path / "failing")
    (tmp_path / "prometheus").mkdir()
    with running_prometheus(tmp_path / "prometheus", scraped_by(sqlite_gateway)) as server:
        assert sqlite_gateway.predict().status_code == 200
        time.sleep(QUIET_S)
        start = floor_to(time.time(), MINUTE) + MINUTE
        time.sleep(max(0.0, start + QUIET_S - time.time()))
        send(sqlite_gateway, bad=20, good=150, status=200)
        deploy(failing)
        sqlite_gateway.wait_version(failing)
        send(sqlite_gateway, bad=10, good=40, status=500)
        end = floor_to(time.time() + QUIET_S, MINUTE) + MINUTE
        time.sleep(max(0.0, end + QUIET_S - time.time()))
        asked = [Asked(one.name, one, start, end) for one in OBJECTIVES]
        theirs = count_in_prometheus(server, asked)
        for one in asked:
            with reading() as session:
                ours = total_of(count_requests(session, WORKER, one))
            found = total_of(theirs[one.key])
            assert (found.good, found.total) == (ours.good, ours.total), one.key
            assert ours.observed_s == found.observed_s == end - start
            assert ours.total == 220
            if one is asked[0]:
                assert (ours.bad, ours.error) == (40, found.error)
