"""What the way from a fault to a report needs around it: a version that cannot take what comes, traffic, a web hook."""

from __future__ import annotations

import itertools
import json
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from tests.worlds import CUTOFF, SPEC, World

CARRIERS = ("AA", "B6", "UA")
NEW_CARRIER = "NK"


@dataclass
class Hook:
    """A web hook as somebody runs it: keeps every notice, by the incident that it tells of."""

    url: str = ""
    notices: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def told(self, state: str, incident: int | None = None) -> dict[str, Any] | None:
        """The first notice in this state."""
        return next(
            (one for one in self.notices if one["state"] == state and incident in (None, one["incident"])),
            None,
        )


@contextmanager
def open_hook() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.notices.append(json.loads(body))
            hook.keys.append(self.headers["Idempotency-Key"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_address[1]}/pages"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Traffic:
    """A client that asks on and on, one row at a time. `new_carrier`: every other row has one that is new."""

    def __init__(self, url: str, model: str) -> None:
        self._url, self._model = url, model
        self.new_carrier = False
        self.codes: Counter[int] = Counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30.0) as client:
            for number in itertools.count():
                if self._stop.wait(0.1):
                    return
                carrier = NEW_CARRIER if self.new_carrier and number % 2 else CARRIERS[number % 3]
                features = {"distance": 100.0 + number * 37 % 2800, "carrier": carrier}
                answer = client.post(f"/v1/models/{self._model}/predict", json={"features": features})
                self.codes[answer.status_code] += 1

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def train_brittle(world: World, number: int) -> None:
    """A version that was fitted on three carriers and fails on any other, and its reference data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import numpy as np
        import pandas as pd
        import skops.io
        from sklearn.compose import ColumnTransformer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        draw = np.random.default_rng(number)
        frame = pd.DataFrame(
            {"distance": draw.uniform(50, 3000, 600), "carrier": draw.choice(CARRIERS, 600)}
        ).astype({"carrier": "object"})
        label = (frame["distance"] / 3000 + draw.normal(0, 0.3, 600) > 0.5).astype("int8")
        encode = ColumnTransformer(
            [("carrier", OneHotEncoder(handle_unknown="error"), ["carrier"]),
             ("distance", StandardScaler(), ["distance"])]
        )  # fmt: skip
        pipeline = Pipeline([("encode", encode), ("classify", LogisticRegression())])
        pipeline.fit(frame[list(SPEC["features"])], label)  # type: ignore[call-overload]
        world.artefact(number).mkdir()
        skops.io.dump(pipeline, world.artefact(number) / "model.skops")
        scores = pipeline.predict_proba(frame[list(SPEC["features"])])[:, 1]  # type: ignore[call-overload]
    frame.assign(
        score=scores,
        prediction=(scores >= CUTOFF).astype("int8").astype(str),
        label=label.astype(str),
    ).to_parquet(world.reference(number))


def write_contacts(path: Path, hook: Hook, model: str) -> Path:
    """One web hook is told of every incident of a model."""
    path.write_text(
        "channels:\n"
        f"  pager: {{kind: webhook, url: {hook.url}, secret: {{env: PAGER_SECRET}}}}\n"
        "routes:\n"
        f"  - {{name: on call, when: {{model: [{model}]}}, to: [pager]}}\n"
    )
    return path
