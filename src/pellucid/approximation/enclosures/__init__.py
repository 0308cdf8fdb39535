"""Enclosures of a formula over boxes: intervals, balls, and jets over either."""

from pellucid.approximation.enclosures.balls import Balls, working_precision
from pellucid.approximation.enclosures.intervals import Intervals
from pellucid.approximation.enclosures.jets import Jet, enclose

__all__ = ["Balls", "Intervals", "Jet", "enclose", "working_precision"]
