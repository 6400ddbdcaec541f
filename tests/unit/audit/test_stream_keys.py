"""What a system that follows the log tells a repetition by."""

from __future__ import annotations

from typing import Any

import pytest

from backend.audit.formats import format_named
from backend.audit.formats.record import Record
from backend.audit.streams.base import Batch
from backend.audit.streams.webhook import Webhook
from backend.settings import settings
from backend.signed_http import SignedSender


def entry(seq: int, leaf_hash: str) -> Record:
    return Record(
        seq=seq, at="2026-03-01T09:00:00.000000Z", actor="per_1", actor_name="", actor_kind="person", acting_for="",
        session="", request="", action="governance:change:approve", object_kind="change", object_id="1", why="",
        address="", payload=None, erased="", damaged=False, leaf="{}", leaf_hash=leaf_hash,
    )  # fmt: skip


def test_entries_with_the_numbers_of_lost_ones_are_no_repetition(
    home: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARRANT_AUDIT_STREAM_SECRET", "shared")
    settings.cache_clear()
    keys: list[str] = []

    def post(_: Any, document: dict[str, Any], *, key: str) -> None:
        keys.append(key)

    monkeypatch.setattr(SignedSender, "post", post)
    webhook = Webhook("https://siem.example/in")
    for leaf_hash in ("aa" * 32, "aa" * 32, "bb" * 32):
        webhook.send(Batch("warrant.example/audit", format_named("jsonl"), (entry(7, leaf_hash),)))
    assert keys[0] == keys[1] != keys[2]
