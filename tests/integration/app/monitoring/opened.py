"""What an opened monitoring page says and draws."""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlalchemy import delete
from streamlit.testing.v1 import AppTest

from backend.alerting.tables import Alert
from backend.database.session import writing

PAGES = ("drift", "performance", "quality")
DAYS = 16
Open = Callable[..., AppTest]


def text_of(test: AppTest) -> str:
    html = [one.proto.body for one in test.main if one.type == "html"]
    return "\n".join(
        [*html, *(one.value for one in test.caption), *(one.value for one in [*test.header, *test.subheader])]
    )


def chart(test: AppTest, key: str) -> str:
    """The figure of a chart, as plotly's JSON."""
    named = re.compile(rf"-{re.escape(key)}(:\d+)?$")  # a chart that can be clicked counts its clicks
    return next(one.proto.spec for one in test.get("plotly_chart") if named.search(one.proto.id))


def silence() -> None:
    """Take away every alert, so that only the window itself speaks."""
    with writing() as session:
        session.execute(delete(Alert))
