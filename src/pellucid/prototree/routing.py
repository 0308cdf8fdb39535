"""Log-probabilities of paths, and the three ways a tree answers: one soft, two hard.

Everything here lives in log space. Given an image, branch ``n`` sends it right with probability
``sim_n = exp(-distance_n)`` and left with ``1 - sim_n``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import logsigmoid

from pellucid.prototree.topology import Topology

_LEAST_DISTANCE = 1e-12
"""Below this distance ``log(1 - sim)`` is held at about -27.6, so that no path is impossible."""

TURNING_DISTANCE = math.log(2)
"""The distance at which ``sim`` is one half: a nearer patch sends a greedy walk right."""


def path_log_probabilities(
    distances: Float[Tensor, "batch branches"], topology: Topology, *, steepness: float = 1.0
) -> Float[Tensor, "batch leaves"]:
    """Return for each leaf the sum of its branches' log-probabilities; ``exp`` adds up to 1.

    ``log sim = -d`` and ``log(1 - sim) = log(-expm1(-d))``, neither of which cancels. A steepness
    multiplies the log-odds of each branch: at 1 the paths are the tree's own, and the steeper
    the branches, the nearer the paths come to the greedy walk.

    Source: Nauta et al. 2021, equation 2; Hehn, Kooij and Hamprecht 2020 (steepness). Deviation:
    always in log space, root at log 1 = 0.

    Args:
        distances: Distance of each image to each branch's prototype, >= 0.
        topology: The tree; its branches are the columns of ``distances``.
        steepness: Factor on the log-odds of going right, > 0.
    """
    log_right = -distances
    log_left = torch.log(-torch.expm1(-distances.clamp_min(_LEAST_DISTANCE)))
    if steepness != 1:
        log_odds = steepness * (log_right - log_left)
        log_right, log_left = logsigmoid(log_odds), logsigmoid(-log_odds)
    turns = torch.stack([log_left, log_right], dim=2)
    above = distances.new_zeros(len(distances), 1)
    reached = []
    route = _route(topology)
    for parents, branches in route.levels:
        above = (above[:, parents, None] + turns[:, branches]).flatten(1)
        reached.append(above)
    last = reached[route.first_level :]
    return (last[0] if len(last) == 1 else torch.cat(last, dim=1))[:, route.leaves]


Columns = slice | Tensor


@dataclass(frozen=True)
class _Route:
    """Which columns each step of `path_log_probabilities` takes; slices where they are neighbors.

    Attributes:
        levels: For each level, the columns of its parents' children and of its branches.
        first_level: The first level that has a leaf among its children.
        leaves: Where the leaves stand among the children from that level on.
    """

    levels: tuple[tuple[Columns, Columns], ...]
    first_level: int
    leaves: Columns


@lru_cache(maxsize=64)
def _route(topology: Topology) -> _Route:
    children = np.cumsum([0, *(2 * len(level.branches) for level in topology.levels)])
    places = topology.leaf_places
    first = int(np.searchsorted(children, places.min(), side="right")) - 1
    return _Route(
        levels=tuple(
            (_columns(level.parents), _columns(level.branches)) for level in topology.levels
        ),
        first_level=first,
        leaves=_columns(places - children[first]),
    )


def _columns(wanted: np.ndarray) -> Columns:
    first, last = int(wanted[0]), int(wanted[-1])
    if np.array_equal(wanted, np.arange(first, last + 1)):
        return slice(first, last + 1)
    with torch.inference_mode(False):  # a cached tensor must serve training too
        return torch.from_numpy(wanted)


def distributed(
    path_log_probability: Float[Tensor, "batch leaves"],
    leaf_log_distributions: Float[Tensor, "leaves classes"],
) -> Float[Tensor, "batch classes"]:
    """Return the log of the mixture of all leaves, ``log sum_l exp(path_l + leaf_l)``.

    One matrix product, after taking each row's largest path out (a log-sum-exp for matrices). An
    image for which this underflows is added up term by term instead.

    Source: Nauta et al. 2021, equation 3.
    """
    path_top = path_log_probability.amax(dim=1, keepdim=True).detach()
    share = torch.exp(path_log_probability - path_top) @ torch.exp(leaf_log_distributions)
    lost = (share < torch.finfo(share.dtype).tiny / torch.finfo(share.dtype).eps).any(dim=1)
    mixed = torch.log(share.masked_fill(lost[:, None], 1.0)) + path_top
    if lost.any():
        terms = path_log_probability[lost, :, None] + leaf_log_distributions
        mixed = mixed.index_put((lost.nonzero()[:, 0],), torch.logsumexp(terms, dim=1))
    return mixed


def most_probable_leaf(
    path_log_probability: Float[Tensor, "batch leaves"],
) -> Int[Tensor, batch]:
    """Return the leaf that the whole tree finds most probable (lowest number on a tie).

    Source: Nauta et al. 2021, section 3.4, "selecting the leaf with the highest path probability".
    """
    return path_log_probability.argmax(dim=1)


def greedy_leaf(
    distances: Float[Tensor, "batch branches"], topology: Topology
) -> Int[Tensor, batch]:
    """Return the leaf reached by taking the more probable child at each branch.

    Right where ``sim >= 1/2``, that is ``distance <= ln 2``. This is not the most probable leaf:
    a walk through 0.51 and then 0.51 arrives with 0.26, while the other side may hold 0.49.

    Source: Nauta et al. 2021, section 3.4, "greedy".
    """
    right = torch.tensor(topology.right, device=distances.device)
    left = torch.tensor(topology.left, device=distances.device)
    node = torch.zeros(len(distances), dtype=torch.int64, device=distances.device)
    for _ in topology.levels:
        branch = node.clamp_min(0)
        near = distances.gather(1, branch[:, None])[:, 0] <= TURNING_DISTANCE
        step = torch.where(near, right[branch], left[branch])
        node = torch.where(node >= 0, step, node)
    return ~node


def path_margin(
    distances: Float[Tensor, "batch branches"], leaf: Int[Tensor, batch], topology: Topology
) -> Float[Tensor, batch]:
    """Return ``min over the path of |d_n - ln 2|``, a certified radius in latent space.

    A distance to the nearest patch moves at most as far as any one patch does. So no change of
    the latent map that moves each patch by less than this radius changes the greedy path.

    Args:
        distances: Distance of each image to each branch's prototype.
        leaf: The greedy leaf of each image, as `greedy_leaf` gives it.
        topology: The tree.
    """
    on_path = torch.zeros(topology.leaves, topology.branches, dtype=torch.bool)
    for number, path in enumerate(topology.paths):
        on_path[number, [branch for branch, _ in path]] = True
    slack = (distances - TURNING_DISTANCE).abs()
    return slack.masked_fill(~on_path.to(leaf.device)[leaf], torch.inf).amin(dim=1)
