"""What people do about a registry that others move: enforce a model's rules, put an alias back, or ask for the move."""

from __future__ import annotations

from sqlalchemy import select

from backend.alerting.service import resolve
from backend.alerting.tables import Alert
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict, NotAllowed
from backend.governance.asking import Preview, checked_text, preview_change, request_change
from backend.governance.errors import NotAllowedByPolicy
from backend.governance.kinds import Asked
from backend.governance.registry_moves import CHAMPION, get_move, note_seen, open_move
from backend.governance.tables import Change, RegistryMove
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import GRANTS, Permission, Role
from backend.queue import RESTORE_ALIAS, JobRun, request_job
from backend.registry.service import get_model
from backend.registry.tables import Model

ENFORCEMENTS = ("enforce", "observe")


class MoveSettled(Conflict):
    """The move has been answered already, or nobody has to answer it."""

    title = "Nothing to answer"


def set_enforcement(
    session: WriteSession, actor: Actor, model_name: str, *, enforcement: str, why: str = ""
) -> Model:
    """Make the rules of a model hold (`enforce`). Doing it again does nothing.

    Lifting that (`observe`) is refused here: it takes a change of kind `observe`, which people agree to.

    Needs the right to decide on changes or to manage people: it decides whether others' rules count.
    """
    if not (actor.may_about(Permission.DECIDE_CHANGE, model_name) or actor.may(Permission.MANAGE_PEOPLE)):
        holders = [
            role.value
            for role, granted in GRANTS.items()
            if role is not Role.SYSTEM and granted & {Permission.DECIDE_CHANGE, Permission.MANAGE_PEOPLE}
        ]
        raise NotAllowed(
            f"whether a model's rules are enforced is said by: {', '.join(holders)}",
            permission=Permission.DECIDE_CHANGE.value,
        )
    if enforcement not in ENFORCEMENTS:
        raise BadInput(
            f"enforcement is one of {', '.join(ENFORCEMENTS)}, not {enforcement!r}", field="enforcement"
        )
    found = get_model(session, actor, model_name)
    if enforcement == found.enforcement:
        return found
    if enforcement == "observe":
        raise NotAllowedByPolicy(
            f"the rules of {model_name} are enforced; to lift that, ask for a change of kind observe, "
            "which others approve"
        )
    why = checked_text(why, "reason", required=False)
    model, _ = _set_enforcement(session, actor, model_name, "enforce", why=why)
    return model


def lift_enforcement(
    session: WriteSession, actor: Actor, model_name: str, *, change_id: int, why: str
) -> None:
    """The rules of a model only report from now on. Only the execution of the change that says so calls it."""
    model, moved = _set_enforcement(session, actor, model_name, "observe", why=why, change=change_id)
    if moved:
        _stand_down(session, actor, model)


def _set_enforcement(
    session: WriteSession, actor: Actor, name: str, wanted: str, *, why: str, change: int | None = None
) -> tuple[Model, bool]:
    model = session.scalars(select(Model).where(Model.name == name).with_for_update()).one()
    if model.enforcement == wanted:
        return model, False
    before, model.enforcement = model.enforcement, wanted
    session.flush()
    record(
        session, actor, Action.ENFORCEMENT_CHANGED, object_kind="model", object_id=name,
        payload={"from": before, "to": wanted, **({"change": change} if change is not None else {})}, why=why,
    )  # fmt: skip
    return model, True


def _stand_down(session: WriteSession, actor: Actor, model: Model) -> None:
    """Nobody has to answer the open move of a model that is only observed any more."""
    move = open_move(session, model.name, CHAMPION)
    if move is not None:
        move.state = "observed"
        note_seen(session, model.name, CHAMPION, move.to_version)
    for alert in session.scalars(
        select(Alert).where(
            Alert.model == model.name, Alert.kind == "registry", Alert.state == "firing"
        )
    ):  # fmt: skip
        resolve(session, actor, alert, why="the model is only observed now")


def request_restore(session: WriteSession, actor: Actor, move_id: int, *, why: str = "") -> JobRun:
    """Have the alias `champion` put back to what serves. It is a mirror: nothing that serves changes.

    Asking again gives the run that was asked for.
    """
    allow(session, actor, Permission.REQUEST_CHANGE)
    move = _open_one(session, actor, move_id)
    run_id = f"restore-{move.id}"
    if session.get(JobRun, run_id) is None:
        record(
            session, actor, Action.RESTORE_REQUESTED, object_kind="model", object_id=move.model,
            payload={"move": move.id, "alias": move.alias, "from": move.to_version},
            why=checked_text(why, "reason", required=False),
        )  # fmt: skip
    return request_job(
        session, RESTORE_ALIAS, subject=move.model, arguments={"move_id": move.id}, run_id=run_id,
        requested_by=actor.person_row,
    )  # fmt: skip


def preview_regularisation(session: ReadSession, viewer: Actor, move_id: int) -> Preview:
    """The promotion to the version that the alias names, as it would be asked for."""
    return preview_change(session, viewer, _promotion(_open_one(session, viewer, move_id)))


def regularise(session: WriteSession, actor: Actor, move_id: int, *, reason: str, seen_digest: str) -> Change:
    """Ask for the promotion that the move took for granted. It is decided on like any other.

    The move stays open until the promotion is executed, or the alias is put back.
    """
    allow(session, actor, Permission.REQUEST_CHANGE)
    move = _open_one(session, actor, move_id)
    change = request_change(session, actor, _promotion(move), reason=reason, seen_digest=seen_digest)
    move.change_id = change.id
    session.flush()
    return change


def _promotion(move: RegistryMove) -> Asked:
    if move.to_version is None:
        raise BadInput("the alias was taken away; put it back, or ask for the retirement of the model")
    return Asked("promote", move.environment, move.model, to_version=move.to_version)


def _open_one(session: ReadSession, viewer: Actor, move_id: int) -> RegistryMove:
    move = get_move(session, viewer, move_id)
    if move.state != "open":
        raise MoveSettled(
            f"the move of {move.model}'s alias {move.alias} to version {move.to_version} is {move.state}; "
            "nobody has to answer it"
        )
    return move
