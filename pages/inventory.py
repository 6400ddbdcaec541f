"""Every model: whose it is, how risky, what people vouch for, and what is due."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import Field, action_form, empty_state, headline
from app.components.assurance_actions import because, done, pick_day
from app.components.assurance_parts import ENTRIES
from app.components.listing import PAGE, choose_columns, chosen_columns, first_row, listing
from app.session import page_link, viewer
from app.words import count_of
from backend.assurance.facts import register_vendor_model
from backend.assurance.inventory import KINDS, SORTS, TIERS
from backend.identity.roles import Permission

SORTED = {"due": "what is due", "name": "name", "tier": "tier", "findings": "findings", "validated": "last validation",
          "review": "next review"}  # fmt: skip

actor = viewer()
scope = data.scope_of(actor)
query = st.query_params
first = first_row()

top = st.container()
left, middle, right, last = st.columns([3, 2, 2, 2], vertical_alignment="bottom")
text = left.text_input("Find", query.get("text", ""), placeholder="name, purpose or vendor", max_chars=100)
tiers = middle.multiselect("Tier", TIERS, query.get_all("tier"), placeholder="every tier")
kinds = right.multiselect(
    "Kind", list(KINDS), [one for one in query.get_all("kind") if one in KINDS], format_func=KINDS.__getitem__,
    placeholder="every kind",
)  # fmt: skip
sort = last.selectbox(
    "Sorted by", SORTS, SORTS.index(query.get("sort", "due")) if query.get("sort") in SORTS else 0,
    format_func=SORTED.__getitem__,
)  # fmt: skip
squads = sorted({one.name for one in data.teams(scope) if one.models})
team = query.get("team", "") if query.get("team") in squads else ""
if squads:
    team = st.selectbox(
        "Team", ["", *squads], ["", *squads].index(team), format_func=lambda one: one or "every team"
    )
needing = st.toggle("Only with something overdue", query.get("needing") == "1")
wanted = {
    "text": text,
    "tier": tiers,
    "kind": kinds,
    "sort": sort,
    "team": team,
    "needing": "1" if needing else "",
}
if {key: query.get_all(key) for key in wanted} != {
    key: list(value) if isinstance(value, list) else [value] if value else [] for key, value in wanted.items()
}:
    first = 0
    query.from_dict(
        {key: value for key, value in {**wanted, "columns": query.get_all("columns")}.items() if value}
    )
page = data.models_kept(scope, text, tuple(tiers), tuple(kinds), needing, sort, first, PAGE, team)

with top:
    unknown = sum(one.level == "unknown" for one in page.entries)
    if not page.known:
        headline("There is no model yet", "unknown")
    elif page.needing:
        verb = "needs" if page.needing == 1 else "need"
        said = f"{page.needing:,} of {count_of(page.known, 'model')} {verb} somebody"
        headline(
            said,
            "attention",
            detail="something is overdue, a tier is not as proposed, or a model of high tier serves without owner or "
            "validation",
        )
    else:
        headline(
            f"Nothing is {'known to be ' if unknown else ''}overdue of {count_of(page.known, 'model')}",
            "unknown" if unknown else "ok", detail="of some of them something is not known" if unknown else None,
        )  # fmt: skip

if page.entries:
    csv = {"text": text or None, "tier": tiers or None, "kind": kinds or None, "sort": sort, "team": team or None,
           "needing": "1" if needing else None}  # fmt: skip
    listing(
        page.entries, ENTRIES, caption="inventory of models", first=first, total=page.total,
        csv=("all that match", "models", csv), shown=chosen_columns(ENTRIES), row_links=True,
    )  # fmt: skip
    with st.expander("Columns"):
        if choose_columns(ENTRIES) != chosen_columns(ENTRIES):
            st.rerun()
elif page.known:
    empty_state("No model matches", "Take a filter away.")
else:
    empty_state("Nothing to show", "Load the demo workload with `warrant demo load`, import a registry, or enter a "
                "model that a vendor serves below.")  # fmt: skip

if actor.may(Permission.REGISTER_VERSIONS):
    page_link("start", "Bring in a model of your own…", icon=":material/add_circle:")
with st.expander("Enter a model that a vendor serves"):
    people = data.people_to_choose(scope) if actor.may(Permission.HANDLE_FINDINGS) else {}
    review = pick_day("Next review", "vendor-review", days=365)
    sent = action_form(
        "vendor", label="Enter the model", object_id="new", digest="new",
        fields=[Field("name", "Short name, as in addresses", required=True, max_chars=100),
                Field("title", "Title", required=True, max_chars=200),
                Field("vendor", "Vendor", required=True, max_chars=200),
                Field("contact", "Contact at the vendor", required=True, max_chars=400),
                Field("purpose", "What we use it for", "area", required=True),
                Field("data", "What it is given, and whose data that is", "area", required=True),
                Field("owner", "Owner here", "select", required=True, options=list(people))],
        disabled_because=because(Permission.KEEP_INVENTORY, "keep the inventory"),
    )  # fmt: skip
    done(
        sent,
        lambda session, me, form: register_vendor_model(
            session, me, name=form.values["name"].strip(), title=form.values["title"], vendor=form.values["vendor"],
            contact=form.values["contact"], purpose=form.values["purpose"], data=form.values["data"],
            owner_id=people[form.values["owner"]], next_review_at=review,
        ),
        "Entered, as tier high until a change of its tier says otherwise.",
    )  # fmt: skip
