"""The figures of the monitoring pages, kept: drawing one takes longer than everything else on its page."""

from __future__ import annotations

from app import charts
from app.charts.answers import figures_over_time as draw_figures_over_time
from app.charts.changes import parts_figure as draw_parts
from app.charts.lineage import lineage_figure as draw_lineage
from app.charts.slices import slices_figure as draw_slices
from app.charts.slices import values_figure as draw_values
from app.charts.slo_board import slo_board as draw_slo_board
from app.data.kept import until_changed

distribution_figure = until_changed(charts.distribution_figure)
drift_heatmap = until_changed(charts.drift_heatmap)
drift_series = until_changed(charts.drift_series)
fairness_gaps_figure = until_changed(charts.gaps_figure)
fairness_groups_figure = until_changed(charts.groups_figure)
figures_over_time = until_changed(draw_figures_over_time)
lineage_figure = until_changed(draw_lineage)
kpi_figure = until_changed(charts.kpi_figure)
parts_figure = until_changed(draw_parts)
performance_figure = until_changed(charts.performance_figure)
segment_distributions = until_changed(charts.segment_distributions)
segments_figure = until_changed(charts.segments_figure)
slices_figure = until_changed(draw_slices)
shap_summary = until_changed(charts.shap_summary)
values_figure = until_changed(draw_values)
slo_board = until_changed(draw_slo_board)
volume_figure = until_changed(charts.volume_figure)
