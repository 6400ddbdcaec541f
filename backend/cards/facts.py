"""The facts of a card: what the system knows of a model's version, each with its time. Nobody writes them.

A block whose sources hold nothing says `unknown` and why; it is never left out and never empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from backend import clock
from backend.cards.document import BLOCKS
from backend.cards.fact_blocks import (
    Fact,
    approval_facts,
    data_facts,
    drift_facts,
    fairness_facts,
    figure_words,
    incident_facts,
    lineage_facts,
    live_facts,
    metric_facts,
    parameter_facts,
    recorded_metrics,
)
from backend.cards.live import Pooled, pool_realised
from backend.database.session import ReadSession
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.monitoring.columns import parse_spec
from backend.registry.inventory import require_known
from backend.registry.service import get_model
from backend.registry.tables import ImportedVersion, Model, Version
from backend.settings import settings

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Block:
    """One fact block. unknown: why nothing is known; empty where something is."""

    name: str
    facts: tuple[Fact, ...]
    unknown: str = ""

    @property
    def title(self) -> str:
        return BLOCKS[self.name]


@dataclass(frozen=True)
class Facts:
    """Everything the system fills into a card. at: when it was looked up; live: pooled realised figures."""

    model: str
    version: int
    at: datetime
    blocks: tuple[Block, ...]
    inline: Mapping[str, str]
    recorded: Mapping[
        str, Mapping[str, Any]
    ]  # held-out metrics: {"roc_auc": {"value", "low", "high", "rows"}}
    tier: str
    owner: str | None
    live: Mapping[tuple[str, str], Pooled] = field(default_factory=dict)
    label_delay_days: float = 0.0  # how long labels of this model normally take

    def block(self, name: str) -> Block:
        return next(one for one in self.blocks if one.name == name)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for a snapshot and for the API."""
        return {
            "model": self.model, "version": self.version, "at": clock.to_iso(self.at), "tier": self.tier,
            "owner": self.owner, "inline": dict(self.inline),
            "blocks": [
                {"name": one.name, "title": one.title, "unknown": one.unknown,
                 "facts": [fact.as_dict() for fact in one.facts]}
                for one in self.blocks
            ],
        }  # fmt: skip


def collect_facts(
    session: ReadSession, viewer: Actor, model: str, version: int, *, environment: str | None = None
) -> Facts:
    """Look everything up now. `NotFound` for a version that neither is registered nor was imported."""
    require_known(session, viewer, model, version)
    found = get_model(session, viewer, model)
    environment = environment or settings().environment
    registered = session.get(Version, (model, version))
    imported = session.get(ImportedVersion, (model, version))
    owner = names_of(session, {found.owner_id}).get(found.owner_id or "")
    live: dict[tuple[str, str], Pooled] = {}
    delay = 0.0
    if found.described:
        spec = parse_spec(found.spec)
        delay = (spec.label_delay_s or 0.0) / 86400
        live = pool_realised(session, model=model, environment=environment, size=spec.window, version=version)
    parts: dict[str, tuple[Sequence[Fact], str]] = {
        "metrics": metric_facts(found, registered, imported),
        "data": data_facts(registered),
        "parameters": parameter_facts(registered, imported),
        "lineage": lineage_facts(session, viewer, found, version, registered, imported, environment),
        "live": live_facts(found, live),
        "drift": drift_facts(session, found, version, environment),
        "fairness": fairness_facts(session, found, version, environment, live),
        "approvals": approval_facts(session, viewer, model, version),
        "incidents": incident_facts(session, viewer, model, version, environment, registered),
    }
    blocks = tuple(Block(name, tuple(facts), unknown) for name, (facts, unknown) in parts.items())
    recorded = recorded_metrics(registered, imported)
    return Facts(
        model, version, clock.now(), blocks, _inline(found, version, registered, recorded, owner), recorded,
        found.tier, owner, live, delay,
    )  # fmt: skip


def _inline(
    model: Model, version: int, registered: Version | None, recorded: Mapping[str, Mapping[str, Any]],
    owner: str | None,
) -> dict[str, str]:  # fmt: skip
    inline = {"version": str(version), "tier": model.tier, "owner": owner or UNKNOWN}
    inline |= {f"metric {name}": figure_words(figures) for name, figures in recorded.items()}
    if registered is not None:
        inline |= {"cutoff": f"{registered.cutoff:g}", "artefact digest": registered.artefact_digest}
        inline |= {f"training {key}": _training(key, value) for key, value in registered.training.items()}
    return inline


def _training(key: str, value: Any) -> str:
    if key in ("from", "to"):
        return str(value)[:10]
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
