"""Making a pack from one snapshot of the record: every part adds its files, the summary and the manifest come last.

The same record gives the same bytes, but for the times at which a card's facts and catalogues were looked up.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from importlib.metadata import version as installed
from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.audit.notes import SigningKey
from backend.audit.population import parse_period, population_of
from backend.audit.tables import AuditHead
from backend.database.session import ReadSession
from backend.deployment.tables import Deployment
from backend.documents import Sheet
from backend.identity.actor import Actor
from backend.identity.people import people_named
from backend.packs.assurance_files import add_assurance
from backend.packs.card_files import add_cards
from backend.packs.change_files import add_changes
from backend.packs.container import safe_name, zip_of
from backend.packs.control_files import add_controls
from backend.packs.draft import Draft
from backend.packs.log_extract import add_log
from backend.packs.made import Built, Wanted, verifier
from backend.packs.manifest import MANIFEST, SIGNATURE, contents_digest, manifest_of, signature_of
from backend.packs.monitoring_files import add_monitoring
from backend.packs.readme import readme_of
from backend.packs.scope import Subject, subject_of
from backend.packs.summary import Facts, summary_blocks
from backend.registry.tables import Version

_PERSON: Final = re.compile(rb"\bper_[0-9a-f]{20}\b")
Tell = Callable[[float, str], None]


def build_pack(
    session: ReadSession, maker: Actor, wanted: Wanted, key: SigningKey, *, tell: Tell = lambda _, __: None
) -> Built:
    """As far as the maker may see. Raises `PackTooLarge`, and `LogDamaged` where the log is not what was signed."""
    subject = subject_of(session, maker, wanted.scope, as_of=wanted.as_of, is_now=wanted.is_now,
                         environment=wanted.environment)  # fmt: skip
    draft = Draft()
    draft.name(maker.person_id)
    head_row = session.get(AuditHead, 1)
    draft.facts["log_size"] = head_row.size if head_row is not None else 0
    if wanted.refused:
        draft.gap(
            "high", f"The head of the audit log could not be signed: {wanted.refused}", "audit/state.json"
        )
    tell(0.1, "proving entries of the log")
    head = add_log(draft, session, maker, subject)
    tell(0.3, "collecting changes and what their deciders saw")
    serving = _add_models(draft, session, subject)
    changes = add_changes(draft, session, maker, subject)
    tell(0.45, "writing cards")
    cards = add_cards(draft, session, maker, subject)
    tell(0.6, "collecting validations, findings and incidents")
    assurance = add_assurance(draft, session, maker, subject)
    tell(0.7, "drawing what was measured")
    watched = add_monitoring(draft, session, maker, subject)
    tell(0.8, "holding catalogues of controls against the record")
    controls = add_controls(draft, session, maker, subject)
    population = _population(draft, session, maker, subject)
    tell(0.85, "writing the summary")
    facts = Facts(
        wanted.pack_id, maker.display_name or maker.person_id, wanted.reason, serving, changes, cards, assurance,
        watched, controls, population, head,
    )  # fmt: skip
    draft.name(*people_named(session))
    return _sealed(draft, subject, wanted, facts, key)


def _sealed(draft: Draft, subject: Subject, wanted: Wanted, facts: Facts, key: SigningKey) -> Built:
    """Summary, instructions, verifier, manifest and its signature; then the ZIP."""
    from backend.documents.pdf import pdf_of  # font and image libraries, for this alone

    draft.add_json("gaps.json", [one.as_dict() for one in draft.ordered_gaps()])
    draft.add_json("scope.json", _scope_document(subject, wanted))
    draft.add("verify_pack.py", verifier())
    contents = contents_digest(draft.files)
    sheet = Sheet(f"Evidence pack: {subject.scope.about}", f"pack {wanted.pack_id}", contents, subject.as_of)
    head = dict(facts.head) if facts.head is not None else None
    readme = readme_of(draft, subject, pack_id=wanted.pack_id, contents=contents, head=head)
    draft.add("summary.pdf", pdf_of(sheet, summary_blocks(draft, subject, facts)))
    draft.add("README.txt", readme)
    manifest = manifest_of(
        draft.files,
        {"pack": wanted.pack_id, "about": subject.scope.about, "scope": subject.scope.as_dict(),
         "environment": subject.environment, "as_of": clock.to_iso(subject.as_of),
         "product": f"warrant {installed('warrant')}", "head": head, "entries": draft.facts.get("entries", 0),
         "gaps": draft.counts()},
    )  # fmt: skip
    found = {one.decode() for content in draft.files.values() for one in _PERSON.findall(content)}
    files = {**draft.files, MANIFEST: manifest, SIGNATURE: signature_of(wanted.pack_id, manifest, key)}
    return Built(
        zip_of(files), f"sha256:{hashlib.sha256(manifest).hexdigest()}", draft.facts["log_size"], draft.counts(),
        tuple(sorted(draft.people | found)),
    )  # fmt: skip


def _scope_document(subject: Subject, wanted: Wanted) -> dict[str, Any]:
    return {
        **subject.scope.as_dict(), "about": subject.scope.about, "environment": subject.environment,
        "as_of": subject.as_of, "from": subject.start, "until": subject.end, "models": list(subject.models),
        "versions": [{"model": model, "version": version} for model, version in subject.versions],
        "changes": [f"CHG-{one}" for one in subject.changes], "reason": wanted.reason,
        "changes_by_the_log_alone": [f"CHG-{one}" for one in subject.lost],
        "changes_of_which_nothing_tells": subject.unplaced,
    }  # fmt: skip


def _add_models(draft: Draft, session: ReadSession, subject: Subject) -> list[dict[str, Any]]:
    """Add `models/`: versions, and what served when. Gives the deployments."""
    found: list[dict[str, Any]] = []
    for model in subject.models:
        versions = {one for name, one in subject.versions if name == model}
        rows = session.scalars(
            select(Version)
            .where(Version.model == model, Version.version.in_(versions))
            .order_by(Version.version)
        )
        folder = f"models/{safe_name(model)}"
        draft.add_json(f"{folder}/versions.json", [_version(draft, one) for one in rows])
        query = select(Deployment).where(
            Deployment.model == model, Deployment.environment == subject.environment,
            Deployment.started_at < subject.end, Deployment.version.in_(versions),
        )  # fmt: skip
        if subject.start is not None:
            query = query.where(Deployment.ended_at.is_(None) | (Deployment.ended_at >= subject.start))
        served = [_deployment(one) for one in session.scalars(query.order_by(Deployment.id))]
        draft.add_csv(f"{folder}/deployments.csv", list(served[0]) if served else ["model"], served)
        now = [one for one in served if one["ended_at"] is None or one["ended_at"] >= subject.as_of]
        for one in now:
            if one["change_id"] is None and subject.whole_model:
                draft.gap("medium", f"Version {one['version']} of {model} serves without a change that says so",
                          f"{folder}/deployments.csv")  # fmt: skip
        found += served or [{"model": model}]
    return found


def _version(draft: Draft, row: Version) -> dict[str, Any]:
    draft.name(row.trained_by, row.data_owner)
    return {
        "version": row.version, "run_id": row.run_id, "artefact_digest": row.artefact_digest,
        "trained_by": row.trained_by, "trained_at": row.trained_at, "data_owner": row.data_owner, "cutoff": row.cutoff,
        "parameters": row.parameters, "metrics": row.metrics, "training": row.training,
        "reference_digest": row.reference_digest, "card_digest": row.card_digest,
    }  # fmt: skip


def _deployment(row: Deployment) -> dict[str, Any]:
    return {
        "id": row.id, "model": row.model, "environment": row.environment, "version": row.version, "role": row.role,
        "share": row.share, "segments": row.segments, "cutoff": row.cutoff, "state": row.state,
        "started_at": row.started_at, "serving_at": row.serving_at,
        "ended_at": row.ended_at, "change_id": row.change_id, "reason": row.reason,
    }  # fmt: skip


def _population(draft: Draft, session: ReadSession, maker: Actor, subject: Subject) -> dict[str, Any] | None:
    """Of a period of the whole house: whether log and table name the same changes."""
    if subject.scope.kind != "period" or subject.scope.model is not None:
        return None
    found = population_of(session, maker, parse_period(subject.scope.period), as_of=subject.as_of)
    if not found.equal:
        missing = ", ".join(f"CHG-{one}" for one in (*found.without_row, *found.without_entry))
        draft.gap(
            "high", f"The log and the table of changes disagree on {missing}", "changes/population.json"
        )
    told = {"count": len(found.in_log), "equal": found.equal, "digest": found.digest}
    draft.add_json("changes/population.json", {**told, "in_log": list(found.in_log), "in_table": found.in_table,
                                               "without_row": list(found.without_row),
                                               "without_entry": list(found.without_entry)})  # fmt: skip
    return told
