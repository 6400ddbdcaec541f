"""The parts of a model card's page: state, contradictions, what is missing, the text, versions, editor and review."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from markupsafe import Markup

from app.components.code_block import difference_block
from app.components.links import href
from app.components.status import badge_html, banner, empty_state
from app.components.tables import Cell, badge, lines, small, table
from app.formats import format_utc
from app.words import count_of

STATES = {
    "approved": ("approved", "settled"), "in_review": ("in review", "attention"), "draft": ("draft", "attention"),
    "superseded": ("superseded", "unknown"), "file": ("file, not reviewed", "attention"),
}  # fmt: skip
FORMS = (("Markdown", "markdown"), ("PDF", "pdf"), ("HTML", "html"), ("Hugging Face", "huggingface"),
         ("source for git", "source"))  # fmt: skip
SOURCES = {
    "editor": "written here",
    "file": "from",
    "mlflow": "from MLflow,",
    "huggingface": "from Hugging Face,",
}


def standing(card: Mapping[str, Any]) -> tuple[str, str]:
    """A card in a sentence, and its level: whoever reads only this knows whether to rely on it."""
    against = [one for one in card["contradictions"] if one["level"] == "attention"]
    word, level = STATES[card["state"]]
    percent = f"{card['completeness']['percent']} % complete"
    if against or card["problems"]:
        places = count_of(len(against), "place")
        told = [f"contradicted in {places}"] * bool(against) + ["altered"] * bool(card["problems"])
        return f"{word}, {percent}; {' and '.join(told)}", "attention"
    return f"{word}, {percent}", level


def show_card_state(card: Mapping[str, Any]) -> None:
    word, level = STATES[card["state"]]
    number = f" version {card['number']}" if card["number"] else ""
    st.html(
        f"{badge_html(word, level)} <span>card{number}, {card['completeness']['percent']} % complete</span>"
    )


def show_contradictions(card: Mapping[str, Any]) -> None:
    """What the system knows otherwise, before anything the card says."""
    for text in card["problems"]:
        banner(f"{text}.", "attention", word="altered")
    for error in card["errors"][:5]:
        banner(f"line {error['line']}: {error['reason']}", "attention", word="not valid")
    for one in card["contradictions"]:
        line = f" (line {one['line']})" if one["line"] else ""
        word = "contradicted" if one["level"] == "attention" else "better than it says"
        banner(f"{one['text'][:1].upper()}{one['text'][1:]}{line}.", one["level"], word=word)


def show_lacks(card: Mapping[str, Any], *, most: int = 10) -> None:
    """What the card owes, the costliest first."""
    lacks = card["completeness"]["lacks"]
    if not lacks:
        return
    rows = "".join(
        Markup("<li>{} {}</li>").format(
            one["reason"],
            small((f"line {one['line']}, " if one["line"] else "") + f"{one['points']:g} points"),
        )
        for one in lacks[:most]
    )
    more = len(lacks) - most
    rest = Markup('<p class="w-detail">and {} more</p>').format(more) if more > 0 else ""
    st.html(f'<ul class="w-lacks">{rows}</ul>{rest}')


def show_text(card: Mapping[str, Any]) -> None:
    """The card itself. Its HTML is made of our own elements alone: see `backend.documents.html`."""
    st.html(f'<div class="w-doc">{card["html"]}</div>')


def show_exports(model: str, version: int, number: int | None) -> None:
    links = [
        Markup('<a href="{}">{}</a>').format(
            href(f"export/card/{form}", model=model, version=version, number=number), label
        )
        for label, form in FORMS
    ]
    st.html(f'<div class="w-detail w-take">Take it away as {Markup(", ").join(links)}</div>')


def show_versions(versions: Sequence[Mapping[str, Any]], model: str, version: int) -> None:
    """Every version of the card, who wrote it, where it came from, and what reviewers said."""
    if not versions:
        empty_state(
            "No version is kept yet",
            f"What is shown is the file that came with the version. Edit it above, or run "
            f"`warrant card import {model} {version} FILE`.",
        )
        return
    table(
        ("version", "state", "written", "why", "review"),
        [_row(one, model, version) for one in versions],
        caption="versions of the card",
    )


def _row(one: Mapping[str, Any], model: str, version: int) -> list[Cell]:
    word, level = STATES[one["state"]]
    source = f"{SOURCES[one['source']]} {one['source_name']}".strip()
    said = [
        lines(
            f"{'approved' if each['verdict'] == 'approve' else 'returned'} by {each['reviewer']}",
            small(format_utc(each["at"]) + (f": {each['comment']}" if each["comment"] else "")),
        )
        for each in one["reviews"]
    ]  # fmt: skip
    address = href("card", model=model, version=version, number=one["number"])
    return [
        Markup('<a href="{}" target="_self">{}</a>').format(address, f"version {one['number']}"),
        badge(word, level),
        lines(one["author"], small(f"{format_utc(one['made_at'])}, {source}")),
        one["why"] or "–",
        lines(*said) if said else "–",
    ]


def show_difference(before: str, after: str, *, names: tuple[str, str]) -> None:
    """What differs between two texts, line by line."""
    show_diff(list(difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="", n=2)))


def show_diff(found: Sequence[str]) -> None:
    if not found:
        st.caption("The two texts are the same.")
        return
    difference_block(found)
