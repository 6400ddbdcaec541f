"""Matching people with the places of a quorum: a person of several roles takes the one that leaves most places filled.

A maximum bipartite matching by augmenting paths (Kuhn). Pure; no database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def seats(wanted: Mapping[str, int], roles: Sequence[Sequence[str]]) -> list[str | None]:
    """For each person the role in which they count, None where no place is left for them.

    `wanted`: role -> how many places it has. `roles`: of each person the roles they can count in, the one that is
    liked best first. Who comes earlier keeps a place, perhaps in another of their roles; as many places are filled as
    can be.
    """
    taken: dict[int, str] = {}

    def sit(who: int, tried: set[str]) -> bool:
        able = [role for role in roles[who] if role in wanted and role not in tried]
        held = list(taken.values())
        free = next((role for role in able if held.count(role) < wanted[role]), None)
        if free is not None:
            taken[who] = free
            return True
        for role in able:
            tried.add(role)
            for other in [one for one, at in taken.items() if at == role]:
                if sit(other, tried):
                    taken[who] = role
                    return True
        return False

    for who in range(len(roles)):
        if len(taken) == sum(wanted.values()):
            break
        sit(who, set())
    return [taken.get(who) for who in range(len(roles))]
