"""One act on many models: what exactly it would do to which, who is left out and why, and then doing it.

A preview has a digest of what would be done. Whoever acts names the digest they saw: has anything of it moved since,
nothing is done. Each model is done by itself; one that is refused meanwhile is told, and the others stand.

    tag       put tags on, and take tags off
    silence   mute its alerts, for hours or until they get worse
    owner     name another owner
    policy    have it governed by the rules of another tier: a change of kind `tier` is asked for, which people decide
    enforce   have its rules enforced where they only report
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Final, Literal

from sqlalchemy import func, select

from backend import clock
from backend.alerting.silences import LONGEST, Matchers, matchers_of, silence
from backend.alerting.tables import Alert, Silence
from backend.assurance.facts import keep_facts
from backend.assurance.hands import require_person
from backend.database.many import among
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, WarrantError
from backend.fleet.tags import checked_tag, tag_model, tags_of
from backend.governance import machine
from backend.governance.asking import checked_text, preview_change, refuse_stale, request_change
from backend.governance.digests import digest_of
from backend.governance.kinds import Asked
from backend.governance.move_answers import set_enforcement
from backend.governance.policy_rules import TIERS
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.freshness import SignInAgain
from backend.identity.people import names_of
from backend.identity.reach import see
from backend.identity.roles import Permission
from backend.identity.tables import Person
from backend.registry.tables import Model

Act = Literal["silence", "owner", "tag", "policy", "enforce"]
ACTS: Final[dict[Act, str]] = {
    "silence": "Silence alerts", "owner": "Assign an owner", "tag": "Tag", "policy": "Apply the rules of a tier",
    "enforce": "Enforce the rules",
}  # fmt: skip
MOST: Final = 500
"""Models of one act"""
LONGEST_HOURS: Final = int(LONGEST["silence"].total_seconds() // 3600)


@dataclass(frozen=True)
class Asking:
    """What is to be done to which models. What an act does not use is left out.

    why      others read it at each model
    hours    silence: how long; None with `until_worse`
    owner    owner: a user name
    add      tag: what to put on; remove: what to take off
    tier     policy: whose rules
    """

    act: Act
    models: tuple[str, ...]
    why: str = ""
    hours: int | None = None
    until_worse: bool = False
    owner: str = ""
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    tier: str = ""


@dataclass(frozen=True)
class Planned:
    """One model of an act: what would be done, in words, and what that rests on."""

    model: str
    what: str
    rests_on: str = ""


@dataclass(frozen=True)
class LeftOut:
    """A model that an act leaves as it is, and why; also one that was refused when it was its turn."""

    model: str
    reason: str


@dataclass(frozen=True)
class ActPreview:
    """What an act would do now."""

    asking: Asking
    planned: tuple[Planned, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def digest(self) -> str:
        """Of what would be done to which model, and how; not of the words that say why."""
        how = {key: value for key, value in asdict(self.asking).items() if key not in ("models", "why")}
        return digest_of(
            {"how": how, "planned": [[one.model, one.what, one.rests_on] for one in self.planned]}
        )


@dataclass(frozen=True)
class ActResult:
    """What came of an act, model by model."""

    done: tuple[Planned, ...]
    refused: tuple[LeftOut, ...]
    left_out: tuple[LeftOut, ...]


Planner = Callable[[ReadSession, Actor, Asking, str, Sequence[Model]], list[Planned | LeftOut]]


def preview_act(session: ReadSession, viewer: Actor, asking: Asking, environment: str) -> ActPreview:
    """What the act would do to each model that was named, in the order of their names, and whom it leaves out.

    `BadInput` for an act that is not there, without models or with more than `MOST`, or whose values make no sense. A
    model that the viewer does not see is left out like one that is not there.
    """
    see(session, viewer)
    viewer.require_some(_right_of(viewer, asking.act))
    _check(asking)
    names = sorted(set(asking.models))
    found = {one.name: one for one in session.scalars(select(Model).where(among(Model.name, names)))}
    left = [LeftOut(name, "there is no such model that you may see") for name in names if name not in found]
    mine = []
    for name, model in sorted(found.items()):
        refused = _why_not(viewer, asking.act, name)
        if refused:
            left.append(LeftOut(name, refused))
        else:
            mine.append(model)
    told = _PLANNERS[asking.act](session, viewer, asking, environment, mine) if mine else []
    planned = tuple(one for one in told if isinstance(one, Planned))
    left += [one for one in told if isinstance(one, LeftOut)]
    return ActPreview(asking, planned, tuple(sorted(left, key=lambda one: one.model)))


def perform_act(
    session: WriteSession, actor: Actor, asking: Asking, environment: str, *, seen_digest: str
) -> ActResult:
    """Do what was previewed. `ChangedSinceSeen` where it would now be something else; nothing is done then."""
    preview = preview_act(session, actor, asking, environment)
    refuse_stale(preview.digest, seen_digest, "what this would do")
    if asking.act not in ("enforce", "tag"):
        checked_text(asking.why, "reason", required=True)
    done: list[Planned] = []
    refused: list[LeftOut] = []
    for one in preview.planned:
        try:
            with session.begin_nested():
                outcome = _DOERS[asking.act](session, actor, asking, environment, one)
        except SignInAgain:
            raise
        except WarrantError as error:
            refused.append(LeftOut(one.model, error.message))
        else:
            done.append(Planned(one.model, outcome))
    return ActResult(tuple(done), tuple(refused), preview.left_out)


_RIGHTS: Final[dict[Act, Permission]] = {
    "silence": Permission.ACKNOWLEDGE, "owner": Permission.KEEP_INVENTORY, "tag": Permission.KEEP_INVENTORY,
    "policy": Permission.REQUEST_CHANGE,
    "enforce": Permission.DECIDE_CHANGE,
}  # fmt: skip


def right_to(act: Act) -> Permission:
    """What an act needs, at each model."""
    if act not in _RIGHTS:
        raise BadInput(f"act: {act!r} is none of {', '.join(ACTS)}", field="act")
    return _RIGHTS[act]


def _right_of(viewer: Actor, act: Act) -> Permission:
    """What an act needs of them. Who manages people may have rules enforced too, as `set_enforcement` says."""
    needed = right_to(act)
    return Permission.MANAGE_PEOPLE if act == "enforce" and viewer.may(Permission.MANAGE_PEOPLE) else needed


def _why_not(viewer: Actor, act: Act, model: str) -> str:
    needed = _right_of(viewer, act)
    return "" if viewer.may_about(needed, model) else f"your roles there do not include {needed.value}"


def _check(asking: Asking) -> None:
    if not asking.models:
        raise BadInput("choose at least one model", field="models")
    if len(set(asking.models)) > MOST:
        raise BadInput(f"an act is on {MOST} models at most; narrow the filters", field="models")
    if asking.act == "silence" and asking.until_worse == (asking.hours is not None):
        raise BadInput("hours: say for how long, or that it ends when it gets worse", field="hours")
    if asking.hours is not None and not 1 <= asking.hours <= LONGEST_HOURS:
        raise BadInput(f"hours: 1 to {LONGEST_HOURS}", field="hours")
    if asking.act == "policy" and asking.tier not in TIERS:
        raise BadInput(f"a tier is one of {', '.join(TIERS)}, not {asking.tier!r}", field="tier")
    if asking.act == "tag" and not (asking.add or asking.remove):
        raise BadInput("name a tag to put on or to take off", field="add")
    if asking.act == "owner" and not asking.owner:
        raise BadInput("name the new owner by user name", field="owner")


def _plan_silences(
    session: ReadSession, viewer: Actor, asking: Asking, environment: str, models: Sequence[Model]
) -> list[Planned | LeftOut]:
    names, now = [one.name for one in models], clock.now()
    counts = session.execute(
        select(Alert.model, func.count())
        .where(Alert.state == "firing", Alert.environment == environment, among(Alert.model, names))
        .group_by(Alert.model)
    ).all()
    firing: dict[str, int] = {model: count for model, count in counts}  # noqa: C416 - rows are no pairs to mypy
    held = {
        matchers_of(row): row.ends_at
        for row in session.scalars(
            select(Silence).where(
                Silence.ended_at.is_(None), Silence.starts_at <= now, among(Silence.model, names),
                Silence.until_worse.is_(False),
            )
        )
    }  # fmt: skip
    ends = None if asking.hours is None else now + timedelta(hours=asking.hours)
    told: list[Planned | LeftOut] = []
    for name in names:
        until = held.get(Matchers(model=name, environment=environment))
        fires = firing.get(name, 0)
        if until is not None and ends is not None and until >= ends:
            told.append(LeftOut(name, f"it is silenced until {clock.to_words(until)} already"))
        elif asking.until_worse and not fires:
            told.append(LeftOut(name, "nothing fires there, so there is nothing that could get worse"))
        elif asking.until_worse:
            muted = "1 alert that fires until it gets worse"
            if fires > 1:
                muted = f"{fires} alerts that fire until they get worse"
            told.append(Planned(name, f"mute {muted}, 8 hours at most"))
        else:
            told.append(Planned(name, f"mute every alert in {environment} for {asking.hours} h"))
    return told


def _plan_owners(
    session: ReadSession, viewer: Actor, asking: Asking, environment: str, models: Sequence[Model]
) -> list[Planned | LeftOut]:
    new = _owner(session, asking)
    names = names_of(session, {one.owner_id for one in models})
    return [
        LeftOut(one.name, f"{new.display_name} owns it already")
        if one.owner_id == new.id
        else Planned(
            one.name,
            f"owner {names.get(one.owner_id or '', 'nobody')} → {new.display_name}",
            one.owner_id or "",
        )
        for one in models
    ]


def _plan_tags(
    session: ReadSession, viewer: Actor, asking: Asking, environment: str, models: Sequence[Model]
) -> list[Planned | LeftOut]:
    put, off = {checked_tag(one) for one in asking.add}, {checked_tag(one) for one in asking.remove}
    if put & off:
        raise BadInput(f"{min(put & off)} is both put on and taken off", field="remove")
    known = tags_of(session, viewer, [one.name for one in models])
    told: list[Planned | LeftOut] = []
    for one in models:
        has = set(known.get(one.name, ()))
        parts = [f"put on {', '.join(sorted(put - has))}"] if put - has else []
        parts += [f"take off {', '.join(sorted(off & has))}"] if off & has else []
        if parts:
            told.append(Planned(one.name, " and ".join(parts)))
        else:
            told.append(LeftOut(one.name, "its tags are so already"))
    return told


def _plan_tiers(
    session: ReadSession, viewer: Actor, asking: Asking, environment: str, models: Sequence[Model]
) -> list[Planned | LeftOut]:
    open_ones = {
        row.model: row.id
        for row in session.execute(
            select(Change.model, Change.id).where(
                Change.kind == "tier", Change.state.in_(machine.OPEN), among(Change.model, [one.name for one in models])
            )
        )
    }  # fmt: skip
    told: list[Planned | LeftOut] = []
    for one in models:
        if one.name in open_ones:
            told.append(LeftOut(one.name, f"CHG-{open_ones[one.name]} is about its tier already"))
            continue
        try:
            found = preview_change(session, viewer, _tier_of(one.name, asking))
        except WarrantError as error:
            told.append(LeftOut(one.name, error.message))
            continue
        if not found.rule.allowed:
            told.append(LeftOut(one.name, f"{found.rule.because} (rule {found.entry.name!r})"))
            continue
        needed = " and ".join(f"{count} {role}" for role, count in sorted(found.rule.roles.items()))
        what = f"ask for tier {one.tier} → {asking.tier}; decided by {needed}"
        told.append(Planned(one.name, what, found.digest))
    return told


def _plan_enforcing(
    session: ReadSession, viewer: Actor, asking: Asking, environment: str, models: Sequence[Model]
) -> list[Planned | LeftOut]:
    return [
        LeftOut(one.name, "its rules are enforced already")
        if one.enforcement == "enforce"
        else Planned(one.name, f"enforce the rules of tier {one.tier}, which only report now", one.tier)
        for one in models
    ]


def _do_silence(session: WriteSession, actor: Actor, asking: Asking, environment: str, one: Planned) -> str:
    until = None if asking.hours is None else clock.now() + timedelta(hours=asking.hours)
    made = silence(
        session, actor, matchers=Matchers(model=one.model, environment=environment), comment=asking.why, until=until,
        until_worse=asking.until_worse,
    )  # fmt: skip
    return f"silenced until {clock.to_words(made.ends_at)}" + (" or worse" if asking.until_worse else "")


def _do_owner(session: WriteSession, actor: Actor, asking: Asking, environment: str, one: Planned) -> str:
    keep_facts(session, actor, model=one.model, why=asking.why, owner_id=_owner(session, asking).id)
    return one.what


def _do_tags(session: WriteSession, actor: Actor, asking: Asking, environment: str, one: Planned) -> str:
    tags = tag_model(session, actor, one.model, add=asking.add, remove=asking.remove)
    return f"tags: {', '.join(tags) or 'none'}"


def _do_tier(session: WriteSession, actor: Actor, asking: Asking, environment: str, one: Planned) -> str:
    asked = _tier_of(one.model, asking)
    change = request_change(session, actor, asked, reason=asking.why, seen_digest=one.rests_on)
    return f"CHG-{change.id} asks for tier {asking.tier}; others decide on it"


def _do_enforce(session: WriteSession, actor: Actor, asking: Asking, environment: str, one: Planned) -> str:
    set_enforcement(session, actor, one.model, enforcement="enforce", why=asking.why)
    return "its rules are enforced"


def _owner(session: ReadSession, asking: Asking) -> Person:
    found = session.scalars(select(Person).where(Person.username == asking.owner)).one_or_none()
    if found is None:
        raise BadInput(f"there is nobody with the user name {asking.owner!r}", field="owner")
    return require_person(session, found.id, "owner")


def _tier_of(model: str, asking: Asking) -> Asked:
    return Asked("tier", "*", model, subject={"tier": asking.tier})


_PLANNERS: Final[dict[Act, Planner]] = {
    "silence": _plan_silences, "owner": _plan_owners, "tag": _plan_tags, "policy": _plan_tiers,
    "enforce": _plan_enforcing,
}  # fmt: skip
_DOERS: Final[dict[Act, Callable[[WriteSession, Actor, Asking, str, Planned], str]]] = {
    "silence": _do_silence, "owner": _do_owner, "tag": _do_tags, "policy": _do_tier, "enforce": _do_enforce,
}  # fmt: skip
