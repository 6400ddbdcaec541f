"""A real Alertmanager: an incident is one alert there, under its severity, until it is over."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend import clock
from backend.heartbeat import Receiver
from backend.notifications.channels.alertmanager import Alertmanager
from backend.notifications.messages import Told
from tests.integration.notifications.test_channels import FIRST
from tests.requirements import require

CONFIGURATION = "route: {receiver: none}\nreceivers: [{name: none}]\n"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = require("alertmanager")
    folder: Path = tmp_path_factory.mktemp("alertmanager")
    (folder / "am.yml").write_text(CONFIGURATION)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [str(program), f"--config.file={folder / 'am.yml'}", f"--storage.path={folder}",
         f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                if httpx.get(f"{address}/-/ready", timeout=1).is_success:
                    break
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield address
    finally:
        process.kill()
        process.wait()


def alerts(address: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{address}/api/v2/alerts", timeout=5).json()
    return [one for one in found if one["labels"].get("key") == FIRST.key]


def wait_for(address: str, severities: list[str]) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 10
    while True:
        found = alerts(address)
        if sorted(one["labels"]["severity"] for one in found) == severities or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def test_an_incident_is_one_alert_that_grows_graver_and_ends(address: str) -> None:
    channel = Alertmanager(address)
    channel.tell(FIRST, None)
    channel.tell(FIRST, Told(FIRST.key, "open", FIRST.digest, FIRST.severity))
    (alert,) = wait_for(address, ["SEV-2"])
    assert alert["annotations"]["summary"] == FIRST.summary
    assert alert["generatorURL"] == FIRST.link
    graver = replace(FIRST, severity=1)
    channel.tell(graver, Told(FIRST.key, "open", FIRST.digest, FIRST.severity))
    (alert,) = wait_for(address, ["SEV-1"])
    assert alert["labels"]["severity"] == "SEV-1"
    over = replace(graver, state="resolved")
    channel.tell(over, Told(FIRST.key, "open", graver.digest, graver.severity))
    assert wait_for(address, []) == []


def test_the_heartbeat_is_an_alert_that_always_fires(address: str, migrated_home: Path) -> None:
    for _ in range(2):
        Receiver("alertmanager", address).tell(clock.now())
    deadline = time.monotonic() + 10
    while not (found := httpx.get(f"{address}/api/v2/alerts", timeout=5).json()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (alive,) = [one for one in found if one["labels"]["alertname"] == "WarrantAlive"]
    assert alive["status"]["state"] in ("active", "unprocessed")
    assert clock.from_iso(alive["endsAt"]) > clock.now()
