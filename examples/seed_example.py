"""The smallest interesting tree, worked through: its output and its gradient, twice.

``f(x) = sim_1 c3 + (1 - sim_1)(sim_2 c2 + (1 - sim_2) c1)``: the root compares with P1, its right
child is leaf c3; its left child compares with P2, with leaf c2 on the right and c1 on the left.
``docs/concepts/prototype-trees.md`` derives the gradients.
"""

from __future__ import annotations

import torch

from pellucid import Topology
from pellucid.prototree import distributed, path_log_probabilities
from pellucid.prototree.nearest_patch import nearest_patch

# [numbers]
topology = Topology.from_nested(((0, 1), 2))  # leaves: 0 is c1, 1 is c2, 2 is c3
prototypes = torch.tensor([[0.2, 0.3], [0.4, 0.8]], dtype=torch.float64, requires_grad=True)
patches = torch.tensor([[[0.5, 0.7], [0.9, 0.1]]], dtype=torch.float64)  # one image, two patches
leaves = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]], dtype=torch.float64)
true_class = 1
# [numbers end]


def run_the_program() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the class probabilities and the gradient, as the library computes them."""
    distances = nearest_patch(patches, prototypes).distance
    log_answer = distributed(path_log_probabilities(distances, topology), leaves.log())
    loss = -log_answer[0, true_class]
    (gradient,) = torch.autograd.grad(loss, prototypes)
    return log_answer[0].exp().detach(), gradient


def write_it_out() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the same by the formulas, with no automatic differentiation."""
    p1, p2 = prototypes.detach()
    c1, c2, c3 = leaves
    a = true_class
    z1 = min(patches[0], key=lambda z: float(torch.linalg.vector_norm(z - p1)))
    z2 = min(patches[0], key=lambda z: float(torch.linalg.vector_norm(z - p2)))
    h1, h2 = torch.linalg.vector_norm(z1 - p1), torch.linalg.vector_norm(z2 - p2)
    sim1, sim2 = torch.exp(-h1), torch.exp(-h2)

    below = sim2 * c2 + (1 - sim2) * c1  # what the left child of the root answers
    answer = sim1 * c3 + (1 - sim1) * below
    by_p1 = -1 / answer[a] * sim1 * (-c3[a] + below[a]) * (p1 - z1) / h1
    by_p2 = -1 / answer[a] * (1 - sim1) * sim2 * (-c2[a] + c1[a]) * (p2 - z2) / h2
    return answer, torch.stack([by_p1, by_p2])


def main() -> None:
    """Print both and how far they are apart."""
    answer, gradient = run_the_program()
    written_answer, written_gradient = write_it_out()
    print("answer      ", [round(p, 4) for p in answer.tolist()])
    print("dl/dP1      ", [round(g, 4) for g in gradient[0].tolist()])
    print("dl/dP2      ", [round(g, 4) for g in gradient[1].tolist()])
    apart = max(
        float((answer - written_answer).abs().max()),
        float((gradient - written_gradient).abs().max()),
    )
    print("apart < 1e-12", apart < 1e-12)


if __name__ == "__main__":
    main()
