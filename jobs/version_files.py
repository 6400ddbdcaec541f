"""The files of versions as jobs load them: from one folder of copies, each checked by its digest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import exists, select

from backend.database.session import ReadSession, reading
from backend.deployment.tables import Deployment
from backend.errors import NotAllowed
from backend.governance.policies import active_policy
from backend.registry.tables import Version
from backend.settings import settings

if TYPE_CHECKING:
    from pathlib import Path

    from backend.serving.loader import Loader

SCAN: Final = "artefact_scanned"


def job_loader() -> Loader:
    """Where jobs keep copies of artefacts that they fetched."""
    from backend.serving.loader import Loader

    return Loader(settings().resolved_home() / "jobs" / "artefacts", tracking_uri=settings().mlflow)


def estimator_of(uri: str, digest: str) -> Any:
    """The fitted model of an artefact; raises what `Loader.fetch` raises where the files are not the recorded ones, and
    `NotAllowed` where loading them would import anything unexpected.

    What a gateway has served was loaded before, and is not asked about again.
    """
    from backend.serving.loader import load_estimator

    folder = job_loader().fetch(uri, digest)
    with reading() as session:
        served, allow = _has_served(session, digest), _modules_allowed(session)
    if not served:
        _refuse_unexpected(folder, allow)
    return load_estimator(folder)


def _has_served(session: ReadSession, digest: str) -> bool:
    served = exists().where(
        Deployment.model == Version.model, Deployment.version == Version.version,
        Deployment.serving_at.is_not(None), Version.artefact_digest == digest,
    )  # fmt: skip
    return bool(session.scalar(select(served)))


def _modules_allowed(session: ReadSession) -> tuple[str, ...]:
    """Further modules that model files may import, by any rule of the policy."""
    gates = [gate for entry in active_policy(session).document.rules for gate in entry.rule.gates]
    return tuple(
        sorted({one for gate in gates if gate.gate == SCAN for one in gate.parameters.get("allow", ())})
    )


def _refuse_unexpected(folder: Path, allow: tuple[str, ...]) -> None:
    from backend.governance.artefact_files import scan_folder
    from backend.governance.pickle_scan import Unscannable

    try:
        unexpected = scan_folder(folder, allow)
    except Unscannable as error:
        raise NotAllowed(f"the files cannot be judged without loading them: {error}") from error
    if unexpected:
        raise NotAllowed(
            f"loading the files would use {unexpected[0]}; a rule of the policy can allow its module"
        )
