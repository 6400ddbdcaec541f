"""Making the record what a document says, in one transaction, through the services that everybody else goes through.

What the policy lets nobody edit directly is asked for as a change, and said; others decide. What is recorded and not in
the document stays. Done again it does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from backend.assurance.questionnaire import answer_questionnaire, asked_now
from backend.cards.service import import_card
from backend.database.session import WriteSession
from backend.errors import BadInput, WarrantError
from backend.governance.asking import preview_change, request_change
from backend.governance.errors import ChangeAlreadyOpen
from backend.governance.kinds import Asked
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.monitoring.budget_service import change_budget, spec_digest
from backend.monitoring.monitors_service import change_monitor, create_monitor, get_monitor
from backend.onboarding.comparing import Difference, compare, described, objective_subject
from backend.onboarding.document import Written
from backend.onboarding.history import CARD_FROM, request_history
from backend.registry.declared import id_of_person
from backend.registry.service import register_model
from backend.settings import settings
from backend.slo.objectives import Objective
from backend.slo.objectives_service import define_objective, get_objective, revise_objective

REGISTERED: Final = ("model", "spec")


@dataclass(frozen=True)
class Done:
    """What became of one difference.

    did  done, asked (a change, whose number is in `change`), waits, held (asked for once another change is decided),
         started (a job, whose run is in `run`), or left (recorded and not in the document)
    """

    difference: Difference
    did: str
    says: str = ""
    change: int | None = None
    run: str | None = None

    def as_dict(self) -> dict[str, Any]:
        told = self.difference.as_dict()
        return {
            **told,
            "did": self.did,
            "says": self.says or told["says"],
            "change": self.change,
            "run": self.run,
        }


@dataclass(frozen=True)
class _Apply:
    """One application, as the acts below see it."""

    session: WriteSession
    actor: Actor
    written: Written
    why: str

    @property
    def name(self) -> str:
        return self.written.name


def apply_document(session: WriteSession, actor: Actor, *, written: Written, why: str = "") -> list[Done]:
    """Put every difference in force, or ask for it. Raises what the services raise; then nothing was done."""
    allow(session, actor, Permission.REGISTER_VERSIONS)
    found = compare(session, actor, written)
    work = _Apply(session, actor, written, why.strip() or f"as {written.file} says, {written.digest[:19]}")
    done: list[Done] = []
    if any(one.part in REGISTERED for one in found):
        _register(work)
    for one in found:
        if one.part in REGISTERED:
            done.append(Done(one, "done"))
        elif one.state in ("waits", "only_there"):
            done.append(Done(one, "waits" if one.state == "waits" else "left"))
        else:
            done.append(ACTS[one.part](work, one))
    return done


def _register(work: _Apply) -> None:
    """The model with texts, owner and spec. Budget and tier of one that is there move by themselves."""
    told = work.written.document.model
    try:
        owner = id_of_person(work.session, told.owner, "model.owner")
    except BadInput as error:
        raise work.written.refusal(error, "model", "owner") from error
    there = described(work.session, work.actor, work.name)
    spec = dict(work.written.document.spec)
    if there is not None:
        spec.pop("budget", None)
        if "budget" in there.spec:
            spec["budget"] = there.spec["budget"]
    try:
        register_model(
            work.session, work.actor, name=told.name, title=told.title, description=told.description,
            tier=told.tier if there is None else there.tier, spec=spec, owner_id=owner, why=work.why,
            notice=there.notice if there is not None else None, told={"document": work.written.digest},
        )  # fmt: skip
    except WarrantError as error:
        feature = error.details.get("feature")
        path = ("spec", "features", feature) if feature else ("model", "name")
        raise work.written.refusal(error, *path) from error


def _tier(work: _Apply, one: Difference) -> Done:
    return _ask(work, one, "tier", {"tier": one.after})


def _budget(work: _Apply, one: Difference) -> Done:
    if one.by_change:
        return _ask(work, one, "monitor", {"budget": one.after})
    model = described(work.session, work.actor, work.name)
    assert model is not None  # noqa: S101 - a model that is there has this difference
    change_budget(
        work.session, work.actor, model=work.name, seen_digest=spec_digest(model), why=work.why, **one.after
    )
    return Done(one, "done")


def _answers(work: _Apply, one: Difference) -> Done:
    found = answer_questionnaire(
        work.session, work.actor, model=work.name, answers=one.after,
        seen_digest=asked_now(work.session).digest, note=work.why,
    )  # fmt: skip
    return Done(one, "done", f"tier {found.tier} follows")


def _monitor(work: _Apply, one: Difference) -> Done:
    if one.by_change:
        return _ask(work, one, "monitor", {"definition": one.after} | ({"key": one.key} if one.key else {}))
    if one.key is None:
        create_monitor(
            work.session, work.actor, model=work.name, environment=settings().environment, definition=one.after,
            why=work.why,
        )  # fmt: skip
    else:
        seen = get_monitor(work.session, work.actor, one.key).number
        change_monitor(work.session, work.actor, one.key, definition=one.after, seen=seen, why=work.why)
    return Done(one, "done")


def _objective(work: _Apply, one: Difference) -> Done:
    objective = _objective_named(work.written, one)
    if one.by_change:
        return _ask(work, one, "monitor", objective_subject(objective, one.key), objective.environment)
    if one.key is None:
        define_objective(work.session, work.actor, objective=objective, why=work.why)
    else:
        seen = get_objective(work.session, work.actor, one.key).number
        revise_objective(work.session, work.actor, one.key, objective=objective, seen=seen, why=work.why)
    return Done(one, "done")


def _objective_named(written: Written, one: Difference) -> Objective:
    return next(
        each for each in written.objectives if objective_subject(each, None)["objective"] == one.after
    )


def _history(work: _Apply, one: Difference) -> Done:
    run = request_history(work.session, work.actor, written=work.written, why=work.why)
    return Done(one, "started", f"{run.id} imports it; `warrant jobs list` shows how far it is", run=run.id)


def _card(work: _Apply, one: Difference) -> Done:
    version, card = work.written.document.version, work.written.document.card
    assert version is not None  # noqa: S101 - a card is of a version
    taken = import_card(
        work.session, work.actor, model=work.name, version=version.number, text=card or "", source="file",
        source_name=CARD_FROM, why=work.why,
    )  # fmt: skip
    return Done(one, "done", taken.note)


def _ask(
    work: _Apply, one: Difference, kind: str, subject: dict[str, Any], environment: str | None = None
) -> Done:
    """Ask for a change. While another one of its kind is open there is room for none: then it is said."""
    one = replace(one, by_change=True)
    wanted = Asked(
        kind=kind, environment=environment or settings().environment, model=work.name, subject=subject
    )
    seen = preview_change(work.session, work.actor, wanted).digest
    try:
        change = request_change(work.session, work.actor, wanted, reason=work.why, seen_digest=seen)
    except ChangeAlreadyOpen as error:
        return Done(one, "held", f"{error.message}, then apply the document again")
    return Done(one, "asked", f"CHG-{change.id} asks for it; others decide", change=change.id)


ACTS: Final[dict[str, Callable[[_Apply, Difference], Done]]] = {
    "tier": _tier, "budget": _budget, "tier_answers": _answers, "monitor": _monitor, "objective": _objective,
    "history": _history, "card": _card,
}  # fmt: skip
