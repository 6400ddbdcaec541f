"""A figure whose JSON text is written once, however often and for however many people it is sent.

Streamlit writes a figure's JSON at every run of a page: copied, encoded, parsed and encoded again, which for a heat map
takes longer than all reads of its page.
"""

from __future__ import annotations

from typing import Any, Final

import plotly.graph_objects as go
import plotly.io
from plotly.basedatatypes import BaseFigure

_write: Final = plotly.io.to_json


class Written(dict[str, Any]):
    """Of a figure what Streamlit looks at, and its JSON text."""

    def __init__(self, figure: go.Figure) -> None:
        size = {name: figure.layout[name] for name in ("width", "height") if figure.layout[name] is not None}
        super().__init__(data=[], layout=size)
        self.traces = len(figure.data)
        self.text: str = _write(figure, validate=False)


class SerialisedFigure(BaseFigure):  # type: ignore[misc]
    """Takes the place of a figure in `st.plotly_chart`. It is shared between people and cannot be changed."""

    def __init__(self, figure: go.Figure) -> None:  # what it is made of is not validated again
        object.__setattr__(self, "_written", Written(figure))

    @property
    def has_traces(self) -> bool:
        return self._written.traces > 0

    @property
    def data(self) -> tuple[Any, ...]:
        """Its traces, read from the text again: somebody asks for its numbers once in a while."""
        return tuple(plotly.io.from_json(self._written.text).data)

    def to_dict(self) -> Written:
        written: Written = self._written
        return written

    def __repr__(self) -> str:
        return f"SerialisedFigure({len(self._written.text)} bytes)"


def to_json(fig: Any, *args: Any, **options: Any) -> str:
    """`plotly.io.to_json`, which takes the text of what is written already."""
    return fig.text if isinstance(fig, Written) else str(_write(fig, *args, **options))


plotly.io.to_json = to_json
