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
    """`path` is the address and the file's name. A page without `in_menu` is reached by links alone; `parent` is the
    entry of the menu that it belongs to."""

    path: str
    title: str
    needs: Permission = Permission.READ_MODELS
    in_menu: bool = True
    default: bool = False
    parent: str = ""

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.path}.py"


PAGES = (
    PageRow("overview", "Overview", default=True),
    PageRow("models", "Models"),
    PageRow("incidents", "Incidents"),
    PageRow("model", "Model"),
    PageRow("drift", "Drift"),
    PageRow("performance", "Performance"),
    PageRow("quality", "Data quality"),
    PageRow("slices", "Slices"),
    PageRow("fairness", "Fairness"),
    PageRow("explanations", "Explanations"),
    PageRow("monitors", "Monitors"),
    PageRow("slos", "SLOs"),
    PageRow("approvals", "Approvals"),
    PageRow("timeline", "Timeline"),
    PageRow("inventory", "Inventory"),
    PageRow("registry", "Registry"),
    PageRow("card", "Model card"),
    PageRow("controls", "Controls", Permission.READ_AUDIT),
    PageRow("policy", "Policy"),
    PageRow("audit", "Audit", Permission.READ_AUDIT),
    PageRow("packs", "Evidence packs", Permission.MAKE_PACKS),
    PageRow("data_rights", "Data rights", Permission.READ_DATA_REQUESTS),
    PageRow("notifications", "Notifications", Permission.READ_JOBS),
    PageRow("jobs", "Jobs", Permission.READ_JOBS),
    PageRow("costs", "Costs"),
    PageRow("people", "People", Permission.MANAGE_PEOPLE),
    PageRow("teams", "Teams", Permission.MANAGE_PEOPLE),
    PageRow("access", "Access", Permission.REVIEW_ACCESS),
    PageRow("start", "Bring in a model", Permission.REGISTER_VERSIONS, in_menu=False, parent="inventory"),
    PageRow("request_change", "Request a change", in_menu=False, parent="approvals"),
    PageRow("change", "Change", in_menu=False, parent="approvals"),
    PageRow("retraining", "Retraining", in_menu=False, parent="model"),
    PageRow("retraining_run", "A retraining", in_menu=False, parent="model"),
    PageRow("incident", "Incident", in_menu=False, parent="incidents"),
    PageRow("silences", "Silences", in_menu=False, parent="incidents"),
    PageRow("search", "Search", in_menu=False),
    PageRow("inventory_model", "Model in the inventory", in_menu=False, parent="inventory"),
    PageRow("prediction", "Prediction", Permission.EXPLAIN_PREDICTION, in_menu=False),
    PageRow("audit_entry", "Audit entry", Permission.READ_AUDIT, in_menu=False, parent="audit"),
    PageRow("account", "Account", Permission.MANAGE_OWN_TOKENS, in_menu=False),
)


def page_file(path: str) -> Path:
    """The file of a page, for `st.page_link` and `st.switch_page`."""
    return next(row.file for row in PAGES if row.path == path)
