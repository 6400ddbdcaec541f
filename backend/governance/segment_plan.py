"""Whether a rollout can be kept to segments: asked when a change is previewed, so that it is not found out while it
runs."""

from __future__ import annotations

from backend.deployment.segments import in_words, refuse_unroutable
from backend.deployment.targets import refuse_segments
from backend.errors import BadInput
from backend.governance.kinds import Asked
from backend.governance.policy_document import Entry
from backend.monitoring.columns import parse_spec
from backend.registry.tables import Model


def refuse_segments_of(entry: Entry, asked: Asked, model: Model, *, replaces: bool) -> None:
    """Raises `BadInput` or `TargetRefused` where the segments of a promotion, its rule's or those that whoever asks
    names, cannot be told apart for this model or by the target. `replaces`: something serves, so that there is a rest.
    """
    rollout, named = entry.rule.rollout, asked.subject.get("segments")
    if named and not rollout.segments_on_request:
        raise BadInput(
            f"the rule {entry.name!r} has nobody name segments for a rollout; it would have to say "
            "`segments_on_request: true`",
            field="segments",
        )
    segments = named or rollout.segments
    if not segments:
        return
    refuse_unroutable(parse_spec(model.spec), segments)
    refuse_segments()
    if named and not replaces:
        raise BadInput(
            f"nothing serves {model.name} in {asked.environment}, so there is no champion for the rows that are not of "
            f"{in_words(named)}; leave the segments out",
            field="segments",
        )
