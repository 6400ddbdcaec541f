"""The figures of the monitoring pages, kept: drawing one takes longer than everything else on its page."""

from __future__ import annotations

from app import charts
from app.charts.lineage import lineage_figure as draw_lineage
from app.data.kept import until_changed

distribution_figure = until_changed(charts.distribution_figure)
drift_heatmap = until_changed(charts.drift_heatmap)
drift_series = until_changed(charts.drift_series)
fairness_gaps_figure = until_changed(charts.gaps_figure)
fairness_groups_figure = until_changed(charts.groups_figure)
lineage_figure = until_changed(draw_lineage)
kpi_figure = until_changed(charts.kpi_figure)
performance_figure = until_changed(charts.performance_figure)
segment_distributions = until_changed(charts.segment_distributions)
segments_figure = until_changed(charts.segments_figure)
volume_figure = until_changed(charts.volume_figure)
