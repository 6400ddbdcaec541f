"""The keys `explanations` and `reason_codes` of a model spec: what is explained by itself, and in which sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from backend.errors import BadInput

MOST_ROWS: Final = 5_000
LONGEST_SENTENCE: Final = 300


@dataclass(frozen=True)
class ExplanationRule:
    """Which predictions of each finished window a job explains by itself.

    sample   so many, drawn by the hash of their ids
    always   so many more at most of those that an alert or a worst slice is about
    """

    sample: int = 100
    always: int = 200


def read_explanations(value: Any) -> ExplanationRule | None:
    """From the mapping under `explanations`; None: nothing is explained by itself."""
    if value is None:
        return None
    keys = tuple(ExplanationRule.__dataclass_fields__)
    if not isinstance(value, Mapping) or set(value) - set(keys):
        raise BadInput(
            f"explanations: {value!r}; write a mapping with {', '.join(keys)}, such as {{sample: 100}}"
        )
    for name, given in value.items():
        if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= MOST_ROWS:
            raise BadInput(f"explanations.{name}: {given!r} is not a whole number from 0 to {MOST_ROWS:,}")
    return ExplanationRule(**value)


def read_reason_codes(value: Any, features: frozenset[str], favours: str) -> tuple[tuple[str, str], ...]:
    """(feature, sentence) pairs. Several features may share a sentence: they count together.

    Needs `favourable`: without it nobody can tell which decision declines a case.
    """
    if value is None:
        return ()
    if not isinstance(value, Mapping) or not value:
        raise BadInput("reason_codes: write a mapping of features to plain sentences")
    if not favours:
        raise BadInput(
            "reason_codes: say under `favourable` which decision is good for whom it is about, or a declined case "
            "cannot be told"
        )
    unknown = sorted(str(name) for name in value if name not in features)
    if unknown:
        raise BadInput(f"reason_codes: {', '.join(unknown)} is no feature that the model reads")
    pairs = []
    for name, sentence in value.items():
        if not isinstance(sentence, str) or not 0 < len(sentence.strip()) <= LONGEST_SENTENCE:
            raise BadInput(
                f"reason_codes.{name}: write a sentence of at most {LONGEST_SENTENCE} characters for people"
            )
        pairs.append((str(name), sentence.strip()))
    return tuple(pairs)
