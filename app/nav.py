"""The pages. A page is one row here and one file in `pages/`; navigation is not authorisation."""

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
    icon: str
    needs: Permission = Permission.READ_MODELS
    in_menu: bool = True
    default: bool = False

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.path}.py"


PAGES = (
    PageRow("overview", "Overview", ":material/dashboard:", default=True),
    PageRow("model", "Model", ":material/deployed_code:"),
    PageRow("drift", "Drift", ":material/grid_on:"),
    PageRow("performance", "Performance", ":material/monitoring:"),
    PageRow("approvals", "Approvals", ":material/approval:"),
    PageRow("audit", "Audit", ":material/history_edu:", Permission.READ_AUDIT),
    PageRow("jobs", "Jobs", ":material/manufacturing:", Permission.READ_JOBS),
    PageRow("request_change", "Request a change", ":material/edit:", in_menu=False),
    PageRow("change", "Change", ":material/approval:", in_menu=False),
    PageRow("incident", "Incident", ":material/emergency:", in_menu=False),
    PageRow("audit_entry", "Audit entry", ":material/history_edu:", Permission.READ_AUDIT, in_menu=False),
    PageRow("account", "Account", ":material/person:", Permission.MANAGE_OWN_TOKENS, in_menu=False),
)


def page_file(path: str) -> Path:
    """The file of a page, for `st.page_link` and `st.switch_page`."""
    return next(row.file for row in PAGES if row.path == path)
