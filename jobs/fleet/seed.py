"""`warrant bench seed-fleet`: store a synthetic fleet. `python -m jobs.fleet.seed --models 500 --days 365 ...`

A model is stored whole, in one transaction, or not at all; a call that was cut off goes on with the models that are
missing. It stores into an empty home, or into one that holds this fleet and nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.commands.output import say, write_json
from backend.database.session import ReadSession, WriteSession, reading, writing
from backend.database.upgrade import upgrade
from backend.errors import BadInput, Conflict, WarrantError
from backend.identity.tables import Person
from backend.monitoring.judgement import judge
from backend.monitoring.reference_store import store_reference
from backend.monitoring.tables import MetricPoint, WindowProfile, WindowState
from backend.monitoring.traffic import store_volume
from backend.registry.tables import Model
from backend.settings import settings
from jobs.fleet.bulk import analyze, insert_rows, new_ids
from jobs.fleet.figures import Figures, draw_figures
from jobs.fleet.governed import ACTOR, PEOPLE, House, build_house, mute, register, vouch
from jobs.fleet.judging import Judge
from jobs.fleet.objectives import count_objectives, promise
from jobs.fleet.plan import FleetPlan, ModelPlan, plan_model, read_notice
from jobs.fleet.references import Shared, reference_for, share_references
from jobs.fleet.rows import POINT_COLUMNS, PROFILE_COLUMNS, WINDOW_COLUMNS, Stored
from jobs.kill_points import pass_kill_point


@dataclass(frozen=True)
class Seeded:
    """What a call did: `made` models of `models`; `points`, `profiles` and `windows` are those it wrote."""

    models: int
    made: int
    windows: int
    profiles: int
    points: int
    seconds: float
    digest: str


def seed(plan: FleetPlan, *, into_this_home: bool = False, told: bool = True) -> Seeded:
    """Store what is missing of the fleet."""
    began = time.monotonic()
    upgrade()
    with reading() as session:
        there = _require_own(session, plan, into_this_home=into_this_home)
    shared = share_references(plan, settings().resolved_home())
    with writing() as session:
        house = build_house(session)
    counts = {"windows": 0, "profiles": 0, "points": 0}
    digests, made = [plan.notice], 0
    for index in range(plan.models):
        one = plan_model(plan, index)
        mine = {version: shared[one.task, version] for version in (1, 2)}
        figures = draw_figures(plan, one, mine)
        digests.append(f"{one.name} {figures.digest}")
        if one.name in there:
            continue
        with writing() as session:
            for name, number in _store(session, house, plan, one, mine, figures).items():
                counts[name] += number
            pass_kill_point("seed_fleet", one.name, "before")  # its commit
        made += 1
        if told and made % 25 == 0:
            say(
                f"  {made + len(there)} of {plan.models} models, {time.monotonic() - began:.0f} s", error=True
            )
    count_objectives(plan)
    with writing() as session:
        analyze(session)
    whole = hashlib.sha256("\n".join(digests).encode()).hexdigest()
    return Seeded(
        plan.models, made, seconds=round(time.monotonic() - began, 1), digest=f"sha256:{whole}", **counts
    )


def _require_own(session: ReadSession, plan: FleetPlan, *, into_this_home: bool) -> set[str]:
    """The fleet's models that are there. Raises where the home holds anything that is not of this fleet."""
    there = {one.name: one.notice for one in session.scalars(select(Model))}
    others = sorted(name for name, notice in there.items() if not plan.matches(notice or ""))
    if others:
        until = read_notice(there[others[0]])
        what = (
            f"another fleet's model {others[0]}, until {until:%Y-%m-%d}"
            if until
            else f"a model of its own, {others[0]}"
        )
        raise Conflict(
            f"this home has {what}: a fleet goes into an empty home, or goes on with the same options in its own; set "
            "WARRANT_HOME to a new folder"
        )
    if there or into_this_home:
        return set(there)
    own = Person.username.startswith(PEOPLE)  # a call that was killed before its first model left them
    people = session.scalar(select(func.count()).select_from(Person).where(Person.is_demo.is_(False), ~own))
    if people or "WARRANT_ENVIRONMENT" in os.environ:
        why = "WARRANT_ENVIRONMENT is set" if not people else "it has people"
        raise Conflict(
            f"this looks like an installation that is used ({why}); a fleet cannot be taken out again. Say "
            "--yes-into-this-home if it is meant, or set WARRANT_HOME to a new folder"
        )
    return set()


def _store(
    session: WriteSession, house: House, plan: FleetPlan, one: ModelPlan, shared: dict[int, Shared], figures: Figures
) -> dict[str, int]:  # fmt: skip
    """One model in the caller's transaction; gives how many rows it has."""
    environment = settings().environment
    model = register(session, house, plan, one, shared, environment)
    judges = {}
    for version, files in shared.items():
        reference, spec = reference_for(files, one, plan)
        store_reference(session, reference, spec)
        judges[version] = Judge(plan, one, files, reference, spec, figures)
    ids = new_ids(session, WindowState.__table__, plan.days)
    stored = Stored(plan, one, figures, judges, environment, ids)
    counts = {
        "windows": insert_rows(session, WindowState.__table__, WINDOW_COLUMNS, stored.windows()),
        "profiles": insert_rows(session, WindowProfile.__table__, PROFILE_COLUMNS, stored.profiles()),
        "points": insert_rows(session, MetricPoint.__table__, POINT_COLUMNS, stored.points()),
    }
    spec = judges[2].spec
    while made := store_volume(session, model=one.name, environment=environment, spec=spec):
        counts["points"] += made
    vouch(session, house, plan, one, shared[2])
    promise(session, one, environment)
    judge(session, ACTOR, model=model, environment=environment, spec=spec)
    mute(session, house, one)
    record(
        session, ACTOR, Action.FLEET_SEEDED, object_kind="model", object_id=one.name,
        payload={"seed": plan.seed, "figures": figures.digest, **counts},
    )  # fmt: skip
    return counts


def plan_of(arguments: argparse.Namespace) -> FleetPlan:
    """What was asked for; without a day, the fleet in the home says until when it goes, else it is today."""
    asked = arguments.until
    if asked:
        try:
            until = datetime.strptime(asked, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError as error:
            raise BadInput(f"--until: {asked!r} is no day; write it as 2026-11-23") from error
    else:
        until = _stored_until() or clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    return FleetPlan(
        arguments.models, arguments.days, arguments.features, arguments.dense, until, arguments.seed
    )


def _stored_until() -> datetime | None:
    upgrade()
    with reading() as session:
        found = [read_notice(notice) for notice in session.scalars(select(Model.notice).limit(1))]
    return found[0] if found else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit 0 when the fleet is there, 2 with one line that says why not."""
    parser = argparse.ArgumentParser(prog="warrant bench seed-fleet")
    for name, usual in (("models", 500), ("days", 365), ("features", 50), ("dense", 20), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--until", default="")
    parser.add_argument("--yes-into-this-home", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    try:
        plan = plan_of(given)
        plan = replace(plan, dense=min(plan.dense, plan.models))
        done = seed(plan, into_this_home=given.yes_into_this_home)
    except WarrantError as error:
        say(f"warrant: {error.title.lower()}: {error.message}", error=True)
        return error.exit_code
    facts: dict[str, Any] = {**vars(done), "until": f"{plan.until:%Y-%m-%d}", "synthetic": True}
    if given.json:
        write_json(facts)
    else:
        say(
            f"{done.models} synthetic models, {done.made} made now: {done.windows:,} windows, "
            f"{done.profiles:,} profiles and {done.points:,} points in {done.seconds} s; {done.digest}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
