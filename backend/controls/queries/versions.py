"""What is recorded of how a version came to be, and of who answers for a model."""

from __future__ import annotations

from textwrap import shorten

from sqlalchemy import func, select

from backend.assurance.as_of import UNKNOWN, HouseThen, ModelThen, house_as_of
from backend.assurance.inventory_tables import ModelFacts, TierAnswers
from backend.assurance.lineage import COMMITS
from backend.controls.evidence import Evidence, Question
from backend.controls.queries.answers import (
    aged,
    count,
    inventory_link,
    is_older,
    missing,
    model_link,
    moved_since,
    no_version,
    not_shown,
    utc,
    version_link,
)
from backend.controls.queries.registry import query
from backend.deployment.tables import Deployment
from backend.identity.tables import Person
from backend.registry.tables import ImportedVersion, Model, Version


def registered(asked: Question) -> Version | None:
    """The version that is meant, where it was registered with its files."""
    return asked.session.get(Version, (asked.name, asked.version)) if asked.version is not None else None


def house(asked: Question) -> HouseThen:
    """The house as it was at the moment asked about, looked up once."""
    if "house" not in asked.known:
        asked.known["house"] = house_as_of(asked.session, asked.viewer, asked.at)
    found: HouseThen = asked.known["house"]
    return found


def model_then(asked: Question) -> ModelThen | None:
    """The model as it was at a moment that is over; None where it was not entered yet."""
    return next((one for one in house(asked).models if one.name == asked.name), None)


def not_entered(asked: Question) -> Evidence:
    return missing(f"{asked.name} was not entered here on {utc(asked.at)}", inventory_link(asked.name))


@query("version_registered", "Version with its files on record")
def version_registered(asked: Question) -> Evidence:
    """A version that was registered with the digests of its artefact, reference data and card."""
    version = registered(asked)
    if version is None:
        return no_version(asked)
    told = f"version {version.version}, artefact {version.artefact_digest.removeprefix('sha256:')[:12]}"
    return Evidence(
        "present", told, version.trained_at, (version_link(asked.name, version.version),), version.artefact_digest
    )  # fmt: skip


@query("versions_and_service", "Versions, and when each served")
def versions_and_service(asked: Question) -> Evidence:
    """How many versions there were, and the periods in which they served."""
    versions = asked.session.scalar(
        select(func.count()).where(Version.model == asked.name, Version.trained_at <= asked.at)
    )
    served = asked.session.execute(
        select(func.count(), func.max(Deployment.started_at)).where(
            Deployment.model == asked.name, Deployment.environment == asked.environment,
            Deployment.started_at <= asked.at,
        )
    ).one()  # fmt: skip
    if not versions:
        return no_version(asked)
    if not served[0]:
        return missing(f"{count(versions, 'version')}, and none of them served", model_link(asked.name))
    told = f"{count(versions, 'version')}, {count(served[0], 'period')} of service, the last since {utc(served[1])}"
    return Evidence("present", told, served[1], (model_link(asked.name),))


@query("training_data", "Training data named by digest and period")
def training_data(asked: Question) -> Evidence:
    """Which data the version learnt from: digest, period and rows, as its trainer handed them over."""
    version = registered(asked)
    if version is None:
        return no_version(asked)
    training = version.training or {}
    absent = [name for name in ("digest", "from", "to", "rows") if not training.get(name)]
    link = version_link(asked.name, version.version)
    if absent:
        return missing(
            f"of the training data of version {version.version} not recorded: {', '.join(absent)}", link
        )
    told = f"{training['rows']:,} rows of {str(training['from'])[:10]} to {str(training['to'])[:10]}"
    return Evidence("present", told, version.trained_at, (link,), str(training["digest"]))


@query("reference_data", "Reference data named by digest")
def reference_data(asked: Question) -> Evidence:
    """The frozen data that later windows are compared with."""
    version = registered(asked)
    if version is None:
        return no_version(asked)
    told = f"reference data {version.reference_digest.removeprefix('sha256:')[:12]}"
    link = version_link(asked.name, version.version)
    return Evidence("present", told, version.trained_at, (link,), version.reference_digest)


@query("lineage", "Data, code and run of the version")
def lineage(asked: Question) -> Evidence:
    """Whether it is on record which data, code and training run the version came from."""
    version = registered(asked)
    if version is None:
        return no_version(asked)
    imported = asked.session.get(ImportedVersion, (asked.name, asked.version))
    tags = (imported.run or {}).get("tags", {}) if imported is not None else {}
    places = (version.training or {}, version.parameters or {}, tags)
    commit = next((str(one[name]) for one in places for name in COMMITS if one.get(name)), "")
    known = {
        "the data's digest": (version.training or {}).get("digest"), "the code": commit,
        "the training run": version.run_id, "who trained it": version.trained_by,
    }  # fmt: skip
    absent = [name for name, value in known.items() if not value]
    link = version_link(asked.name, version.version)
    if absent:
        return missing(f"not recorded of version {version.version}: {', '.join(absent)}", link)
    told = f"code {commit[:12]}, run {version.run_id[:12]}"
    return Evidence("present", told, version.trained_at, (link,), f"{commit} {version.run_id}")


@query("held_out_metrics", "Held-out figures with intervals")
def held_out_metrics(asked: Question) -> Evidence:
    """Figures that were measured on data the version had not seen, each with its interval and rows."""
    version = registered(asked)
    if version is None:
        return no_version(asked)
    link = version_link(asked.name, version.version)
    figures = {name: one for name, one in (version.metrics or {}).items() if isinstance(one, dict)}
    if not figures:
        return missing(f"no held-out figure was recorded with version {version.version}", link)
    bare = [name for name, one in figures.items() if one.get("low") is None or one.get("high") is None]
    if len(bare) == len(figures):
        return missing(f"recorded without an interval: {', '.join(bare[:5])}", link)
    told = f"{', '.join(sorted(figures)[:6])}" + (f"; without an interval: {', '.join(bare)}" if bare else "")
    return Evidence("present", told, version.trained_at, (link,), version.artefact_digest)


@query("parameters", "Parameters of the training on record")
def parameters(asked: Question) -> Evidence:
    """The settings with which the version was trained."""
    version = registered(asked)
    if version is None:
        return no_version(asked)
    link = version_link(asked.name, version.version)
    if not version.parameters:
        return missing(f"no parameter was recorded with version {version.version}", link)
    return Evidence(
        "present", count(len(version.parameters), "parameter"), version.trained_at, (link,), version.artefact_digest
    )  # fmt: skip


@query("owner_named", "Somebody owns the model")
def owner_named(asked: Question) -> Evidence:
    """A person who owned the model then, whose account is open."""
    found = model_then(asked) if not asked.is_now else None
    if found is None and not asked.is_now:
        return not_entered(asked)
    owner = found.owner if found is not None else asked.model.owner_id if asked.model else None
    if owner == UNKNOWN:
        return not_shown(f"who owned it on {utc(asked.at)} was erased from the log")
    person = asked.session.get(Person, owner) if owner else None
    if person is None:
        return missing("nobody owns it", inventory_link(asked.name))
    if person.disabled_at is not None and person.disabled_at <= asked.at:
        told = f"its owner's account was closed on {utc(person.disabled_at)}; nobody else took it over"
        return Evidence("stale", told, person.disabled_at, (inventory_link(asked.name),), person.id)
    if person.expires_at is not None and person.expires_at <= asked.at:
        told = f"its owner's account ended on {utc(person.expires_at)}; nobody else took it over"
        return Evidence("stale", told, person.expires_at, (inventory_link(asked.name),), person.id)
    return Evidence("present", "it has an owner", None, (inventory_link(asked.name),), person.id)


@query("purpose_written", "Purpose written in the inventory")
def purpose_written(asked: Question) -> Evidence:
    """What people wrote the model is for."""
    facts = asked.session.get(ModelFacts, asked.name)
    if not asked.is_now and facts is not None and facts.kept_at > asked.at:
        found = model_then(asked)
        if found is None:
            return not_entered(asked)
        purpose = found.purpose
        if purpose == UNKNOWN:
            return not_shown(f"what it was for on {utc(asked.at)} was erased from the log")
        kept = None
    else:
        purpose, kept = (facts.purpose, facts.kept_at) if facts is not None else ("", None)
    if not purpose.strip():
        return missing("no purpose is written in the inventory", inventory_link(asked.name))
    told = f"“{shorten(purpose, 120, placeholder='…')}”"
    return Evidence("present", told, kept, (inventory_link(asked.name),), purpose)


@query("tier_follows", "Risk tier follows from answered questions")
def tier_follows(asked: Question, *, max_age_days: float = 365) -> Evidence:
    """The model's tier beside what the answers to exposure and purpose propose."""
    answers = asked.session.scalars(
        select(TierAnswers)
        .where(TierAnswers.model == asked.name, TierAnswers.answered_at <= asked.at)
        .order_by(TierAnswers.id.desc())
        .limit(1)
    ).first()
    link = inventory_link(asked.name)
    if answers is None:
        return missing("nobody has answered the questions about exposure and purpose", link)
    found = model_then(asked) if not asked.is_now else None
    if found is None and not asked.is_now:
        return not_entered(asked)
    tier = found.tier if found is not None else asked.model.tier if asked.model else ""
    if tier == UNKNOWN:
        return not_shown(f"its tier on {utc(asked.at)} was erased from the log", link)
    mark = f"{answers.id} {tier}"
    if answers.tier != tier:
        told = f"the answers propose tier {answers.tier}, and it is governed as {tier}"
        return Evidence("contradicted", told, answers.answered_at, (link,), mark)
    told = f"tier {tier}, as the answers of {utc(answers.answered_at)} propose"
    return aged(asked, answers.answered_at, max_age_days, told, links=(link,), mark=mark)


@query("review_planned", "A next review is planned and not overdue")
def review_planned(asked: Question) -> Evidence:
    """The day by which somebody looks at the model again."""
    facts = asked.session.get(ModelFacts, asked.name)
    if not asked.is_now and facts is not None and facts.kept_at > asked.at:
        return moved_since(asked, "the next review", facts.kept_at)
    link = inventory_link(asked.name)
    if facts is None or facts.next_review_at is None:
        return missing("no next review is planned in the inventory", link)
    if facts.next_review_at <= asked.at:
        told = f"its review was due on {utc(facts.next_review_at)}"
        return Evidence("stale", told, facts.kept_at, (link,), str(facts.next_review_at))
    return Evidence(
        "present", f"the next review is planned for {utc(facts.next_review_at)}", facts.kept_at, (link,),
        str(facts.next_review_at),
    )  # fmt: skip


@query("inventory_whole", "Every model has owner, purpose and an answered tier", about="house")
def inventory_whole(asked: Question, *, max_age_days: float = 365) -> Evidence:
    """The inventory of the whole house: which models lack an owner, a purpose, or answers about their tier."""
    models = asked.session.scalars(
        select(Model).where(Model.created_at <= asked.at).order_by(Model.name)
    ).all()
    if not models:
        return missing("the inventory holds no model")
    then = {one.name: one for one in house(asked).models}
    newest = asked.session.execute(
        select(TierAnswers.model, func.max(TierAnswers.answered_at).label("at"))
        .where(TierAnswers.answered_at <= asked.at)
        .group_by(TierAnswers.model)
    )
    answered = {one.model: one.at for one in newest}
    lacking = [
        one.name
        for one in models
        if one.name not in then or not then[one.name].owner or not (then[one.name].purpose or one.description)
        or one.name not in answered
    ]  # fmt: skip
    if lacking:
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        told = f"{len(lacking)} of {count(len(models), 'model')} lack owner, purpose or an answered tier: "
        return missing(
            f"{told}{', '.join(lacking[:5])}{more}", *(inventory_link(name) for name in lacking[:20])
        )
    old = [name for name, at in answered.items() if is_older(asked, at, max_age_days)]
    oldest = min(answered[one.name] for one in models)
    if old:
        told = f"answers about {', '.join(sorted(old)[:5])} are older than {max_age_days:g} days"
        return Evidence("stale", told, oldest)
    return Evidence("present", f"{count(len(models), 'model')} with owner, purpose and answered tier", oldest)
