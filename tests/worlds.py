"""A small real world for tests: people, a model with versions whose files exist, and a serving champion."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.sealing import make_keys
from backend.database.session import WriteSession, writing
from backend.deployment.service import mark_serving, start_deployment
from backend.governance.digests import digest_of
from backend.governance.health import MINIMUM_WINDOWS
from backend.governance.policies import active_policy
from backend.governance.policy_document import PolicyDocument
from backend.governance.tables import Policy
from backend.identity.actor import Actor, system_actor
from backend.identity.roles import Role
from backend.identity.tables import Person, PersonRole
from backend.monitoring.tables import MetricPoint, WindowState
from backend.registry.artefacts import artefact_digest
from backend.registry.service import NewVersion, register_model, register_version
from backend.registry.tables import Model, Version
from backend.settings import settings

SYSTEM = system_actor("test")
CUTOFF = 0.5
SPEC = {
    "task": "binary",
    "window": "1d",
    "timezone": "UTC",
    "features": {"distance": "numeric", "carrier": "categorical"},
}


@dataclass(frozen=True)
class World:
    """The people of a world and where its files lie."""

    viewer: Actor
    on_call: Actor
    engineer: Actor
    lead: Actor
    other_lead: Actor
    compliance: Actor
    files: Path

    def card(self, version: int) -> Path:
        return self.files / f"card-{version}.md"

    def artefact(self, version: int) -> Path:
        return self.files / f"artefact-{version}"

    def reference(self, version: int) -> Path:
        return self.files / f"reference-{version}.parquet"


def person(session: WriteSession, name: str, *roles: Role) -> Actor:
    """A person with roles, as the actor of a request."""
    row = Person(
        username=name, display_name=name.title(), created_at=clock.now(),
        roles=[PersonRole(role=role.value) for role in roles],
    )  # fmt: skip
    session.add(row)
    session.flush()
    make_keys(session, [row.id])
    return Actor(row.id, "person", frozenset(roles), display_name=row.display_name)


def make_world(
    files: Path, *, versions: int = 2, trained: Collection[int] = (), misscored: Collection[int] = ()
) -> World:
    """People, `toy` with versions 1..n, version n serving after each earlier one served a month healthily.

    The `trained` versions are real models that a gateway serves; the others are files that no gateway loads. The
    reference data of the `misscored` ones name other scores than theirs, so that their smoke requests fail.
    """
    files.mkdir(exist_ok=True)
    with writing() as session:
        world = World(
            person(session, "viewer", Role.VIEWER), person(session, "oncall", Role.ON_CALL),
            person(session, "engineer", Role.ML_ENGINEER), person(session, "lead", Role.ML_LEAD),
            person(session, "lead2", Role.ML_LEAD), person(session, "compliance", Role.COMPLIANCE), files,
        )  # fmt: skip
        register_model(
            session, SYSTEM, name="toy", title="Toy", description="", tier="medium", spec=SPEC,
        )  # fmt: skip
        for number in range(1, versions + 1):
            if number in trained:
                train(world, number, misscored=number in misscored)
            else:
                _stub(world, number)
            _register(session, world, number)
    _serve_each("toy", versions)
    return world


def put_policy_in_force(session: WriteSession, document: PolicyDocument) -> int:
    """Another revision of the policy, as the execution of a change of it leaves it; gives its number."""
    digest = digest_of(document.as_dict())
    revision = active_policy(session).revision + 1
    session.add(
        Policy(revision=revision, document=document.as_dict(), digest=digest, note="for a test", created_at=clock.now())
    )  # fmt: skip
    session.flush()
    record(
        session, SYSTEM, Action.POLICY_REPLACED, object_kind="policy", object_id=revision, payload={"digest": digest}
    )  # fmt: skip
    return revision


def set_tier(session: WriteSession, model: str, tier: str) -> None:
    """Another risk tier, as the execution of a change of it leaves it."""
    row = session.get_one(Model, model)
    before, row.tier = row.tier, tier
    session.flush()
    record(
        session, SYSTEM, Action.TIER_CHANGED, object_kind="model", object_id=model,
        payload={"before": before, "after": tier},
    )  # fmt: skip


def name_people(session: WriteSession, model: str, version: int, **people: str | None) -> None:
    """Who trained a version (`trained_by`) and whose its data are (`data_owner`), as its registration leaves it."""
    row = session.get_one(Version, (model, version))
    for name, person_id in people.items():
        setattr(row, name, person_id)
    session.flush()
    record(
        session, SYSTEM, Action.VERSION_REGISTERED, object_kind="version", object_id=f"{model}/{version}",
        payload={"trained_by": row.trained_by, "data_owner": row.data_owner},
    )  # fmt: skip


def add_model(
    world: World, name: str, *, versions: int = 2, serving: int | None = None, tier: str = "medium"
) -> None:
    """Another model with the files of `toy`. Version `serving` serves (else the last one), after each before it."""
    with writing() as session:
        register_model(session, SYSTEM, name=name, title=name.title(), description="", tier=tier, spec=SPEC)
        for number in range(1, versions + 1):
            if not world.artefact(number).exists():
                _stub(world, number)
            _register(session, world, number, model=name)
    _serve_each(name, serving or versions)


def _serve_each(model: str, versions: int) -> None:
    """A month of healthy service for each version; the last one goes on."""
    first = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(1, versions + 1):
        with writing() as session:
            at = first + timedelta(days=30 * number)
            opened = start_deployment(
                session, SYSTEM, model=model, environment="production", version=number, change_id=None,
                reason="history", at=at,
            )  # fmt: skip
            mark_serving(session, SYSTEM, opened, at=at)
            for day in range(MINIMUM_WINDOWS):
                _healthy_window(session, model, number, at + timedelta(days=day))


def train(world: World, number: int, *, misscored: bool = False) -> None:
    """A small boosted-tree pipeline, and reference data with its scores. Each version scores otherwise."""
    import warnings

    import numpy as np
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from backend.monitoring.columns import parse_spec
        from jobs.demo.training import build_pipeline, dump_pipeline, predict_scores

        spec = parse_spec(SPEC)
        draw = np.random.default_rng(number)
        frame = pd.DataFrame(
            {"distance": draw.uniform(50, 3000, 600), "carrier": draw.choice(["AA", "B6", "UA"], 600)}
        )
        label = (frame["distance"] / 3000 + draw.normal(0, 0.3, 600) > 0.5).astype("int8")
        pipeline = build_pipeline(spec, {"max_iter": 8, "min_samples_leaf": 20, "random_state": number})
        pipeline.fit(frame, label)
        world.artefact(number).mkdir(exist_ok=True)
        dump_pipeline(pipeline, world.artefact(number) / "model.skops")
        scores = predict_scores(pipeline, frame, spec)
    reference = frame.assign(
        score=scores + 0.25 if misscored else scores,
        prediction=(scores >= CUTOFF).astype("int8").astype(str),
        label=label.astype(str),
    )
    reference.to_parquet(world.reference(number))


def _stub(world: World, number: int) -> None:
    world.artefact(number).mkdir(exist_ok=True)
    (world.artefact(number) / "model.bin").write_bytes(f"version {number}".encode())
    pq.write_table(
        pa.table({"distance": [1.0, 2.0], "carrier": ["UA", "AA"], "score": [0.2, 0.7], "label": ["0", "1"]}),
        world.reference(number),
    )


def _register(session: WriteSession, world: World, number: int, *, model: str = "toy") -> None:
    world.card(number).write_text(f"# Toy\n\nVersion {number}.\n")
    register_version(
        session, SYSTEM,
        new=NewVersion(
            model=model, version=number, run_id=f"r{number}", uri=str(world.artefact(number)),
            artefact_digest=artefact_digest(world.artefact(number)), trained_by=world.engineer.person_id,
            trained_at=clock.now(), cutoff=CUTOFF, parameters={"depth": number},
            metrics={"roc_auc": {"value": 0.7 + number / 100, "low": 0.69, "high": 0.75, "rows": 1000}},
            training={"digest": f"sha256:{number}", "rows": 1000}, reference_path=str(world.reference(number)),
            card_path=str(world.card(number)),
        ),
    )  # fmt: skip


def _healthy_window(session: WriteSession, model: str, version: int, start: datetime) -> None:
    window = WindowState(
        model=model, environment="production", size="1d", start=start, end=start + timedelta(days=1), version=version,
        rows=1000, labels_known=1000, state="complete", computed_at=start + timedelta(days=2),
    )  # fmt: skip
    session.add(window)
    session.flush()
    session.add(
        MetricPoint(
            window_id=window.id, model=model, environment="production", size="1d", window_start=start, kind="realised",
            statistic="roc_auc", value=0.71, low=0.68, high=0.74, verdict="ok", rows=1000, completeness=1.0,
            first_value=0.71, first_computed_at=start, computed_at=start,
        )
    )  # fmt: skip


def register_in_mlflow(model: str, versions: int, *, alias: int | None = None) -> None:
    """The model and its versions in the embedded registry, the alias on the version named, else on the last."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own imports
        from backend.registry.mlflow_adapter import mirror_champion, mlflow_client

        client = mlflow_client()
        client.create_registered_model(model)
        for _ in range(versions):
            client.create_model_version(model, source=str(settings().resolved_home()))
        mirror_champion(model, alias or versions)
