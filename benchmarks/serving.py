"""What the gateway adds to a model, what callers notice of a switch, and what a kill -9 loses.

One gateway on a home of its own, with three versions of a pipeline of 14 features, is asked 200 times a second at
moments drawn beforehand (`benchmarks.open_load`): half of the traffic of a real service, no worker, no console.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Figure, figure, percentile
from benchmarks.open_load import OpenLoad, Told, answered

RATE: Final = 200.0
SECONDS: Final = 20.0
SWITCHES: Final = (2, 3, 1, 2)  # the first two have never been loaded
MODEL: Final = "bench"
NUMERIC: Final = tuple(f"x{number}" for number in range(12))
CATEGORICAL: Final = ("carrier", "origin")
SPEC: Final[dict[str, Any]] = {
    "task": "binary",
    "window": "1d",
    "features": {**dict.fromkeys(NUMERIC, "numeric"), **dict.fromkeys(CATEGORICAL, "categorical")},
}


def measure(*, seconds: float = SECONDS) -> list[Figure]:
    """Overhead at p50 and p99, the longest a switch took to be seen, what failed meanwhile, what a kill lost."""
    with tempfile.TemporaryDirectory(prefix="warrant-serving-") as folder, _home(Path(folder)) as artefacts:
        from tests.integration.serving.parts import GatewayProcess

        with GatewayProcess(Path(folder) / "gateway.log").start() as gateway:
            gateway.wait_ready()
            _load(gateway.port, seconds=2.0, seed=9)
            through = [one.ms for one in answered(_load(gateway.port, seconds=seconds))]
            direct = _direct(artefacts[1], seconds)
            switches, told = _switches(gateway.port, seconds)
            lost, accepted = _killed(gateway)
    return [
        *(
            figure(
                f"gateway_overhead_{name}", percentile(through, share) - percentile(direct, share), "ms",
                target=target, peer="the pyfunc called directly", peer_value=percentile(direct, share),
                rows=len(through),
            )
            for name, share, target in (("p50", 0.5, 3.0), ("p99", 0.99, 10.0))
        ),
        figure("gateway_switch_seen", max(switches), "s", target=2.0, rows=len(switches)),
        figure("gateway_switch_failed", len(told) - len(answered(told)), "requests", target=0, rows=len(told)),
        figure("gateway_kill_lost", lost, "predictions", target=0, rows=accepted),
    ]  # fmt: skip


def row(number: int) -> dict[str, Any]:
    """The nth row that is asked for."""
    values: dict[str, Any] = {name: (number * 37 % 101) / 10 + place for place, name in enumerate(NUMERIC)}
    return {**values, "carrier": ("AA", "B6", "UA")[number % 3], "origin": ("JFK", "EWR")[number % 2]}


def _load(port: int, *, seconds: float, seed: int = 1, prefix: str = "") -> list[Told]:
    def body(number: int) -> Mapping[str, Any]:
        named = {"prediction_id": f"{prefix}{number}"} if prefix else {}
        return {"features": row(number), **named}

    return OpenLoad("127.0.0.1", port, f"/v1/models/{MODEL}/predict", body, RATE, seconds, seed).run()


def _direct(folder: Path, seconds: float) -> list[float]:
    """Milliseconds of the same pyfunc in this process, called at the same rate with the same rows."""
    import mlflow.pyfunc
    import pandas as pd

    loaded, took = mlflow.pyfunc.load_model(str(folder)), []
    loaded.predict(pd.DataFrame([row(0)]))
    began = time.monotonic()
    for number in range(int(seconds * RATE)):
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))
        before = time.perf_counter()
        loaded.predict(pd.DataFrame([row(number)]))
        took.append((time.perf_counter() - before) * 1000)
    return took


def _switches(port: int, seconds: float) -> tuple[list[float], list[Told]]:
    """Seconds from each commit of the record to the last request that the version before still answered."""
    from tests.integration.serving.parts import deploy

    found: list[list[Told]] = []
    asking = threading.Thread(target=lambda: found.append(_load(port, seconds=seconds, seed=3, prefix="s")))
    asking.start()
    committed: list[tuple[float, int]] = []
    for version in SWITCHES:
        time.sleep(seconds / (len(SWITCHES) + 1))
        deploy(version, model=MODEL)
        committed.append((time.monotonic(), version))
    asking.join()
    (told,) = found
    seen = []
    for place, (at, version) in enumerate(committed):
        until = committed[place + 1][0] if place + 1 < len(committed) else float("inf")
        late = [one.sent - at for one in answered(told)
                if at <= one.sent < until and one.body["version"] != version]  # fmt: skip
        seen.append(max(late, default=0.0))
    return seen, told


def _killed(gateway: Any) -> tuple[int, int]:
    """Answered predictions that are not on disk after a kill -9 under load, and how many were answered."""
    from tests.integration.serving.parts import spooled_ids

    killing = threading.Timer(2.0, gateway.kill)
    killing.start()
    told = answered(_load(gateway.port, seconds=3.0, seed=5, prefix="k"))
    killing.join()
    accepted = {str(one.body["prediction_id"]) for one in told}
    return len(accepted - set(spooled_ids())), len(accepted)


@contextmanager
def _home(folder: Path) -> Iterator[dict[int, Path]]:
    """A home with the model registered and version 1 deployed; the environment names it meanwhile."""
    from backend.database.engine import use_database
    from backend.database.upgrade import upgrade
    from backend.settings import settings
    from tests.integration.serving.parts import deploy, register_model, register_version

    before = os.environ.copy()
    os.environ["WARRANT_HOME"] = str(folder / "home")
    try:
        settings.cache_clear()
        use_database(None)
        upgrade()
        artefacts = {version: _train(folder / f"v{version}", version) for version in (1, 2, 3)}
        register_model(MODEL, SPEC)
        for version, path in artefacts.items():
            register_version(version, path, model=MODEL)
        deploy(1, model=MODEL)
        yield artefacts
    finally:
        use_database(None)
        os.environ.clear()
        os.environ.update(before)
        settings.cache_clear()


def _train(folder: Path, seed: int) -> Path:
    """The demo's kind of pipeline as MLflow stores it, with its signature."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.sklearn
        import numpy as np
        import pandas as pd
        from mlflow.models import infer_signature

        from backend.monitoring.columns import parse_spec
        from jobs.demo.training import TRUSTED_TYPES, build_pipeline

        draw = np.random.default_rng(seed)
        frame = pd.DataFrame([row(int(number)) for number in draw.integers(0, 10_000, 3000)])
        label = (frame["x0"] + draw.normal(0, 3, len(frame)) > 5).astype("int8")
        pipeline = build_pipeline(parse_spec(SPEC), {"max_iter": 100, "random_state": seed}).fit(frame, label)
        mlflow.sklearn.save_model(
            pipeline, str(folder), serialization_format="skops", skops_trusted_types=list(TRUSTED_TYPES),
            pip_requirements=["scikit-learn"], pyfunc_predict_fn="predict_proba",
            signature=infer_signature(frame.head(100), pipeline.predict_proba(frame.head(100))),
        )  # fmt: skip
    return folder
