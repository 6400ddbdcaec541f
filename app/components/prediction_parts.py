"""The parts of a prediction's page: why it was declined, what moved it, and having that computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import data
from app.charts.attributions import waterfall
from app.components.actions import action_form
from app.components.assurance_actions import because, done
from app.components.charts import draw
from app.components.downloads import csv_link
from app.components.progress import job_progress
from app.components.status import banner, empty_state
from app.components.tables import lines, small, table
from app.data import explanations
from app.formats import format_share, format_signed
from app.plain_text import plain
from app.session import live, viewer
from backend.data_rights.explanation import Explained, request_explanation
from backend.data_rights.explanation_document import reasons_told
from backend.data_rights.handing_out import shown
from backend.identity.roles import Permission

BECAUSE = {
    "sample": "drawn into the sample of its window",
    "slice": "in a slice where the model is worst",
    "alert": "in a window that an alert is about",
    "asked": "asked for",
    "complaint": "because of a complaint",
}
PICTURES = ("png", "svg")


def show_reasons(found: Explained) -> None:
    """The top adverse reasons of a declined case, in the words that the model's description declares."""
    told = reasons_told(found)
    if not told:
        return
    st.header("Why it was declined", anchor=False)
    st.caption(plain(told))
    if found.reasons:
        table(
            ["", "Reason", "Part of what counted against it"],
            [
                [
                    str(place),
                    lines(one["sentence"], small(", ".join(one["columns"]))),
                    format_share(one["share"]),
                ]
                for place, one in enumerate(found.reasons, start=1)
            ],
            cards=False,
        )


def show_moved(found: Explained) -> None:
    """The contributions as a waterfall and as rows; or how to have them computed."""
    st.header("What moved it", anchor=False)
    explained = found.explanation
    if explained is None:
        usual = f" In general this version looks most at {', '.join(found.usual)}." if found.usual else ""
        empty_state("Not computed for this prediction", f"Have it computed, on the right.{usual}")
        return
    if not explained["adds_up"]:
        banner(
            "The values do not add up to what the model answered. Do not give them to anybody as the reason.",
            "attention",
        )
    elif not found.is_of_answer:
        banner(
            "This explains another answer than the recorded one. Do not give it to anybody as the reason.",
            "attention",
        )
    draw(
        waterfall(
            explained["base_value"], explained["output"], found.contributions, unit=explained["explainer"]["unit"]
        ),
        f"what moved the prediction, of {found.model} version {found.version}", key="waterfall", picture=pick_picture(),
    )  # fmt: skip
    st.caption(plain(f"{found.method} Explained {BECAUSE[explained['because']]}."))
    opinion = explained["second_opinion"]
    _show_opinion(opinion)
    weights = {one["column"]: one for one in (opinion or {}).get("weights", ())}
    with st.expander("As rows"):
        table(
            ["Input", "Value", "Moved the score by", *(["LIME", "where"] if weights else [])],
            [[one["column"], shown(one["value"]), format_signed(one["contribution"]), *_weighed(weights, one["column"])]
             for one in found.contributions],
            cards=False,
        )  # fmt: skip
    csv_link("These contributions", "contributions", model=found.model, prediction=found.prediction_id)


def _show_opinion(opinion: Mapping[str, Any] | None) -> None:
    """What LIME says of the same prediction, in words; its weights are among the rows."""
    if opinion is None:
        st.caption("No second opinion yet: *Compute what moved it*, on the right, asks LIME, too.")
        return
    st.caption(plain(f"Second opinion (LIME): {opinion['words']}"))


def _weighed(weights: Mapping[str, Any], column: str) -> list[str]:
    if not weights:
        return []
    one = weights.get(column)
    return [format_signed(one["weight"]), one["condition"]] if one is not None else ["not weighed", ""]


def pick_picture() -> str:
    """As what a chart's own button saves it."""
    chosen = st.segmented_control(
        "Pictures are saved as", PICTURES, default=PICTURES[0], key="picture", format_func=str.upper
    )
    return str(chosen or PICTURES[0])


def offer_explanation(found: Explained) -> None:
    """Have it computed, with how far that is."""
    sent = action_form(
        "explain", label="Compute what moved it", object_id=found.prediction_id, digest=found.method,
        fields=[], disabled_because=because(Permission.EXPLAIN_PREDICTION, "explain predictions"),
    )  # fmt: skip
    complaint = st.checkbox("For a complaint", key="complaint", help="The stored explanation says so.")
    done(
        sent,
        lambda session, me, form: request_explanation(
            session, me, model=found.model, prediction_id=form.object_id, complaint=complaint
        ),
        "Asked; it takes a minute.",
    )
    if explanations.explaining(data.scope_of(viewer()), found.model, found.prediction_id) is not None:
        _show_progress(found.model, found.prediction_id)


@live(run_every=2)
def _show_progress(model: str, prediction_id: str) -> None:
    run = explanations.explaining(data.scope_of(viewer()), model, prediction_id)
    if run is None:  # stored since: the whole page is drawn with it
        data.look_again(viewer())
        st.rerun()
    job_progress(
        "What moved it", run["state"], share=run["progress"], step=run["step"], since=run["requested_at"],
        reason=run["error"] or None,
    )  # fmt: skip
