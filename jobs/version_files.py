"""The files of versions as jobs load them: from one folder of copies, each checked by its digest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backend.settings import settings

if TYPE_CHECKING:
    from backend.serving.loader import Loader


def job_loader() -> Loader:
    """Where jobs keep copies of artefacts that they fetched."""
    from backend.serving.loader import Loader

    return Loader(settings().resolved_home() / "jobs" / "artefacts", tracking_uri=settings().mlflow)


def estimator_of(uri: str, digest: str) -> Any:
    """The fitted model of an artefact; raises what `Loader.fetch` raises where the files are not the recorded ones."""
    from backend.serving.loader import load_estimator

    return load_estimator(job_loader().fetch(uri, digest))
