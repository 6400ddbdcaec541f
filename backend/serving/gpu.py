"""GPUs of the host as Prometheus gauges, read from `nvidia-smi` where it is installed. No GPU, no series."""

from __future__ import annotations

import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 2.0
READ_EVERY_S: Final = 10.0  # it takes tens of milliseconds, and scrapes may come more often

# what is asked of nvidia-smi: (name of the gauge, words, factor to the base unit)
READINGS: Final[Mapping[str, tuple[str, str, float]]] = {
    "utilization.gpu": ("warrant_gpu_utilisation_ratio", "Share of the time in which a kernel ran.", 0.01),
    "memory.used": ("warrant_gpu_memory_used_bytes", "Memory in use on the GPU.", float(1 << 20)),
    "memory.total": ("warrant_gpu_memory_total_bytes", "Memory of the GPU.", float(1 << 20)),
    "temperature.gpu": ("warrant_gpu_temperature_celsius", "Temperature of the GPU.", 1.0),
    "power.draw": ("warrant_gpu_power_watts", "Power that the board draws.", 1.0),
}
LABELS: Final = ("gpu", "name")


def gpus_in_words(command: str = "nvidia-smi") -> list[str] | None:
    """Model, memory and load of each GPU of this host; None where `nvidia-smi` is not installed."""
    program = shutil.which(command)
    if program is None:
        return None
    found = []
    for row in _asked(program):
        busy, used, whole = (_number(row, place) for place in (2, 3, 4))
        load = "load not told" if busy is None else f"{busy:.0f} % busy"
        memory = (
            "memory not told" if used is None or whole is None else f"{used:,.0f} of {whole:,.0f} MB in use"
        )
        found.append(f"GPU {row[0]}, {row[1]}: {memory}, {load}")
    return found


def _asked(program: str) -> list[list[str]]:
    """Index, name and each of `READINGS`, a row a GPU."""
    said = subprocess.run(
        [program, f"--query-gpu=index,name,{','.join(READINGS)}", "--format=csv,noheader,nounits"],
        capture_output=True, text=True, timeout=TIMEOUT_S, check=True,
    )  # fmt: skip
    return [[cell.strip() for cell in line.split(",")] for line in said.stdout.splitlines() if line]


class GpuCollector(Collector):
    """Asks at most every `READ_EVERY_S`, in a thread of its own: a driver that hangs holds up no scrape."""

    def __init__(self, *, registry: CollectorRegistry | None = None, command: str = "nvidia-smi") -> None:
        self._command = shutil.which(command)
        self._rows: list[list[str]] = []
        self._read_at = -READ_EVERY_S
        self._reading = threading.Lock()
        if self._command is not None:
            self.refresh()
            if registry is not None:
                registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One family a reading, one sample a GPU; what a GPU does not tell is left out."""
        if self._command is not None and time.monotonic() - self._read_at > READ_EVERY_S:
            threading.Thread(target=self.refresh, name="gpu", daemon=True).start()
        for position, (name, words, factor) in enumerate(READINGS.values(), start=2):
            family = GaugeMetricFamily(name, words, labels=LABELS)
            for row in self._rows:
                value = _number(row, position)
                if value is not None:
                    family.add_metric(row[:2], value * factor)
            yield family

    def refresh(self) -> None:
        """Ask now. Whatever goes wrong leaves no series: an old reading would look like a new one."""
        if self._command is None or not self._reading.acquire(blocking=False):
            return
        try:
            self._read_at = time.monotonic()
            self._rows = _asked(self._command)
        except (OSError, subprocess.SubprocessError) as failure:
            log.warning("the GPUs cannot be read: %s", failure)
            self._rows = []
        finally:
            self._reading.release()


def _number(row: Sequence[str], position: int) -> float | None:
    try:
        return float(row[position])
    except (IndexError, ValueError):  # "[N/A]"
        return None
