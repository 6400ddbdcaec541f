"""What a trained model becomes: a drafted card, a version in MLflow and here, a promotion that is asked for."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from sqlalchemy import select

from backend import clock
from backend.alerting.entries import write_entry
from backend.alerting.service import Firing, fire
from backend.alerting.tables import Alert, Incident
from backend.cards.binding import card_text
from backend.cards.service import import_card
from backend.database.session import reading, writing
from backend.errors import BadInput, NotFound, WarrantError
from backend.explain.service import Contribution, Explanation, store_explanation
from backend.governance.asking import draft_change, preview_change, send_change
from backend.governance.digests import digest_of
from backend.governance.kinds import Asked
from backend.governance.tables import Change
from backend.registry.artefacts import artefact_digest
from backend.registry.mlflow_adapter import mlflow_client
from backend.registry.service import NewVersion, register_version
from backend.retraining.plan import TRIGGER_WORDS
from backend.retraining.tables import RetrainingRun
from backend.settings import disable_telemetry, settings
from jobs.retraining.judging import candidate_of
from jobs.retraining.trial_runs import log_trials
from jobs.retraining.work import REFERENCE, Work

if TYPE_CHECKING:
    from mlflow import MlflowClient

CARD: Final = "card.md"
TAG: Final = "warrant.retraining"
ROOT: Final = Path(__file__).resolve().parents[2]
BLANK: Final = "# Model card: {title}\n\n## Model Details\n\n### Description\n\n[More Information Needed]\n"
DRAFTED: Final = """
## Retraining

Drafted by {run} from the card of {parent}; nobody has read it yet. It was retrained {because}. Read every statement
against the new version, then take this section out.
"""


def draft_card(work: Work) -> dict[str, Any]:
    """The parent's card with its facts left to be filled in anew, and a section that says that nobody has read it."""
    text, parent = BLANK.format(title=work.model.title), "nothing"
    if work.parent is not None:
        try:
            with reading() as session:
                text, parent = card_text(session, work.parent), f"version {work.parent.version}"
        except NotFound as error:
            work.tell(error.message)
    because = TRIGGER_WORDS[work.plan.trigger.on] + (
        f" ({work.plan.trigger.text})" if work.plan.trigger.text else ""
    )
    text = text.split("\n## Retraining\n")[0].rstrip() + "\n"
    work.file(CARD).write_text(text + DRAFTED.format(run=work.retraining.id, parent=parent, because=because))
    work.tell(f"taken over from {parent}; it is a draft")
    return {"card": str(work.file(CARD)), "from": parent}


def register(work: Work) -> dict[str, Any]:
    """A run and a version in MLflow with where everything came from; then the version here, its card and explanation.

    What an attempt before this one registered is found by its tag and taken.
    """
    if not work.file(REFERENCE).is_file():
        raise BadInput(
            "the rows that it was evaluated on were erased meanwhile; ask for the retraining again"
        )
    lineage = lineage_of(work)
    logged = _log(work, lineage)
    work.tell(f"MLflow has it as version {logged['version']} of {work.model.name}")
    candidate = candidate_of(work, logged["version"])
    evaluated, explained = work.found["evaluate"], work.found["explain"]
    with writing() as session:
        work.run.require_owned(session)
        version = register_version(
            session, work.run.actor,
            new=NewVersion(
                model=work.model.name, version=logged["version"], run_id=logged["run_id"], uri=logged["uri"],
                artefact_digest=candidate.artefact_digest, trained_by=work.retraining.requested_by,
                trained_at=clock.now(), cutoff=candidate.cutoff, parameters=work.found["train"]["parameters"],
                metrics=evaluated["metrics"], training=_training(work, lineage),
                reference_path=candidate.reference_path,
                card_path=str(work.file(CARD)),
            ),
        )  # fmt: skip
        if explained["known"]:
            store_explanation(session, work.run.actor, explanation=_explanation(work, version.version))
        session.get_one(RetrainingRun, work.retraining.id).version = version.version
    _take_card(work, version.version)
    return {**logged, "lineage": lineage}


def lineage_of(work: Work) -> dict[str, str]:
    """Where the version comes from, fact by fact."""
    extracted, trained = work.found["extract"], work.found["train"]
    stores = extracted["store_versions"]
    environment = {"warrant": installed_version("warrant"), **trained["versions"]}
    program = {
        "program": str(work.plan.parameters["program"]),
        "program_files": ", ".join(f"{name} {digest}" for name, digest in sorted(trained["program"].items())),
        "program_digest": digest_of(trained["program"]),
    } if trained.get("program") else {}  # fmt: skip
    return {
        **program,
        **_searched(trained.get("search")),
        "data_digest": extracted["digest"],
        "data_version": ", ".join(f"{name} {number}" for name, number in sorted(stores.items())),
        "code_revision": code_revision(),
        "environment": ", ".join(f"{name} {number}" for name, number in sorted(environment.items())),
        "environment_digest": digest_of(environment),
        "parent": str(work.parent.version) if work.parent is not None else "none",
        "change": f"CHG-{work.retraining.change_id}", "run": work.retraining.id,
        "trigger": work.plan.trigger.on,
    }  # fmt: skip


def _searched(found: dict[str, Any] | None) -> dict[str, str]:
    """Of a search: how the parameters were chosen, and the digest of all that was tried."""
    if not found:
        return {}
    states = [one["state"] for one in found["trials"]]
    told = ", ".join(
        f"{states.count(one)} {one}" for one in ("complete", "pruned", "failed") if one in states
    )
    return {
        "search": f"trial {found['chosen']} of {len(states)} by {found['metric']} of the validation rows ({told})",
        "search_digest": found["digest"],
    }


def code_revision() -> str:
    """The commit of this checkout, `-dirty` where its files are others, or the version that is installed."""
    git = shutil.which("git")
    if git is not None and (ROOT / ".git").exists():
        found = subprocess.run(
            [git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if found.returncode == 0:
            return found.stdout.strip()
    return f"warrant {installed_version('warrant')}"


def _training(work: Work, lineage: dict[str, str]) -> dict[str, Any]:
    parts, extracted = work.found["split"], work.found["extract"]
    return {
        "digest": extracted["digest"], "from": parts["train"]["from"], "to": parts["test"]["from"],
        "as_of": clock.to_iso(work.plan.as_of), "rows": parts["train"]["rows"], "valid_rows": parts["valid"]["rows"],
        "held_out_rows": parts["test"]["rows"], "held_out": "the newest 15 % of the rows",
        "label_completeness": extracted["completeness"], "trainer": work.plan.trainer,
        **{name: value for name, value in lineage.items() if name != "data_digest"},
    }  # fmt: skip


def _explanation(work: Work, version: int) -> Explanation:
    found = work.found["explain"]
    return Explanation(
        work.model.name, version, found["rows"], found["method"], found["base_value"],
        tuple(Contribution(**one) for one in found["contributions"]),
    )  # fmt: skip


def _take_card(work: Work, version: int) -> None:
    """The draft as the first version of the card, where its text is one; the file holds in any case."""
    try:
        with writing() as session:
            work.run.require_owned(session)
            import_card(
                session, work.run.actor, model=work.model.name, version=version, text=work.file(CARD).read_text(),
                source="file", source_name=f"retraining/{work.retraining.id}/{CARD}", why="drafted by the retraining",
            )  # fmt: skip
    except WarrantError as error:
        work.tell(f"the card was not taken: {error.message}")


def _log(work: Work, lineage: dict[str, str]) -> dict[str, Any]:
    """The version in MLflow; found again where an attempt before this one made it."""
    disable_telemetry()
    trained, model = work.found["train"], work.model.name
    artefact = Path(trained["artefact"])
    if artefact_digest(artefact) != trained["digest"]:
        raise ValueError("the trained files changed since training ended")
    client = mlflow_client()
    tags = {TAG: work.retraining.id, "artefact_digest": trained["digest"]}
    tags |= {f"warrant.{name}": value for name, value in lineage.items()}
    for known in client.search_model_versions(f"name = '{model}'"):
        if known.tags.get(TAG) == work.retraining.id:
            return _logged(work, known)
    run = _run(client, work, tags)
    client.log_artifacts(run.info.run_id, str(artefact), "model")
    client.log_artifact(run.info.run_id, str(work.file(REFERENCE)), "reference")
    client.log_dict(run.info.run_id, {**lineage, "plan": work.plan.as_dict()}, "lineage.json")
    log_trials(client, run, trained.get("search"))
    client.set_terminated(run.info.run_id)
    if not client.search_registered_models(filter_string=f"name = '{model}'"):
        client.create_registered_model(model)
    made = client.create_model_version(
        model, source=f"{run.info.artifact_uri}/model", run_id=run.info.run_id, tags=tags
    )
    return _logged(work, made)


def _run(client: MlflowClient, work: Work, tags: dict[str, str]) -> Any:
    from mlflow.entities import Metric, Param

    experiment = _experiment(client, work.model.name)
    known = client.search_runs(
        [experiment], filter_string=f"tags.`{TAG}` = '{work.retraining.id}'", max_results=1
    )
    run = known[0] if known else client.create_run(experiment, tags=tags, run_name=work.retraining.id)
    parameters = {**work.found["train"]["parameters"], "trainer": work.plan.trainer, "seed": work.plan.seed}
    now = int(clock.now().timestamp() * 1000)
    figures = {name: one["value"] for name, one in work.found["evaluate"]["metrics"].items()}
    figures |= {f"valid_{name}": value for name, value in work.found["train"]["metrics"].items()}
    client.log_batch(
        run.info.run_id, metrics=[Metric(name, float(value), now, 0) for name, value in figures.items()],
        params=[Param(name, str(value)[:500]) for name, value in parameters.items()],
    )  # fmt: skip
    return run


def _experiment(client: MlflowClient, model: str) -> str:
    found = client.get_experiment_by_name(model)
    if found is not None:
        return str(found.experiment_id)
    if urlsplit(settings().mlflow).scheme.startswith("http"):
        return str(client.create_experiment(model))
    folder = settings().resolved_home() / "mlartifacts" / model
    folder.mkdir(parents=True, exist_ok=True)
    return str(client.create_experiment(model, artifact_location=folder.resolve().as_uri()))


def _logged(work: Work, found: Any) -> dict[str, Any]:
    """Where gateways find the files: MLflow's copy, by its path where it is one of this machine."""
    split = urlsplit(found.source)
    uri = unquote(split.path) if split.scheme in ("", "file") else found.source
    folder = Path(uri)
    if split.scheme in ("", "file") and artefact_digest(folder) != work.found["train"]["digest"]:
        raise ValueError(f"MLflow's copy at {folder} is not what was trained")
    return {"version": int(found.version), "run_id": found.run_id, "uri": uri}


def open_promotion(work: Work) -> dict[str, Any]:
    """Ask for the promotion of what was registered, for who asked for the retraining. Once.

    Where it cannot be asked for now (another change of the model is open) the version stays registered, and it says so.
    """
    number = work.found["register"]["version"]
    asked = Asked("promote", work.retraining.environment, work.model.name, number, alert_id=_open_alert(work))
    try:
        with writing() as session:
            work.run.require_owned(session)
            row = session.get_one(RetrainingRun, work.retraining.id, with_for_update=True)
            if row.promote_change_id is not None:
                return {"change": row.promote_change_id}
            preview = preview_change(session, work.run.actor, asked)
            change = draft_change(
                session, work.run.actor, asked, reason=_why_promote(work), seen_digest=preview.digest,
                requested_by=row.requested_by,
            )  # fmt: skip
            send_change(session, change)
            row.promote_change_id = change.id
            opened = change.id
    except WarrantError as error:
        work.tell(f"the promotion was not asked for: {error.message}")
        return {"change": None, "why": error.message}
    work.tell(f"CHG-{opened} asks for the promotion of version {number}")
    return {"change": opened}


def _why_promote(work: Work) -> str:
    trigger = work.plan.trigger
    told = f": {trigger.text}" if trigger.text else ""
    primary = work.found["evaluate"]["same_rows"].get("metrics") or [{"value": None}]
    first = primary[0]
    gain = (
        f" On the same rows {first['metric']} is {first['after']:.4f}, {first['value']:+.4f} against what serves."
        if first["value"] is not None
        else ""
    )
    return f"Retrained {TRIGGER_WORDS[trigger.on]}{told} ({work.retraining.id}).{gain}"


def _open_alert(work: Work) -> int | None:
    """The alert that set it off, while it fires: the promotion then answers its incident."""
    with reading() as session:
        found = session.scalar(select(Change.alert_id).where(Change.id == work.retraining.change_id))
        alert = session.get(Alert, found) if found is not None else None
        return alert.id if alert is not None and alert.state == "firing" else None


def notify(work: Work) -> dict[str, Any]:
    """Tell those who wait for it: a ticket by the usual routes until the promotion is decided on, and a line on the
    incident that set it off."""
    opened, number = work.found["open_promotion"], work.found["register"]["version"]
    waits = (
        f"CHG-{opened['change']} waits"
        if opened["change"]
        else f"its promotion has to be asked for: {opened['why']}"
    )
    text = f"{work.model.name} was retrained: v{number} is registered, and {waits}"
    with writing() as session:
        work.run.require_owned(session)
        if opened["change"]:
            fire(
                session, work.run.actor,
                Firing(
                    work.model.name, work.retraining.environment, number, "retraining", "ticket", text,
                    f"promotion/{opened['change']}", clock.now(),
                    {"change": opened["change"], "retraining": work.retraining.id},
                ),
            )  # fmt: skip
        incident = (
            session.get(Incident, work.plan.trigger.incident_id) if work.plan.trigger.incident_id else None
        )
        if incident is not None and incident.state == "open":
            write_entry(session, work.run.actor, incident, "note", text)
    work.tell(text)
    return {"text": text}
