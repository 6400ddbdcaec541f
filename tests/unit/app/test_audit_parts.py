"""What the audit page says first, in each state of the log."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.components.audit_parts import record_details, record_words
from backend import clock
from backend.audit.state import Kept, LogState
from backend.audit.tables import AuditFinding, AuditVerification

NOW = datetime(2026, 3, 2, 23, 57, 30, tzinfo=UTC)
SIGNED = datetime(2026, 3, 2, 23, 55, 4, tzinfo=UTC)
PUBLISHED = {"problem": "", "published_size": 8}
B = Kept("witness", "host-b.example/witness+1a2b3c4d+AAAA", 8, SIGNED, SIGNED)
GOOD = AuditVerification(at=NOW - timedelta(hours=2), ok=True, size=7, root="", problem="")


@pytest.fixture(autouse=True)
def at_night(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


def state(**changes: Any) -> LogState:
    values: dict[str, Any] = {
        "size": 8, "root": "ab" * 32, "signed_size": 8, "signed_at": SIGNED, "unsigned": 0, "kept": (B,),
        "unanchored": 0, "checked": GOOD, "findings": (),
    }  # fmt: skip
    return LogState(**{**values, **changes})


def test_a_witnessed_record_says_until_when_and_by_whom() -> None:
    assert record_words(state(), PUBLISHED) == (
        "Record intact to 2026-03-02 23:55:04 UTC, witnessed by host-b.example/witness (key 1a2b3c4d)", "ok",
    )  # fmt: skip
    assert "recomputed 2\N{NARROW NO-BREAK SPACE}h ago: found intact" in record_details(
        state(), PUBLISHED, NOW
    )


def test_a_witness_is_named_before_a_repository_of_ours() -> None:
    tags = Kept("git", "/srv/tags", 8, SIGNED, NOW)
    assert record_words(state(kept=(tags, B)), PUBLISHED)[0].endswith(
        "witnessed by host-b.example/witness (key 1a2b3c4d)"
    )
    assert record_words(state(kept=(tags,)), PUBLISHED)[0].endswith("kept in git at /srv/tags")


def test_nothing_is_called_intact_that_was_not_recomputed() -> None:
    assert record_words(state(checked=None), PUBLISHED)[0].startswith(
        "Record signed to 2026-03-02 23:55:04 UTC"
    )
    bad = AuditVerification(at=NOW, ok=False, size=3, root="", problem="entry 3: the leaf's hash differs")
    assert record_words(state(checked=bad), PUBLISHED) == ("The record is not as it was written", "page")
    assert "entry 3: the leaf's hash differs" in record_details(state(checked=bad), PUBLISHED, NOW)


def test_what_nobody_else_holds_is_amber() -> None:
    alone = state(kept=(), unanchored=8)
    assert record_words(alone, PUBLISHED) == (
        "Record intact to 2026-03-02 23:55:04 UTC, witnessed by nobody",
        "attention",
    )
    assert "no witness and no repository" in record_details(alone, PUBLISHED, NOW)
    invented = replace(B, known=False)
    nobody = state(kept=(invented,), unanchored=8)
    assert record_words(nobody, PUBLISHED)[1] == "attention"
    assert "no place that the settings name" in record_details(nobody, PUBLISHED, NOW)
    old = Kept(B.kind, B.place, 6, NOW - timedelta(minutes=30), NOW)
    behind = state(kept=(old,), unanchored=2)
    assert record_words(behind, PUBLISHED)[1] == "attention"
    assert "2 entries not kept elsewhere yet" in record_details(behind, PUBLISHED, NOW)
    fresh = Kept(B.kind, B.place, 6, SIGNED, SIGNED)
    assert record_words(state(kept=(fresh,), unanchored=2), PUBLISHED)[1] == "ok"


def test_a_signer_that_is_away_is_amber_and_a_log_without_signed_heads_is_unknown() -> None:
    silent = NOW - timedelta(hours=3)
    kept = Kept(B.kind, B.place, 8, silent, silent)
    assert record_words(state(signed_at=silent, kept=(kept,)), PUBLISHED)[1] == "attention"
    assert "does a worker run?" in record_details(state(signed_at=silent, kept=(kept,)), PUBLISHED, NOW)
    unsigned = state(signed_at=None, signed_size=None, kept=(), unanchored=8, unsigned=8)
    assert record_words(unsigned, PUBLISHED) == (
        "8 entries, none of them in a signed head yet",
        "unknown",
    )


def test_a_cut_log_and_a_grave_finding_come_first() -> None:
    assert record_words(state(size=5), PUBLISHED)[1] == "page"
    grave = AuditFinding(kind="not_signed", level="page", title="the log contradicts the head: entry 3")
    assert record_words(state(findings=(grave,)), PUBLISHED) == (
        "The record needs a person: the log contradicts the head", "page",
    )  # fmt: skip
    assert record_words(state(), {**PUBLISHED, "problem": "not a head"})[1] == "page"
