"""Notices over HTTP: what is owed, and the test of a channel."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend import clock
from backend.alerting.service import Firing, fire
from backend.database.session import writing
from backend.settings import settings
from tests.integration.api.conftest import Callers
from tests.worlds import SYSTEM

CONTACTS = """
channels:
  hook: {kind: webhook, url: "http://127.0.0.1:9/in", secret: {env: WARRANT_TEST_KEY}}
routes: [{name: all, to: [hook]}]
"""


def test_what_is_owed_is_said_and_a_test_is_asked_for(
    callers: Callers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "contacts.yaml"
    path.write_text(CONTACTS)
    monkeypatch.setenv("WARRANT_CONTACTS", str(path))
    settings.cache_clear()
    with writing() as session:
        fire(
            session,
            SYSTEM,
            Firing("toy", "production", 2, "realised", "page", "AUC fell", "auc", clock.now(), {}),
        )
    found = callers.get("viewer", "/notifications").json()
    assert found["sending"]["problem"] == "No worker has ever sent a notice here."
    assert [(one["channel"], one["why"]) for one in found["untold"]] == [("hook", "route all")]
    assert callers.post("viewer", "/channels/hook/test").status_code == 403
    answer = callers.post("on_call", "/channels/hook/test")
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    (channel,) = callers.get("viewer", "/notifications").json()["channels"]
    assert channel["test"] == "queued"
