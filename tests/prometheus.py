"""A real Prometheus on this machine, in a folder of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.processes import START_S, free_port, wait_until
from tests.requirements import require


@contextmanager
def running_prometheus(folder: Path, config: str = "{}") -> Iterator[str]:
    """Its address, once it is ready. Blocks that lie in `folder/data` are its history."""
    program = require("prometheus")
    (folder / "prometheus.yml").write_text(config)
    url = f"http://127.0.0.1:{free_port()}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "--config.file=prometheus.yml", "--storage.tsdb.path=data",
             "--storage.tsdb.allow-overlapping-blocks", f"--web.listen-address={url.removeprefix('http://')}"],
            cwd=folder, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def ready() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            return httpx.get(f"{url}/-/ready", timeout=1.0).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(ready, within_s=START_S, what="Prometheus")
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)
