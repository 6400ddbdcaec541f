"""Charts: pure functions from data to a plotly figure. No streamlit here, and no `plotly.express` (slow).

Figures have a transparent background and mid-tone marks, so one figure serves the light and the dark theme;
text takes its colour from the theme. Each function returns an empty-state figure that says what to do when
there is nothing to draw.
"""

from __future__ import annotations

from app.charts.distributions import distribution_figure
from app.charts.drift import drift_series
from app.charts.explanations import shap_summary
from app.charts.fairness import gaps_figure, groups_figure
from app.charts.frame import Mark, empty_figure
from app.charts.heatmap import drift_heatmap
from app.charts.kpis import kpi_figure
from app.charts.lineage import lineage_figure
from app.charts.performance import performance_figure
from app.charts.segments import segment_distributions, segments_figure
from app.charts.served import served_figure
from app.charts.sparklines import sparkline, sparkline_uri
from app.charts.timeline import Period, deployments_timeline
from app.charts.volume import volume_figure

__all__ = [
    "Mark",
    "Period",
    "deployments_timeline",
    "distribution_figure",
    "drift_heatmap",
    "drift_series",
    "empty_figure",
    "gaps_figure",
    "groups_figure",
    "kpi_figure",
    "lineage_figure",
    "performance_figure",
    "segment_distributions",
    "segments_figure",
    "served_figure",
    "shap_summary",
    "sparkline",
    "sparkline_uri",
    "volume_figure",
]
