"""From a false-alarm budget to how sure a page must be.

A model may page falsely once a quarter (by default), and all models of a rota together twice a 12-hour shift, split
by tier; the stricter binds. Each window that ends is one occasion for each kind of evidence that can page, so

    alpha = false pages allowed per quarter x part of the kind of evidence / windows per quarter

is the chance that an unchanged window may page by that kind (Bonferroni; it holds under dependence). Realised
performance, which settles the matter, gets most of it.

Looks at rows (joint drift, outlier rows) never page. For each false page allowed two of their tickets may be false, and
each look at a window has its part of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scipy.special import ndtri

from backend.monitoring.columns import ModelSpec
from backend.monitoring.spec_fields import QUARTER_DAYS, Budget

Evidence = Literal["realised", "estimated", "quality"]

SHIFTS_PER_QUARTER = QUARTER_DAYS * 2
TIER_WEIGHT = {"high": 3.0, "medium": 2.0, "low": 1.0}
PARTS: Mapping[Evidence, float] = {"realised": 0.8, "estimated": 0.1, "quality": 0.1}
TICKETS_PER_PAGE = 2.0
LOOKS = 4
"""At each window: three detectors of joint drift, and outlier rows."""
LEAST_SIGMA = 2.95
"""Three standard errors, less what two ways to estimate one differ by in small windows."""
MOST_ALPHA = 0.01


@dataclass(frozen=True)
class Rota:
    """The models whose pages reach the same person, as their tiers."""

    tiers: tuple[str, ...]

    def share(self, tier: str) -> float:
        """The part of the rota's pages that one model of this tier may use."""
        weights = sum(TIER_WEIGHT[each] for each in self.tiers)
        return TIER_WEIGHT[tier] / max(weights, TIER_WEIGHT[tier])


def pages_per_quarter(budget: Budget, tier: str, rota: Rota | None = None) -> float:
    """False pages that one model may cause in a quarter: the stricter of its own budget and its part of the rota's."""
    if rota is None:
        return budget.pages_per_quarter
    whole = budget.rota_pages_per_shift * SHIFTS_PER_QUARTER
    return min(budget.pages_per_quarter, whole * rota.share(tier))


def window_alpha(
    spec: ModelSpec, window_s: float, rota: Rota | None = None, kind: Evidence = "realised"
) -> float:
    """The chance that an unchanged window of `window_s` seconds may page by this kind of evidence.

    At most 1 %: a month is one window, and three pages in a hundred quiet months would still be noise.
    """
    windows = max(QUARTER_DAYS * 86_400 / max(window_s, 1.0), 1.0)
    return min(pages_per_quarter(spec.budget, spec.tier, rota) * PARTS[kind] / windows, MOST_ALPHA)


def look_alpha(spec: ModelSpec, window_s: float, rota: Rota | None = None) -> float:
    """The chance that one look at the rows of an unchanged window may alarm; at most 1 %."""
    windows = max(QUARTER_DAYS * 86_400 / max(window_s, 1.0), 1.0)
    tickets = pages_per_quarter(spec.budget, spec.tier, rota) * TICKETS_PER_PAGE
    return min(tickets / LOOKS / windows, MOST_ALPHA)


def sigmas(alpha: float) -> float:
    """How many standard errors a fall must exceed, one-sided."""
    return max(LEAST_SIGMA, float(-ndtri(alpha)))
