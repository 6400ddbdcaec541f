"""Keeping what the engine stored until it stores anew, and figures until their data change."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar

import streamlit as st

from app.charts.serialised import SerialisedFigure
from app.data.scope import KEPT, SHORT, Scope
from backend.database.session import reading
from backend.monitoring.reading import last_stored

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

FIGURES: Final = 24
"""So many figures of each kind are kept. One may have a megabyte, and nothing else bounds what they take together."""

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def _stamp(scope: Scope, model: str) -> tuple[int, int]:
    with reading() as session:
        return last_stored(session, scope.actor(), model)


def until_stored(
    read: Callable[Concatenate[Scope, str, Asked], Answer],
) -> Callable[Concatenate[Scope, str, Asked], Answer]:
    """Keep what `read(scope, model, ...)` gives until something is stored about that model: looking at the stamp costs
    one short query, reading thousands of points does not. Everybody who may see the same shares what is kept."""

    def held(
        stamp: tuple[int, int], scope: Scope, model: str, *args: Asked.args, **kwargs: Asked.kwargs
    ) -> Answer:
        return read(scope, model, *args, **kwargs)  # fmt: skip

    held.__qualname__ = f"until_stored.{read.__qualname__}"  # streamlit tells functions apart by it
    kept = st.cache_data(held, ttl=KEPT, show_spinner=False, max_entries=200)

    def answer(scope: Scope, model: str, *args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
        alike = scope.alike()
        return kept(_stamp(alike, model), alike, model, *args, **kwargs)

    answer.__doc__ = read.__doc__
    return answer


def until_changed(draw: Callable[Asked, Figure]) -> Callable[Asked, Figure]:
    """Keep a figure, as the text that browsers get, for as long as its arguments are the same.

    It is shared between people and never changed. Its arguments hold all that is drawn, and are read for a `Scope`:
    whoever may see other data asks with other arguments and gets another figure.
    """

    def held(*args: Asked.args, **kwargs: Asked.kwargs) -> Figure:
        return SerialisedFigure(draw(*args, **kwargs))

    held.__qualname__ = f"until_changed.{draw.__qualname__}"
    return st.cache_resource(held, ttl=10 * KEPT, show_spinner=False, max_entries=FIGURES)
