"""Silences: alerts that are muted to an end, and planned work. Muted is not un-fired: they are evaluated and shown.

A silence names by matchers what it mutes; every matcher given must fit. It ends at a time, or **until worse** as soon
as one of its alerts gets worse, and in any case at its end. Worse, against what was when it was set: a graver level,
or a value that is further beyond its limit by more than a tenth of that distance; where another limit holds by now,
both are measured from the one that held then. What did not fire when an
until-worse silence was set is new, and is not muted by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import or_, select

from backend import clock
from backend.alerting.sources import LEVELS
from backend.alerting.tables import Alert, Silence
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict, NotFound
from backend.identity.actor import Actor
from backend.identity.reach import allow, see
from backend.identity.roles import Permission
from backend.registry.service import get_model

UNTIL_WORSE: Final = timedelta(hours=8)
LONGEST: Final = {"silence": timedelta(days=30), "maintenance": timedelta(days=90)}
WORSE_BY: Final = 0.1
LONGEST_COMMENT: Final = 2000
_FIELDS: Final = ("model", "environment", "kind", "column", "fingerprint")


@dataclass(frozen=True)
class Matchers:
    """What a silence mutes; None matches everything. `fits` needs all that are given."""

    model: str | None = None
    environment: str | None = None
    kind: str | None = None
    column: str | None = None
    fingerprint: str | None = None

    def fits(self, alert: Alert) -> bool:
        return all(
            getattr(self, name) is None or getattr(self, name) == value
            for name, value in (
                ("model", alert.model), ("environment", alert.environment), ("kind", alert.kind),
                ("column", str(alert.details.get("column") or "")), ("fingerprint", alert.fingerprint),
            )
        )  # fmt: skip

    def words(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in asdict(self).items() if value is not None)


def matchers_of(silence: Silence) -> Matchers:
    return Matchers(**{name: getattr(silence, name) for name in _FIELDS})


def silence(
    session: WriteSession, actor: Actor, *, matchers: Matchers, comment: str, until: datetime | None = None,
    until_worse: bool = False, starts_at: datetime | None = None, purpose: str = "silence",
) -> Silence:  # fmt: skip
    """Mute what fits until a time, or until worse (then for 8 hours at most, whatever `until` says).

    The same silence of the same person twice is one. Raises `BadInput` without a matcher, comment or end, or with an
    end that has passed or is too far.
    """
    return silence_each(
        session, actor, [matchers], comment=comment, until=until, until_worse=until_worse, starts_at=starts_at,
        purpose=purpose,
    )[0]  # fmt: skip


def silence_each(
    session: WriteSession, actor: Actor, wanted: Sequence[Matchers], *, comment: str, until: datetime | None = None,
    until_worse: bool = False, starts_at: datetime | None = None, purpose: str = "silence",
) -> list[Silence]:  # fmt: skip
    """A silence for each of `wanted`, as `silence` sets one. What fires and what is silent are read once, however many
    there are."""
    allow(session, actor, Permission.ACKNOWLEDGE)
    now = clock.now()
    starts = starts_at or now
    ends = until or (starts + UNTIL_WORSE if until_worse else None)
    if ends is None:
        raise BadInput("until: say when it ends, or that it ends when it gets worse", field="until")
    for matchers in wanted:
        _check(purpose, matchers, comment, starts, ends, until_worse=until_worse)
    ends = min(ends, starts + UNTIL_WORSE) if until_worse else ends
    for model in sorted({one.model for one in wanted if one.model}):
        get_model(session, actor, model)
    known = _the_same(session, actor, purpose, starts, ends, until_worse=until_worse)
    baseline = _baseline(session) if until_worse else (lambda _: {})
    made = []
    for matchers in wanted:
        if matchers not in known:
            known[matchers] = Silence(
                **asdict(matchers), purpose=purpose, until_worse=until_worse, comment=comment.strip(),
                author=actor.person_id, created_at=now, starts_at=starts, ends_at=ends, baseline=baseline(matchers),
            )  # fmt: skip
            made.append(known[matchers])
    session.add_all(made)
    session.flush()
    for row in made:
        record(
            session, actor, Action.SILENCE_SET, object_kind="silence", object_id=row.id, why=row.comment,
            payload={"purpose": purpose, "matchers": asdict(matchers_of(row)), "until_worse": until_worse,
                     "starts_at": clock.to_iso(starts), "ends_at": clock.to_iso(ends)},
        )  # fmt: skip
    return [known[matchers] for matchers in wanted]


def _baseline(session: ReadSession) -> Callable[[Matchers], dict[str, Any]]:
    """How what fires now and fits stands, by fingerprint: what "worse" is held against."""
    firing = session.scalars(select(Alert).where(Alert.state == "firing")).all()
    named = {one.fingerprint: [one] for one in firing}

    def standing(matchers: Matchers) -> dict[str, Any]:
        near = firing if matchers.fingerprint is None else named.get(matchers.fingerprint, ())
        return {one.fingerprint: _standing(one) for one in near if matchers.fits(one)}

    return standing


def end_silence(session: WriteSession, actor: Actor, silence_id: int, *, why: str = "") -> Silence:
    """End it before its time. Twice is once."""
    allow(session, actor, Permission.ACKNOWLEDGE)
    row = get_silence(session, actor, silence_id)
    if row.ended_at is None and clock.now() < row.ends_at:
        _end(session, actor, row, why.strip() or "ended by hand")
    return row


def get_silence(session: ReadSession, viewer: Actor, silence_id: int) -> Silence:
    see(session, viewer)
    row = session.get(Silence, silence_id)
    if row is None:
        raise NotFound(f"there is no silence {silence_id} that you may see")
    return row


def list_silences(
    session: ReadSession,
    viewer: Actor,
    *,
    model: str | None = None,
    over: bool = False,
    limit: int = 100,
    offset: int = 0,
) -> list[Silence]:
    """Those that hold or will hold, the first to end first; with `over` also past ones, then the newest first."""
    see(session, viewer)
    query = select(Silence).limit(limit).offset(offset)
    if model is not None:
        query = query.where(or_(Silence.model == model, Silence.model.is_(None)))
    if over:
        return list(session.scalars(query.order_by(Silence.created_at.desc(), Silence.id.desc())))
    now = clock.now()
    return list(
        session.scalars(
            query.where(Silence.ended_at.is_(None), Silence.ends_at > now).order_by(
                Silence.ends_at, Silence.id
            )
        )
    )


def planned_work(session: ReadSession) -> list[Silence]:
    """Planned work on whole models, also what is over: `backend.slo.left_out` takes it out of objectives."""
    return list(
        session.scalars(
            select(Silence)
            .where(
                Silence.purpose == "maintenance", Silence.model.is_not(None), Silence.kind.is_(None),
                Silence.column.is_(None), Silence.fingerprint.is_(None),
            )
            .order_by(Silence.starts_at)
        )
    )  # fmt: skip


def active_silences(session: ReadSession, fingerprint: str | None = None) -> list[Silence]:
    """Every one that holds now, the last to end first; with a fingerprint, those that can be about its alert."""
    now = clock.now()
    query = select(Silence).where(Silence.ended_at.is_(None), Silence.starts_at <= now, Silence.ends_at > now)
    if fingerprint is not None:
        query = query.where(or_(Silence.fingerprint.is_(None), Silence.fingerprint == fingerprint))
    return list(session.scalars(query.order_by(Silence.ends_at.desc())))


def mutes(row: Silence, alert: Alert) -> bool:
    return matchers_of(row).fits(alert) and (not row.until_worse or alert.fingerprint in row.baseline)


def end_if_worse(session: WriteSession, actor: Actor, alert: Alert, silences: Iterable[Silence]) -> None:
    """End each until-worse silence whose alert this is and that it is worse than."""
    for row in silences:
        if row.until_worse and row.ended_at is None and mutes(row, alert):
            worse = worse_than(row.baseline[alert.fingerprint], alert)
            if worse is not None:
                _end(session, actor, row, f"{alert.title}: {worse}", by_rule=True)


def worse_than(before: dict[str, Any], alert: Alert) -> str | None:
    """In which way the alert is worse than it was; None: it is not."""
    if LEVELS.index(alert.level) < LEVELS.index(before["level"]):
        return f"{alert.level} where it was {before['level']}"
    then, now = before.get("beyond"), _beyond_as_then(before, alert)
    if (
        then is not None and now is not None and now > then * (1 + WORSE_BY) * (1 + 1e-9)
    ):  # a tenth, but for rounding
        value, was = alert.details.get("value"), before.get("value")
        return f"{value:.4g} where it was {was:.4g}"
    return None


def _standing(alert: Alert) -> dict[str, Any]:
    value, limit = alert.details.get("value"), alert.details.get("threshold")
    return {"level": alert.level, "value": value, "threshold": limit, "beyond": _beyond(alert)}


def _beyond_as_then(before: dict[str, Any], alert: Alert) -> float | None:
    """How far its value is from the limit that held before, as long as it is on the same side of its limit.

    A burn rate that pages by its fast row has a higher limit than by its slow one, and is nearer to it.
    """
    now, limit, was = _beyond(alert), before.get("threshold"), before.get("value")
    if now is None or not isinstance(limit, int | float) or not isinstance(was, int | float):
        return now
    value, present = float(alert.details["value"]), float(alert.details["threshold"])
    if present == limit or (value > present) != (was > limit):
        return now
    return max(0.0, value - limit if was > limit else limit - value)


def _beyond(alert: Alert) -> float | None:
    """How far its value is from its limit; None where it has not both."""
    value, limit = alert.details.get("value"), alert.details.get("threshold")
    if not isinstance(value, int | float) or not isinstance(limit, int | float):
        return None
    return abs(float(value) - float(limit))


def _end(session: WriteSession, actor: Actor, row: Silence, why: str, *, by_rule: bool = False) -> None:
    row.ended_at, row.ended_because = clock.now(), why
    row.ended_by = None if by_rule else actor.person_row
    session.flush()
    record(session, actor, Action.SILENCE_ENDED, object_kind="silence", object_id=row.id, why=why)


def _the_same(
    session: ReadSession, actor: Actor, purpose: str, starts: datetime, ends: datetime, *, until_worse: bool
) -> dict[Matchers, Silence]:
    """Those in force of the same person that begin and end within a minute of these times."""
    rows = session.scalars(
        select(Silence)
        .where(
            Silence.author == actor.person_id, Silence.purpose == purpose, Silence.ended_at.is_(None),
            Silence.ends_at > clock.now(), Silence.until_worse == until_worse,
        )
        .order_by(Silence.id.desc())
    )  # fmt: skip
    near = timedelta(minutes=1)
    return {
        matchers_of(row): row
        for row in rows
        if abs(row.ends_at - ends) < near and abs(row.starts_at - starts) < near
    }


def _check(
    purpose: str, matchers: Matchers, comment: str, starts: datetime, ends: datetime, *, until_worse: bool
) -> None:  # fmt: skip
    if purpose not in LONGEST:
        raise BadInput(f"purpose: {purpose!r} is neither silence nor maintenance", field="purpose")
    if not any(getattr(matchers, name) for name in _FIELDS if name != "environment"):
        raise BadInput(
            "name at least a model, kind, column or fingerprint: nothing mutes everything", field="model"
        )
    if not comment.strip() or len(comment) > LONGEST_COMMENT:
        raise BadInput(f"comment: write why, in at most {LONGEST_COMMENT:,} characters", field="comment")
    if ends <= max(starts, clock.now()):
        raise BadInput("until: the end has passed or lies before the start", field="until")
    if ends - starts > LONGEST[purpose]:
        raise BadInput(f"until: a {purpose} lasts {LONGEST[purpose].days} days at most", field="until")
    if purpose == "maintenance" and until_worse:
        raise Conflict("planned work ends at a time; until worse is for alerts that fire")
