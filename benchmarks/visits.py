"""What people look at and clients ask for, by role: names of pages and of routes, each as often as it is listed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from benchmarks.installation import Installation

PEOPLE: Final = {"viewer": 18, "on_call": 8, "ml_engineer": 12, "ml_lead": 5, "compliance": 5, "admin": 2}
CLIENTS: Final = {"viewer": 8, "ml_engineer": 12}

PAGES: Final[dict[str, tuple[str, ...]]] = {
    "viewer": (
        *("overview",) * 4, *("model",) * 4, *("drift",) * 2, *("performance",) * 2,
        "slos", "timeline", "inventory", "registry", "card", "costs",
    ),
    "on_call": (
        *("overview",) * 4, *("incident",) * 4, *("model",) * 3, *("drift",) * 2, *("performance",) * 2,
        *("change",) * 2, "quality", "monitors", "jobs", "request_change",
    ),
    "ml_engineer": (
        *("model",) * 4, *("drift",) * 3, *("performance",) * 3, *("quality",) * 2, *("slices",) * 2,
        "explanations", "monitors", "registry", "jobs", "fairness",
    ),
    "ml_lead": (
        *("approvals",) * 4, *("change",) * 3, *("overview",) * 3, *("model",) * 3, "performance", "drift", "slos",
        "costs", "request_change",
    ),
    "compliance": (
        *("audit",) * 4, *("audit_entry",) * 3, *("controls",) * 2, *("card",) * 2, "policy", "inventory", "packs",
        "approvals", "fairness",
    ),
    "admin": ("people", "people", "access", "teams", "jobs", "notifications", "overview"),
}  # fmt: skip
"""Each name is a page of `app.nav`."""

READS: Final[dict[str, tuple[str, ...]]] = {
    "viewer": (
        *("/models",) * 2, *("/models/{model}",) * 2, *("/models/{model}/points?limit=100",) * 3,
        "/served?model={model}", *("/incidents",) * 2, "/alerts", "/changes", "/objectives",
    ),
    "ml_engineer": (
        *("/models/{model}",) * 2, *("/models/{model}/points?limit=100",) * 3, "/models/{model}/deployments", "/alerts",
        "/incidents", "/audit/entries?limit=50", "/changes?limit=50", *("labels",) * 3,
    ),
}  # fmt: skip
"""Routes of the REST API; `labels` stands for a batch of labels that is sent with an Idempotency-Key."""


@dataclass(frozen=True)
class Sights:
    """What there is to look at in an installation."""

    models: tuple[str, ...]
    changes: tuple[int, ...]
    incidents: tuple[int, ...]
    entries: int
    predictions: tuple[str, ...] = ()

    def query(self, page: str, draw: Any) -> str | None:
        """The query of a page's address; None where there is nothing that it could show."""
        numbered = {"change": self.changes, "incident": self.incidents}
        if page in numbered:
            return f"id={draw.choice(numbered[page])}" if numbered[page] else None
        if page == "audit_entry":
            return f"seq={draw.randrange(max(0, self.entries - 200), self.entries)}"
        return f"model={draw.choice(self.models)}"


def sights_of(site: Installation) -> Sights:
    """The models, the newest changes and incidents, and how long the log is."""
    newest = "SELECT id FROM {} ORDER BY id DESC LIMIT 20"
    return Sights(
        models=tuple(one for (one,) in site.rows("SELECT DISTINCT model FROM deployments ORDER BY model")),
        changes=tuple(one for (one,) in site.rows(newest.format("changes"))),
        incidents=tuple(one for (one,) in site.rows(newest.format("incidents"))),
        entries=int(site.rows("SELECT count(*) FROM audit_entries")[0][0]),
    )
