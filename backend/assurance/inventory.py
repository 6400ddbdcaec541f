"""Every model with what is known of it, what is not, and what is due: filtered, sorted, a page at a time.

What nobody measured is `unknown`, never fine: a vendor's model has no health of ours, and says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Select, and_, func, select, true

from backend import clock
from backend.assurance.inventory_query import (
    SEVERITIES,
    SORTS,
    TIERS,
    kept_models,
    matching,
    needs_somebody,
    ordered,
)
from backend.assurance.tables import PolicyException
from backend.assurance.validations import OUTCOMES
from backend.database.many import among
from backend.database.session import ReadSession
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.reach import see
from backend.identity.teams import team_names
from backend.registry.service import CHOICES
from backend.registry.tables import Model

__all__ = [
    "KINDS", "SORTS", "TIERS", "Entry", "Page", "entry_of", "every_model_kept", "list_models_kept", "names_kept",
]  # fmt: skip

KINDS: Final[dict[str, str]] = {
    "own": "served here", "imported": "imported, not described", "vendor": "served by a vendor",
}  # fmt: skip
AT_ONCE: Final = 500
"""So many entries are read at a time where all are wanted."""


@dataclass(frozen=True)
class Entry:
    """One model of the inventory.

    level     page | attention | unknown | ok: of what people have to do about it, not of how it performs
    due       what is overdue or missing, each in words, the worst first
    health    how it performs, in a word; "not measured" where nothing of it is measured here
    """

    model: str
    title: str
    kind: str
    tier: str
    proposed_tier: str | None
    answered_at: datetime | None
    owner: str | None
    purpose: str
    data: str
    vendor: str
    contact: str
    serves: int | None
    validation: dict[str, Any] | None
    conditions_open: int
    conditions_lapsed: int
    findings: dict[str, int]
    findings_overdue: int
    next_review_at: datetime | None
    exceptions: tuple[str, ...]
    due: tuple[str, ...] = ()
    level: str = "unknown"
    health_level: str = "unknown"
    health: str = "not measured"
    created_at: datetime | None = None
    team: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return dict(self.__dict__) | {"due": list(self.due), "exceptions": list(self.exceptions)}


@dataclass(frozen=True)
class Page:
    """Some of the entries that match; `total` of them do, of `known` in all."""

    entries: list[Entry]
    total: int
    known: int
    needing: int = field(default=0)


def list_models_kept(
    session: ReadSession,
    viewer: Actor,
    *,
    environment: str,
    text: str = "",
    tiers: Sequence[str] = (),
    kinds: Sequence[str] = (),
    owner: str = "",
    team: str = "",
    needing: bool = False,
    sort: str = "due",
    descending: bool = False,
    offset: int = 0,
    limit: int = 50,
) -> Page:
    """The entries that the viewer may see and that match. `needing`: only those with something due."""
    see(session, viewer)
    if sort not in SORTS:
        raise BadInput(f"the inventory is sorted by {', '.join(SORTS)}, not by {sort!r}", field="sort")
    now = clock.now()
    kept = kept_models(environment, now)
    wanted = matching(kept, text=text, tiers=tiers, kinds=kinds, owner=owner, team=team, needing=needing)
    known, needy, total = session.execute(
        select(
            func.count(),
            func.count().filter(needs_somebody(kept)),
            func.count().filter(and_(true(), *wanted)),
        ).select_from(kept)
    ).one()
    query = ordered(select(kept).where(*wanted), kept, sort, descending=descending)
    shown = _entries(session, query.limit(limit).offset(offset), now)
    return Page(_with_health(session, viewer, shown, environment), total, known, needy)


def every_model_kept(
    session: ReadSession, viewer: Actor, *, environment: str, **filters: Any
) -> Iterator[Entry]:
    """All that match, read `AT_ONCE` at a time: for files. `filters` as of `list_models_kept`."""
    offset = 0
    while True:
        page = list_models_kept(
            session, viewer, environment=environment, offset=offset, limit=AT_ONCE, **filters
        )
        yield from page.entries
        offset += AT_ONCE
        if offset >= page.total:
            return


def names_kept(session: ReadSession, viewer: Actor) -> list[str]:
    """The first `CHOICES` names of models, of those that the viewer may see: to choose from."""
    see(session, viewer)
    return list(session.scalars(select(Model.name).order_by(Model.name).limit(CHOICES)))


def entry_of(session: ReadSession, viewer: Actor, model: str, *, environment: str) -> Entry:
    """One model of the inventory."""
    from backend.registry.service import get_model

    get_model(session, viewer, model)
    now = clock.now()
    kept = kept_models(environment, now)
    found = _entries(session, select(kept).where(kept.c.model == model), now)
    return _with_health(session, viewer, found, environment)[0]


def _entries(session: ReadSession, query: Select[Any], now: datetime) -> list[Entry]:
    """The rows of `kept_models` that a query finds, with the names of owners and teams, and exceptions."""
    rows = session.execute(query).all()
    models = [row.model for row in rows]
    names = names_of(session, {row.owner_id for row in rows})
    teams = team_names(session, models)
    excepted: dict[str, list[str]] = defaultdict(list)
    for one in session.scalars(
        select(PolicyException)
        .where(
            among(PolicyException.model, models), PolicyException.state.in_(("asked", "granted")),
            PolicyException.expires_at > now,
        )
        .order_by(PolicyException.id)
    ):  # fmt: skip
        state = "granted" if one.state == "granted" else "asked for"
        excepted[one.model].append(f"EXC-{one.id} from {one.gate}, {state}, until {one.expires_at:%Y-%m-%d}")
    return [
        _entry(row, names.get(row.owner_id or ""), teams.get(row.model), tuple(excepted[row.model]), now)
        for row in rows
    ]


def _entry(
    row: Any, owner: str | None, team: str | None, exceptions: tuple[str, ...], now: datetime
) -> Entry:
    validation = None if row.validation_id is None else {
        "id": row.validation_id, "ref": f"VAL-{row.validation_id}", "version": row.validated_version,
        "outcome": row.outcome, "outcome_words": OUTCOMES[row.outcome], "recorded_at": row.validated_at,
    }  # fmt: skip
    entry = Entry(
        model=row.model, title=row.title, kind=row.kind, tier=row.tier, proposed_tier=row.proposed_tier,
        answered_at=row.answered_at, owner=owner, purpose=row.purpose,
        data=row.data or _data_of(row.trained_version, row.training), vendor=row.vendor, contact=row.contact,
        serves=row.serves, validation=validation, conditions_open=row.conditions_open,
        conditions_lapsed=row.conditions_lapsed,
        findings={one: getattr(row, f"findings_{one}") for one in SEVERITIES},
        findings_overdue=row.findings_overdue, next_review_at=row.next_review_at, exceptions=exceptions,
        created_at=row.created_at, team=team,
    )  # fmt: skip
    return _judged(entry, bool(row.findings_overdue_high), now)


def _data_of(number: int | None, training: dict[str, Any] | None) -> str:
    """What a version (the one that serves, else the newest) was trained on, as its trainer handed it over."""
    if not training:
        return ""
    rows, span = training.get("rows"), [_day(training.get(one)) for one in ("from", "to")]
    told = [f"v{number} trained on"] + ([f"{rows:,} rows"] if isinstance(rows, int) else ["data"])
    return " ".join(told + ([f"of {span[0]} to {span[1]}"] if all(span) else []))


def _day(moment: Any) -> str:
    """`1 Jan 2013`, the day (UTC) of a time as a trainer wrote it; what is no time stays as it is."""
    try:
        found = datetime.fromisoformat(str(moment))
    except ValueError:
        return str(moment or "")
    return f"{found.astimezone(UTC) if found.tzinfo else found:%-d %b %Y}"


def _judged(entry: Entry, overdue_high: bool, now: datetime) -> Entry:
    """With what is due, and how urgent the worst of it is."""
    bad: list[str] = []
    if overdue_high:
        bad.append("a high finding is overdue")
    if entry.conditions_lapsed:
        many = entry.conditions_lapsed > 1
        bad.append(f"{entry.conditions_lapsed} condition{'s' if many else ''} of a validation lapsed")
    if entry.validation and entry.validation["outcome"] == "not_fit":
        bad.append("the last validation found it not fit")
    if entry.tier == "prohibited" and entry.serves is not None:
        bad.append("it is prohibited and serves")
    late: list[str] = []
    if entry.findings_overdue and not overdue_high:
        late.append(f"{entry.findings_overdue} finding{'s' if entry.findings_overdue > 1 else ''} overdue")
    if entry.next_review_at is not None and entry.next_review_at <= now:
        late.append(f"its review was due {entry.next_review_at:%Y-%m-%d}")
    if entry.proposed_tier is not None and entry.proposed_tier != entry.tier:
        late.append(f"the questionnaire proposes tier {entry.proposed_tier}")
    unknown: list[str] = []
    # Of a model of high tier that serves, somebody has to answer for these; of others they are merely not known.
    lacks = late if entry.serves is not None and entry.tier in ("high", "prohibited") else unknown
    if entry.owner is None:
        lacks.append("no owner")
    if entry.validation is None:
        lacks.append("never validated")
    if entry.proposed_tier is None:
        unknown.append("tier not questioned")
    if not entry.purpose:
        unknown.append("no purpose written")
    if not entry.data:
        unknown.append("data not described")
    if entry.next_review_at is None:
        unknown.append("no review planned")
    level = "page" if bad else "attention" if late else "unknown" if unknown else "ok"
    return replace(entry, due=(*bad, *late, *unknown), level=level)


def _with_health(
    session: ReadSession, viewer: Actor, entries: Sequence[Entry], environment: str
) -> list[Entry]:
    """With how each performs, where that is measured here. What is not is unknown."""
    from backend.monitoring.health import health_among

    known = health_among(session, viewer, [one.model for one in entries if one.kind == "own"], environment)
    told = {"vendor": "not measured: the vendor serves it", "imported": "not measured: not described here"}
    return [
        replace(entry, health=known[entry.model].word, health_level=known[entry.model].level)
        if entry.model in known
        else replace(entry, health=told.get(entry.kind, "not measured"))
        for entry in entries
    ]
