"""Tags: words that people file models under, to find them together again."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.many import among
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput
from backend.fleet.tables import ModelTag
from backend.identity.actor import Actor
from backend.identity.reach import allow, see
from backend.identity.roles import Permission
from backend.registry.service import get_model
from backend.registry.tables import Model

MOST: Final = 20
"""Tags of one model"""
_WORD: Final = re.compile(r"[a-z0-9][a-z0-9._:-]{0,39}")


def tag_model(
    session: WriteSession,
    actor: Actor,
    model: str,
    *,
    add: Collection[str] = (),
    remove: Collection[str] = (),
) -> list[str]:
    """Put tags on a model and take others off; gives those it has then, sorted. What changes nothing leaves no entry.

    `BadInput` for a tag that is no tag, one that is put on and taken off, or more than `MOST`.
    """
    allow(session, actor, Permission.KEEP_INVENTORY)
    get_model(session, actor, model)
    put, off = {checked_tag(one) for one in add}, {checked_tag(one) for one in remove}
    if put & off:
        raise BadInput(f"{min(put & off)} is both put on and taken off", field="remove")
    # Who tags it at the same time waits here: rows that are not there yet cannot be locked.
    session.execute(select(Model.name).where(Model.name == model).with_for_update(key_share=True))
    rows = {row.tag: row for row in session.scalars(select(ModelTag).where(ModelTag.model == model))}
    before = set(rows)
    after = (before | put) - off
    if len(after) > MOST:
        raise BadInput(f"a model has {MOST} tags at most; take one off first", field="add")
    if after == before:
        return sorted(after)
    for tag in before - after:
        session.delete(rows[tag])
    now = clock.now()
    session.add_all(
        ModelTag(model=model, tag=tag, tagged_by=actor.person_id, tagged_at=now) for tag in after - before
    )
    session.flush()
    record(
        session, actor, Action.MODEL_TAGGED, object_kind="model", object_id=model,
        payload={"before": sorted(before), "after": sorted(after)},
    )  # fmt: skip
    return sorted(after)


def checked_tag(text: str) -> str:
    """A tag as it is stored: in small letters. `BadInput` where it cannot be one."""
    tag = text.strip().lower()
    if not _WORD.fullmatch(tag):
        raise BadInput(
            f"{text[:60]!r} is no tag: 1 to 40 letters a to z, digits, and . _ : - between them", field="tag"
        )
    return tag


def tags_of(session: ReadSession, viewer: Actor, models: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Model -> its tags, sorted; of those that the viewer may see and that have any."""
    see(session, viewer)
    found: dict[str, list[str]] = {}
    query = select(ModelTag.model, ModelTag.tag).order_by(ModelTag.model, ModelTag.tag)
    for model, tag in session.execute(query.where(among(ModelTag.model, sorted(set(models))))):
        found.setdefault(model, []).append(tag)
    return {model: tuple(tags) for model, tags in found.items()}
