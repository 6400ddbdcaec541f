"""Which files of a version are loaded: those of its digest that the policy lets load, from a copy of their own."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import exists, select

from backend.database.session import ReadSession, reading
from backend.deployment.tables import Deployment
from backend.errors import NotAllowed
from backend.governance.policies import active_policy
from backend.registry.artefacts import check_artefact
from backend.registry.tables import Version
from backend.settings import settings
from jobs.models.child import MODEL
from jobs.models.process import ModelProcess

if TYPE_CHECKING:
    from backend.serving.loader import Loader

SCAN: Final = "artefact_scanned"
JUST_MADE_S: Final = 60.0


def job_loader() -> Loader:
    """Where jobs keep copies of artefacts that they fetched."""
    from backend.serving.loader import Loader

    return Loader(settings().resolved_home() / "jobs" / "artefacts", tracking_uri=settings().mlflow)


@contextmanager
def open_model(uri: str, digest: str, *, allow: tuple[str, ...] | None = None) -> Iterator[ModelProcess]:
    """The model of an artefact, loaded in a process of its own, which ends with the block.

    allow   modules that its files may import beside those that models are made of; None: those that any rule of the
            policy allows, and whatever a gateway has served, which was loaded before

    Raises what `Loader.fetch` raises where the files are not the recorded ones, `NotAllowed` where loading them would
    use anything unexpected, `NotLoadable` for what is no model, and `ModelEnded` where the process ended.
    """
    copy = job_loader().fetch(uri, digest)
    with _folder_of_its_own() as folder:
        shutil.copytree(copy, folder / MODEL)
        check_artefact(folder / MODEL, digest)  # of the very bytes that are loaded
        _refuse_unexpected(folder / MODEL, digest, allow)
        with ModelProcess(folder) as model:
            model.load()
            yield model


@contextmanager
def _folder_of_its_own() -> Iterator[Path]:
    """Locked for as long as it is in use, so that what a worker that was killed left is known and removed."""
    parent = settings().resolved_home() / "model-processes"
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in parent.iterdir():
        with suppress(OSError):  # another one's, or removed by another worker meanwhile
            if time.time() - left.stat().st_mtime > JUST_MADE_S:
                with _locked(left):
                    shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=parent) as folder, _locked(Path(folder)):
        yield Path(folder).resolve()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """`OSError` where another process holds it. The system gives it back when this process dies."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _refuse_unexpected(folder: Path, digest: str, allow: tuple[str, ...] | None) -> None:
    from backend.governance.artefact_files import scan_folder
    from backend.governance.pickle_scan import Unscannable

    if allow is None:
        with reading() as session:
            if _has_served(session, digest):
                return
            allow = _modules_allowed(session)
    try:
        unexpected = scan_folder(folder, allow)
    except Unscannable as error:
        raise NotAllowed(f"the files cannot be judged without loading them: {error}") from error
    if unexpected:
        raise NotAllowed(
            f"loading the files would use {unexpected[0]}; a rule of the policy can allow its module"
        )


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
