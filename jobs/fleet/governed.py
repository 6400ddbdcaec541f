"""What people would have done about the fleet's models, by the services: rights, records and digests are real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import select

from backend import clock
from backend.alerting.silences import Matchers, silence
from backend.alerting.tables import Alert
from backend.assurance.findings import open_finding
from backend.assurance.questionnaire import answer_questionnaire, asked_now
from backend.cards.service import import_card, submit_card
from backend.database.session import ReadSession, WriteSession
from backend.deployment.service import mark_serving, start_deployment
from backend.identity.actor import Actor, system_actor
from backend.identity.people import create_person
from backend.identity.roles import Role
from backend.identity.sessions import actor_of
from backend.identity.tables import Person, Team
from backend.identity.teams import make_team, move_model, set_team_roles
from backend.registry.service import NewVersion, register_model, register_version
from backend.registry.tables import Model
from jobs.fleet.figures import start_of
from jobs.fleet.plan import TEAMS, FleetPlan, ModelPlan, spec_of_model
from jobs.fleet.references import Shared

ACTOR: Final = system_actor("fleet")
WHY: Final = "made by warrant bench seed-fleet"
PEOPLE: Final = "fleet-"
FINDING_EVERY: Final = 9
SILENCE_EVERY: Final = 25
DRAFT_EVERY: Final = 3
_GRADES: Final = ("low", "medium", "high")
_FINDINGS: Final = (
    ("The card says nothing of its limits", "low"), ("Nobody has validated the serving version", "medium"),
    ("The data's owner is not named", "low"),
)  # fmt: skip


@dataclass(frozen=True)
class House:
    """Who there is. Nobody of them can sign in: they have no password. `leads` and `teams` by place in `TEAMS`."""

    engineer: Actor
    compliance: Actor
    on_call: Actor
    leads: Sequence[Actor]
    teams: Sequence[str]


def build_house(session: WriteSession) -> House:
    """People and teams of the fleet; those who are there already are taken as they are."""
    known = {one.username: one for one in session.scalars(select(Person))}

    def person(username: str, display_name: str, role: Role) -> Actor:
        found = known.get(username) or create_person(
            session, ACTOR, username=username, display_name=display_name, roles={role}
        )
        return actor_of(found, session_id=None)

    engineer = person(f"{PEOPLE}engineer", "Synthetic engineer", Role.ML_ENGINEER)
    compliance = person(f"{PEOPLE}compliance", "Synthetic reviewer", Role.COMPLIANCE)
    on_call = person(f"{PEOPLE}on-call", "Synthetic on-call", Role.ON_CALL)
    leads = [
        person(f"{PEOPLE}lead-{place:02d}", f"Synthetic lead, {name}", Role.ML_LEAD)
        for place, name in enumerate(TEAMS)
    ]
    made = {one.name: one.id for one in session.scalars(select(Team))}
    teams = []
    for lead, name in zip(leads, TEAMS, strict=True):
        team = made.get(f"{name} (synthetic)")
        if team is None:
            team = make_team(session, ACTOR, name=f"{name} (synthetic)").id
            set_team_roles(session, ACTOR, team, lead.person_id, {Role.ML_LEAD}, why=WHY)
        teams.append(team)
    return House(engineer, compliance, on_call, leads, teams)


def register(
    session: WriteSession, house: House, plan: FleetPlan, one: ModelPlan, shared: Mapping[int, Shared], environment: str
) -> Model:  # fmt: skip
    """The model with both versions, of which the second serves, in its team."""
    lead = house.leads[one.team]
    model = register_model(
        session, ACTOR, name=one.name, title=one.title, description="A synthetic model, for measuring Warrant itself.",
        tier=one.tier, spec=spec_of_model(plan, one), notice=plan.notice, owner_id=lead.person_id, why=WHY,
    )  # fmt: skip
    # It counts as watched from its first window on: windows from before raise no alert.
    model.created_at = plan.since
    for version, files in shared.items():
        began = plan.since if version == 1 else start_of(plan, one.handover)
        metrics = {name: asdict(metric) for name, metric in files.reference.performance.metrics.items()}
        register_version(
            session, ACTOR,
            new=NewVersion(
                model=one.name, version=version, run_id=f"synthetic-{one.index}-{version}",
                uri=str(files.folder / "artefact"), artefact_digest=files.artefact,
                trained_by=house.engineer.person_id, trained_at=began - timedelta(days=7),
                cutoff=files.spec.cutoff, parameters={"synthetic": True}, metrics=metrics,
                training={"digest": files.digest, "rows": files.reference.rows, "synthetic": True},
                reference_path=str(files.file), card_path=str(files.card),
            ),
        )  # fmt: skip
        opened = start_deployment(
            session, ACTOR, model=one.name, environment=environment, version=version, change_id=None, reason=WHY,
            at=began,
        )  # fmt: skip
        mark_serving(session, ACTOR, opened, at=began)
    move_model(session, ACTOR, model=one.name, team_id=house.teams[one.team], why=WHY)
    return model


def vouch(session: WriteSession, house: House, plan: FleetPlan, one: ModelPlan, shared: Shared) -> None:
    """Card, answers about its tier, and here and there a finding."""
    card = import_card(
        session, house.engineer, model=one.name, version=shared.version,
        text=shared.card.read_text(encoding="utf-8"), source="file", source_name="models_cards/TEMPLATE.md", why=WHY,
    ).card  # fmt: skip
    if one.index % DRAFT_EVERY:
        submit_card(session, house.engineer, model=one.name, version=shared.version, number=card.number)
    answer_questionnaire(
        session, house.leads[one.team], model=one.name, answers=_answers(session, one), note=WHY,
        seen_digest=asked_now(session).digest,
    )  # fmt: skip
    if one.index % FINDING_EVERY == 4:
        title, severity = _FINDINGS[one.index // FINDING_EVERY % len(_FINDINGS)]
        open_finding(
            session, house.compliance, model=one.name, title=title, detail=WHY, severity=severity,
            owner_id=house.leads[one.team].person_id, due_at=clock.now() + timedelta(days=10 + one.index % 50),
        )  # fmt: skip


def _answers(session: ReadSession, one: ModelPlan) -> dict[str, str]:
    """Of each question the highest answer that is no graver than the model's tier."""
    most = _GRADES.index(one.tier)
    return {
        question.id: next(
            option.id
            for option in reversed(question.options)
            if option.level in _GRADES and _GRADES.index(option.level) <= most
        )
        for axis in asked_now(session).document.axes.values()
        for question in axis.questions
    }


def mute(session: WriteSession, house: House, one: ModelPlan) -> None:
    """A silence over what fires, of a few of the models that have something to silence."""
    firing = session.scalar(select(Alert.id).where(Alert.model == one.name, Alert.state == "firing").limit(1))
    if firing is None or one.index % SILENCE_EVERY > 4:
        return
    silence(
        session, house.on_call, matchers=Matchers(model=one.name, kind="drift"), comment=WHY,
        until=clock.now() + timedelta(days=7),
    )  # fmt: skip
