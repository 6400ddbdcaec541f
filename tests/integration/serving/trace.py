"""A scripted load on a gateway, and what its clients saw: the trace that latency objectives are tested on.

`python -m tests.integration.serving.trace` records `latency_trace.csv` beside this file: one request a line, with the
phase of the script, seconds from the first one's due time, milliseconds until the answer, status and version.
"""

from __future__ import annotations

import csv
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.open_load import OpenLoad
from tests.integration.serving.parts import (
    FEATURES,
    MODEL,
    GatewayProcess,
    deploy,
    register_model,
    register_version,
    train_artefact,
)

RECORDED: Final = Path(__file__).with_name("latency_trace.csv")
QUICK, SLOW = 1, 2
QUEUE_ROWS: Final = 1000


@dataclass(frozen=True)
class Phase:
    """`rate` requests a second for `seconds`, answered by `version`; `body` makes the nth."""

    name: str
    version: int
    rate: float
    seconds: float
    body: Callable[[int], Mapping[str, Any]]


@dataclass(frozen=True)
class Line:
    """One request of the trace; `version` 0 where none answered."""

    phase: str
    at_s: float
    ms: float
    status: int
    version: int


def _row(number: int) -> Mapping[str, Any]:
    return {"features": {**FEATURES, "hour": number % 24}}


def _often_wrong(number: int) -> Mapping[str, Any]:
    return {"features": {} if number % 5 == 0 else FEATURES}


def _batch(number: int) -> Mapping[str, Any]:
    return {"instances": [_row(number + each) for each in range(1000)]}


SCRIPT: Final = (
    Phase("steady", QUICK, 30, 8, _row),
    Phase("slow version", SLOW, 30, 8, _row),
    Phase("back", QUICK, 30, 5, _row),
    Phase("wrong bodies", QUICK, 30, 5, _often_wrong),
    Phase("overload", QUICK, 12, 5, _batch),
    Phase("steady again", QUICK, 30, 5, _row),
)


def train_slow(folder: Path) -> Path:
    """A forest so large that each pass takes a multiple of the quick version's time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import numpy as np
        import pandas as pd
        import skops.io
        from sklearn.compose import ColumnTransformer
        from sklearn.ensemble import ExtraTreesClassifier
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import OrdinalEncoder

        draw = np.random.default_rng(2)
        frame = pd.DataFrame({"carrier": draw.choice(["AA", "B6"], 200), "hour": draw.uniform(0, 24, 200),
                              "wind": draw.normal(10, 5, 200)})  # fmt: skip
        encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
        forest = ExtraTreesClassifier(800, max_depth=3, random_state=2)
        columns = ColumnTransformer([("carrier", encode, ["carrier"])], remainder="passthrough")
        pipeline = Pipeline([("encode", columns), ("forest", forest)]).fit(frame, frame["hour"] > 12)
        folder.mkdir(parents=True)
        skops.io.dump(pipeline, folder / "model.skops")
    return folder


def record(gateway: GatewayProcess, script: Iterable[Phase] = SCRIPT) -> list[Line]:
    """Play the script; the gateway serves `MODEL` with `QUICK` and `SLOW` registered."""
    trace: list[Line] = []
    first: float | None = None
    for phase in script:
        if gateway.model()["version"] != phase.version:
            deploy(phase.version)
            gateway.wait_version(phase.version)
        load = OpenLoad(
            "127.0.0.1", gateway.port, f"/v1/models/{MODEL}/predict", phase.body, phase.rate, phase.seconds
        )
        told = sorted(load.run(), key=lambda one: one.due)
        first = told[0].due if first is None else first
        for one in told:
            answer = one.body.get("predictions", [one.body])[0]
            trace.append(Line(phase.name, one.due - first, one.ms, one.status, int(answer.get("version", 0))))
    return trace


def read_trace(path: Path = RECORDED) -> list[Line]:
    """A trace that was recorded, in the order in which requests were due."""
    with path.open(newline="") as file:
        return [
            Line(one["phase"], float(one["at_s"]), float(one["ms"]), int(one["status"]), int(one["version"]))
            for one in csv.DictReader(file)
        ]


def write_trace(trace: Iterable[Line], path: Path = RECORDED) -> None:
    with path.open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(("phase", "at_s", "ms", "status", "version"))
        out.writerows(
            (one.phase, f"{one.at_s:.4f}", f"{one.ms:.3f}", one.status, one.version) for one in trace
        )


def register_both(folder: Path) -> None:
    """The model with a quick and a slow version; the quick one serves."""
    register_model()
    register_version(QUICK, train_artefact(folder / "quick", seed=1))
    register_version(SLOW, train_slow(folder / "slow"))
    deploy(QUICK)


@contextmanager
def scripted_gateway(folder: Path) -> Any:
    """A gateway on the home of the environment, both versions registered, with a small queue."""
    register_both(folder)
    with GatewayProcess(
        folder / "gateway.log", WARRANT_GATEWAY_QUEUE_ROWS=str(QUEUE_ROWS)
    ).start() as gateway:
        gateway.wait_ready()
        yield gateway


def main() -> int:
    from backend.database.upgrade import upgrade

    with tempfile.TemporaryDirectory() as folder:
        os.environ["WARRANT_HOME"] = f"{folder}/home"
        upgrade()
        with scripted_gateway(Path(folder) / "files") as gateway:
            write_trace(record(gateway))
    sys.stdout.write(f"{RECORDED} recorded\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
