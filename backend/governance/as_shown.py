"""What was shown of a change under a digest, and whether what is stored of it is that, held against signature and log.

A decision signs what was asked for, whom its rule excludes, the evidence and the gates
(`backend.governance.asking.signed_digest`); what was asked for covers what is bound, and that the rule. To the rest
(summary, reason, versions) the entries of the change are bound. Where payloads of those were erased, what the others
still bear out counts, and what nobody can tell any more is named.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select

from backend.addresses import all_without_credentials
from backend.assurance.reading import assurance_named
from backend.audit.actions import Action
from backend.audit.change_entries import ASKED, GATES, VERDICTS, Told, told_of
from backend.database.session import ReadSession
from backend.governance.deciding import refused_gates
from backend.governance.digests import digest_of
from backend.governance.kept_documents import signed_otherwise
from backend.governance.reading import get_change, snapshot_of
from backend.governance.tables import Change, Snapshot
from backend.identity.actor import Actor
from backend.identity.people import names_of

_FIRST: Final = frozenset({Action.CHANGE_REQUESTED.value})
# What nothing signs: the part of the document, what an entry calls it, and the entries that say it.
_PARTS: Final[tuple[tuple[str, str, Collection[str]], ...]] = (
    ("summary", "summary", ASKED), ("reason", "why", ASKED), ("from_version", "from_version", _FIRST),
    ("to_version", "to_version", _FIRST),
)  # fmt: skip
# What a document that was signed may lack nevertheless: nothing signs it.
_UNSIGNED: Final[dict[str, Any]] = {
    "summary": "", "reason": "", "from_version": None, "to_version": None, "from_cutoff": None, "to_cutoff": None,
}  # fmt: skip
_OTHERWISE: Final = "is not what the log is bound to: its summary, reason or versions were altered"


@dataclass(frozen=True)
class Held:
    """`altered` says why it is not what was shown, `untold` what of it nobody can tell any more; empty: nothing."""

    altered: str = ""
    untold: str = ""


def shown_view(session: ReadSession, viewer: Actor, change_id: int, digest: str) -> dict[str, Any]:
    """What people were shown of a change under a digest, with who decided on it: from what was stored then alone, so
    that it stays when version, card and metrics are gone. `altered` and `untold` as in `Held`.

    Of what is not what was signed nothing can be relied on, not even that its parts are there: `kept` is then the whole
    of it as it is, and nothing else of it is given.
    """
    change = get_change(session, viewer, change_id)
    document = snapshot_of(session, viewer, change_id, digest)
    held = held_against_log(digest, document, told_of(session, [change_id]).get(change_id, []))
    decided = [one for one in change.decisions if one.seen_digest == digest]
    unsigned = bool(signed_otherwise(digest, document))
    people = [] if unsigned else [document.get(part) for part in ("requested_by", "trained_by", "data_owner")]
    names = names_of(session, {*people, *(one.person_id for one in decided)})
    told = {
        "id": change_id, "ref": f"CHG-{change_id}", "digest": digest,
        "shown_at": session.scalars(select(Snapshot.created_at).where(Snapshot.digest == digest)).one(),
        "altered": held.altered, "untold": held.untold, "kept": document if unsigned else None,
        "decided": [
            {"person": names.get(one.person_id), "verdict": one.verdict, "at": one.decided_at} for one in decided
        ],
    }  # fmt: skip
    if unsigned:
        return told
    return {
        **_UNSIGNED, **document, **_of_gates(document), **told,
        "bound": {
            **document["bound"], "evidence": digest_of(document["evidence"]),
            "gate results": digest_of(document["gates"]),
        },
        "way_back": _way_back(document),
        "assurance": assurance_named(session, document["evidence"].get("assurance")),
        **{part: names.get(str(document.get(part))) for part in ("requested_by", "trained_by", "data_owner")},
    }  # fmt: skip


def _of_gates(document: dict[str, Any]) -> dict[str, Any]:
    """How the gates stood: before anybody accepted what could not tell, with the exceptions that were signed."""
    policy, gates = document["policy"], document["gates"]
    excepted = sorted(one["gate"] for one in gates if one.get("exception"))
    failed, unclear = refused_gates(Change(policy=policy, gates=gates), (), excepted)
    return {
        "state": "checking" if policy["gates"] and not gates else "waiting",
        "gates_failed": failed if gates else [], "gates_unclear": unclear if gates else [],
        "gates_excepted": excepted, "exceptions": [],
    }  # fmt: skip


def _way_back(document: dict[str, Any]) -> dict[str, Any] | None:
    agreed, days = document["evidence"].get("way_back"), float(document["policy"].get("way_back_days") or 0)
    if document["kind"] != "promote" or not agreed or not days:
        return None
    return {"to_version": agreed["to_version"], "days": days}


def held_against_log(digest: str, document: dict[str, Any], told: Sequence[Told]) -> Held:
    """What the signature and the entries of the change (`told`, in their order) say of a stored document."""
    if why := signed_otherwise(digest, document):
        return Held(altered=why)
    whole = digest_of(document)
    if any(one.said is not None and one.said.get("shown") == whole for one in told):
        return Held()
    # Each of these may have been the one that names the whole document.
    erased = [
        one for one in told
        if one.said is None and (one.action in ASKED or one.action == GATES or one.action in VERDICTS)
    ]  # fmt: skip
    if not erased:
        return Held(altered=_OTHERWISE)
    unknown = []
    for part, name, actions in _PARTS:
        entries = [one for one in told if one.action in actions]
        stands = all_without_credentials(document.get(part))  # as entries have it
        if any(one.said is not None and name in one.said and one.said[name] == stands for one in entries):
            continue
        if all(one.said is not None for one in entries):
            return Held(altered=_OTHERWISE)
        unknown.append(part.replace("_", " "))
    if not unknown:
        return Held()
    numbers = ", ".join(str(one.seq) for one in erased)
    return Held(
        untold=f"nobody can tell any more whether {_listed(unknown)} stood there as they do: payloads of its entries "
        f"in the log were erased ({numbers})"
    )


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
