"""Run the benchmarks, print their figures, and keep them in `results.json`: `python -m benchmarks [NAME]`."""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from pathlib import Path
from typing import Final

from benchmarks.figures import Figure, not_measured
from benchmarks.report import as_table, write_table

# Each is a module here with `measure() -> list[Figure]`.
BENCHMARKS: Final = (
    "ingest",
    "windows",
    "start",
    "rollback",
    "pages",
    "ingest_http",
    "gateway",
    "serving",
    "drift_speed",
    "incremental",
    "streams",
    "quality_table",
    "rota",
    "decisions",
    "audit",
    "replay",
    "registry_import",
    "pack",
    "drill",
    "people",
    "endurance",
    "kills",
    "slo_evaluation",
    "incident_page",
    "ui",
    "explanations",
    "trainers",
    "gpu",
)
RESULTS: Final = Path(__file__).with_name("results.json")


def main(names: list[str]) -> int:
    """Exit 0 when every target that was measured is met, 1 otherwise, 2 for an unknown name."""
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        print(
            f"there is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr
        )
        return 2
    known: list[Figure] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    measured: list[Figure] = []
    for name in names or BENCHMARKS:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        found = [{**one, "benchmark": name} for one in run(name)]
        measured += found
        kept = [one for one in known if one.get("benchmark") in BENCHMARKS and one["benchmark"] != name]
        known = [*kept, *found]
        known.sort(key=lambda one: BENCHMARKS.index(one["benchmark"]))
        RESULTS.write_text(json.dumps(known, indent=1) + "\n")
    write_table(known, BENCHMARKS)
    print(as_table(measured))
    return 0 if all(one["met"] is not False for one in measured) else 1


def run(name: str) -> list[Figure]:
    """The figures of one benchmark; one that fails is a figure without a value, and does not stop the others."""
    try:
        found: list[Figure] = importlib.import_module(f"benchmarks.{name}").measure()
    except Exception as failure:  # noqa: BLE001 - the other figures are still wanted
        traceback.print_exc()
        return not_measured(name, "", f"{type(failure).__name__}: {failure}"[:300])
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
