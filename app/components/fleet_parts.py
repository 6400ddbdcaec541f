"""The list of models: its columns, its filters in the address, and saved views."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import streamlit as st
from markupsafe import Markup

from app import data
from app.charts import sparkline_uri
from app.components.actions import Field, action_form
from app.components.links import ago, href
from app.components.listing import Column
from app.components.tables import Cell, anchor, badge, image, lines, link, small
from app.formats import format_age, format_metric, format_share
from app.plain_text import plain
from app.session import perform
from app.words import count_of, metric_word, statistic_word
from backend.fleet.listing import NONE, SORTS, TIERS, Figure, FleetPage, FleetRow, Wanted
from backend.fleet.views import View, remove_view, save_view
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.monitoring.health import WORST_FIRST
from backend.monitoring.performance import DEFINITIONS

HEALTH: Final = {
    "page": "needs you now", "attention": "needs you", "unknown": "not known", "ok": "holds",
}  # fmt: skip
SORTED: Final = {
    "need": "who needs you", "name": "name", "tier": "tier", "owner": "owner", "team": "team",
    "incidents": "open incidents", "since": "since when",
}  # fmt: skip
SEVERAL: Final = ("owner", "tier", "team", "tag", "health")


def figure_words(one: Figure) -> str:
    """`AUC 0.583 against 0.640`; with its column where it is of one."""
    word = metric_word if one.statistic in DEFINITIONS else statistic_word
    said = word(one.statistic) + (f" of {one.column}" if one.column else "")
    limit = f" against {format_metric(one.threshold, one.unit)}" if one.threshold is not None else ""
    return f"{said} {format_metric(one.value, one.unit)}{limit}"


def _name(one: FleetRow) -> Cell:
    return lines(anchor(one.model, "model", model=one.model), small(one.title))


def _health(one: FleetRow) -> Cell:
    return lines(badge(one.word, one.level), small(one.because))


def _trend(one: FleetRow) -> Cell:
    if not one.history:
        return None
    values, verdicts = [value for value, _ in one.history], [verdict for _, verdict in one.history]
    return image(
        sparkline_uri(values, verdicts), f"{metric_word(one.metric)} of {count_of(len(values), 'window')}"
    )


def _champion(one: FleetRow) -> Cell:
    if one.version is None:
        return "nothing"
    return Markup("v{} {}").format(one.version, small(f"for {format_age(one.serving_since)}"))


def _incidents(one: FleetRow) -> Cell:
    return link(f"{one.incidents:,}", href("timeline", model=one.model)) if one.incidents else "0"


def _tags(one: FleetRow) -> Cell:
    return Markup(" ").join(Markup('<span class="w-tag">{}</span>').format(tag) for tag in one.tags)


def _tier(one: FleetRow) -> Cell:
    return lines(one.tier, small("only observed") if one.enforcement == "observe" else None)


COLUMNS: Final[tuple[Column[FleetRow], ...]] = (
    Column("model", "model", _name, fixed=True),
    Column("health", "health", _health),
    Column("figure", "worst figure", lambda one: figure_words(one.figure) if one.figure else None),
    Column("since", "for", lambda one: ago(one.since) if one.since else ""),
    Column("trend", "28 windows", _trend),
    Column("champion", "champion", _champion),
    Column("owner", "owner", lambda one: one.owner or badge("nobody", "unknown")),
    Column("team", "team", lambda one: one.team or ""),
    Column("tags", "tags", _tags),
    Column("tier", "tier", _tier),
    Column("incidents", "open incidents", _incidents),
    Column("labels", "labels", lambda one: format_share(one.completeness)),
)  # fmt: skip


def asked_for() -> Wanted:
    """What the address asks for; what it names and is not there is left out."""
    query = st.query_params
    several: dict[str, Any] = {name: tuple(query.get_all(name)) for name in SEVERAL}
    several["tier"] = tuple(one for one in several["tier"] if one in TIERS)
    several["health"] = tuple(one for one in several["health"] if one in WORST_FIRST)
    sort = query.get("sort", "need")
    return Wanted(text=query.get("text", ""), sort=sort if sort in SORTS else "need", **several)


def draw_filters(scope: data.Scope, asked: Wanted, environment: str) -> tuple[Wanted, str]:
    """The controls above the list, set to what is asked for; gives what they are set to."""
    there = data.fleet_choices(scope)
    labels = {name: dict(pairs) | {NONE: f"no {name}"} for name, pairs in there.items()}
    top = st.columns([3, 2, 2, 2], vertical_alignment="bottom")
    text = top[0].text_input("Find", asked.text, placeholder="name, title or tag", max_chars=100)
    health = top[1].multiselect(
        "Health", WORST_FIRST, asked.health, format_func=HEALTH.__getitem__, placeholder="any"
    )
    tier = top[2].multiselect("Tier", TIERS, asked.tier, placeholder="every tier")
    sort = top[3].selectbox("Sorted by", SORTS, SORTS.index(asked.sort), format_func=SORTED.__getitem__)
    below = st.columns([3, 2, 2, 2], vertical_alignment="bottom")
    picked = {}
    for place, name in zip(below, ("owner", "team", "tag"), strict=False):
        known = labels[name] if name != "tag" else dict(there["tag"])
        given = [one for one in getattr(asked, name) if one in known]
        picked[name] = tuple(
            place.multiselect(
                plain(name.capitalize()),
                list(known),
                given,
                format_func=known.__getitem__,
                placeholder=f"every {name}",
            )
        )
    places = sorted({environment, data.environment(), *data.fleet_places(scope)})
    where = below[3].selectbox("Environment", places, places.index(environment))
    return Wanted(text=text, health=tuple(health), tier=tuple(tier), sort=sort, **picked), where


def keep_in_address(wanted: Wanted, environment: str) -> bool:
    """Write what is chosen into the address; whether it was something else before, so that the list begins anew."""
    query = st.query_params
    values = {"text": [wanted.text] if wanted.text else [], "sort": [wanted.sort] if wanted.sort != "need" else [],
              "environment": [environment] if environment != data.environment() else []}  # fmt: skip
    values |= {name: list(getattr(wanted, name)) for name in SEVERAL}
    if all(query.get_all(name) == value for name, value in values.items()):
        return False
    kept = {name: query.get_all(name) for name in ("columns",)}
    query.from_dict({name: value for name, value in {**values, **kept}.items() if value})
    return True


def say_how_many(scope: data.Scope, wanted: Wanted, environment: str, page: FleetPage) -> tuple[str, str]:
    """The sentence on top and its level: how many need somebody, and the worst of them with its figure."""
    all_of = sum(page.levels.values())
    among = count_of(all_of, "model") + (" that match" if all_of < page.known else "")
    needing = page.levels.get("page", 0) + page.levels.get("attention", 0)
    unknown = page.levels.get("unknown", 0)
    if not all_of:
        return "No model matches", "unknown"
    if not needing:
        if unknown:
            verb = "is" if unknown == 1 else "are"
            return f"No model is known to need you; {unknown:,} of {among} {verb} not known", "unknown"
        return f"All {among} hold", "ok"
    first = data.fleet(scope, replace(wanted, sort="need", health=(), descending=False), environment, 0, 1)
    worst = first.rows[0]
    figure = figure_words(worst.figure) if worst.figure else worst.because
    since = f", for {format_age(worst.since)}" if worst.since else ""
    verb = "needs" if needing == 1 else "need"
    return f"{needing:,} of {among} {verb} you; worst: {worst.model}, {figure}{since}", worst.level


def pick_view(scope: data.Scope) -> None:
    """A saved view sets filters, columns and order of the address."""
    found = data.views(scope)
    if not found:
        return
    labels = {one.id: one.name if one.is_mine else f"{one.name} ({one.owner})" for one in found}
    chosen = st.selectbox(
        "Saved view", list(labels), None, format_func=labels.__getitem__, placeholder="choose", key="view",
        on_change=_apply_view, args=({one.id: one for one in found},),
    )  # fmt: skip
    del chosen


def _apply_view(found: dict[int, View]) -> None:
    one = found.get(st.session_state.get("view", 0))
    st.session_state["view"] = None
    if one is not None:
        values = {name: list(values) for name, values in one.filters.items()}
        values |= {"columns": list(one.columns), "sort": [one.sort] if one.sort else []}
        st.query_params.from_dict({name: value for name, value in values.items() if value})


def offer_views(
    scope: data.Scope, actor: Actor, wanted: Wanted, columns: tuple[str, ...], environment: str
) -> None:
    """Save the list as it is shown, and remove what one saved."""
    sees_all = actor.models_with(Permission.READ_MODELS) is None
    fields = [Field("name", "Name", required=True, max_chars=60)]
    if sees_all:
        fields.append(Field("shared", "Everybody of the house may use it", "checkbox"))
    sent = action_form("save-view", label="Save this view", object_id="models", digest="new", fields=fields)
    if sent is not None:
        filters = {name: list(getattr(wanted, name)) for name in SEVERAL} | {
            "text": [wanted.text] if wanted.text else [],
            "environment": [environment] if environment != data.environment() else [],
        }
        made = perform(
            lambda session, me: save_view(
                session, me, name=sent.values["name"], filters=filters,
                columns=() if len(columns) == len(COLUMNS) - 1 else columns, sort=wanted.sort,
                shared=bool(sent.values.get("shared")),
            ).id,
            done=f"Saved the view {sent.values['name']}.", sent=sent,
        )  # fmt: skip
        if made is not None:
            st.rerun()
    for one in data.views(scope):
        if one.is_mine and st.button(f"Remove {plain(one.name)}", key=f"remove-view:{one.id}"):
            gone = perform(
                lambda session, me, view=one.id: remove_view(session, me, view) or True,  # type: ignore[misc]
                done=f"Removed the view {one.name}.",
            )
            if gone:
                st.rerun()
