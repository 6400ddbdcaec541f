"""What clients saw of a scripted load is what the gateway counted; and the trace that others test on is such a one."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from backend import clock
from backend.database.session import reading
from backend.serving.outcome_log import outcomes_between
from backend.serving.outcomes import EDGES_S, Outcomes
from tests.integration.serving.parts import MODEL, WORKER, wait_until
from tests.integration.serving.trace import SCRIPT, SLOW, Line, read_trace, record, scripted_gateway


def logged(version: str | None = None) -> Outcomes:
    now = clock.now()
    with reading() as session:
        return outcomes_between(
            session, WORKER, MODEL, "production", start=now - timedelta(hours=1), end=now + timedelta(minutes=1),
            version=version,
        )  # fmt: skip


def of(trace: list[Line], phase: str) -> list[Line]:
    return [one for one in trace if one.phase == phase]


@pytest.mark.slow
def test_clients_and_the_log_tell_the_same_of_a_scripted_load(sqlite: None, tmp_path: Path) -> None:
    with scripted_gateway(tmp_path / "files") as gateway:
        trace = record(gateway)
        wait_until(lambda: logged().requests >= len(trace), what="the counts")
        found, slow = logged(), logged(str(SLOW))
    assert found.codes == Counter(str(one.status) for one in trace)
    assert found.too_many > 0 and found.kinds["bad_request"] == found.codes["422"]
    # A client's time begins before the gateway's and ends after it.
    for edge, count in zip(EDGES_S, found.latency, strict=False):
        assert count >= sum(one.ms <= edge * 1000 for one in trace), edge
    assert found.seconds_sum * 1000 <= sum(one.ms for one in trace)
    assert slow.requests == sum(one.version == SLOW for one in trace)
    assert slow.seconds_sum * 1000 <= sum(one.ms for one in trace if one.version == SLOW)


def test_the_recorded_trace_holds_every_phase_of_the_script() -> None:
    trace = read_trace()
    assert list(dict.fromkeys(one.phase for one in trace)) == [phase.name for phase in SCRIPT]
    assert [one.at_s for one in trace] == sorted(one.at_s for one in trace)
    assert {one.status for one in of(trace, "steady")} == {200}
    assert {one.version for one in of(trace, "slow version")} == {SLOW}
    assert 0 < sum(one.status == 422 for one in of(trace, "wrong bodies")) < len(of(trace, "wrong bodies"))
    assert any(one.status == 429 for one in of(trace, "overload"))
    half = {
        name: sorted(one.ms for one in of(trace, name))[len(of(trace, name)) // 2]
        for name in ("steady", "slow version")
    }
    assert half["slow version"] > 2 * half["steady"]
