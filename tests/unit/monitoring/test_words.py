"""One name for a metric wherever people read it."""

from __future__ import annotations

from app import words as of_pages
from backend.cards.fact_blocks import metric_word as of_cards
from backend.monitoring import words
from backend.monitoring.performance import DEFINITIONS


def test_pages_and_cards_call_a_metric_by_the_same_name() -> None:
    assert of_pages.metric_word is words.metric_word
    for name in DEFINITIONS:
        assert of_cards(name).lower() == words.metric_word(name).lower()
        assert "_" not in words.metric_word(name)


def test_a_stored_sentence_is_told_in_words_and_telling_it_again_changes_nothing() -> None:
    text = "realised roc_auc from 0.750 to 0.610; missing_rate of my_roc_auc; brier"
    told = words.named_in_words(text)
    assert told == "realised AUC from 0.750 to 0.610; missing of my_roc_auc; Brier score"
    assert words.named_in_words(told) == told
