"""Matching people with the places of a quorum fills as many as can be filled, in whatever order they came."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from backend.governance.seats import seats

ROLES = ("ml_lead", "compliance", "on_call")
PEOPLE = st.lists(st.lists(st.sampled_from(ROLES), unique=True, max_size=3), max_size=5)
WANTED = st.dictionaries(st.sampled_from(ROLES), st.integers(1, 2), min_size=1)


def most(wanted: dict[str, int], people: list[list[str]]) -> int:
    """As many places as can be filled, found by trying every way to fill them one by one."""
    places = [role for role, count in wanted.items() for _ in range(count)]
    return max(
        sum(place in people[who] for place, who in zip(places, order, strict=False))
        for order in permutations(range(len(people)))
    ) if people else 0  # fmt: skip


def test_who_can_do_both_makes_room() -> None:
    wanted = {"compliance": 1, "ml_lead": 1}
    assert seats(wanted, [["compliance", "ml_lead"], ["compliance"]]) == ["ml_lead", "compliance"]
    assert seats(wanted, [["compliance", "ml_lead"], ["ml_lead"]]) == ["compliance", "ml_lead"]
    assert seats(wanted, [["compliance"], ["compliance"]]) == ["compliance", None]


@given(WANTED, PEOPLE)
def test_as_many_places_are_filled_as_can_be(wanted: dict[str, int], people: list[list[str]]) -> None:
    found = seats(wanted, people)
    counted = [role for role in found if role is not None]
    assert all(role is None or role in people[who] for who, role in enumerate(found))
    assert all(counted.count(role) <= wanted.get(role, 0) for role in counted)
    padded = people + [[]] * max(0, sum(wanted.values()) - len(people))
    assert len(counted) == most(wanted, padded[:6])


@given(WANTED, PEOPLE)
def test_who_came_first_keeps_a_place(wanted: dict[str, int], people: list[list[str]]) -> None:
    for count in range(len(people)):
        before, after = seats(wanted, people[:count]), seats(wanted, people[: count + 1])
        assert all(after[who] is not None for who, role in enumerate(before) if role is not None)
