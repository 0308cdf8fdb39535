"""Intervals, tests and words: what the runs of a study allow to be said."""
