"""What a gateway process takes, as /proc and its control group say it; what they do not say is not known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend import clock
from backend.serving.usage import UsageMeter


class Machine:
    """A control group and a /proc that a test writes, and clocks that it moves."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.groups, self.proc = folder / "groups", folder / "proc"
        self.groups.mkdir()
        (self.proc / "self").mkdir(parents=True)
        self.now, self.ticks, self.cpu_s = datetime(2026, 6, 1, 12, tzinfo=UTC), 0.0, 0.0
        monkeypatch.setattr(clock, "now", lambda: self.now)

    def meter(self) -> UsageMeter:
        return UsageMeter(
            lambda: 0.2,
            groups=self.groups,
            proc=self.proc,
            cpu_s=lambda: self.cpu_s,
            ticks=lambda: self.ticks,
        )

    def pass_(self, seconds: float, *, cpu_s: float = 0.0) -> None:
        self.now += timedelta(seconds=seconds)
        self.ticks += seconds
        self.cpu_s += cpu_s


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_a_minute_adds_up_and_is_handed_over_once_it_is_over(machine: Machine) -> None:
    (machine.groups / "cpu.max").write_text("150000 100000\n")
    (machine.groups / "memory.max").write_text(f"{1 << 30}\n")
    (machine.proc / "meminfo").write_text("MemTotal: 8388608 kB\n")
    stat = machine.groups / "cpu.stat"
    stat.write_text("usage_usec 5\nnr_throttled 1\nthrottled_usec 1000000\n")
    meter = machine.meter()
    assert (meter.cores, meter.memory_limit_bytes) == (1.5, 1 << 30)
    for pages in (100, 300, 200):
        (machine.proc / "self/statm").write_text(f"999 {pages} 5 1 0 9 0\n")
        machine.pass_(10, cpu_s=4)
        meter.note()
    stat.write_text("throttled_usec 4000000\n")
    machine.pass_(10, cpu_s=1)
    meter.note()
    assert meter.over() == []
    machine.pass_(25)
    meter.note()
    (minute,) = meter.over()
    assert (minute.start, minute.seconds, minute.cpu_s) == (datetime(2026, 6, 1, 12, tzinfo=UTC), 40, 13)
    assert (minute.throttled_s, minute.lag_s) == (3.0, 0.2)
    assert minute.memory_bytes is not None
    assert minute.memory_bytes % 300 == 0
    meter.forget([minute])
    assert meter.over() == []


def test_the_first_version_of_control_groups_is_read_too(machine: Machine) -> None:
    (machine.groups / "cpu").mkdir()
    (machine.groups / "memory").mkdir()
    (machine.groups / "cpu/cpu.cfs_quota_us").write_text("200000\n")
    (machine.groups / "cpu/cpu.cfs_period_us").write_text("100000\n")
    (machine.groups / "cpu/cpu.stat").write_text("nr_periods 0\nthrottled_time 0\n")
    (machine.groups / "memory/memory.limit_in_bytes").write_text("9223372036854771712\n")
    (machine.proc / "meminfo").write_text("MemTotal: 1024 kB\n")
    meter = machine.meter()
    assert (meter.cores, meter.memory_limit_bytes) == (2.0, 1 << 20), "no limit: the machine's memory"
    (machine.groups / "cpu/cpu.stat").write_text("throttled_time 2500000000\n")
    machine.pass_(30)
    meter.note()
    machine.pass_(60)
    meter.note()
    assert meter.over()[0].throttled_s == 2.5


def test_what_the_system_does_not_tell_is_none_and_not_nothing(machine: Machine) -> None:
    meter = machine.meter()
    machine.pass_(30)
    meter.note()
    machine.pass_(60)
    meter.note()
    (minute,) = meter.over()
    assert (minute.throttled_s, minute.memory_bytes, meter.memory_limit_bytes) == (None, None, None)
    assert meter.cores >= 1


def test_of_this_process_memory_and_cores_are_told() -> None:
    meter = UsageMeter()
    meter.note()
    assert meter.cores > 0
