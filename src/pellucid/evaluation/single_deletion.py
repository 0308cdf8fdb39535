"""Single deletion: do the parts that are said to matter more really matter more?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from pellucid.evaluation.measure import Definition, Measure

SINGLE_DELETION = Definition(
    "single_deletion",
    "single deletion",
    "higher",
    "correlation",
    "rank correlation, over the parts of an image, of said importance and of what really removing "
    "the part costs the answer (FunnyBirds 2023; raw correlation, hidden parts left out)",
)
_FEWEST_PARTS = 3


def rank_correlations(
    importance: NDArray[np.float64], drops: NDArray[np.float64], visible: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return Spearman's correlation of each image over its visible parts.

    NaN where fewer than three parts are visible, or all drops are equal, so that no order of the
    parts is right; 0 where the drops differ and the importances do not.

    Args:
        importance: Of each part, (n, parts).
        drops: Loss of the answer's probability when the part is removed, (n, parts).
        visible: Which parts are there to be removed, (n, parts).
    """
    found = np.full(len(importance), np.nan)
    for row, (said, lost, there) in enumerate(zip(importance, drops, visible, strict=True)):
        if there.sum() < _FEWEST_PARTS or np.ptp(lost[there]) == 0:
            continue
        if np.ptp(said[there]) == 0:
            found[row] = 0.0
            continue
        found[row] = np.corrcoef(rankdata(said[there]), rankdata(lost[there]))[0, 1]
    return found


def measure_single_deletion(
    importance: NDArray[np.float64],
    drops: NDArray[np.float64],
    visible: NDArray[np.bool_],
    *,
    blind: NDArray[np.float64],
    seed: int = 0,
) -> Measure:
    """Return the mean over images of Spearman's correlation of importance and effect of the parts.

    Source: Hesse et al. 2023, single deletion. Deviation: the raw correlation, not moved to
    [0, 1]; hidden parts are left out; an explanation that gives all parts the same counts 0 instead
    of being left out.

    Args:
        importance: Of each part, (n, parts).
        drops: Loss of the answer's probability when the part is removed, (n, parts).
        visible: Which parts are there to be removed, (n, parts).
        blind: Importance by an explanation that knows nothing, (n, parts): its correlation is the
            chance level.
        seed: Of the bootstrap over images.
    """
    found = rank_correlations(importance, drops, visible)
    known = found[~np.isnan(found)]
    if not len(known):
        return SINGLE_DELETION.unknown(
            "no image has three visible parts that the answer depends on differently"
        )
    by_chance = float(np.nanmean(rank_correlations(blind, drops, visible)))
    return SINGLE_DELETION.of_mean(known, chance=by_chance, seed=seed)
