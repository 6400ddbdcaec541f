"""What the page around the pages asks for before their script has run."""

from __future__ import annotations

import re

from app.frame import CHARTED, PATHS, SOON, preloads
from app.packed import FOLDER
from benchmarks.ui.pages import LIGHT


def named(path: str) -> list[str]:
    return re.findall(
        r'<link rel="modulepreload" crossorigin href="\./static/js/([^"]+)"', preloads(path).decode()
    )


def test_every_page_asks_soon_for_the_scripts_that_it_needs() -> None:
    for path in PATHS:
        names = named(path)
        assert [one.rsplit(".", 2)[0] for one in names[: len(SOON)]] == list(SOON), "this Streamlit has them"
        assert all((FOLDER / "static" / "js" / one).is_file() for one in names)


def test_plotly_is_sent_ahead_to_pages_with_charts_alone() -> None:
    assert CHARTED <= PATHS
    sent = {path for path in PATHS if any(one.startswith("PlotlyChart.") for one in named(path))}
    assert sent == CHARTED
    assert not sent & {look.path.split("?")[0] for look in LIGHT}
