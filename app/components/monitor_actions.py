"""What one can do with a monitor that is stored, and with the false-alarm budget: each asks why, or to be sure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from app.components import Field, action_form
from app.components.monitor_parts import show_budget, show_budget_change
from app.components.tables import lines, small, table
from app.plain_text import plain
from app.session import go, perform, show_error
from app.words import readable
from backend.errors import BadInput
from backend.governance.asking import preview_change, request_change
from backend.governance.kinds import Asked
from backend.monitoring import monitors_service as service
from backend.monitoring.budget_service import BudgetChange, FalseAlarms, change_budget
from backend.monitoring.monitors import parse_monitor


def store_monitor(
    model: str, environment: str, row: Mapping[str, Any] | None, definition: dict[str, Any], *, digest: str,
    sentence: str, disabled_because: str | None, by_change: bool = False,
) -> None:  # fmt: skip
    """Store what was replayed, and only that: `digest` is of the definition the person sees. `by_change`: ask for the
    change that stores it, where the policy lets nobody do it directly."""
    named = f"“{definition['name']}”" if definition.get("name") else "the monitor"
    if not definition.get("name"):
        disabled_because = disabled_because or "Write a name for it above."
    subject = f"{row['key']}/{row['number']}" if row else f"new/{model}"
    sent = action_form(
        "store-monitor", label=f"Ask for a change that stores {named}" if by_change else f"Store {named}",
        object_id=subject, digest=digest,
        fields=[Field("why", "Why", required=True, help="others will read it"),
                Field("sure", "I have seen how often it would have fired", "checkbox", required=True, help=sentence)],
        disabled_because=disabled_because,
    )  # fmt: skip
    if sent is None:
        return
    if sent.digest != digest:
        st.error(
            "Nothing was stored: the monitor has changed since you pressed the button. Look again, then store."
        )
        return
    why = str(sent.values["why"])
    if by_change:
        key = {} if row is None else {"key": row["key"]}
        _ask_for(model, environment, {"definition": definition, **key}, why)
        return

    def store(session: Any, me: Any) -> Any:
        if row is None:
            return service.create_monitor(
                session, me, model=model, environment=environment, definition=definition, why=why
            )
        return service.change_monitor(
            session, me, row["key"], definition=definition, seen=row["number"], why=why
        )

    done = f"{named[:1].upper()}{named[1:]} is stored. It is looked at with the next computation."
    if perform(store, done=done) is not None:
        st.rerun()


def _ask_for(model: str, environment: str, subject: dict[str, Any], why: str) -> None:
    """Ask for a change of a monitor or of the budget, and go to it."""
    asked = Asked("monitor", environment, model, subject=subject)
    change = perform(
        lambda session, me: request_change(
            session, me, asked, reason=why, seen_digest=preview_change(session, me, asked).digest
        ),
        done="The change is asked for; it waits for a decision by somebody else.",
    )
    if change is not None:
        go("change", id=change.id)


def show_actions(row: Mapping[str, Any], disabled_because: str | None, *, by_change: bool = False) -> None:
    """Pause or look again, and delete; `by_change`: by asking for it."""
    subject, paused = f"{row['key']}/{row['number']}", row["state"] == "paused"
    with st.expander("Look again, or delete" if paused else "Pause or delete"):
        stopped = action_form(
            "pause-monitor", label=f"{'Look again with' if paused else 'Pause'} “{row['name']}”", object_id=subject,
            digest=str(row["number"]), fields=[Field("why", "Why", required=True)], danger=not paused,
            disabled_because=disabled_because,
        )  # fmt: skip
        if stopped is not None and by_change:
            subject_of = {"key": row["key"], "state": "active" if paused else "paused"}
            _ask_for(row["model"], row["environment"], subject_of, stopped.values["why"])
        elif stopped is not None and perform(
            lambda session, me: service.pause_monitor(
                session,
                me,
                row["key"],
                paused=not paused,
                seen=int(stopped.digest),
                why=stopped.values["why"],
            ),
            done="It looks again." if paused else "It is paused, and what it fired is resolved.",
        ):
            st.rerun()
        gone = action_form(
            "delete-monitor", label=f"Delete “{row['name']}”", object_id=subject, danger=True,
            digest=str(row["number"]),
            fields=[Field("why", "Why", required=True),
                    Field("sure", "Stop looking; its versions stay readable", "checkbox", required=True)],
            disabled_because=disabled_because,
        )  # fmt: skip
        if gone is not None and by_change:
            subject_of = {"key": row["key"], "state": "deleted"}
            _ask_for(row["model"], row["environment"], subject_of, gone.values["why"])
        elif gone is not None and perform(
            lambda session, me: service.delete_monitor(
                session, me, row["key"], seen=int(gone.digest), why=gone.values["why"]
            ),
            done="It is deleted.",
        ):
            st.rerun()


def show_versions(
    row: Mapping[str, Any], versions: Sequence[Mapping[str, Any]], disabled_because: str | None
) -> None:
    """Who changed what, when and why; and the way back to an earlier version."""
    with st.expander(f"Versions ({len(versions)})"):
        table(
            ("version", "made", "by", "what it says", "why"),
            [
                [f"{one['number']}", one["made_at"], one["made_by_name"],
                 lines(_says(one["definition"]), small(one["state"])), one["why"]]
                for one in versions
            ],
            caption="versions of the monitor",
        )  # fmt: skip
        earlier = [str(one["number"]) for one in versions if one["definition"] != row["definition"]]
        if not earlier:
            return
        back = action_form(
            "restore-monitor", label=f"Bring back that version of “{row['name']}”",
            object_id=f"{row['key']}/{row['number']}", digest=str(row["number"]),
            fields=[Field("number", "Version", "select", required=True, options=earlier, value=earlier[0])],
            disabled_because=disabled_because,
        )  # fmt: skip
        if back is not None and perform(
            lambda session, me: service.restore_monitor(
                session, me, row["key"], number=int(back.values["number"]), seen=int(back.digest)
            ),
            done="That version holds again, as a new one.",
        ):
            st.rerun()


def show_false_alarms(
    model: str, allowed: FalseAlarms, preview: Callable[..., BudgetChange], disabled_because: str | None,
    *, environment: str, by_change: str | None,
) -> None:  # fmt: skip
    """The budget of false pages, and a form that changes it in the model's spec, once one has seen what it changes.

    preview    (pages_per_quarter, rota, rota_pages_per_shift) -> what these would change
    by_change  why the policy lets nobody do it directly; then a change of it is asked for
    """
    st.header("False-alarm budget", anchor=False)
    show_budget(allowed)
    st.caption(
        "Calibrated limits follow from it. A monitor of your own does not: its replay says whether it fits."
    )
    with st.expander("Change it"):
        key = f"budget:{model}:{allowed.digest[:8]}"
        with st.container(horizontal=True, vertical_alignment="bottom"):
            pages = st.number_input(
                "False pages of this model in a quarter", value=allowed.own_per_quarter, key=f"{key}:pages"
            )
            rota = st.text_input("Rota: who is woken", allowed.rota, key=f"{key}:rota", max_chars=100)
            shift = st.number_input(
                "False pages in a 12-hour shift over all models of the rota", value=allowed.rota_per_shift,
                key=f"{key}:shift",
            )  # fmt: skip
        wanted = {"pages_per_quarter": float(pages), "rota": rota, "rota_pages_per_shift": float(shift)}
        if (pages, rota.strip() or "default", shift) == (
            allowed.own_per_quarter,
            allowed.rota,
            allowed.rota_per_shift,
        ):
            st.caption("Write other numbers, and what they change is shown before anything is stored.")
            return
        try:
            found = preview(**wanted)
        except BadInput as error:
            show_error(error)
            return
        show_budget_change(found)
        if by_change:
            st.caption(plain(by_change[:1].upper() + by_change[1:] + "."))
        sent = action_form(
            "change-budget", object_id=model,
            label=f"Ask for a change of the budget of {model}" if by_change else f"Change the budget of {model}",
            digest=json.dumps([allowed.digest, wanted], sort_keys=True),
            fields=[Field("why", "Why", required=True, help="it is kept in the audit log, with both budgets")],
            disabled_because=disabled_because,
        )  # fmt: skip
        if sent is None:
            return
        seen, shown = json.loads(sent.digest)
        if by_change:
            _ask_for(model, environment, {"budget": shown}, str(sent.values["why"]))
            return
        if perform(
            lambda session, me: change_budget(
                session, me, model=model, **shown, seen_digest=seen, why=str(sent.values["why"])
            ),
            done="The budget is changed in the model's spec.",
        ):
            st.rerun()


def _says(definition: Mapping[str, Any]) -> str:
    try:
        return readable(parse_monitor(definition, sizes=(str(definition["size"]),)).words())
    except BadInput as error:
        return error.message
