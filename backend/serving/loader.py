"""From a version's artefact to a predictor: fetched once, checked against its digest, loaded from our own copy.

Loading a model can run code. Nothing is loaded whose bytes are not those that `Version.artefact_digest` names,
and skops files only with the names that models are made of.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import yaml

from backend.errors import BadInput
from backend.registry.artefacts import ADDED_BY_MLFLOW, artefact_digest, check_artefact
from backend.serving.errors import NotLoadable
from backend.serving.model_names import not_loaded
from backend.serving.portable import FLAVOR, load_portable
from backend.serving.predictor import Predictor
from backend.serving.signature import read_signature

log = logging.getLogger(__name__)

KEPT_COPIES: Final = 16


class Loader:
    """Keeps a copy of each artefact under `<folder>/<hex digest>`, so that a restart needs no MLflow."""

    def __init__(self, folder: Path, *, tracking_uri: str) -> None:
        self._folder = folder
        self._tracking_uri = tracking_uri
        self._fetching = threading.Lock()

    def load(self, uri: str, digest: str) -> Predictor:
        """A predictor from exactly the bytes that `digest` names.

        Raises `ArtefactAltered` when neither the copy nor the source has them, `NotLoadable` when they are not a
        model we can run, and what the source raises when it is away.
        """
        started = time.perf_counter()
        folder = self.fetch(uri, digest)
        estimator = load_estimator(folder)
        signature = read_signature(description_of(folder))
        predictor = Predictor(
            estimator, digest=digest, load_s=time.perf_counter() - started, signature=signature
        )
        log.info("loaded %s in %.2f s", digest[:19], predictor.load_s)
        return predictor

    def fetch(self, uri: str, digest: str) -> Path:
        """The local copy, whose digest was checked now."""
        copy = self.path(digest)
        with self._fetching:
            if copy.is_dir():
                if artefact_digest(copy) == digest:
                    return copy
                log.warning("the local copy of %s was altered; fetching it again from %s", digest, uri)
                shutil.rmtree(copy)
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._folder, prefix=".fetch-") as draft:
                fetched = self._copy_source(uri, Path(draft))
                check_artefact(fetched, digest)
                fetched.rename(copy)
            return copy

    def path(self, digest: str) -> Path:
        """Where the copy of this digest lies."""
        return self._folder / digest.removeprefix("sha256:")

    def prune(self, in_use: Iterable[str]) -> None:
        """Remove the oldest copies beyond `KEPT_COPIES`; those in use stay."""
        keep = {self.path(digest).name for digest in in_use}
        copies = sorted(
            (path for path in self._folder.glob("[!.]*") if path.is_dir() and path.name not in keep),
            key=lambda path: path.stat().st_mtime,
        )
        for path in copies[: max(0, len(copies) + len(keep) - KEPT_COPIES)]:
            shutil.rmtree(path, ignore_errors=True)

    def _copy_source(self, uri: str, draft: Path) -> Path:
        split = urlsplit(uri)
        if split.scheme in ("", "file"):
            source = Path(unquote(split.path) if split.scheme else uri)
            if not source.is_dir():
                raise NotLoadable(f"the artefact folder {source} is not there")
            return shutil.copytree(source, draft / "artefact")
        from mlflow.artifacts import download_artifacts

        target = draft / "artefact"
        target.mkdir()
        return Path(download_artifacts(uri, dst_path=str(target), tracking_uri=self._tracking_uri))


def load_estimator(folder: Path) -> Any:
    """The estimator in an MLflow model folder, or in one that holds only `model.skops`.

    scikit-learn's flavor, or ours: plain data that `backend.serving.portable` reads. skops files are read directly:
    importing MLflow takes four seconds. Pickles go through MLflow, which refuses them when
    MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false.
    """
    description = description_of(folder)
    if not description:
        if (folder / "model.skops").is_file():
            return _load_skops(folder / "model.skops")
        raise NotLoadable(f"the artefact holds neither MLmodel nor model.skops: {folder.name}")
    flavors = description.get("flavors", {})
    if FLAVOR in flavors:
        return _load_portable(_named_by(folder, FLAVOR, flavors[FLAVOR], "data"))
    flavor = flavors.get("sklearn")
    if flavor is None:
        raise NotLoadable(
            f"the gateway runs scikit-learn models and those of Warrant's trainers; the artefact has "
            f"{', '.join(flavors) or 'no'} flavor"
        )
    stored = _named_by(folder, "sklearn", flavor, "pickled_model")
    if flavor.get("serialization_format") == "skops":
        return _load_skops(stored)
    import mlflow.sklearn

    return mlflow.sklearn.load_model(str(folder))


def description_of(folder: Path) -> dict[str, Any]:
    """What `MLmodel` says; empty without one."""
    path = folder / "MLmodel"
    found = yaml.safe_load(path.read_text()) if path.is_file() else None
    return found if isinstance(found, dict) else {}


def _named_by(folder: Path, name: str, flavor: Any, key: str) -> Path:
    """The file that a flavor names. One that the artefact's digest does not cover is not what was signed."""
    file = folder / str(flavor.get(key) if isinstance(flavor, dict) else "")
    inside = file.resolve()
    if not inside.is_relative_to(folder.resolve()):
        raise NotLoadable(f"the artefact's {name} flavor points outside of it: {file}")
    if inside.relative_to(folder.resolve()).as_posix() in ADDED_BY_MLFLOW:
        raise NotLoadable(
            f"the artefact's {name} flavor names a file that its digest does not cover: {file.name}"
        )
    return file


def _load_portable(data: Path) -> Any:
    try:
        return load_portable(data)
    except BadInput as failure:
        raise NotLoadable(failure.message) from failure


def _load_skops(path: Path) -> Any:
    import skops.io

    needed = skops.io.get_untrusted_types(file=path)
    refused = not_loaded(
        needed
    )  # an artefact says itself what it needs: only what a model is made of is granted
    if refused:
        raise NotLoadable(f"the artefact names what the gateway does not load: {', '.join(refused)}")
    return skops.io.load(path, trusted=needed)
