"""Search over everything that has a name or a number, within what the viewer may see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from backend.database.session import ReadSession
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.identity.reach import see
from backend.search.hits import MOST, Found, Group, Hit
from backend.search.kinds import KINDS, Kind
from backend.search.predictions import NOT_LOOKED_UP, look_in_stores
from backend.search.typed import Typed, read_typed

NAMES: Final = tuple(one.name for one in KINDS)


def search(
    session: ReadSession,
    viewer: Actor,
    text: str,
    *,
    kind: str | None = None,
    limit: int = 8,
    observations: Path | None = None,
) -> Found:
    """What has this id, begins with this text, or has all of its words: at most `limit` of each kind.

    kind          this one alone
    observations  where the stored predictions lie; with it they are asked for an id that no explained one has

    Raises `BadInput`: nothing was typed, too much, or there is no such kind.
    """
    see(session, viewer)
    typed = read_typed(text)
    if kind is not None and kind not in NAMES:
        raise BadInput(f"there is no kind {kind!r} to search; there is {', '.join(NAMES)}", field="kind")
    limit = max(1, min(limit, MOST))
    wanted = [one for one in KINDS if kind is None or one.name == kind]
    asked = [one for one in wanted if one.may(viewer)]
    not_asked = {one.title: f"needs {one.needs.value}" for one in wanted if not one.may(viewer)}
    groups = [_asked(session, viewer, one, typed, limit) for one in asked]
    if observations is not None:
        groups, left_out = _with_stored(session, viewer, typed, groups, observations)
        if left_out:
            not_asked["Predictions"] = f"of {left_out} more models: write model/prediction-id"
    exact = [hit for group in groups for hit in group.hits if hit.exact]
    return Found(
        typed.text, tuple(one for one in groups if one.hits), exact[0] if len(exact) == 1 else None, not_asked
    )


def _asked(session: ReadSession, viewer: Actor, kind: Kind, typed: Typed, limit: int) -> Group:
    hits = kind.ask(session, viewer, typed, limit + 1)
    return Group(kind.name, kind.title, tuple(hits[:limit]), more=len(hits) > limit)


def _with_stored(
    session: ReadSession, viewer: Actor, typed: Typed, groups: list[Group], observations: Path
) -> tuple[list[Group], int]:
    """The same groups, that of predictions with those that are only stored."""
    place = next((at for at, one in enumerate(groups) if one.kind == "prediction"), None)
    if place is None:
        return groups, 0
    explained = tuple(one for one in groups[place].hits if one.state != NOT_LOOKED_UP)
    known = frozenset(one.query["model"] for one in explained)
    found, left_out = look_in_stores(session, viewer, typed, observations=observations, known=known)
    hits: tuple[Hit, ...] = (*explained, *found)
    return [*groups[:place], replace(groups[place], hits=hits), *groups[place + 1 :]], left_out
