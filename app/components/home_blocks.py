"""The blocks of the first page by role, each a few rows with one link each, the most urgent block first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app import data
from app.components.alert_parts import alert_place
from app.components.audit_parts import record_words
from app.components.own_parts import in_words
from app.formats import format_age
from app.plain_text import plain
from app.words import count_of, readable, target_words
from backend.home.reading import FEW, Row
from backend.identity.actor import Actor
from backend.identity.roles import Permission, Role
from backend.monitoring.health import WORST_FIRST, ModelHealth

LEADS = frozenset({Role.ML_LEAD, Role.ML_ENGINEER})
ON_CALL = frozenset({Role.ON_CALL})
COMPLIANCE = frozenset({Role.COMPLIANCE, Role.AUDITOR})
ADMINISTRATORS = frozenset({Role.ADMIN})


@dataclass(frozen=True)
class Line:
    """One row: what it says, and the page that it leads to."""

    text: str
    page: str
    icon: str
    query: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """`level` is that of its worst row; `empty` says why there is none, and what that means."""

    key: str
    title: str
    level: str
    lines: tuple[Line, ...]
    empty: str


Make = Callable[[data.Scope, list[ModelHealth]], Block]


def blocks_for(actor: Actor, scope: data.Scope, models: list[ModelHealth]) -> list[Block]:
    """The blocks of somebody's roles in the order of urgency; of equal ones, as they are listed here."""
    wanted: list[Make] = [_firing]
    roles = actor.every_role
    if roles & LEADS or data.inbox(scope):
        wanted.append(_waiting)
    for of_role, makers in _BY_ROLE:
        wanted += [make for make in makers if roles & of_role]
    made = [make(scope, models) for make in wanted]
    if roles & COMPLIANCE and actor.may(Permission.REVIEW_ACCESS):
        made.append(_access_reviews(scope, models))
    return sorted(made, key=lambda one: (WORST_FIRST.index(one.level), not one.lines))


def _firing(scope: data.Scope, models: list[ModelHealth]) -> Block:
    incidents, opened = data.open_incidents(scope, limit=FEW)
    alerts, loose = data.firing(scope), data.firing(scope, loose=True)
    muted, unheard = sum(bool(one["muted"]) for one in alerts), [one for one in loose if not one["muted"]]
    sizes = {one.model: one.window for one in models}
    lines = [_incident(one) for one in incidents]
    if opened > FEW:
        lines.append(Line(f"and {count_of(opened - FEW, 'more open incident')}", "incidents", "more_horiz"))
    for one in unheard[:FEW]:
        page, query = alert_place(one, sizes.get(one["model"], "1d"))
        label = f"**{one['level']}** {one['model'] or 'installation'}: {plain(one['title'])}"
        lines.append(Line(f"{label} · for {format_age(one['fired_at'])}", page, "notifications", dict(query)))
    if len(unheard) > FEW:
        least = "at least " if len(loose) == data.MOST else ""
        label = f"and {least}{count_of(len(unheard) - FEW, 'more alert')} of no incident"
        lines.append(Line(label, "incidents", "more_horiz", {"show": "alerts"}))
    if muted:
        more = " or more" if len(alerts) == data.MOST else ""
        label = f"{count_of(muted, 'alert')}{more} muted: by whom, why and until when"
        lines.append(Line(label, "silences", "notifications_paused"))
    grave = any(one["severity"] <= 2 for one in incidents) or any(one["level"] == "page" for one in unheard)
    level = "page" if grave else "attention" if incidents or unheard else "ok"
    return Block("firing", "Firing", level, tuple(lines), "No incident is open and no alert fires.")


def _incident(one: dict[str, Any]) -> Line:
    seen = "acknowledged" if one["acknowledged_at"] else "nobody is on it"
    title = f"{one['model'] or 'installation'}: {plain(one['title'])}"
    text = f"**INC-{one['id']}** SEV-{one['severity']} {title}"
    label = f"{text} · {format_age(one['opened_at'])} · {count_of(one['firing'], 'alert')} · {seen}"
    return Line(label, "incident", "emergency", {"id": one["id"]})


def _waiting(scope: data.Scope, _: list[ModelHealth]) -> Block:
    inbox = data.inbox(scope)
    lines = []
    for one in data.listed(scope, tuple(inbox[:FEW])):
        about = target_words(one["kind"], one["to_version"])
        text = f"**{one['ref']}** {one['model'] or 'the whole house'}: {about} waits for you"
        label = f"{text} · asked by {one['requested_by']} · expires in {format_age(one['expires_at'])}"
        lines.append(Line(label, "change", "approval", {"id": one["id"]}))
    if len(inbox) > FEW:
        lines.append(Line(f"and {count_of(len(inbox) - FEW, 'more decision')}", "approvals", "more_horiz"))
    level = "attention" if inbox else "ok"
    return Block("waiting", "Waiting for you", level, tuple(lines), "No change waits for your decision.")


def _rollouts(scope: data.Scope, _: list[ModelHealth]) -> Block:
    found = data.home_rows(scope, "rollouts")

    def line(one: Row) -> Line:
        then = (
            "it waits for a person"
            if one.needs_somebody
            else (f"this stage for {format_age(one.at)} more" if one.at else "")
        )
        label = f"**CHG-{one.id}** {one.model} {one.text}" + (f" · {then}" if then else "")
        return Line(label, "change", "play_circle", {"id": one.id})

    waits = any(one.needs_somebody for one in found.rows)
    return _block(
        "rollouts", "Rollouts running", "attention" if waits else "ok", found.rows, found.total, line,
        more="approvals", noun="more rollout", empty="Nothing is being put into service.",
    )  # fmt: skip


def _candidates(scope: data.Scope, _: list[ModelHealth]) -> Block:
    found = data.home_rows(scope, "candidates")

    def line(one: Row) -> Line:
        label = f"{one.model} {one.text} · trained {format_age(one.at)} ago"
        number = one.id.rpartition("/")[2]
        return Line(label, "model", "deployed_code", {"model": one.model, "version": number})

    return _block(
        "candidates", "Candidates", "ok", found.rows, found.total, line, more="registry", noun="more candidate",
        empty="No version is newer than what serves, or each that is has been asked for.",
    )  # fmt: skip


def _budgets(scope: data.Scope, _: list[ModelHealth]) -> Block:
    found = data.home_rows(scope, "budgets")

    def line(one: Row) -> Line:
        label = f"{one.model} {plain(readable(one.text))} · for {format_age(one.at)}"
        return Line(label, "slos", "local_fire_department", {"objective": one.id})

    return _block(
        "budgets", "Error budgets in danger", "attention" if found.total else "ok", found.rows, found.total, line,
        more="slos", noun="more objective", empty="No objective is known to be in danger.",
    )  # fmt: skip


def _changes(scope: data.Scope, _: list[ModelHealth]) -> Block:
    found = data.home_rows(scope, "changes")

    def line(one: Row) -> Line:
        label = (
            f"**CHG-{one.id}** {one.model or 'the whole house'}: {plain(one.text)} · {format_age(one.at)} ago"
        )
        return Line(label, "change", "change_history", {"id": one.id})

    failed = any(one.needs_somebody for one in found.rows)
    return _block(
        "changes", "Changed within a day", "attention" if failed else "ok", found.rows, found.total, line,
        more="approvals", noun="more change", empty="No change was executed or failed within 24 hours.",
    )  # fmt: skip


def _findings(scope: data.Scope, _: list[ModelHealth]) -> Block:
    found = data.home_rows(scope, "findings")

    def line(one: Row) -> Line:
        due = f"overdue for {format_age(one.at)}" if one.needs_somebody else f"due in {format_age(one.at)}"
        label = f"**FND-{one.id}** {one.model or 'the whole house'}, {plain(one.text)} · {due}"
        page, query = ("inventory_model", {"model": one.model}) if one.model else ("inventory", {})
        return Line(label, page, "flag", dict(query))

    over = any(one.needs_somebody for one in found.rows)
    return _block(
        "findings", "Findings", "attention" if over else "ok", found.rows, found.total, line, more="inventory",
        noun="more open finding", empty="No finding is open.",
    )  # fmt: skip


def _model_reviews(scope: data.Scope, _: list[ModelHealth]) -> Block:
    found = data.home_rows(scope, "model_reviews")

    def line(one: Row) -> Line:
        label = f"{one.model}: {one.text} for {format_age(one.at)}"
        return Line(label, "inventory_model", "event_busy", {"model": one.model})

    return _block(
        "model_reviews", "Reviews of models overdue", "attention" if found.total else "ok", found.rows, found.total,
        line, more="inventory", noun="more model", empty="No review that was planned is overdue.",
    )  # fmt: skip


def _access_reviews(scope: data.Scope, _: list[ModelHealth]) -> Block:
    found = data.home_rows(scope, "access_reviews")

    def line(one: Row) -> Line:
        return Line(f"{plain(one.text)}: overdue for {format_age(one.at)}", "access", "event_busy")

    return _block(
        "access_reviews", "Reviews of access overdue", "attention" if found.total else "ok", found.rows,
        found.total, line, more="access", noun="more review", empty="No review of access is overdue.",
    )  # fmt: skip


def _break_glass(scope: data.Scope, _: list[ModelHealth]) -> Block:
    owed = data.reviews_owed(scope)
    lines = []
    for one in owed[:FEW]:
        label = (
            f"**{one['ref']}** {one['model'] or 'the whole house'}: {plain(one['summary'])} · review due in "
        )
        lines.append(Line(label + format_age(one["due_at"]), "change", "lock_open", {"id": one["id"]}))
    if len(owed) > FEW:
        lines.append(Line(f"and {count_of(len(owed) - FEW, 'more review')}", "approvals", "more_horiz"))
    level = "attention" if owed else "ok"
    return Block(
        "break_glass", "Glass broken, not reviewed", level, tuple(lines),
        "Every change that broke the glass is reviewed.",
    )  # fmt: skip


def _anchor(scope: data.Scope, _: list[ModelHealth]) -> Block:
    state, published, _keys = data.audit_state(scope)
    said, level = record_words(state, published)
    more = (
        f" · {count_of(state.unanchored, 'entry', 'entries')} held by nobody else" if state.unanchored else ""
    )
    return Block("anchor", "The record", level, (Line(said + more, "audit", "verified"),), "")


def _health(scope: data.Scope, _: list[ModelHealth]) -> Block:
    """Warrant itself: its own objectives, jobs that failed, backups that are late."""
    own = data.own_objectives(scope)
    lines = [
        Line(f"{one.objective.title}: {in_words(one.value, one.objective.unit)}, at most "
             f"{in_words(one.objective.limit, one.objective.unit)}", "jobs", "speed")
        for one in own if one.state == "missed"
    ]  # fmt: skip
    failed, backups = data.home_rows(scope, "failed_jobs"), data.backups(scope)
    if failed.total:
        newest = failed.rows[0]
        label = f"{count_of(failed.total, 'job run')} failed within a day, the newest {plain(newest.text)}"
        lines.append(Line(f"{label} {format_age(newest.at)} ago", "jobs", "error"))
    lines += [Line(plain(one), "jobs", "backup") for one in backups["late"]]
    unknown = [] if backups["is_set"] else [Line("No folder for backups is set", "jobs", "backup")]
    away = sum(one.state == "unknown" for one in own)
    if away:
        unknown.append(Line(f"{count_of(away, 'figure')} of Warrant itself not known", "jobs", "help"))
    level = "attention" if lines else "unknown" if unknown else "ok"
    return Block(
        "health", "Warrant itself", level, (*lines, *unknown), "Its own objectives hold and its jobs run."
    )


def _block(
    key: str, title: str, level: str, rows: tuple[Row, ...], total: int, line: Callable[[Row], Line],
    *, more: str, noun: str, empty: str,
) -> Block:  # fmt: skip
    lines = [line(one) for one in rows]
    if total > len(rows):
        lines.append(Line(f"and {count_of(total - len(rows), noun)}", more, "more_horiz"))
    return Block(key, title, level, tuple(lines), empty)


_BY_ROLE: tuple[tuple[frozenset[Role], tuple[Make, ...]], ...] = (
    (LEADS, (_rollouts, _candidates)),
    (ON_CALL, (_budgets, _changes)),
    (COMPLIANCE, (_findings, _model_reviews, _break_glass, _anchor)),
    (ADMINISTRATORS, (_health,)),
)
