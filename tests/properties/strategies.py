"""What hypothesis draws: tree shapes written as nested pairs, and how many examples it takes."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

QUICK = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@st.composite
def nested_trees(draw, *, max_leaves: int = 12):
    """Draw a binary tree of any shape, its leaves numbered in any order."""
    count = draw(st.integers(2, max_leaves))
    numbers = draw(st.permutations(range(count)))

    def build(leaves):
        if len(leaves) == 1:
            return leaves[0]
        cut = draw(st.integers(1, len(leaves) - 1))
        return build(leaves[:cut]), build(leaves[cut:])

    return build(numbers)


seeds = st.integers(0, 2**32 - 1)
