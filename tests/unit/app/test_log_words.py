"""What an entry of the log says, as a sentence about who did it."""

from __future__ import annotations

import re

import pytest

from app.log_words import sentence_of
from app.words import target_words
from backend.audit.actions import Action


@pytest.mark.parametrize(
    ("action", "kind", "object_id", "said"),
    [
        (Action.CHANGE_APPROVED, "change", "4", "approved change 4"),
        (Action.CARD_SUBMITTED, "card", "toy/2/1", "submitted version of card toy/2/1"),
        (Action.INCIDENT_SERIOUS, "incident", "1", "marked incident 1 as serious"),
        (Action.CHANGES_ASKED_FOR, "change", "4", "asked for changes to change 4"),
        (Action.TARGET_TOLD_AGAIN, "deployment", "2", "told target of deployment 2 again"),
    ],
)
def test_an_entry_is_a_sentence(action: Action, kind: str, object_id: str, said: str) -> None:
    assert sentence_of(action.value, kind, object_id) == said


@pytest.mark.parametrize("action", list(Action))
def test_every_action_is_told_in_the_past(action: Action) -> None:
    first = sentence_of(action.value, "model", "toy").split()[0]
    assert first.endswith("ed") or first in {
        "began", "broke", "drew", "fell", "forgot", "found", "held", "kept", "made", "met", "overtook", "ran", "set",
        "told", "took", "withdrew", "wrote",
    }  # fmt: skip


def test_a_damaged_entry_still_has_words() -> None:
    assert re.fullmatch(r"\S.*", sentence_of("", "", "")) is not None


def test_a_change_without_a_version_names_none() -> None:
    assert target_words("promote", 3) == "promote to v3"
    assert target_words("erase", None) == "erase"
    assert target_words("break_glass", None) == "break glass"
