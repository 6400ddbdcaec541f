"""The pages. A page is one row here and one file in `pages/`; navigation is not authorisation.

Pages have no icons: Streamlit fetches a page's icon from a font server to show it in the browser's tab.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backend.identity.roles import Permission

FOLDER = Path(__file__).resolve().parents[1] / "pages"


@dataclass(frozen=True)
class PageRow:
    """`path` is the address and the file's name; a page without `in_menu` is reached by links alone."""

    path: str
    title: str
    needs: Permission = Permission.READ_MODELS
    in_menu: bool = True
    default: bool = False

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.path}.py"


PAGES = (
    PageRow("overview", "Overview", default=True),
    PageRow("model", "Model"),
    PageRow("drift", "Drift"),
    PageRow("performance", "Performance"),
    PageRow("quality", "Data quality"),
    PageRow("slices", "Slices"),
    PageRow("monitors", "Monitors"),
    PageRow("approvals", "Approvals"),
    PageRow("audit", "Audit", Permission.READ_AUDIT),
    PageRow("jobs", "Jobs", Permission.READ_JOBS),
    PageRow("people", "People", Permission.MANAGE_PEOPLE),
    PageRow("request_change", "Request a change", in_menu=False),
    PageRow("change", "Change", in_menu=False),
    PageRow("incident", "Incident", in_menu=False),
    PageRow("audit_entry", "Audit entry", Permission.READ_AUDIT, in_menu=False),
    PageRow("account", "Account", Permission.MANAGE_OWN_TOKENS, in_menu=False),
)


def page_file(path: str) -> Path:
    """The file of a page, for `st.page_link` and `st.switch_page`."""
    return next(row.file for row in PAGES if row.path == path)
