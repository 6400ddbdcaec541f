"""What is looked at, and when a page has its content: each selector is what somebody opens the page for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ANSWER: Final = ":is(.w-headline, .w-title) h1"
TABLE: Final = "table tbody tr"
CHART: Final = ".js-plotly-plot .main-svg"
LINE: Final = ".MuiChartsSurface-root .MuiLineElement-root"
LISTED: Final = '[role="row"] a[href*="models/"]'


@dataclass(frozen=True)
class Look:
    """`path` with the names of `Fleet` in braces. All of `content` is visible when the page has its content."""

    name: str
    path: str
    content: tuple[str, ...] = (ANSWER,)

    def address(self, **facts: object) -> str:
        return self.path.format(**facts)


HOME: Final = Look("home", "/", (ANSWER, TABLE))
INBOX: Final = Look("inbox", "/approvals", (ANSWER, TABLE))
CHANGE: Final = Look("change", "/change?id={change}")
DRIFT: Final = Look("drift", "/drift?model={model}", (ANSWER, CHART))
LOOKS: Final = (
    HOME,
    INBOX,
    CHANGE,
    DRIFT,
    Look("model", "/model?model={model}", (ANSWER, TABLE, CHART)),
    Look("performance", "/performance?model={model}", (ANSWER, CHART)),
    Look("quality", "/quality?model={model}", (ANSWER, CHART)),
    Look("incident", "/incident?id={incident}", (ANSWER, TABLE)),
    Look("slos", "/slos?model={model}", (ANSWER, TABLE)),
    Look("monitors", "/monitors?model={model}"),
    Look("inventory", "/inventory", (ANSWER, TABLE)),
    Look("registry", "/registry", (ANSWER,)),
    Look("timeline", "/timeline?model={model}", (ANSWER, CHART)),
    Look("card", "/card?model={model}"),
    Look("jobs", "/jobs"),
    Look("account", "/account"),
)
LIGHT: Final = (HOME, INBOX, CHANGE)
"""Read before anything else, also on a slow line: they draw without plotly."""

BARE: Final = Look("bare Streamlit", "/", (CHART,))
EVIDENTLY: Final = Look("Evidently", "/projects/{project}", (LINE,))
MLFLOW: Final = Look("MLflow", "/#/models", (LISTED,))


_WORDS: Final = {
    ANSWER: "the sentence on top", TABLE: "a row of its table", CHART: "a drawn chart", LINE: "the line of its chart",
    LISTED: "a model in its list",
}  # fmt: skip


def content_table() -> str:
    """What each page has to show before it counts, as Markdown; it stands in docs/benchmarks.md."""
    rows = []
    for look in (*LOOKS, BARE, EVIDENTLY, MLFLOW):
        words = " and ".join(_WORDS[one] for one in look.content)
        selectors = ", ".join(f"`{one}`" for one in look.content)
        rows.append(f"| {look.name} | `{look.path}` | {words} | {selectors} |")
    return "\n".join(["| page | address | content | selectors |", "|---|---|---|---|", *rows, ""])
