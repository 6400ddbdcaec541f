"""The changes of a period as the log has them, and a sample of them that anybody can draw again.

    period   2026Q3, 2026-07, 2026, or 2026-07-01..2026-09-30 (both days included); days are of UTC
    sample   the n changes whose SHA-256 of "<seed>:<id>" (hex) is smallest: no library's random numbers are in it

The population is what the log says was requested in the period and by the as-of date. It is compared with the table of
changes, one by one: a change without its entry, or an entry without its change, is named.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.rows import parsed
from backend.audit.tables import AuditEntry, AuditPayload
from backend.audit.texts_then import TextThen, texts_then
from backend.database.many import among
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.reach import allow, see
from backend.identity.roles import Permission

LARGEST_SAMPLE: Final = 1_000
_QUARTER: Final = re.compile(r"(\d{4})-?Q([1-4])")
_MONTH: Final = re.compile(r"(\d{4})-(\d\d)")
_YEAR: Final = re.compile(r"\d{4}")
# What an entry about a change makes of it; every other one leaves it as it was.
_STATES: Final = {
    Action.CHANGE_REQUESTED: "requested", Action.CHANGE_RESUBMITTED: "requested", Action.CHANGE_REJECTED: "rejected",
    Action.CHANGE_CANCELLED: "cancelled", Action.CHANGE_EXPIRED: "expired", Action.CHANGE_VOID: "void",
    Action.EXECUTION_STARTED: "executing", Action.EXECUTION_FINISHED: "executed",
    Action.EXECUTION_FAILED: "failed", Action.EXECUTION_OVERTAKEN: "failed",
}  # fmt: skip

# After these, what was decided before counts no longer (with the first results of gates nothing was yet).
_ANEW: Final = frozenset({Action.CHANGE_RESUBMITTED, Action.GATES_REQUESTED, Action.GATES_EVALUATED})


@dataclass(frozen=True)
class Period:
    """From `start` until before `end`."""

    name: str
    start: datetime
    end: datetime


@dataclass(frozen=True)
class ChangeRow:
    """One change as it was on the as-of date, with the approvals that counted then. `entries` are
    the numbers of all entries about it by then."""

    change: int
    kind: str
    model: str | None
    environment: str
    summary: str
    requested_by: str
    requested_by_name: str
    requested_at: datetime
    state: str
    approvals: int
    rejections: int
    broke_glass: bool
    entries: tuple[int, ...]


@dataclass(frozen=True)
class Population:
    """`in_log` numbers of changes, ascending. `without_row`: in the log, not in the table; `without_entry`: the other
    way round. `digest`: SHA-256 over the numbers, one a line.

    For who is limited to some models: `beyond`, how many more changes the log has of this period, of other models or of
    the whole house; `unplaced`, how many of which neither row nor readable entry says what they are about, so that they
    may be of these models. What a change is about is what its entry says: taking rows away hides nothing.
    """

    period: Period
    as_of: datetime
    in_log: tuple[int, ...]
    in_table: int
    without_row: tuple[int, ...]
    without_entry: tuple[int, ...]
    digest: str
    beyond: int = 0
    unplaced: int = 0

    @property
    def equal(self) -> bool:
        return not self.without_row and not self.without_entry and not self.unplaced


@dataclass(frozen=True)
class Sample:
    population: Population
    seed: int
    rows: tuple[ChangeRow, ...]
    recorded_by: int  # the entry that says that it was drawn

    def as_dict(self) -> dict[str, Any]:
        """Plain data; times are datetimes."""
        found = self.population
        return {
            "period": found.period.name, "from": found.period.start, "until": found.period.end, "as_of": found.as_of,
            "seed": self.seed, "n": len(self.rows), "population": len(found.in_log), "in_table": found.in_table,
            "equal": found.equal, "beyond": found.beyond, "unplaced": found.unplaced,
            "without_row": found.without_row, "without_entry": found.without_entry,
            "population_digest": found.digest, "entry": self.recorded_by, "rows": [asdict(row) for row in self.rows],
        }  # fmt: skip


def parse_period(text: str) -> Period:
    """Raises `BadInput` for what names no period."""
    text = text.strip()
    try:
        first, last = _days(text)
    except ValueError as error:
        raise BadInput(
            f"{text!r} is no period: write 2026Q3, 2026-07, 2026 or 2026-07-01..2026-09-30", field="period"
        ) from error
    if last < first:
        raise BadInput(f"the period {text} ends before it begins", field="period")
    return Period(text, _midnight(first), _midnight(last + timedelta(days=1)))


def population_of(
    session: ReadSession, viewer: Actor, period: Period, *, as_of: datetime | None = None
) -> Population:
    """The changes requested in the period, as far as the viewer may see, by the as-of date (default: now)."""
    see(session, viewer, Permission.READ_AUDIT)
    reach = viewer.models_with(Permission.READ_AUDIT)
    as_of = as_of or clock.now()
    end = min(period.end, as_of)
    requested = select(AuditEntry.object_id).where(
        AuditEntry.action == Action.CHANGE_REQUESTED.value, AuditEntry.object_kind == "change"
    )
    within = (AuditEntry.at >= clock.to_iso(period.start), AuditEntry.at < clock.to_iso(end))
    told = {int(one) for one in session.scalars(requested.where(*within)) if one.isdecimal()}
    about, unknown = told_models(session, within) if reach is not None else ({}, frozenset[int]())
    in_log = sorted(told if reach is None else (one for one in told if about.get(one) in reach))
    unplaced = len(unknown)
    rows = set(session.scalars(select(Change.id).where(among(Change.id, in_log)))) if in_log else set()
    # A row is written just before its entry: one at the edge may be of the other period, and has its entry there.
    stored = set(
        session.scalars(
            select(Change.id).where(Change.requested_at >= period.start, Change.requested_at < end)
        )
    )
    others = stored - set(in_log)
    entered = requested.where(among(AuditEntry.object_id, [str(one) for one in others]))
    without_entry = others - {int(one) for one in session.scalars(entered)} if others else set()
    return Population(
        period, as_of, tuple(in_log), len(rows) + len(without_entry),
        tuple(sorted(set(in_log) - rows)), tuple(sorted(without_entry)),
        hashlib.sha256("".join(f"{one}\n" for one in in_log).encode()).hexdigest(),
        len(told) - len(in_log) - unplaced, unplaced,
    )  # fmt: skip


def told_models(
    session: ReadSession, within: tuple[ColumnElement[bool], ...]
) -> tuple[dict[int, str | None], frozenset[int]]:
    """What each change that was requested is about (None: no one model): by its entry, or where the entry's text was
    erased or says nothing, by its row, whoever may see that. Beside them those of which nobody knows."""
    found: dict[int, str | None] = {}
    rows = session.execute(
        select(AuditEntry.object_id, AuditPayload.payload)
        .outerjoin(AuditPayload, AuditPayload.seq == AuditEntry.seq)
        .where(
            AuditEntry.action == Action.CHANGE_REQUESTED.value, AuditEntry.object_kind == "change", *within
        )
    )
    untold = []
    for number, payload in rows:
        clear = parsed((payload or "").encode())
        if not number.isdecimal():
            continue
        if "model" in clear:
            found[int(number)] = clear["model"] if isinstance(clear["model"], str) else None
        else:
            untold.append(int(number))
    table = Change.__table__  # the table itself: a session that is limited would not find the others' rows
    for start in range(0, len(untold), 500):
        known = select(table.c.id, table.c.model).where(table.c.id.in_(untold[start : start + 500]))
        found.update({row.id: row.model for row in session.execute(known)})
    return found, frozenset(untold) - found.keys()


def change_rows(
    session: ReadSession, viewer: Actor, changes: tuple[int, ...], *, as_of: datetime
) -> tuple[ChangeRow, ...]:
    """What these changes were by then, from the log. A summary of which the log does not say what it was is today's,
    and says so. A
    change that no entry names by then is left out."""
    see(session, viewer, Permission.READ_AUDIT)
    told: dict[int, list[Any]] = {one: [] for one in changes}
    entries = session.execute(
        select(AuditEntry.seq, AuditEntry.action, AuditEntry.object_id, AuditEntry.at, AuditEntry.actor)
        .where(
            AuditEntry.object_kind == "change", among(AuditEntry.object_id, [str(one) for one in changes]),
            AuditEntry.at < clock.to_iso(as_of),
        )
        .order_by(AuditEntry.seq)
    )  # fmt: skip
    for entry in entries:
        told[int(entry.object_id)].append(entry)
    known = {one.id: one for one in session.scalars(select(Change).where(among(Change.id, changes)))}
    names = names_of(session, {entry.actor for found in told.values() for entry in found[:1]})
    texts = texts_then(session, "change", {one.id: one.summary for one in known.values()}, as_of)
    return tuple(_row(one, known.get(one), told[one], names, texts.get(one)) for one in changes if told[one])


def drawn(population: tuple[int, ...], *, seed: int, n: int) -> tuple[int, ...]:
    """The sample's changes, ascending. All of them where there are no more than `n`."""
    ranked = sorted(population, key=lambda one: hashlib.sha256(f"{seed}:{one}".encode()).hexdigest())
    return tuple(sorted(ranked[:n]))


def draw_sample(
    session: WriteSession,
    actor: Actor,
    *,
    period: str,
    n: int,
    seed: int,
    as_of: datetime | None = None,
    why: str = "",
) -> Sample:
    """Draw it, and record that it was drawn: same period, as-of date and seed, same rows."""
    allow(session, actor, Permission.READ_AUDIT)
    if not 1 <= n <= LARGEST_SAMPLE:
        raise BadInput(f"a sample has 1 to {LARGEST_SAMPLE} changes, not {n}", field="n")
    if not 0 <= seed < 2**63:
        raise BadInput("a seed is a whole number from 0", field="seed")
    if as_of is not None and as_of > clock.now():
        raise BadInput("the as-of date has not come yet", field="as_of")
    found = population_of(session, actor, parse_period(period), as_of=as_of)
    chosen = drawn(found.in_log, seed=seed, n=n)
    rows = change_rows(session, actor, chosen, as_of=found.as_of)
    seq = record(
        session, actor, Action.SAMPLE_DRAWN, object_kind="sample", object_id=found.period.name,
        payload={"from": clock.to_iso(found.period.start), "until": clock.to_iso(found.period.end),
                 "as_of": clock.to_iso(found.as_of), "seed": str(seed), "n": n, "population": len(found.in_log),
                 "population_digest": found.digest, "equal": found.equal, "beyond": found.beyond,
                 "unplaced": found.unplaced, "rows": list(chosen)},
        why=why,
    )  # fmt: skip
    return Sample(found, seed, rows, seq)


def _row(
    number: int, change: Change | None, entries: list[Any], names: dict[str, str], text: TextThen | None
) -> ChangeRow:
    actions = [entry.action for entry in entries]
    states = [state for action in actions if (state := _STATES.get(action)) is not None]
    asked = entries[0]
    return ChangeRow(
        change=number,
        kind=change.kind if change else "",
        model=change.model if change else None,
        environment=change.environment if change else "",
        summary=_summary(text),
        requested_by=asked.actor,
        requested_by_name=names.get(asked.actor, asked.actor),
        requested_at=clock.from_iso(asked.at),
        state=states[-1],
        approvals=_standing_approvals(actions),
        rejections=actions.count(Action.CHANGE_REJECTED),
        broke_glass=Action.GLASS_BROKEN in actions,
        entries=tuple(entry.seq for entry in entries),
    )


def _standing_approvals(actions: list[str]) -> int:
    """Approvals that counted on that day: sent again, or with its gates evaluated anew, a change begins without any."""
    count = 0
    for action in actions:
        if action in _ANEW:
            count = 0
        count += (action == Action.CHANGE_APPROVED) - (action == Action.APPROVAL_RETRACTED)
    return count


def _summary(text: TextThen | None) -> str:
    if text is None:
        return "there is no such change any more"
    return f"{text.text} (today's: {text.why_not})" if text.why_not else text.text


def _days(text: str) -> tuple[date, date]:
    if ".." in text:
        first, _, last = text.partition("..")
        return date.fromisoformat(first), date.fromisoformat(last)
    if quarter := _QUARTER.fullmatch(text):
        year, number = int(quarter[1]), int(quarter[2])
        return date(year, number * 3 - 2, 1), _month_end(year, number * 3)
    if month := _MONTH.fullmatch(text):
        return date(int(month[1]), int(month[2]), 1), _month_end(int(month[1]), int(month[2]))
    if _YEAR.fullmatch(text):
        return date(int(text), 1, 1), date(int(text), 12, 31)
    raise ValueError(text)


def _month_end(year: int, month: int) -> date:
    following = date(year + month // 12, month % 12 + 1, 1)
    return following - timedelta(days=1)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
