"""The charts of `report.html`, each a pure function from what the page shows to inline SVG. charts.css colours them."""

from evals.report.chart_forest import forest
from evals.report.chart_heat import heat_map
from evals.report.chart_pareto import pareto
from evals.report.chart_replies import failure_bars, latency_plot

__all__ = ["failure_bars", "forest", "heat_map", "latency_plot", "pareto"]
