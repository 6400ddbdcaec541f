"""What differs between a document and what is recorded, part by part.

added       the document has it, the record does not
changed     both have it, and differ
waits       it was asked for: a change is open, or an import runs
only_there  recorded and not in the document; left alone, whoever applies it
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from sqlalchemy import select

from backend.assurance.questionnaire import answers_of, asked_now
from backend.database.session import ReadSession
from backend.errors import BadInput, NotFound
from backend.governance.direct_edits import why_budget_only_by_change, why_only_by_change
from backend.governance.machine import OPEN
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.identity.tables import Person
from backend.monitoring.columns import parse_spec
from backend.monitoring.monitors_service import check_against, list_monitors
from backend.onboarding.document import Written, changed_keys
from backend.registry.service import get_model
from backend.registry.tables import Model
from backend.settings import settings
from backend.slo.objectives import Objective
from backend.slo.objectives_service import known_objective, list_objectives
from backend.slo.openslo_writing import write_openslo

State = Literal["added", "changed", "waits", "only_there"]
TEXTS: Final = ("title", "description")


@dataclass(frozen=True)
class Difference:
    """One thing in which document and record differ.

    part     model, spec, tier, budget, tier_answers, monitor, objective, history or card
    by_change  policy lets nobody edit it directly: applying the document asks for a change
    says     what a reader has to know beside that
    key      of the recorded monitor or objective
    """

    part: str
    name: str
    state: State
    before: Any = None
    after: Any = None
    by_change: bool = False
    says: str = ""
    key: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the record is not yet what the document says."""
        return self.state != "only_there"

    def as_dict(self) -> dict[str, Any]:
        return {name: one for name, one in asdict(self).items() if name != "key"}


def compare(session: ReadSession, viewer: Actor, written: Written) -> list[Difference]:
    """Every difference, in the order in which they are put in force. Raises `SpecRefused` for what cannot be so."""
    from backend.onboarding.history import compare_card, compare_history

    allow(session, viewer, Permission.REGISTER_VERSIONS)
    _refuse_unknown_answers(session, written)
    model = described(session, viewer, written.name)
    found = [] if model is None else list(_of_model(session, written, model))
    if model is None:
        found.append(Difference("model", written.name, "added", after=written.document.as_dict()["model"]))
    found += _of_answers(session, viewer, written, model)
    there = model or _as_it_will_be(written)
    asked = _asked_for(session, written.name) if model is not None else []
    found += _of_monitors(session, viewer, written, there, asked, is_new=model is None)
    found += _of_objectives(session, viewer, written, there, asked, is_new=model is None)
    found += compare_history(session, written)
    found += compare_card(session, written)
    return found


def described(session: ReadSession, viewer: Actor, name: str) -> Model | None:
    """The registered model; None where there is none, or only an import of its name."""
    try:
        model = get_model(session, viewer, name)
    except NotFound:
        return None
    return model if model.described else None


def _as_it_will_be(written: Written) -> Model:
    """A model that is not registered yet, for the rules that will hold for it. Never added to a session."""
    return Model(name=written.name, tier=written.document.model.tier, spec=dict(written.document.spec))


def _of_model(session: ReadSession, written: Written, model: Model) -> Iterator[Difference]:
    told = written.document.model
    for name in TEXTS:
        if getattr(model, name) != getattr(told, name):
            yield Difference("model", name, "changed", getattr(model, name), getattr(told, name))
    owner = session.get_one(Person, model.owner_id).username if model.owner_id else None
    if told.owner is not None and told.owner.lower() != owner:
        yield Difference("model", "owner", "changed" if owner else "added", owner, told.owner)
    stored, wanted = (_without_budget(one) for one in (model.spec, written.document.spec))
    for key in changed_keys(stored, wanted):
        state: State = "changed" if key in stored else "added"
        yield Difference("spec", key, state, stored.get(key), wanted.get(key))
    asked = _asked_for(session, model.name)
    if told.tier != model.tier:
        yield _asked_or(
            asked, {"tier": told.tier}, Difference("tier", "tier", "changed", model.tier, told.tier, True)
        )
    before = asdict(parse_spec(model.spec).budget)
    if "budget" in written.document.spec and asdict(written.spec.budget) != before:
        budget = asdict(written.spec.budget)
        by_change = why_budget_only_by_change(session, model) is not None
        yield _asked_or(
            asked, {"budget": budget}, Difference("budget", "budget", "changed", before, budget, by_change)
        )


def _without_budget(spec: dict[str, Any]) -> dict[str, Any]:
    return {key: one for key, one in spec.items() if key != "budget"}


def _refuse_unknown_answers(session: ReadSession, written: Written) -> None:
    questions = {one.id: one for one in asked_now(session).document.questions}
    for name, answer in (written.document.tier_answers or {}).items():
        if name not in questions:
            known = ", ".join(questions)
            raise written.refusal(
                BadInput(f"tier_answers.{name}: there is no such question; there are {known}"),
                "tier_answers",
                name,
            )
        options = [one.id for one in questions[name].options]
        if answer is not None and answer not in options:
            said = f"tier_answers.{name}: {answer!r} is no answer; there are {', '.join(options)}"
            raise written.refusal(BadInput(said), "tier_answers", name)


def unanswered(session: ReadSession, written: Written) -> list[str]:
    """The questions about the risk tier that the document leaves open."""
    given = written.document.tier_answers or {}
    return [one.id for one in asked_now(session).document.questions if given.get(one.id) is None]


def _of_answers(
    session: ReadSession, viewer: Actor, written: Written, model: Model | None
) -> Iterator[Difference]:
    """Answers count once all questions have one: a tier that follows from half of them is none."""
    if written.document.tier_answers is None or unanswered(session, written):
        return
    given = dict(written.document.tier_answers)
    known = answers_of(session, viewer, written.name) if model is not None else []
    before = known[0].answers if known else None
    if before != given:
        yield Difference("tier_answers", "tier_answers", "changed" if before else "added", before, given)


def _of_monitors(
    session: ReadSession, viewer: Actor, written: Written, model: Model, asked: list[Change], *, is_new: bool
) -> Iterator[Difference]:
    if written.document.monitors is None:
        return
    environment = settings().environment
    rows = (
        {} if is_new else {row.name: row for row in list_monitors(session, viewer, model.name, environment)}
    )
    by_change = why_only_by_change(session, model, environment) is not None
    for definition in written.document.monitors:
        wanted = check_against(written.spec, definition).to_json()
        row = rows.pop(wanted["name"], None)
        if row is not None and row.definition == wanted:
            continue
        before, key = (None, None) if row is None else (row.definition, row.key)
        state: State = "added" if row is None else "changed"
        subject = {"definition": wanted} | ({"key": key} if key else {})
        one = Difference("monitor", wanted["name"], state, before, wanted, by_change, key=key)
        yield _asked_or(asked, subject, one)
    for name, row in rows.items():
        yield Difference("monitor", name, "only_there", row.definition)


def _of_objectives(
    session: ReadSession, viewer: Actor, written: Written, model: Model, asked: list[Change], *, is_new: bool
) -> Iterator[Difference]:
    if written.document.objectives is None:
        return
    places = {one.environment for one in written.objectives} | {settings().environment}
    there = [] if is_new else list_objectives(session, viewer, model=model.name)
    rows = {(row.environment, row.name): row for row in there if row.environment in places}
    for objective in written.objectives:
        row = rows.pop((objective.environment, objective.name), None)
        if row is not None and known_objective(row) == objective:
            continue
        by_change = why_only_by_change(session, model, objective.environment, what="objectives") is not None
        state: State = "added" if row is None else "changed"
        before, key = (None, None) if row is None else (row.document, row.key)
        text = write_openslo([objective])
        one = Difference("objective", objective.name, state, before, text, by_change, key=key)
        yield _asked_or(asked, objective_subject(objective, key), one)
    for (_, name), row in rows.items():
        yield Difference("objective", name, "only_there", row.document)


def objective_subject(objective: Objective, key: str | None) -> dict[str, Any]:
    """What a change names that defines an objective, or revises the one of `key`."""
    return {"objective": write_openslo([objective])} | ({"key": key} if key else {})


def _asked_for(session: ReadSession, model: str) -> list[Change]:
    """The open changes of a model that may ask for what a document says."""
    return list(
        session.scalars(
            select(Change).where(
                Change.model == model, Change.kind.in_(("monitor", "tier")), Change.state.in_(OPEN)
            )
        )
    )  # fmt: skip


def _asked_or(asked: list[Change], subject: dict[str, Any], difference: Difference) -> Difference:
    """The difference, waiting where an open change asks for just that."""
    for change in asked:
        if change.subject == subject:
            return Difference(
                difference.part, difference.name, "waits", difference.before, difference.after, True,
                f"CHG-{change.id} asks for it", difference.key,
            )  # fmt: skip
    return difference
