"""Which models need somebody now, worst first, and what waits for the person who looks."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import banner, empty_state, headline
from app.components.alert_parts import alert_place
from app.components.links import href
from app.components.overview_parts import COLUMNS, how_old, model_row
from app.components.tables import table
from app.formats import format_age
from app.session import go, page_link, viewer
from app.words import count_of, in_sentence, target_words
from backend.identity.roles import Permission

SHOWN = 5  # of each kind of what waits
NAMED = 3  # of the models whose data come with a notice
scope = data.scope_of(viewer())
models = data.overview(scope)


def first_sentence() -> None:
    needing = [one for one in models if one.level in ("page", "attention")]
    unknown = [one for one in models if one.level == "unknown"]
    detail = f"environment {data.environment()}{how_old(models)}"
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
    inbox, (incidents, opened) = data.inbox(scope), data.open_incidents(scope, limit=SHOWN)
    alerts, loose = data.firing(scope), data.firing(scope, loose=True)
    muted, unheard = sum(bool(one["muted"]) for one in alerts), [one for one in loose if not one["muted"]]
    if muted:
        more = " or more" if len(alerts) == data.MOST else ""
        label = f"{count_of(muted, 'alert')}{more} muted: by whom, why and until when"
        page_link("silences", label, icon=":material/notifications_paused:")
    if not (inbox or incidents or unheard):
        return
    sizes = {one.model: one.window for one in models}
    with st.container(key="needs-you"):
        for one in incidents:
            mine = count_of(one["firing"], "alert")
            seen = "acknowledged" if one["acknowledged_at"] else "nobody is on it"
            text = (
                f"**INC-{one['id']}** SEV-{one['severity']} {one['model'] or 'installation'}: {one['title']}"
            )
            label = f"{text} · {format_age(one['opened_at'])} · {mine} · {seen}"
            page_link("incident", label, icon=":material/emergency:", id=one["id"])
        if opened > SHOWN:
            page_link("incident", f"and {count_of(opened - SHOWN, 'more open incident')}")
        for one in data.listed(scope, tuple(inbox[:SHOWN])):
            about = target_words(one["kind"], one["to_version"])
            text = f"**{one['ref']}** {one['model'] or 'the whole house'}: {about} waits for you"
            label = f"{text} · asked by {one['requested_by']} · expires in {format_age(one['expires_at'])}"
            page_link("change", label, icon=":material/approval:", id=one["id"])
        if len(inbox) > SHOWN:
            page_link("approvals", f"and {count_of(len(inbox) - SHOWN, 'more decision')}")
        for one in unheard[:SHOWN]:
            page, query = alert_place(one, sizes.get(one["model"], "1d"))
            label = f"**{one['level']}** {one['model'] or 'installation'}: {one['title']}"
            label += f" · for {format_age(one['fired_at'])}"
            page_link(page, label, icon=":material/notifications:", **query)
        if len(unheard) > SHOWN:
            least = "at least " if len(loose) == data.MOST else ""
            label = f"and {least}{count_of(len(unheard) - SHOWN, 'more alert')} of no incident"
            page_link("incident", label, show="alerts")


if not models:
    if viewer().may(Permission.REGISTER_VERSIONS):
        go("start")
    headline("No model is registered yet", "unknown")
    empty_state(
        "Nothing to watch",
        "Run `warrant demo load` for the demo. A model of your own is brought in by an ML engineer or ML lead: from a "
        "file of its predictions, on a page that opens when they sign in.",
    )
    st.stop()
first_sentence()
noticed = data.noticed_models(scope)
if noticed:
    page = "the model's page says" if len(noticed) == 1 else "each model's page says"
    rest = len(noticed) - NAMED
    names = ", ".join(noticed[:NAMED]) + (f" and {count_of(rest, 'more model')}" if rest > 0 else "")
    every = ("All models", href("inventory")) if rest > 0 else None
    banner(f"{names}: times are shifted; {page} how", "injected", word="about these data", link=every)
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
