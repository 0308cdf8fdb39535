"""The report of a study: one page with verdict, differences, curves, weights and protocol."""
