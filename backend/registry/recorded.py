"""What the log says of versions and of models: who trained, whose data, and whether a model's rules are enforced.

The first two decide who may not decide on a change; the last, whether rules hold anything up.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from backend.audit.actions import Action
from backend.audit.entries_about import Said, entries_about
from backend.database.session import ReadSession
from backend.errors import Conflict
from backend.registry.tables import Model, Version

_PEOPLE: Final = {"trained_by": "who trained it", "data_owner": "who owns its data"}
_SAID_BY: Final = {
    "trained_by": (Action.VERSION_REGISTERED,),
    "data_owner": (Action.VERSION_REGISTERED, Action.DATA_OWNER_DECLARED),
}
_DOES: Final = {
    Action.VERSION_REGISTERED: "registers it",
    Action.DATA_OWNER_DECLARED: "says whose its data are",
}
TIERS_BY: Final = {
    Action.MODEL_REGISTERED: "tier", Action.VENDOR_MODEL_REGISTERED: "tier", Action.TIER_CHANGED: "after",
}  # fmt: skip
ENFORCED: Final = (Action.MODEL_REGISTERED, Action.ENFORCEMENT_CHANGED)


class VersionAltered(Conflict):
    """The stored version names other people than the log."""

    title = "The version is not as it was registered"


class TierAltered(Conflict):
    """The stored tier of a model is not the one that was set."""

    title = "The tier is not as it was set"


def people_otherwise(session: ReadSession, versions: Sequence[Version]) -> dict[tuple[str, int], str]:
    """(model, version) -> what the log says otherwise, in words: its registration, and the newest declaration of whose
    its data are. Not compared: an entry that was erased."""
    entries = entries_about(
        session, "version", [f"{one.model}/{one.version}" for one in versions], _SAID_BY["data_owner"]
    )
    found = {}
    for one in versions:
        told = entries.get(f"{one.model}/{one.version}", [])
        differs = [
            f"{words} of version {one.version} of {one.model} differs from entry {last.seq}, which {_DOES[last.action]}"
            for name, words in _PEOPLE.items()
            for last in [said for said in told if said.action in _SAID_BY[name]][-1:]
            if last.payload is not None and name in last.payload and last.payload[name] != getattr(one, name)
        ]
        if differs:
            found[one.model, one.version] = "; ".join(differs)
    return found


def refuse_other_people(session: ReadSession, version: Version) -> None:
    """`VersionAltered` where the row names other people than the log: whom the rule excludes would not be excluded."""
    for said in people_otherwise(session, [version]).values():
        raise VersionAltered(
            f"{said}. Nobody asks for a change with it or carries one out; put the row in `versions` back to what the "
            "entry says, and find out who wrote to the database",
            model=version.model, version=version.version,
        )  # fmt: skip


def tier_otherwise(session: ReadSession, models: Collection[Model]) -> dict[str, str]:
    """Model -> what the log says otherwise of its tier, in words. A model that was only imported has no entry."""
    entries = entries_about(session, "model", [one.name for one in models], tuple(TIERS_BY))
    found = {}
    for one in models:
        for last in entries.get(one.name, [])[-1:]:
            said = None if last.payload is None else last.payload.get(TIERS_BY[last.action])
            if said is not None and said != one.tier:
                found[one.name] = f"{one.name} is of tier {one.tier}, and entry {last.seq} says {said}"
    return found


def refuse_other_tier(session: ReadSession, model: Model) -> None:
    """`TierAltered` where the row has another tier than the log: another rule would govern."""
    for said in tier_otherwise(session, [model]).values():
        raise TierAltered(
            f"{said}. Nobody asks for a change of it or carries one out; put the row in `models` back to what the "
            "entry says, and find out who wrote to the database",
            model=model.name,
        )


def enforcement_otherwise(session: ReadSession, models: Collection[Model]) -> dict[str, str]:
    """Model -> what the log says otherwise of whether its rules are enforced, in words. A model that was only imported
    is observed; what an erased entry said is not compared."""
    entries = entries_about(session, "model", [one.name for one in models], ENFORCED)
    found = {}
    for one in models:
        for last in entries.get(one.name, [])[-1:]:
            said = _enforcement(last)
            if said is not None and said != one.enforcement:
                found[one.name] = (
                    f"the rules of {one.name} are set to {one.enforcement}, and entry {last.seq} says {said}"
                )
    return found


def _enforcement(last: Said) -> Any:
    told: Mapping[str, Any] | None = last.payload
    if last.action is Action.MODEL_REGISTERED:
        return None if told is None or "enforcement" not in told else told["enforcement"]
    return None if told is None else told.get("to")
