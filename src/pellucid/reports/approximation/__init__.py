"""The report of an approximation: one page with certificate, error, neurons and the theory to try.

The page stands alone and loads nothing; a small script in it draws the figures and moves with
the sliders. What is shown (`contents`, `samples`, `build_up`, `cell_splits`, `neuron_lines`,
`weight_tables`, `statements`) is computed here; `scripts/` only draws it.
"""

from pellucid.reports.approximation.report import write_report, write_shapes_page

__all__ = ["write_report", "write_shapes_page"]
