"""Promote, roll back, move the cut-off: the changes of which version serves, and how it decides."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from backend.alerting.tables import Alert
from backend.database.session import ReadSession
from backend.deployment.segments import check_shape, in_words
from backend.deployment.service import champion, history
from backend.deployment.tables import Deployment
from backend.errors import BadInput, NotFound
from backend.governance import errors
from backend.governance.evidence import bind_version, evidence
from backend.governance.health import ServedVersion, earlier_versions, last_healthy
from backend.governance.kinds import Asked, Kind, Proposal, register
from backend.identity.actor import Actor
from backend.registry.inventory import refuse_only_imported
from backend.registry.service import get_model, get_version


def propose_promotion(session: ReadSession, viewer: Actor, asked: Asked) -> Proposal:
    """A version that is named comes into service, with its own cut-off or another one."""
    if asked.to_version is None:
        raise BadInput("a promotion names the version to promote", field="to_version")
    named = replace(asked, subject=_segments_named(asked))
    return _propose(session, viewer, named, asked.to_version)


def _segments_named(asked: Asked) -> dict[str, Any]:
    """The subject of a promotion: the segments that its rollout is kept to, where whoever asks names some."""
    unknown = sorted(set(asked.subject) - {"segments"})
    if unknown:
        raise BadInput(f"the subject of a promotion names segments, not {unknown[0]!r}", field="subject")
    try:
        segments = check_shape(asked.subject.get("segments") or {})
    except ValueError as error:
        raise BadInput(str(error), field="segments") from error
    return {"segments": segments} if segments else {}


def propose_rollback(session: ReadSession, viewer: Actor, asked: Asked) -> Proposal:
    """An earlier version comes back with the cut-off it served with. Without `to_version`, the last one that served
    healthily; of the version that serves, the cut-off it decided by before.

    Another cut-off is a change of its own: a return asks for less than that. Where no version is known to have served
    healthily `NoHealthyVersion` says what is known of each.
    """
    model = get_model(session, viewer, _name(asked)).name
    serving = champion(session, model, asked.environment)
    if serving is None:
        raise errors.NothingToChange(
            f"nothing serves {model} in {asked.environment}; there is nothing to roll back"
        )
    candidates = tuple(earlier_versions(session, viewer, model, asked.environment))
    to_version = asked.to_version
    if to_version is None:
        healthy = last_healthy(list(candidates))
        if healthy is None:
            known = (
                "; ".join(f"version {c.version}: {c.because}" for c in candidates)
                or "no version served before"
            )
            raise errors.NoHealthyVersion(f"{known}. Name the version to return to yourself, if you must")
        to_version = healthy.version
    chosen = next((c for c in candidates if c.version == to_version), None)
    if chosen is None and to_version != serving.version:
        raise BadInput(
            f"version {to_version} never served {model} in {asked.environment}; ask for a promotion instead",
            field="to_version",
        )
    cutoff = _cutoff_to_return_to(session, viewer, asked, serving, to_version, chosen)
    return _propose(
        session, viewer, replace(asked, to_cutoff=cutoff), to_version, candidates=candidates, chosen=chosen
    )


def _cutoff_to_return_to(
    session: ReadSession,
    viewer: Actor,
    asked: Asked,
    serving: Deployment,
    to_version: int,
    chosen: ServedVersion | None,
) -> float:
    """The one with which the version last served before; `BadInput` where another one is asked for."""
    served = [
        one.cutoff
        for one in history(session, viewer, serving.model, serving.environment)
        if one.version == to_version and one.role == "champion" and one.serving_at is not None
        and one.state != "failed" and (to_version != serving.version or one.cutoff != serving.cutoff)
    ]  # fmt: skip
    if not served and chosen is None:
        raise errors.NothingToChange(
            f"{serving.model} version {to_version} already serves in {serving.environment}, and never served there "
            "with another cut-off; ask for a change of the cut-off instead"
        )
    known = served[0] if served else chosen.cutoff if chosen is not None else serving.cutoff
    if asked.to_cutoff not in (None, known):
        raise BadInput(
            f"a return brings version {to_version} back with the cut-off it served with, {known:g}; ask for a "
            "promotion or a change of the cut-off to decide from another one",
            field="to_cutoff",
        )
    return known


def propose_cutoff(session: ReadSession, viewer: Actor, asked: Asked) -> Proposal:
    """The version that serves goes on with another cut-off: a change of the same tier as another version."""
    model = get_model(session, viewer, _name(asked)).name
    serving = champion(session, model, asked.environment)
    if serving is None:
        raise errors.NothingToChange(
            f"nothing serves {model} in {asked.environment}; it has no cut-off to move"
        )
    if asked.to_version not in (None, serving.version):
        raise BadInput(
            f"a change of the cut-off keeps version {serving.version}; ask for a promotion to change both",
            field="to_version",
        )
    if asked.to_cutoff is None:
        raise BadInput("name the cut-off to move to", field="to_cutoff")
    return _propose(session, viewer, asked, serving.version)


def _propose(
    session: ReadSession,
    viewer: Actor,
    asked: Asked,
    to_version: int,
    *,
    candidates: tuple[ServedVersion, ...] = (),
    chosen: ServedVersion | None = None,
) -> Proposal:
    model = get_model(session, viewer, _name(asked))
    refuse_only_imported(session, model, to_version)
    after = get_version(session, viewer, model.name, to_version)
    serving = champion(session, model.name, asked.environment)
    before = get_version(session, viewer, model.name, serving.version) if serving else None
    cutoff = _cutoff(
        asked.to_cutoff, default=chosen.cutoff if chosen else after.cutoff, task=model.spec["task"]
    )
    if serving is not None and serving.version == to_version and serving.cutoff == cutoff:
        at = f" with cut-off {cutoff:g}" if asked.to_cutoff is not None else ""
        raise errors.NothingToChange(
            f"{model.name} version {to_version} already serves in {asked.environment}{at}"
        )
    alert = session.get(Alert, asked.alert_id) if asked.alert_id is not None else None
    if asked.alert_id is not None and (alert is None or alert.model != model.name):
        raise NotFound(f"there is no alert {asked.alert_id} of {model.name}")
    return Proposal(
        asked=asked, model=model, tier=model.tier,
        summary=_summary(asked, model.name, serving.version if serving else None, to_version,
                         serving.cutoff if serving else None, cutoff),
        bound=bind_version(
            session, model, after, serving, kind=asked.kind, environment=asked.environment, cutoff=cutoff,
            segments=asked.subject.get("segments", {}),
        ),
        evidence=evidence(session, model, before, after, environment=asked.environment, alert=alert,
                          why_target=chosen.because if chosen else "",
                          before_cutoff=serving.cutoff if serving else None, after_cutoff=cutoff),
        before=before, after=after, serving=serving,
        from_cutoff=serving.cutoff if serving else None, to_cutoff=cutoff, candidates=candidates,
    )  # fmt: skip


def _summary(
    asked: Asked, model: str, before: int | None, after: int, old: float | None, cutoff: float
) -> str:
    if asked.kind == "cutoff":
        return f"{model} v{after} decides from {cutoff:g} on instead of {old:g} in {asked.environment}"
    verb = "returns" if asked.kind == "rollback" else "moves"
    origin = f" from v{before}" if before is not None and before != after else ""
    moved = f", deciding from {cutoff:g} on instead of {old:g}" if old is not None and old != cutoff else ""
    first = in_words(asked.subject.get("segments")) if asked.kind == "promote" else ""
    tried = f", tried on rows of {first} first" if first else ""
    return f"{model} {verb}{origin} to v{after} in {asked.environment}{moved}{tried}"


def _cutoff(wanted: float | None, *, default: float, task: str) -> float:
    if wanted is None or wanted == default:
        return default
    if task != "binary":
        raise BadInput(f"a {task} model has no cut-off", field="to_cutoff")
    if not math.isfinite(wanted) or not 0 <= wanted <= 1:
        raise BadInput(f"a cut-off is a score from 0 to 1, not {wanted!r}", field="to_cutoff")
    return wanted


def _name(asked: Asked) -> str:
    if not asked.model:
        raise BadInput(f"name the model to {asked.kind}", field="model")
    return asked.model


PROMOTE = register(
    Kind(
        "promote",
        "Promotion",
        "Brings a version into service, by the rollout its policy names.",
        propose_promotion,
        rollout=True,
    )
)
ROLLBACK = register(
    Kind(
        "rollback",
        "Return",
        "Brings back an earlier version, with the cut-off it served with.",
        propose_rollback,
        rollout=True,
    )
)
CUTOFF = register(
    Kind(
        "cutoff",
        "Cut-off",
        "Moves the score from which the version that serves decides positively.",
        propose_cutoff,
        rollout=True,
    )
)
