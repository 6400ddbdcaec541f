"""Which models need somebody now, worst first, and what waits for the person who looks."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import banner, empty_state, headline
from app.components.alert_parts import alert_place
from app.components.overview_parts import COLUMNS, model_row
from app.components.tables import table
from app.formats import format_age
from app.session import page_link, viewer
from app.words import count_of, in_sentence, target_words

scope = data.scope_of(viewer())
models = data.overview(scope)


def first_sentence() -> None:
    needing = [one for one in models if one.level in ("page", "attention")]
    unknown = [one for one in models if one.level == "unknown"]
    computed = max((one.computed_at for one in models if one.computed_at), default=None)
    detail = f"environment {data.environment()}"
    if computed:
        detail += f", latest figures computed {format_age(computed)} ago"
    if needing:
        worst = needing[0]
        since = f", for {format_age(worst.since)}" if worst.since else ""
        verb = "needs" if len(needing) == 1 else "need"
        count = f"{len(needing)} of {count_of(len(models), 'model')} {verb} you"
        headline(
            f"{count}; worst: {worst.model}, {in_sentence(worst.because)}{since}", worst.level, detail=detail
        )
    elif unknown:
        verb = "is" if len(unknown) == 1 else "are"
        headline(
            f"No model is known to need you; {len(unknown)} of {count_of(len(models), 'model')} {verb} not known",
            "unknown", detail=detail,
        )  # fmt: skip
    else:
        headline(f"All {count_of(len(models), 'model')} hold", "ok", detail=detail)


def needs_you() -> None:
    """Links to each thing that waits: decisions of mine, incidents, alerts that belong to no incident."""
    inbox, incidents, alerts = data.inbox(scope), data.open_incidents(scope), data.firing(scope)
    loose = [one for one in alerts if one["incident_id"] is None and one["level"] in ("page", "ticket")
             and not one["muted"]]  # fmt: skip
    muted = sum(bool(one["muted"]) for one in alerts)
    if muted:
        label = f"{count_of(muted, 'alert')} muted: by whom, why and until when"
        page_link("silences", label, icon=":material/notifications_paused:")
    if not (inbox or incidents or loose):
        return
    sizes = {one.model: one.window for one in models}
    with st.container(key="needs-you"):
        for one in incidents[:5]:
            mine = count_of(sum(alert["incident_id"] == one["id"] for alert in alerts), "alert")
            seen = "acknowledged" if one["acknowledged_at"] else "nobody is on it"
            text = (
                f"**INC-{one['id']}** SEV-{one['severity']} {one['model'] or 'installation'}: {one['title']}"
            )
            label = f"{text} · {format_age(one['opened_at'])} · {mine} · {seen}"
            page_link("incident", label, icon=":material/emergency:", id=one["id"])
        for one in data.listed(scope, tuple(inbox[:5])):
            about = target_words(one["kind"], one["to_version"])
            text = f"**{one['ref']}** {one['model'] or 'the whole house'}: {about} waits for you"
            label = f"{text} · asked by {one['requested_by']} · expires in {format_age(one['expires_at'])}"
            page_link("change", label, icon=":material/approval:", id=one["id"])
        for one in loose[:5]:
            page, query = alert_place(one, sizes.get(one["model"], "1d"))
            label = f"**{one['level']}** {one['model'] or 'installation'}: {one['title']}"
            label += f" · for {format_age(one['fired_at'])}"
            page_link(page, label, icon=":material/notifications:", **query)
        rest = max(len(inbox) - 5, 0) + max(len(incidents) - 5, 0) + max(len(loose) - 5, 0)
        if rest:
            st.caption(f"and {rest} more, on their models and in Approvals")


if not models:
    headline("No model is registered yet", "unknown")
    empty_state(
        "Nothing to watch",
        "Run `warrant demo load` for the demo. A model of your own is registered with `warrant model register`, its "
        "versions with `warrant model register-version`.",
    )
    st.stop()
first_sentence()
noticed = data.noticed_models(scope)
if noticed:
    page = "the model's page says" if len(noticed) == 1 else "each model's page says"
    banner(f"{', '.join(noticed)}: times are shifted; {page} how", "injected", word="about these data")
needs_you()
loud = [one for one in models if one.level != "ok"]
quiet = [one for one in models if one.level == "ok"]
if loud:
    table(COLUMNS, [model_row(one) for one in loud], caption="models that need attention or are not known")
if quiet and loud:
    with st.expander(f"{count_of(len(quiet), 'model')} quiet: judged in their last window and within limits"):
        table(COLUMNS, [model_row(one) for one in quiet], caption="models that hold")
elif quiet:
    table(COLUMNS, [model_row(one) for one in quiet], caption="models that hold")
