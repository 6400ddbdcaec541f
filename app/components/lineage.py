"""How versions came to serve: a picture where there is room, and the same as a list, which narrow screens show."""

from __future__ import annotations

import streamlit as st
from markupsafe import Markup

from app.charts.lineage import WORDS
from app.components.charts import draw
from app.components.links import href
from app.components.tables import link
from app.data.figures import lineage_figure
from app.words import count_of
from backend.assurance.lineage import STAGES, Lineage, Node


def show_lineage(found: Lineage, model: str) -> None:
    """The newest versions; what nobody recorded is there, with broken lines and in words."""
    with st.container(key="wide-only-lineage"):
        draw(
            lineage_figure(found), f"From data to deployment, {model}; the list says the same",
            key=f"lineage:{model}",
        )  # fmt: skip
    st.html(f'<div class="w-narrow-only">{lineage_list(found, model)}</div>')
    shown = len(found.of("version"))
    if found.versions > shown:
        st.caption(f"the newest {shown:,} of {count_of(found.versions, 'version')}")
    with st.expander("As a list, with links"):
        st.html(str(lineage_list(found, model)))


def lineage_list(found: Lineage, model: str) -> Markup:
    """Each version with what it came from and what became of it, in the order of the stages."""
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for left, right in found.edges:
        before.setdefault(right, []).append(left)
        after.setdefault(left, []).append(right)
    by_id = {node.id: node for node in found.nodes}

    def reach(start: str, ways: dict[str, list[str]]) -> list[Node]:
        seen: list[str] = []
        waiting = list(ways.get(start, []))
        while waiting:
            one = waiting.pop(0)
            if one not in seen:
                seen.append(one)
                waiting += ways.get(one, [])
        return [by_id[one] for one in seen]

    items = []
    for version in found.of("version"):
        chain = [*reach(version.id, before), *reach(version.id, after)]
        rows = Markup("").join(
            _row(node, model) for node in sorted(chain, key=lambda one: STAGES.index(one.stage))
        )
        items.append(Markup("<li><strong>{}</strong><ul>{}</ul></li>").format(version.label, rows))
    return Markup('<ul class="w-lineage">{}</ul>').format(Markup("").join(items))


def _row(node: Node, model: str) -> Markup:
    address = href("change", id=node.change_id) if node.change_id is not None else None
    if node.stage == "deployment":
        address = href("timeline", model=model)
    label = link(node.label, address) if address else node.label
    if node.link:
        label = link(node.label, node.link)
    detail = (
        Markup(' <span class="w-detail">{}</span>').format(node.digest or node.detail) if node.detail else ""
    )
    return Markup("<li>{}: {}{}</li>").format(WORDS[node.stage], label, detail)
