"""Which version answers a key: a stable share, the same keys for as long as the share does not fall."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backend import clock
from backend.serving.board import Beside, Entry, Serving, position
from backend.serving.predictor import Predictor
from backend.serving.record import Target


def serving(version: int, role: str, share: float, segments: dict[str, list[str]] | None = None) -> Serving:
    target = Target(
        "m", version * 10, version, role, 0.5, "", f"d{version}", {}, share, segments or {}
    )  # fmt: skip
    return Serving(target, Predictor(object(), digest="", load_s=0), {}, "binary", clock.now())


CHAMPION = serving(1, "champion", 1.0)


def entry(share: float, *, loaded: bool = True, role: str = "canary") -> Entry:
    canary: Any = serving(2, role, share)
    return Entry(CHAMPION, CHAMPION.target, None, (Beside(canary.target, canary if loaded else None),))


def version(entry: Entry, key: str, **features: float | str) -> int:
    found = entry.answering(key, features)
    assert found is not None
    return found.target.version


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_key_that_the_canary_answers_stays_with_it_when_the_share_rises(
    key: str, one: float, other: float
) -> None:
    small, large = sorted((one, other))
    if version(entry(small), key) == 2:
        assert version(entry(large), key) == 2


def test_the_share_of_keys_is_the_share() -> None:
    for share in (0.0, 0.05, 0.5, 1.0):
        drawn = sum(version(entry(share), f"customer {number}") == 2 for number in range(10_000))
        assert abs(drawn / 10_000 - share) < 0.015


@given(st.text(), st.floats(0, 1))
def test_what_is_not_loaded_and_what_is_a_shadow_answers_nothing(key: str, share: float) -> None:
    assert version(entry(share, loaded=False), key) == 1
    assert version(entry(share, role="shadow"), key) == 1


def test_another_candidate_draws_other_keys() -> None:
    both = sum(position("m/2", str(n)) < 0.1 and position("m/3", str(n)) < 0.1 for n in range(10_000))
    assert 50 < both < 160  # a tenth of a tenth; the same keys would be a thousand


@given(st.text(), st.floats(0, 1), st.sampled_from(["AA", "B6", "UA", ""]))
def test_of_segments_a_canary_draws_the_same_keys_and_of_other_rows_none(
    key: str, share: float, carrier: str
) -> None:
    canary = serving(2, "canary", share, {"carrier": ["AA", "UA"], "region": ["EU"]})
    kept = Entry(CHAMPION, CHAMPION.target, None, (Beside(canary.target, canary),))
    features = {"carrier": carrier} if carrier else {}
    inside = carrier in ("AA", "UA")
    assert version(kept, key, **features) == (version(entry(share), key) if inside else 1)
    assert version(kept, key, **features, region="EU") == version(entry(share), key)


@given(st.text(), st.text())
def test_a_position_is_from_0_to_below_1(salt: str, key: str) -> None:
    assert 0 <= position(salt, key) < 1
