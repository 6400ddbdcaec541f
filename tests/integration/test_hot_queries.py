"""What pages ask most often goes by an index on both databases, whatever a house has stored.

The statements are those of the functions that pages call, caught on their way to the database: none is written here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import psycopg
import pytest
from sqlalchemy import event, select

from app import data
from app.data.scope import Scope, scope_of
from backend import clock
from backend.database.engine import database as open_database
from backend.database.session import reading, writing
from backend.deployment.service import history, shares_at
from backend.deployment.timeline import read_timeline
from backend.identity.roles import Role
from backend.monitoring.service import due_windows
from backend.monitoring.tables import WindowState
from tests.integration.monitoring.fleet import make_fleet
from tests.worlds import person

MODEL: Final = "m0000"
BIG: Final = frozenset({
    "metric_points", "windows", "window_profiles", "alerts", "incidents", "incident_entries", "changes", "decisions",
    "deployments", "audit_entries", "audit_payloads", "job_runs", "notices", "sli_counts",
})  # fmt: skip
"""Tables that grow for as long as a house works. Others have a row a model, a person or a setting."""


@dataclass
class Plan:
    """How a database goes about one statement: `scans` are the big tables that it reads from one end to the other."""

    statement: str
    scans: list[str] = field(default_factory=list)
    indexes: set[str] = field(default_factory=set)


def hot(scope: Scope) -> dict[str, Callable[[], Any]]:
    """Name -> what a page, or the worker, asks."""
    since = clock.now() - timedelta(days=28)
    kinds = ("realised", "estimated", "drift")

    def window() -> int:
        with reading() as session:
            return session.scalars(select(WindowState.id).where(WindowState.model == MODEL)).first() or 0

    def read(ask: Callable[..., Any], *rest: Any) -> Any:
        with reading() as session:
            return ask(session, scope.actor(), MODEL, "production", *rest)

    def due() -> Any:
        with reading() as session:
            return due_windows(session, model=MODEL, environment="production", now=clock.now())

    return {
        "overview": lambda: data.overview(scope),
        "health of a model": lambda: data.health_of(scope, MODEL),
        "windows": lambda: data.windows(scope, MODEL, "1d"),
        "points of a range": lambda: data.points(scope, MODEL, "1d", kinds, statistic="roc_auc", since=since),
        "every point of a range": lambda: data.points(scope, MODEL, "1d", kinds, statistic=None, since=since),
        "statistics of a range": lambda: data.statistics(scope, MODEL, "1d", kinds, since=since),
        "worst points": lambda: data.worst_points(scope, MODEL, "1d", kinds, since=since),
        "points of a window": lambda: data.window_points(scope, MODEL, "1d", kinds, window()),
        "profile of a window": lambda: data.comparison(scope, MODEL, window(), "x", "rule"),
        "profiles of a window": lambda: data.column_facts(scope, MODEL, window()),
        "windows due": due,
        "alerts that fire": lambda: data.firing(scope),
        "alerts that fire of a model": lambda: data.firing(scope, MODEL),
        "alerts of a model": lambda: data.alerts_about(scope, MODEL),
        "marks on a time axis": lambda: data.marks(scope, MODEL),
        "incidents that are open": lambda: data.open_incidents(scope),
        "inbox": lambda: data.inbox(scope),
        "open changes": lambda: data.open_changes(scope),
        "changes": lambda: data.changes(scope),
        "audit entries": lambda: data.audit_entries(scope, limit=50),
        "audit entries of an action": lambda: data.audit_entries(scope, action="alert:fire", limit=50),
        "audit entries of an object": lambda: data.audit_entries(
            scope, object_kind="model", object_id=MODEL, limit=50
        ),
        "audit entries with a text": lambda: data.audit_entries(scope, text="drift", limit=50),
        "deployments": lambda: read(history),
        "what served at a moment": lambda: read(shares_at, clock.now()),
        "timeline": lambda: read(lambda *given: read_timeline(*given, since=since)),
        "jobs": lambda: data.jobs(scope),
        "jobs of a model": lambda: data.runs_about(scope, MODEL),
        "inventory": lambda: data.models_kept(
            scope, "", (), (), needing=False, sort="due", offset=0, limit=50
        ),
    }


@contextmanager
def watched(kind: str) -> Iterator[list[Plan]]:
    """The plans of what is asked meanwhile."""
    plans: list[Plan] = []
    explain = of_sqlite if kind == "sqlite" else of_postgresql

    def note(_connection: object, cursor: Any, statement: str, given: Any, *_: object) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            plans.append(explain(cursor.connection, statement, given))

    engine = open_database().read_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield plans
    finally:
        event.remove(engine, "before_cursor_execute", note)


def of_sqlite(connection: Any, statement: str, given: Any) -> Plan:
    """`SCAN t` reads a table or an index from one end. With a limit it stops on its way where nothing
    is left to sort, and it goes by an index or from the newest row on."""
    plan = Plan(statement)
    steps = [row[-1] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", given)]
    sorts = any("TEMP B-TREE FOR ORDER BY" in step for step in steps)
    stops = "LIMIT" in statement.upper() and not sorts
    tables = dict(re.findall(r"(\w+) AS (\w+)", statement))
    aliases = {alias: table for table, alias in tables.items()}
    for step in steps:
        plan.indexes |= set(re.findall(r"INDEX (\w+)", step))
        scanned = re.match(r"SCAN (\w+)", step)
        if not scanned or aliases.get(scanned[1], scanned[1]) not in BIG:
            continue
        if stops and re.search(r"ORDER BY (\w+)\.(id|seq) DESC", statement) and "INDEX" not in step:
            plan.indexes.add("the order in which rows are stored")
        elif not (stops and "INDEX" in step):
            plan.scans.append(step)
    return plan


def of_postgresql(connection: Any, statement: str, given: Any) -> Plan:
    """Nothing is read from end to end where an index can answer: with that forbidden, what still is has none."""
    plan = Plan(statement)
    with psycopg.ClientCursor(connection) as cursor:
        cursor.execute("SET enable_seqscan = off")  # reads are outside a transaction, where nothing is local
        try:
            cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", given)  # type: ignore[arg-type]
            (found,) = cursor.fetchone() or ({},)
        finally:
            cursor.execute("RESET enable_seqscan")
    document = json.loads(found) if isinstance(found, str) else found
    _walk(document[0]["Plan"], plan, limited=False)
    return plan


def _walk(node: dict[str, Any], plan: Plan, *, limited: bool) -> None:
    """A limit stops what stands below it, unless that is sorted or counted first."""
    kind, table = node["Node Type"], node.get("Relation Name")
    if "Index Name" in node:
        plan.indexes.add(node["Index Name"])
    whole = kind == "Seq Scan" or (kind in ("Index Scan", "Index Only Scan") and "Index Cond" not in node)
    if table in BIG and whole and not (limited and kind != "Seq Scan"):
        plan.scans.append(f"{kind} {node.get('Index Name', '')} {table}")
    limited = kind == "Limit" or (limited and kind not in ("Sort", "Aggregate", "Hash", "HashAggregate"))
    for each in node.get("Plans", ()):
        _walk(each, plan, limited=limited)


@pytest.fixture
def scope(database: str) -> Scope:
    make_fleet(20)
    with writing() as session:
        everything = [role for role in Role if role not in (Role.SYSTEM, Role.AUDITOR)]
        return scope_of(person(session, "lead", *everything))


def test_no_hot_query_reads_a_big_table_from_end_to_end(scope: Scope, database: str) -> None:
    wrong: dict[str, list[Any]] = {}
    quiet = []
    for name, ask in hot(scope).items():
        with watched(database) as plans:
            ask()
        scans = [(scan, plan.statement) for plan in plans for scan in plan.scans]
        if scans:
            wrong[name] = scans
        if not any(plan.indexes for plan in plans):
            quiet.append(name)
    assert not wrong, "\n".join(
        f"{name}: {scan}\n    {text[:1500]}" for name, found in wrong.items() for scan, text in found
    )
    assert not quiet, f"no index is used by: {', '.join(quiet)}"


def test_a_query_without_an_index_is_found(scope: Scope, database: str) -> None:
    with watched(database) as plans, reading() as session:
        session.scalars(select(WindowState).where(WindowState.rows == 5)).all()
        session.scalars(
            select(WindowState).where(WindowState.rows == 5).order_by(WindowState.rows).limit(5)
        ).all()
    assert [bool(plan.scans) for plan in plans] == [True, True]
