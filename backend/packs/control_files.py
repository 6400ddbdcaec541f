"""Catalogues of controls held against the record, for each model of a pack; of the whole house its own too."""

from __future__ import annotations

from typing import Any

from backend.controls.assessment import Assessment, assess
from backend.controls.catalogues import catalogues
from backend.database.session import ReadSession
from backend.identity.actor import Actor
from backend.packs.assurance_files import add_paper
from backend.packs.container import safe_name
from backend.packs.draft import Draft
from backend.packs.monitoring_files import MOST_MODELS
from backend.packs.scope import Subject


def add_controls(draft: Draft, session: ReadSession, maker: Actor, subject: Subject) -> list[dict[str, Any]]:
    """Add `controls/`. Gives what the summary says of each catalogue.

    A pack about one model is for its readers, of whom some see nothing of the whole house: it holds none of that.
    """
    about: list[str | None] = list(subject.models[:MOST_MODELS])
    if subject.scope.model is None:
        about.insert(0, None)
    else:
        draft.left_out.append(
            "what controls ask of the whole house: packs about a period of the whole house have it"
        )
    if len(subject.models) > MOST_MODELS:
        draft.left_out.append(
            f"controls of {len(subject.models) - MOST_MODELS} models: make a pack about each"
        )
    return [
        _add(draft, session, model, assess(
            session, maker, catalogue=name, model=model, version=_version(subject, model),
            as_of=None if subject.is_now else subject.as_of, environment=subject.environment,
            tell_house=subject.scope.model is None,
        ))
        for model in about
        for name in sorted(catalogues())
    ]  # fmt: skip


def _version(subject: Subject, model: str | None) -> int | None:
    """The one it is about; of a change the newest that it names."""
    if model is None or subject.whole_model:
        return None
    return max((version for name, version in subject.versions if name == model), default=None)


def _add(draft: Draft, session: ReadSession, model: str | None, found: Assessment) -> dict[str, Any]:
    folder = f"controls/models/{safe_name(model)}" if model is not None else "controls/house"
    draft.add_json(f"{folder}/{safe_name(found.catalogue)}.json", found.as_dict())
    rows = found.rows()
    where = draft.add_csv(
        f"{folder}/{safe_name(found.catalogue)}.csv", list(rows[0]) if rows else ["control"], rows
    )
    for one in found.controls:
        if one.judged is not None:
            draft.name(one.judged.by_id)
            if one.judged.attachment:
                add_paper(draft, session, one.judged.attachment, folder)
    gaps = len(found.gaps)
    to_judge = sum(one.needs_judgement and (one.scope == "model" or model is None) for one in found.controls)
    contradicted = sum(one.state == "contradicted" for one in found.gaps)
    name = f"{found.title}, {model or 'the house'}"
    if contradicted:
        draft.gap(
            "high", f"{name}: {contradicted} of {len(rows)} controls are contradicted by the record", where
        )
    if gaps > contradicted:
        draft.gap("medium", f"{name}: for {gaps - contradicted} of {len(rows)} controls something is missing, out of "
                  "date, or judged not met", where)  # fmt: skip
    if to_judge:
        draft.gap(
            "low", f"{name}: {to_judge} of {len(rows)} controls wait for the judgement of a person", where
        )
    return {"title": found.title, "edition": found.edition, "model": model, "gaps": gaps, "to_judge": to_judge,
            "controls": len(rows), "where": where}  # fmt: skip
