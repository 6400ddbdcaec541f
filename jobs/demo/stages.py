"""Loading the demo workload: real data, models trained here, history backfilled with its real label delays.

Every stage looks at what is there and does what is missing, so a load that was cut off goes on where it was.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.tables import AuditEntry
from backend.cards.service import import_card, submit_card
from backend.data_rights.rules import PURPOSES, rule_of, set_rule
from backend.database.session import WriteSession, reading, writing
from backend.database.upgrade import upgrade
from backend.demo_state import loaded_marker
from backend.deployment.service import champion, mark_serving, start_deployment
from backend.durable import write_json
from backend.explain.service import request_explanation
from backend.identity.actor import Actor, system_actor
from backend.identity.demo import ensure_demo_accounts
from backend.identity.people import create_person
from backend.identity.roles import Role
from backend.identity.sessions import actor_of
from backend.identity.tables import Person
from backend.identity.tokens import create_token, resolve_token
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.registry.service import NewVersion, register_model, register_version
from backend.registry.tables import Model, Version
from backend.settings import settings

if TYPE_CHECKING:
    import pandas as pd

    from jobs.demo.flights import ServingPeriod
    from jobs.demo.training import RegisteredVersion

SPECS = Path(__file__).parent / "specs"
CARDS = Path(__file__).parents[2] / "models_cards"
TEXTS = ("title", "description", "tier", "notice", "positive")
ACTOR = system_actor("demo")
BATCH_ROWS = 100_000
COMPUTED_AT_LOAD = timedelta(days=14)


@dataclass(frozen=True)
class Workload:
    """One demo model: its data, when which version served, and how far its times are moved."""

    name: str
    document: dict[str, Any]
    spec: ModelSpec
    build: Callable[[], pd.DataFrame]
    history: Callable[[pd.DataFrame], pd.DataFrame]
    periods: tuple[ServingPeriod, ...]
    shift: timedelta


def workloads(now: datetime) -> list[Workload]:
    """The demo's models, with times shifted by whole weeks so that the history ends within the week before `now`."""
    from jobs.demo import census, flights

    found = []
    for name, source, history in (
        ("flight-delay", flights, flights.backfilled),
        ("employment-ma", census, census.live),
    ):
        document = yaml.safe_load((SPECS / f"{name}.yaml").read_text())
        build = flights.build_flights if source is flights else census.build_census
        found.append(
            Workload(
                name, document, parse_spec(document), build, history, source.SERVING, source.shift_weeks(now)
            )
        )
    return found


@contextmanager
def stage(number: int, text: str) -> Iterator[None]:
    """Say what is being done and how long it took."""
    started = time.monotonic()
    sys.stdout.write(f"  demo {number}/6  {text} ... ")
    sys.stdout.flush()
    yield
    sys.stdout.write(f"{time.monotonic() - started:.1f} s\n")
    sys.stdout.flush()


def load() -> None:
    """Load whatever of the demo is not loaded yet."""
    now = _shift_anchor()
    home = settings().resolved_home()
    with stage(1, "accounts, one per role"):
        upgrade()
        engineer = _accounts(home)
    with stage(2, "reading flights of 2013 and the census's answers"):
        work = workloads(now)
        frames = {one.name: one.build() for one in work}
    with stage(3, "training and registering versions"):
        versions = {one.name: _versions(one, frames[one.name], engineer, home) for one in work}
    with stage(4, "scoring the history and storing it with its labels"):
        for one in work:
            _deployments(one, versions[one.name])
            _backfill(one, frames[one.name], versions[one.name], now)
        _drain_spool()
    with stage(5, "computing the newest windows; the worker goes on with the older ones"):
        from jobs.compute_metrics import compute_due

        for one in work:
            compute_due(one.name, since=now - COMPUTED_AT_LOAD)
    with stage(6, "setting objectives, asking for explanations"), writing() as session:
        _objectives(session)
        _purposes(session, work)
        told = session.scalar(select(AuditEntry.seq).where(AuditEntry.action == Action.DEMO_LOADED.value))
        for one in work if told is None else ():
            serving = champion(session, one.name, settings().environment)
            if serving is not None:
                request_explanation(session, ACTOR, model=one.name, version=serving.version)
        if told is None:
            _record_loaded(session, work, frames)
    write_json(loaded_marker(), {"loaded_at": clock.to_iso(clock.now()), "anchor": clock.to_iso(now)})


def _record_loaded(session: WriteSession, work: list[Workload], frames: dict[str, pd.DataFrame]) -> None:
    record(
        session, ACTOR, Action.DEMO_LOADED, object_kind="workload", object_id="demo",
        payload={one.name: {"shift_weeks": one.shift.days // 7, "rows": len(frames[one.name])} for one in work},
    )  # fmt: skip


def _shift_anchor() -> datetime:
    """The moment the shift is counted from: fixed at the first try, so that a resumed load shifts the same."""
    path = settings().resolved_home() / "demo" / "anchor.json"
    if path.exists():
        return clock.from_iso(json.loads(path.read_text())["anchor"])
    now = clock.now()
    write_json(path, {"anchor": clock.to_iso(now)})
    return now


def _accounts(home: Path) -> Actor:
    """Demo people, and the service account by which the replay sends labels; gives the engineer."""
    token_file = home / "demo" / "replay-token"
    with writing() as session:
        ensure_demo_accounts(session)
        engineer = actor_of(
            session.scalars(select(Person).where(Person.username == "engineer")).one(), session_id=None
        )
        service = session.scalars(select(Person).where(Person.username == "flight-feed")).one_or_none()
        if service is None:
            service = create_person(
                session, ACTOR, username="flight-feed", display_name="Flight data feed",
                roles={Role.ML_ENGINEER}, kind="service", owner_id=engineer.person_id,
            )  # fmt: skip
        kept = token_file.read_text() if token_file.exists() else ""
        if (
            resolve_token(session, kept.strip()) is None
        ):  # also one written by a try that died before it committed
            _, raw = create_token(
                session, engineer, name="replay of December", valid_days=366, person_id=service.id
            )
            token_file.parent.mkdir(parents=True, exist_ok=True)
            token_file.touch(mode=0o600)
            token_file.write_text(raw)
    return engineer


def _versions(
    work: Workload, frame: pd.DataFrame, engineer: Actor, home: Path
) -> dict[int, RegisteredVersion | Version]:
    """Train and register what is missing; gives the registered version of each period."""
    from jobs.demo.training import log_version, train

    with writing() as session:
        known = session.get(Model, work.name)  # by a load that was cut short; its tier is people's since
        register_model(
            session, ACTOR, name=work.name, title=work.document["title"],
            description=work.document["description"].strip(),
            tier=work.document["tier"] if known is None else known.tier,
            spec={key: value for key, value in work.document.items() if key not in TEXTS},
            notice=work.document["notice"].strip(), owner_id=engineer.person_id,
        )  # fmt: skip
        done = list(
            session.scalars(select(Version).where(Version.model == work.name).order_by(Version.version))
        )
    versions: dict[int, RegisteredVersion | Version] = {}
    for index, period in enumerate(work.periods):
        if index < len(done):
            versions[period.version] = done[index]
            continue
        folder = home / "training" / work.name / str(period.version)
        trained = train(
            frame, work.spec, folder, trained_from=period.trained_from, trained_to=period.trained_to
        )
        logged = log_version(
            trained, work.spec, model=work.name, tracking_uri=settings().mlflow,
            artefacts=home / "mlartifacts" / work.name,
        )  # fmt: skip
        card = home / "cards" / work.name / f"{logged.version}.md"
        card.parent.mkdir(parents=True, exist_ok=True)
        card.write_text((CARDS / f"{work.name}.md").read_text())
        with writing() as session:
            register_version(
                session, ACTOR,
                new=NewVersion(
                    model=work.name, version=logged.version, run_id=logged.run_id, uri=logged.uri,
                    artefact_digest=logged.artefact_digest, trained_by=engineer.person_id,
                    trained_at=clock.now(), cutoff=logged.cutoff, parameters=logged.params,
                    metrics=logged.metrics, training=logged.training,
                    reference_path=str(logged.reference_path), card_path=str(card),
                ),
            )  # fmt: skip
            _take_card(session, engineer, work.name, logged.version, card)
        versions[period.version] = logged
    return versions


def _take_card(session: WriteSession, engineer: Actor, model: str, version: int, card: Path) -> None:
    """The card's first version, sent to review: nobody has approved it yet, and the page says so."""
    taken = import_card(
        session, engineer, model=model, version=version, text=card.read_text(), source="file",
        source_name=f"models_cards/{model}.md", why="registered with the version",
    )  # fmt: skip
    submit_card(session, engineer, model=model, version=version, number=taken.card.number)


def _deployments(work: Workload, versions: dict[int, Any]) -> None:
    """The record of what served when, in shifted time. The gateway takes the last one up when it starts."""
    environment = settings().environment
    with writing() as session:
        served = champion(session, work.name, environment) is not None
        for period in work.periods if not served else ():
            at = period.start + work.shift
            opened = start_deployment(
                session, ACTOR, model=work.name, environment=environment, version=versions[period.version].version,
                change_id=None, reason="history of the demo workload, before Warrant", at=at,
            )  # fmt: skip
            mark_serving(session, ACTOR, opened, at=at)
    from backend.registry.mlflow_adapter import mirror_champion

    mirror_champion(work.name, versions[work.periods[-1].version].version)


def _objectives(session: WriteSession) -> None:
    """What the demo's models promise; what is there, or was retired by somebody, is left alone."""
    from backend.slo.objectives_service import define_objective, list_objectives
    from backend.slo.openslo import parse_openslo

    known = {row.name for row in list_objectives(session, ACTOR, retired=True)}
    text = (SPECS / "objectives.yaml").read_text()
    for objective in parse_openslo(text, file="objectives.yaml"):
        if objective.name not in known:
            here = replace(objective, environment=settings().environment)
            define_objective(session, ACTOR, objective=here, why="promised by the demo workload")


def _purposes(session: WriteSession, work: list[Workload]) -> None:
    """What the demo's data may be used for; what somebody has recorded is left alone. Only a person sets a rule."""
    row = session.scalars(select(Person).where(Person.username == "compliance", Person.is_demo)).one()
    reviewer = actor_of(row, session_id=None)
    for one in work:
        if rule_of(session, ACTOR, one.name) is None:
            set_rule(
                session, reviewer, model=one.name, purposes=list(PURPOSES), basis="public-use data of US authorities",
                why="recorded with the demo workload",
            )  # fmt: skip


def _backfill(work: Workload, frame: pd.DataFrame, versions: dict[int, Any], now: datetime) -> None:
    """Store the history as predictions, and as labels whatever had become known by `now`."""
    import pyarrow as pa

    from backend.observations.service import accept_batch, record_batch
    from jobs.demo.flights import shift_times
    from jobs.demo.training import score_history

    scored = shift_times(score_history(work.history(frame), work.spec, work.periods, versions), work.shift)
    features = [column.name for column in work.spec.features]
    predictions = scored.assign(environment=settings().environment, role="champion")[
        ["prediction_id", "ts", "version", "environment", "role", "score", "prediction", *features]
    ]
    labels = scored.loc[scored["label_ts"] <= now, ["prediction_id", "label", "status", "label_ts"]]
    for stream, rows in (("predictions", predictions), ("labels", labels)):
        for first in range(0, len(rows), BATCH_ROWS):
            batch = pa.Table.from_pandas(rows.iloc[first : first + BATCH_ROWS], preserve_index=False)
            with reading() as session:
                accepted = accept_batch(
                    session, ACTOR, model=work.name, stream=stream, payload=batch, source="backfill"  # type: ignore[arg-type]
                )  # fmt: skip
            if accepted.rows_new:
                with writing() as session:
                    record_batch(
                        session, ACTOR, model=work.name, stream=stream, accepted=accepted, source="backfill"  # type: ignore[arg-type]
                    )  # fmt: skip


def _drain_spool() -> None:
    """Move everything into the store now, as the writer would within seconds."""
    from backend.observations.spool import pending_bytes
    from jobs.commit_spool import commit_once

    while pending_bytes(settings().spool):
        if commit_once("demo-load") is None:
            time.sleep(0.5)
