"""Deployments of a Kubernetes cluster, patched through the official client.

The pods learn what they serve from the environment of one container (`WARRANT_MODEL`, `WARRANT_VERSION`,
`WARRANT_ARTEFACT`, `WARRANT_ARTEFACT_DIGEST`, `WARRANT_CUTOFF`) and, where there is an image for each version, from the
image. Annotations say which change brought that about (`warrant/change`, `warrant/key`), so a repeated call changes
nothing, a later change is never overwritten by an earlier one, and a Deployment of another model is left alone.

A canary is a second Deployment behind the same Service, made by the operator. Its share is one of whole pods, rounded
down: it never answers more than was approved. Shadows are refused: nothing here could send them requests. So are
segments: a Service looks at no row. Where nothing is to serve, the Deployments are scaled to no pods
(`warrant/replicas` keeps how many there were).

Every patch names the `resourceVersion` it was made from, and is sent as a dry run first: of several Deployments, none
is changed when one would be refused.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from backend.deployment.targets import (
    WITHOUT_SEGMENTS,
    Observed,
    Part,
    TargetAway,
    TargetRefused,
    Wanted,
)
from backend.deployment.targets.kubernetes_api import PAUSES_S, Cluster, Moved, connect
from backend.errors import BadInput
from backend.settings import Settings, settings

log = logging.getLogger("warrant.targets")

POLL_S: Final = 1.0
CONFLICTS: Final = 5
LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
MODEL, ENVIRONMENT, CHANGE, KEY, REPLICAS = (
    f"warrant/{name}" for name in ("model", "environment", "change", "key", "replicas")
)


@dataclass(frozen=True)
class Naming:
    """Which Deployments, and which container in them. The patterns know `{model}`, `{environment}` and `{version}`."""

    namespace: str = "default"
    deployment: str = "{model}"
    canary: str | None = None
    container: str | None = None
    image: str | None = None

    @classmethod
    def from_settings(cls, found: Settings) -> Naming:
        """Raises `BadInput` for a pattern that names something else."""
        made = cls(
            found.kubernetes_namespace,
            found.kubernetes_deployment,
            found.kubernetes_canary or None,
            found.kubernetes_container or None,
            found.kubernetes_image or None,
        )
        names = {"DEPLOYMENT": made.deployment, "CANARY": made.canary, "IMAGE": made.image}
        for name, pattern in names.items():
            known = {"model": "m", "environment": "e"} | ({"version": 1} if name == "IMAGE" else {})
            try:
                (pattern or "").format(**known)
            except (KeyError, IndexError, ValueError, AttributeError) as failure:
                raise BadInput(
                    f"WARRANT_KUBERNETES_{name} is {pattern!r}; it can name {', '.join(known)} in braces"
                ) from failure
        if made.canary == made.deployment:
            raise BadInput("WARRANT_KUBERNETES_CANARY names the Deployment of the champion itself")
        return made

    def name(self, pattern: str, wanted: Wanted) -> str:
        """A DNS label. Two models that come to the same one are kept apart by the annotations."""
        parts = {"model": wanted.model, "environment": wanted.environment}
        name = pattern.format(**{part: value.lower().replace("_", "-") for part, value in parts.items()})
        if not LABEL.fullmatch(name):
            raise TargetRefused(f"{name!r} cannot name a Deployment; see WARRANT_KUBERNETES_DEPLOYMENT")
        return name


@dataclass(frozen=True)
class Patch:
    """What makes one Deployment as it is wanted. `moves` is empty where only annotations change."""

    name: str
    body: dict[str, Any]
    moves: tuple[str, ...]


class KubernetesTarget:
    """See the module. `api` has the calls of the client's `AppsV1Api`."""

    name = "kubernetes"

    def __init__(
        self,
        api: Any,
        naming: Naming,
        *,
        dry_run: bool = False,
        pauses_s: tuple[float, ...] = PAUSES_S,
        poll_s: float = POLL_S,
    ) -> None:
        self._cluster = Cluster(api, naming.namespace, pauses_s)
        self._naming, self._dry_run, self._poll_s = naming, dry_run, poll_s
        self._asked: tuple[str, float, Observed] | None = None

    @classmethod
    def from_settings(cls) -> KubernetesTarget:
        naming = Naming.from_settings(settings())
        return cls(connect(), naming, dry_run=settings().kubernetes_dry_run)

    def ensure(self, wanted: Wanted) -> None:
        """An API that is away is no failure here: `observe` does it when it is back, as long as the run waits."""
        self._asked = None
        try:
            self._bring_about(wanted)
        except TargetAway as away:
            log.warning("%s is not told of %s yet: %s", self._naming.namespace, wanted.key, away.message)

    restore = ensure

    def observe(self, wanted: Wanted) -> Observed:
        """As it is; what got lost on the way is told again. The cluster is asked once in `poll_s` at most."""
        if self._asked is not None:
            key, until, observed = self._asked
            if key == wanted.key and time.monotonic() < until:
                return observed
        try:
            observed = self._look(wanted)
        except TargetAway as away:
            observed = Observed(False, away.message)
        self._asked = (wanted.key, time.monotonic() + self._poll_s, observed)
        return observed

    def lacks(self, wanted: Wanted) -> str | None:
        """Raises `TargetRefused` where a later change has changed a Deployment since."""
        patches = self._patches(wanted)
        words = [f"{patch.name}: {move}" for patch in patches for move in patch.moves]
        if words or self._dry_run:
            return "; ".join(words) or None
        return f"{patches[0].name} does not say which change it is of" if patches else None

    def preview(self, wanted: Wanted) -> list[str]:
        """What would change, in words, after the cluster checked it in a dry run. Raises `TargetRefused`."""
        words: list[str] = []
        for patch in self._patches(wanted):
            self._cluster.patch(patch.name, patch.body, dry_run=True)
            words += [f"{patch.name}: {move}" for move in patch.moves]
        return words

    def _look(self, wanted: Wanted) -> Observed:
        missing = [patch for patch in self._patches(wanted) if patch.moves or not self._dry_run]
        if missing:
            self._bring_about(wanted)
            moves = ", ".join(move for patch in missing for move in patch.moves)
            return Observed(False, f"{missing[0].name} was told again: {moves or 'which change it is'}")
        for name in self._names(wanted):
            found = self._cluster.read(name, absent_is_fine=True)
            behind = None if found is None else rollout_lacks(found)
            if behind is not None:
                return Observed(False, behind)
        return Observed(True)

    def _bring_about(self, wanted: Wanted) -> None:
        for _ in range(CONFLICTS):
            try:
                words = self.preview(wanted)
                if self._dry_run:
                    if words:
                        raise TargetRefused(
                            f"dry run: the cluster would take {'; '.join(words)}; nothing was changed"
                        )
                    return
                for patch in self._patches(wanted):
                    self._cluster.patch(patch.name, patch.body)
            except Moved:
                continue
            return
        raise TargetAway(f"others change {self._names(wanted)[0]} at the same time, {CONFLICTS} times now")

    def _names(self, wanted: Wanted) -> list[str]:
        patterns = (self._naming.deployment, self._naming.canary)
        return [self._naming.name(pattern, wanted) for pattern in patterns if pattern]

    def _patches(self, wanted: Wanted) -> list[Patch]:
        """What differs, in the order in which a canary never has more than its share. Reads the cluster."""
        if not wanted.parts:
            return self._emptied(wanted)
        champion, canary = _parts(wanted)
        main, *others = self._names(wanted)
        if canary is not None and not others:
            raise TargetRefused("there is no Deployment for canaries; WARRANT_KUBERNETES_CANARY names one")
        found = self._owned(main, wanted)
        kept = _kept(found)
        total = kept or _replicas(found)
        if canary is None:
            patches = [self._patch(found, wanted, champion, total if kept else None, None)]
            beside = self._owned(others[0], wanted, absent_is_fine=True) if others else None
            if beside is not None and _replicas(beside):
                patches.append(self._patch(beside, wanted, None, 0, None))
        else:
            tried = pods_of(canary.share, total, main)
            patches = [
                self._patch(self._owned(others[0], wanted), wanted, canary, tried, None),
                self._patch(found, wanted, champion, total - tried, str(total)),
            ]
        return [patch for patch in patches if patch is not None]

    def _emptied(self, wanted: Wanted) -> list[Patch]:
        """No pods where nothing is to serve; how many there were is noted, for the version that comes next."""
        main, *_ = names = self._names(wanted)
        patches = []
        for name in names:
            found = self._owned(name, wanted, absent_is_fine=True)
            if found is not None:
                total = (_kept(found) or _replicas(found)) if name == main else 0
                patches.append(self._patch(found, wanted, None, 0, str(total) if total else None))
        return [patch for patch in patches if patch is not None]

    def _patch(
        self, found: Any, wanted: Wanted, part: Part | None, replicas: int | None, total: str | None
    ) -> Patch | None:
        """From what was found to this part with so many pods; None where it is so. None leaves either as it is."""
        moves: list[str] = []
        spec: dict[str, Any] = {}
        if replicas is not None and replicas != _replicas(found):
            spec["replicas"] = replicas
            moves.append(f"{_replicas(found)} to {replicas} pods")
        if part is not None:
            template = self._template(found, wanted, part)
            if template is not None:
                spec["template"] = template
                moves.append(f"version {part.version} with the cut-off {part.cutoff:g}")
        notes: dict[str, str | None] = {
            MODEL: wanted.model,
            ENVIRONMENT: wanted.environment,
            CHANGE: str(wanted.change_id),
            KEY: wanted.key,
            REPLICAS: total,
        }
        if moves:
            notes["kubernetes.io/change-cause"] = f"CHG-{wanted.change_id}"
        before = found.metadata.annotations or {}
        differing = {name: value for name, value in notes.items() if before.get(name) != value}
        if not moves and not differing:
            return None
        metadata = {"resourceVersion": found.metadata.resource_version, "annotations": differing}
        body: dict[str, Any] = {"metadata": metadata} | ({"spec": spec} if spec else {})
        return Patch(found.metadata.name, body, tuple(moves))

    def _template(self, found: Any, wanted: Wanted, part: Part) -> dict[str, Any] | None:
        container = self._container(found)
        image = self._naming.image
        wanted_image = image.format(model=wanted.model, environment=wanted.environment, version=part.version) \
            if image else container.image  # fmt: skip
        environment = {
            "WARRANT_MODEL": wanted.model,
            "WARRANT_VERSION": str(part.version),
            "WARRANT_ARTEFACT": part.uri,
            "WARRANT_ARTEFACT_DIGEST": part.digest,
            "WARRANT_CUTOFF": repr(part.cutoff),
        }
        has = {one.name: one.value for one in container.env or []}
        if wanted_image == container.image and all(
            has.get(name) == value for name, value in environment.items()
        ):
            return None
        variables = [{"name": name, "value": value, "valueFrom": None} for name, value in environment.items()]
        patched: dict[str, Any] = {"name": container.name, "env": variables}
        if image:
            patched["image"] = wanted_image
        return {"spec": {"containers": [patched]}}

    def _container(self, found: Any) -> Any:
        """The one that serves. It must be there: a patch that names another one would add it."""
        containers = found.spec.template.spec.containers
        name = self._naming.container
        chosen = [one for one in containers if name is None or one.name == name]
        if len(chosen) != 1:
            names = ", ".join(one.name for one in containers)
            raise TargetRefused(
                f"{found.metadata.name} has the containers {names}; WARRANT_KUBERNETES_CONTAINER has to name one"
            )
        return chosen[0]

    def _owned(self, name: str, wanted: Wanted, *, absent_is_fine: bool = False) -> Any:
        """The Deployment, if it may be changed: of this model and environment, and by no later change."""
        found = self._cluster.read(name, absent_is_fine=absent_is_fine)
        if found is None:
            return None
        notes: Mapping[str, str] = found.metadata.annotations or {}
        theirs = (notes.get(MODEL, wanted.model), notes.get(ENVIRONMENT, wanted.environment))
        if theirs != (wanted.model, wanted.environment):
            raise TargetRefused(f"the Deployment {name} belongs to {theirs[0]} in {theirs[1]}")
        last = notes.get(CHANGE, "")
        if last.isdecimal() and int(last) > wanted.change_id:
            raise TargetRefused(f"CHG-{last} has changed the Deployment {name} since")
        return found


def rollout_lacks(found: Any) -> str | None:
    """What a rollout still lacks, None where it is complete, as `kubectl rollout status` counts it.

    Raises `TargetRefused` where it is over without having succeeded (`ProgressDeadlineExceeded`) or is paused.
    """
    name, wanted, status = found.metadata.name, _replicas(found), found.status
    if found.spec.paused:
        raise TargetRefused(f"the Deployment {name} is paused")
    if status is None or (status.observed_generation or 0) < (found.metadata.generation or 0):
        return f"{name}: the controller has not seen it yet"
    conditions = {one.type: one for one in status.conditions or []}
    progress, failure = conditions.get("Progressing"), conditions.get("ReplicaFailure")
    if progress is not None and progress.reason == "ProgressDeadlineExceeded":
        said = progress.message or "it does not say why"
        raise TargetRefused(f"the rollout of {name} made no progress in time: {said}")
    updated, available = status.updated_replicas or 0, status.available_replicas or 0
    suffix = f" ({failure.message})" if failure is not None and failure.status == "True" else ""
    if updated < wanted:
        return f"{name}: {updated} of {wanted} pods are updated{suffix}"
    if (status.replicas or 0) > updated:
        return f"{name}: {(status.replicas or 0) - updated} old pods are still there{suffix}"
    if available < updated:
        return f"{name}: {available} of {updated} updated pods are available{suffix}"
    return None


def pods_of(share: float, total: int, name: str) -> int:
    """How many of `total` pods are the share, rounded down: more was not approved. Raises `TargetRefused` for none."""
    pods = math.floor(share * total + 1e-9)
    if pods < 1:
        raise TargetRefused(
            f"a share of {share:g} needs {math.ceil(1 / share - 1e-9)} pods; the Deployment {name} has {total}"
        )
    return pods


def _parts(wanted: Wanted) -> tuple[Part, Part | None]:
    """The champion, and the canary that answers a share. Raises `TargetRefused` for what pods cannot do."""
    champion = next((part for part in wanted.parts if part.role == "champion"), None)
    if champion is None:
        raise TargetRefused(
            f"no version of {wanted.model} is the champion, and yet another one is to serve beside it"
        )
    if any(part.role not in ("champion", "canary") for part in wanted.parts):
        raise TargetRefused("the kubernetes target has no shadows; use all_at_once, blue_green or canary")
    if any(part.segments for part in wanted.parts):
        raise TargetRefused(WITHOUT_SEGMENTS["kubernetes"])
    canaries = [part for part in wanted.parts if part.role == "canary" and part.share > 0]
    if len(canaries) > 1:
        raise TargetRefused("the kubernetes target has one canary at a time")
    return champion, canaries[0] if canaries else None


def _kept(found: Any) -> int:
    """How many pods there are in all while some are lent to a canary or none is needed; 0 where nothing is noted."""
    return int((found.metadata.annotations or {}).get(REPLICAS) or 0)


def _replicas(found: Any) -> int:
    return 1 if found.spec.replicas is None else int(found.spec.replicas)
