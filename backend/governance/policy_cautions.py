"""What a policy says that will hardly be meant: read before people agree on it. None of it is refused.

document_cautions(read_policy(text))        # what the text alone tells
policy_cautions(session, document)          # and what is known here: environments, people, settings
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Final

from sqlalchemy import select

from backend.database.session import ReadSession
from backend.deployment.tables import Deployment, GatewayReport
from backend.governance.kinds import kinds
from backend.governance.lockout import people_here, somebody_can
from backend.governance.policy_document import EVERYWHERE, EVERYWHERE_KINDS, Entry, PolicyDocument
from backend.governance.policy_rules import TIERS, GateRule, Rollout
from backend.settings import settings

MOST_CASES: Final = 5000  # rules times environments; of a larger document it is not tried which rules apply
LONG_REVIEW_H: Final = 7 * 24
LONG_STAND_H: Final = 14 * 24
SERVING: Final = frozenset({"promote", "rollback", "cutoff"})  # their changes name a version
_ELSEWHERE: Final = "\0"  # stands for every environment that the policy does not name
Governed = dict[str, set[str]]  # rule -> the kinds of change that it governs, alone or joined with others


def policy_cautions(session: ReadSession, document: PolicyDocument) -> list[str]:
    """Everything of `document_cautions`, and what cannot be met here."""
    return [
        *document_cautions(document), *_unknown_places(document, _places(session)), *_too_few(session, document),
        *_unasked(document),
    ]  # fmt: skip


def document_cautions(document: PolicyDocument) -> list[str]:
    """What the text says to no effect, or to an effect that is easily overlooked; one sentence each."""
    places = {place for entry in document.rules for place in entry.scope.environments}
    found: list[str] = []
    if len(document.rules) * (len(places) + 1) > MOST_CASES:
        return [
            f"{len(document.rules)} rules and {len(places)} environments: which rules apply was not tried"
        ]
    governed = _governed(document, sorted(places))
    for number, entry in enumerate(document.rules):
        if entry.name not in governed:
            found.append(f"the rule {entry.name!r} never applies: {_why_never(document, number)}")
        elif entry.rule.allowed:
            found += [f"the rule {entry.name!r} {one}" for one in _of_rule(entry, governed[entry.name])]
    found += [
        f"the freeze {freeze.name!r} excepts no rollback: nobody returns as agreed in it, and the glass can be broken"
        for freeze in document.freezes
        if "rollback" not in freeze.except_kinds
    ]
    return found


def _governed(document: PolicyDocument, named: list[str]) -> Governed:
    """By trying every change that there can be."""
    found: Governed = {}
    for kind, tier, other, place in _cases(named):
        for entry in document.entries_for(kind, tier, place, other_tier=other):
            found.setdefault(entry.name, set()).add(kind)
    return found


def _cases(named: list[str]) -> Iterator[tuple[str, str, str | None, str]]:
    """(kind, tier, other tier, environment) of each change that could be asked for."""
    for kind in kinds():
        if kind in ("policy", "roles"):
            yield kind, "high", None, EVERYWHERE
        elif kind == "tier":
            yield from ((kind, one, other, EVERYWHERE) for one in TIERS for other in TIERS if one != other)
        else:
            places = [EVERYWHERE] if kind in EVERYWHERE_KINDS else [*named, _ELSEWHERE]
            places += [EVERYWHERE] if kind == "monitor" else []  # the false-alarm budget
            yield from ((kind, tier, None, place) for tier in TIERS for place in places)


def _why_never(document: PolicyDocument, number: int) -> str:
    """Why no change comes to this rule."""
    scope = document.rules[number].scope
    wanted = [kind for kind in kinds() if not scope.kinds or kind in scope.kinds]
    if wanted == ["policy"] and scope.tiers and "high" not in scope.tiers:
        return "a change of the policy counts as one of tier high"
    before = [
        entry.name
        for entry in document.rules[:number]
        if _meet(entry.scope.kinds, wanted) and _meet(entry.scope.tiers, scope.tiers)
        and _meet(entry.scope.environments, scope.environments)
    ]  # fmt: skip
    return f"all that it is for is for {' and '.join(map(repr, before))} before it"


def _meet(one: Collection[str], other: Collection[str]) -> bool:
    """Whether two parts of a scope have something in common; an empty one is for all."""
    return not one or not other or not set(one).isdisjoint(other)


def _of_rule(entry: Entry, governed: Collection[str]) -> Iterator[str]:
    """What follows on "the rule ..."."""
    rule, glass, moves = entry.rule, entry.rule.break_glass, SERVING & set(governed)
    versionless = sorted(set(governed) - SERVING)
    required = [gate.gate for gate in rule.gates if gate.required]
    if required and versionless:
        yield (
            f"asks {', '.join(required)} also of changes of kind {', '.join(versionless)}, which name no version: "
            "inconclusive each time, and to be accepted by name"
        )
    if glass is not None:
        if not set(glass.kinds) & set(governed):
            yield f"lets the glass be broken for {', '.join(glass.kinds)}, and governs {', '.join(sorted(governed))}"
        elif glass.review_within_h > LONG_REVIEW_H or glass.lasts_h > LONG_STAND_H:
            yield (
                f"lets what nobody approved stand for {glass.lasts_h:g} h, with a review within "
                f"{glass.review_within_h:g} h"
            )
    if rule.conditions and not moves:
        yield "has conditions, and governs no change that brings a version into service"
    if rule.on_breach == "return" and not ("promote" in governed and rule.way_back_days):
        yield "returns on a breach (`on_breach: return`), and agrees on no return"
    if rule.rollout.strategy == "canary" and not rule.rollout.bake_s and "promote" in governed:
        yield (
            "takes a canary through its steps and watches none of them (no `bake_s`): nothing is judged on the way to "
            "all requests"
        )
    if rule.rollout != Rollout() and "promote" not in governed:
        yield "has a rollout, which a promotion alone follows, and governs none"
    if rule.only_by_change and "monitor" not in governed:
        yield "says `only_by_change`, which is about monitors, and governs no change of one"
    if rule.accounts and all(kinds()[kind].people_only for kind in governed):
        yield f"says `accounts: true`, and people alone decide on {', '.join(sorted(governed))}"
    for gate in (*rule.gates, *rule.conditions):
        yield from _of_gate(gate)


def _of_gate(gate: GateRule) -> Iterator[str]:
    if gate.gate == "artefact_scanned":
        allowed = gate.parameters.get("allow", ())
        runs = sorted({name for name in allowed if name.split(".")[0] in sys.stdlib_module_names})
        if runs:
            yield (
                f"lets artefacts import {', '.join(runs)} of Python's own library, which is what the scan is there to "
                "find; name modules of your own in `allow`"
            )


def _places(session: ReadSession) -> set[str]:
    """Environments in which something serves or served, or a gateway reports; and that of this installation."""
    served = session.scalars(select(Deployment.environment).distinct())
    return {settings().environment, *served, *session.scalars(select(GatewayReport.environment).distinct())}


def _unknown_places(document: PolicyDocument, known: Collection[str]) -> Iterator[str]:
    named = [("rule", entry.name, entry.scope.environments) for entry in document.rules]
    named += [("freeze", freeze.name, freeze.environments) for freeze in document.freezes]
    for what, name, places in named:
        for place in places:
            if place not in known:
                near = get_close_matches(place, known, n=1)
                meant = f"; {near[0]} may be meant" if near else ""
                yield (
                    f"the {what} {name!r} names the environment {place}, where nothing serves or served and no gateway "
                    f"reports{meant}: in force, the policy makes it one that changes can name"
                )


def _too_few(session: ReadSession, document: PolicyDocument) -> Iterator[str]:
    """Of each quorum that nobody here fills, the rules that ask for it."""
    asking: dict[str, list[Entry]] = {}
    for entry in document.rules:
        if entry.rule.allowed and not entry.rule.accounts:
            roles = sorted(entry.rule.roles.items())
            key = ", ".join(f"{count} {role.replace('_', ' ')}" for role, count in roles)
            asking.setdefault(key, []).append(entry)
    people = people_here(session)
    for needed, entries in asking.items():
        if not somebody_can(people, entries[0].rule.roles, in_teams=True):
            names = ", ".join(repr(entry.name) for entry in entries)
            yield (
                f"under {names} nothing could be approved: that needs {needed} beside "
                "who asks, and there are not so many people who may sign in with these roles"
            )


def _unasked(document: PolicyDocument) -> Iterator[str]:
    for entry in () if settings().gate_url else document.rules:
        if any(gate.gate == "external" and gate.parameters.get("ask") for gate in entry.rule.gates):
            yield (
                f"the rule {entry.name!r} has its external checks asked, and WARRANT_GATE_URL is not set: they are "
                "inconclusive each time"
            )
