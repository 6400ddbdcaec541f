"""The first page: its sentence, the blocks of the viewer's roles, and the models that need somebody most."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from markupsafe import Markup

from app import data
from app.components.home_blocks import Block
from app.components.links import href
from app.components.overview_parts import COLUMNS, how_old, model_row
from app.components.status import badge_html, headline
from app.components.tables import anchor, link, table
from app.formats import format_age
from app.session import page_link
from app.words import count_of, in_sentence
from backend.monitoring.health import ModelHealth

WORST = 10
WORDS = {"page": "act now", "attention": "today", "unknown": "not known"}
PAGE = 50


def first_sentence(models: Sequence[ModelHealth]) -> None:
    needing = [one for one in models if one.level in ("page", "attention")]
    unknown = [one for one in models if one.level == "unknown"]
    detail = f"environment {data.environment()}{how_old(models)}"
    if needing:
        worst = needing[0]
        since = f", for {format_age(worst.since)}" if worst.since else ""
        verb = "needs" if len(needing) == 1 else "need"
        count = f"{len(needing):,} of {count_of(len(models), 'model')} {verb} you"
        headline(
            f"{count}; worst: {worst.model}, {in_sentence(worst.because)}{since}", worst.level, detail=detail
        )
    elif unknown:
        verb = "is" if len(unknown) == 1 else "are"
        count = f"{len(unknown):,} of {count_of(len(models), 'model')} {verb} not known"
        headline(f"No model is known to need you; {count}", "unknown", detail=detail)
    else:
        headline(f"All {count_of(len(models), 'model')} hold", "ok", detail=detail)


def show_blocks(blocks: Sequence[Block]) -> None:
    """Those with something in them side by side; of the others a line that says so."""
    with st.container(horizontal=True, key="home-blocks", gap="small"):
        for block in (one for one in blocks if one.lines):
            with st.container(key=f"home-{block.key}", gap=None):
                badge = badge_html(WORDS[block.level], block.level) if block.level in WORDS else ""
                st.html(f"<h2>{block.title}</h2>{badge}")
                for line in block.lines:
                    page_link(line.page, line.text, icon=f":material/{line.icon}:", **line.query)
    quiet = [one for one in blocks if not one.lines]
    if quiet:
        said = Markup(" ").join(
            Markup("<li><strong>{}</strong> {}</li>").format(one.title, one.empty) for one in quiet
        )
        st.html(f'<ul class="w-quiet w-detail">{said}</ul>')


def show_worst(models: Sequence[ModelHealth]) -> None:
    """The `WORST` that need somebody most, the others behind a link."""
    shown = models[:WORST]
    loud, quiet = [one for one in shown if one.level != "ok"], [one for one in shown if one.level == "ok"]
    if loud:
        table(
            COLUMNS, [model_row(one) for one in loud], caption="models that need attention or are not known"
        )
    if quiet and loud:
        with st.expander(
            f"{count_of(len(quiet), 'model')} quiet: judged in their last window and within limits"
        ):
            table(COLUMNS, [model_row(one) for one in quiet], caption="models that hold")
    elif quiet:
        table(COLUMNS, [model_row(one) for one in quiet], caption="models that hold")
    if len(models) > WORST:
        holding = sum(one.level == "ok" for one in models)
        every = link(
            f"All {count_of(len(models), 'model')}, those that need somebody first",
            href("", show="models"),
        )
        st.html(f'<p class="w-detail w-take">{every} · {holding:,} hold</p>')


def show_every(models: Sequence[ModelHealth], first: int) -> None:
    """Every model, `PAGE` at a time, those that need somebody first."""
    shown = models[first : first + PAGE]
    table(COLUMNS, [model_row(one) for one in shown], caption="every model, those that need somebody first")
    places = [("those before", max(first - PAGE, 0))] if first else []
    places += [("those after", first + PAGE)] if first + PAGE < len(models) else []
    ways = [anchor(word, "", show="models", **{"from": place}) for word, place in places]
    said = f"{first + 1:,} to {first + len(shown):,} of {len(models):,}" if shown else "none here"
    back = link("What needs you", href(""))
    st.html(Markup('<p class="w-detail w-take">{} · {}</p>').format(said, Markup(" · ").join([*ways, back])))
