"""Which code and which data a version was made from, and who says so."""

from __future__ import annotations

from typing import Final

from backend.database.session import ReadSession
from backend.registry.tables import ImportedVersion, Version

# Where those who register a version, or the machine that trained it, leave the revision of its code.
CODE_KEYS: Final = ("code_revision", "git_commit", "git_sha", "commit")


def provenance_of(session: ReadSession, version: Version | None) -> dict[str, str]:
    """Words by fact: `code revision`, `training data`, `reference data`; each says where there is none."""
    if version is None:
        return {}
    return {
        "code revision": _code(session, version),
        "training data": str(version.training.get("digest") or "no digest was registered"),
        "reference data": version.reference_digest,
    }


def _code(session: ReadSession, version: Version) -> str:
    for said_by, facts in (("registered", version.training), ("a parameter", version.parameters)):
        revision = next((str(facts[key]) for key in CODE_KEYS if facts.get(key)), None)
        if revision is not None:
            return f"{revision} ({said_by})"
    imported = session.get(ImportedVersion, (version.model, version.version))
    run = (imported.run if imported is not None else None) or {}
    tags = {**(run.get("tags") or {}), **(imported.tags if imported is not None else {})}
    named = run.get("code_revision") or next((tags[key] for key in CODE_KEYS if tags.get(key)), None)
    if named:
        return f"{named} (MLflow's run says so; nobody checked it)"
    return "unknown: neither the version nor its run in MLflow names one"
