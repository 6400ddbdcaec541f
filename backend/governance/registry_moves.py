"""Moves of MLflow's aliases that no change made: recorded once each, with what the rules would have said of them.

A move of an observed model, or of an alias that nothing of ours mirrors, is `observed`: nobody has to act. A move of
the alias `champion` of an enforced model is `open` until the alias names what serves again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.deployment.tables import Deployment
from backend.errors import BadInput, NotFound
from backend.governance.move_judgement import environment_of, judge_move
from backend.governance.tables import Change, RegistryMove
from backend.identity.actor import Actor
from backend.identity.reach import see
from backend.registry.service import get_model
from backend.registry.tables import Model, SeenAlias

CHAMPION: Final = "champion"
LOOKED_EVERY: Final = timedelta(
    hours=1
)  # how often a model's row is written to say that its aliases were looked at
MOVE_STATES: Final = ("open", "observed", "restored", "overtaken", "regularised")


def note_aliases(
    session: WriteSession, actor: Actor, found: Mapping[str, Mapping[str, int]]
) -> list[RegistryMove]:
    """Compare what aliases name now with what they named; gives the moves since. Models absent from `found` are left.

    The first look at a model only writes down what is there: who moved what before it is not known. `champion` of an
    enforced model is left to the comparison with the deployment record.
    """
    models = {row.name: row for row in session.scalars(select(Model).where(Model.name.in_(sorted(found))))}
    seen: dict[str, dict[str, SeenAlias]] = {name: {} for name in models}
    for row in session.scalars(select(SeenAlias).where(SeenAlias.model.in_(sorted(models)))):
        seen[row.model][row.alias] = row
    moves: list[RegistryMove] = []
    for name, model in sorted(models.items()):
        first, now = model.aliases_seen_at is None, clock.now()
        if first:
            model.aliases_seen_at = now
        if model.aliases_looked_at is None or now - model.aliases_looked_at > LOOKED_EVERY:
            model.aliases_looked_at = now
        for alias in sorted({*found[name], *seen[name]}):
            if alias == CHAMPION and model.enforcement == "enforce":
                continue
            known, version = seen[name].get(alias), found[name].get(alias)
            before = known.version if known is not None else None
            if version == before:
                continue
            note_seen(session, name, alias, version)
            if first or _is_ours(session, name, alias, version):
                continue
            moves.append(
                add_move(session, actor, model, alias=alias, before=before, after=version, state="observed")
            )
    session.flush()
    return moves


def note_seen(session: WriteSession, model: str, alias: str, version: int | None) -> None:
    """Remember what an alias names."""
    row = session.get(SeenAlias, (model, alias))
    if row is None:
        row = SeenAlias(model=model, alias=alias)
        session.add(row)
    row.version, row.seen_at = version, clock.now()
    session.flush()


def _is_ours(session: ReadSession, model: str, alias: str, version: int | None) -> bool:
    """Whether it names what the record says serves: then our own mirroring moved it, or might as well have."""
    return alias == CHAMPION and version is not None and version in serving_versions(session, model, alias)


def serving_versions(session: ReadSession, model: str, alias: str) -> list[int]:
    """What serves as the champion in the environment that the alias stands for; empty where it stands for none."""
    return sorted(
        set(
            session.scalars(
                select(Deployment.version).where(
                    Deployment.model == model,
                    Deployment.environment == environment_of(alias),
                    Deployment.role == "champion",
                    Deployment.ended_at.is_(None),
                )
            )
        )
    )


def add_move(
    session: WriteSession, actor: Actor, model: Model, *,
    alias: str, before: int | None, after: int | None, state: str,
) -> RegistryMove:  # fmt: skip
    """Record one move. An open one of the same alias is overtaken by it."""
    now = clock.now()
    environment = environment_of(alias) or ""
    open_one = open_move(session, model.name, alias)
    if open_one is not None:
        open_one.state = "overtaken"
        session.flush()
    said = judge_move(session, model, alias=alias, to_version=after, at=now)
    move = RegistryMove(
        model=model.name, environment=environment, alias=alias, from_version=before, to_version=after, found_at=now,
        would_be=said.would_be, rule=said.rule, policy_revision=said.revision,
        reasons=[reason.as_dict() for reason in said.reasons], state=state,
    )  # fmt: skip
    session.add(move)
    session.flush()
    record(
        session, actor, Action.ALIAS_MOVED_ELSEWHERE, object_kind="model", object_id=model.name,
        payload={"move": move.id, "alias": alias, "version": after, "from": before, "environment": environment,
                 "record": serving_versions(session, model.name, alias), "enforcement": model.enforcement,
                 "would_be": said.would_be, "rule": said.rule},
        why="MLflow keeps neither who moved an alias nor when; the gateway does not follow it",
    )  # fmt: skip
    return move


def open_move(session: ReadSession, model: str, alias: str) -> RegistryMove | None:
    """The move of this alias that somebody has to answer."""
    return session.scalars(
        select(RegistryMove).where(
            RegistryMove.model == model, RegistryMove.alias == alias, RegistryMove.state == "open"
        )
    ).one_or_none()


def settle_move(session: WriteSession, model: str) -> RegistryMove | None:
    """The alias names what serves again: close the open move as regularised by its change, or else as restored."""
    move = open_move(session, model, CHAMPION)
    if move is None:
        return None
    change = session.get(Change, move.change_id) if move.change_id is not None else None
    executed = change is not None and change.state == "executed"
    move.state = "regularised" if executed else "restored"
    session.flush()
    return move


@dataclass(frozen=True)
class MoveReport:
    """Moves of a period, newest first, and what the rules would have said of them."""

    since: datetime | None
    until: datetime | None
    moves: tuple[RegistryMove, ...]
    truncated: bool
    counts: Mapping[str, int]  # allowed | refused | unknown -> moves
    refused_by: Mapping[str, int]  # check -> moves that it alone would have refused, or with others
    refused_under: Mapping[str, int]  # rule of the policy -> moves that it would have refused

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def summary(self) -> str:
        """`14 of 52 moves would have been refused, by these rules: no approval 14, freeze 2`."""
        if not self.total:
            return "no move was found"
        refused, unknown = self.counts.get("refused", 0), self.counts.get("unknown", 0)
        moves = "move" if self.total == 1 else "moves"
        text = f"{refused} of {self.total} {moves} would have been refused"
        if refused:
            by = ", ".join(f"{rule} {count}" for rule, count in self.refused_under.items())
            checks = ", ".join(f"{check} {count}" for check, count in self.refused_by.items())
            text += f", by these rules: {by} ({checks})"
        return text + (f"; of {unknown} it is not known" if unknown else "")


def list_moves(
    session: ReadSession, viewer: Actor, *, since: datetime | None = None, until: datetime | None = None,
    model: str | None = None, states: Collection[str] = (), limit: int = 1000, offset: int = 0,
) -> MoveReport:  # fmt: skip
    """Moves found from `since` (included) to `until` (excluded). Counts cover all of them, rows the newest `limit`
    behind `offset`."""
    see(session, viewer)
    unknown = sorted(set(states) - set(MOVE_STATES))
    if unknown:
        raise BadInput(f"a state is one of {', '.join(MOVE_STATES)}, not {unknown[0][:40]!r}", field="state")
    if model is not None:
        get_model(session, viewer, model)
    wanted = []
    if since is not None:
        wanted.append(RegistryMove.found_at >= since)
    if until is not None:
        wanted.append(RegistryMove.found_at < until)
    if model is not None:
        wanted.append(RegistryMove.model == model)
    if states:
        wanted.append(RegistryMove.state.in_(states))
    order = (RegistryMove.found_at.desc(), RegistryMove.id.desc())
    found = session.scalars(
        select(RegistryMove).where(*wanted).order_by(*order).limit(limit).offset(offset)
    ).all()
    verdicts = select(RegistryMove.would_be, func.count()).where(*wanted).group_by(RegistryMove.would_be)
    counts = {row[0]: row[1] for row in session.execute(verdicts)}
    refused = session.execute(
        select(RegistryMove.reasons, RegistryMove.rule)
        .where(*wanted, RegistryMove.would_be == "refused")
        .order_by(*order)
    ).all()
    checks = Counter(
        check
        for move in refused
        for check in sorted({one["check"] for one in move.reasons if one["says"] == "refused"})
    )
    return MoveReport(
        since, until, tuple(found), sum(counts.values()) > offset + limit, counts, dict(checks.most_common()),
        dict(Counter(move.rule for move in refused).most_common()),
    )  # fmt: skip


def get_move(session: ReadSession, viewer: Actor, move_id: int) -> RegistryMove:
    """One move; `NotFound` also where the viewer may not see its model."""
    see(session, viewer)
    move = session.get(RegistryMove, move_id)
    if move is None:
        raise NotFound(f"there is no registry move {move_id} that you may see")
    get_model(session, viewer, move.model)
    return move


def move_view(move: RegistryMove) -> dict[str, Any]:
    """A move as API and command line give it."""
    return {
        "id": move.id, "model": move.model, "environment": move.environment or None, "alias": move.alias,
        "from_version": move.from_version, "to_version": move.to_version, "found_at": move.found_at,
        "would_be": move.would_be, "rule": move.rule or None, "policy_revision": move.policy_revision,
        "reasons": move.reasons, "state": move.state, "change_id": move.change_id,
    }  # fmt: skip


def report_view(report: MoveReport) -> dict[str, Any]:
    """A report as API and command line give it."""
    return {
        "since": report.since, "until": report.until, "total": report.total, "summary": report.summary,
        "counts": {verdict: report.counts.get(verdict, 0) for verdict in ("allowed", "refused", "unknown")},
        "refused_by": dict(report.refused_by), "refused_under": dict(report.refused_under),
        "moves": [move_view(move) for move in report.moves], "truncated": report.truncated,
    }  # fmt: skip
