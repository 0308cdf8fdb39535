from __future__ import annotations

import math

import pytest
import torch

from pellucid.prototree import (
    Topology,
    distributed,
    greedy_leaf,
    most_probable_leaf,
    path_log_probabilities,
    path_margin,
)
from pellucid.prototree.leaves import leaf_log_distributions
from tests.reference import recursive_tree

SEED_EXAMPLE = Topology.from_nested(((0, 1), 2))


def distances_of(*similarities: float, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return -torch.log(torch.tensor([similarities], dtype=dtype))


def random_distances(*shape: int, largest: float, seed: int = 0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return largest * torch.rand(shape, generator=generator, dtype=dtype)


# ---------------------------------------------------------------- path_log_probabilities


def test_path_log_probabilities_seed_example_are_those_of_the_formula():
    paths = path_log_probabilities(distances_of(0.3, 0.8), SEED_EXAMPLE).exp()
    torch.testing.assert_close(
        paths, torch.tensor([[0.7 * 0.2, 0.7 * 0.8, 0.3]], dtype=torch.float64)
    )


@pytest.mark.parametrize("largest", [1e-6, 1e-2, 1.0, 5.0, 50.0])
def test_path_log_probabilities_depth_12_float32_sum_to_1(largest):
    topology = Topology.full(12)
    distances = random_distances(16, topology.branches, largest=largest, dtype=torch.float32)
    total = path_log_probabilities(distances, topology).double().exp().sum(1)
    torch.testing.assert_close(total, torch.ones(16, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("exact", [0.0, math.log(2), 1e-12, 1e-7, 20.0, 100.0])
def test_path_log_probabilities_same_distance_everywhere_sum_to_1(exact):
    topology = Topology.full(12)
    distances = torch.full((1, topology.branches), exact)
    total = path_log_probabilities(distances, topology).double().exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-6)


def test_path_log_probabilities_chain_of_200_sum_to_1():
    nested = 0
    for leaf in range(1, 201):
        nested = (nested, leaf)
    topology = Topology.from_nested(nested)
    distances = random_distances(4, 200, largest=8.0, dtype=torch.float32)
    total = path_log_probabilities(distances, topology).double().exp().sum(1)
    torch.testing.assert_close(total, torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-6)


def test_path_log_probabilities_tiny_distance_keeps_its_logarithm():
    paths = path_log_probabilities(torch.tensor([[1e-9]]), Topology.full(1))
    torch.testing.assert_close(paths, torch.tensor([[math.log(1e-9), -1e-9]]))


def test_path_log_probabilities_zero_distance_is_finite_with_finite_gradient():
    distances = torch.zeros(1, 3, requires_grad=True)
    paths = path_log_probabilities(distances, Topology.full(2))
    paths.sum().backward()
    assert paths.isfinite().all()
    assert distances.grad.isfinite().all()


def test_path_log_probabilities_impossible_in_probabilities_stay_finite_in_logarithms():
    # Each path holds about exp(-45) twelve times: 1e-234, which float32 cannot hold.
    topology = Topology.full(12)
    paths = path_log_probabilities(torch.full((1, topology.branches), 45.0), topology)
    assert paths.isfinite().all()
    assert paths.min().item() == pytest.approx(-540)


def test_path_log_probabilities_gradcheck_passes():
    topology = Topology.from_nested(((3, (1, 4)), (0, 2)))
    distances = random_distances(3, topology.branches, largest=2.0).add(0.01).requires_grad_()
    assert torch.autograd.gradcheck(lambda d: path_log_probabilities(d, topology), (distances,))


@pytest.mark.parametrize("steepness", [0.5, 2.0, 8.0, 30.0])
def test_path_log_probabilities_steep_mixture_equals_recursive_twin(steepness):
    nested = ((3, (1, 4)), (0, 2))
    topology = Topology.from_nested(nested)
    distances = random_distances(6, topology.branches, largest=2.0)
    leaves = torch.log_softmax(random_distances(5, 3, largest=4.0, seed=1), dim=1)
    paths = path_log_probabilities(distances, topology, steepness=steepness)
    root = recursive_tree.grow(nested)
    twin = [
        recursive_tree.traverse(root, row, leaves.exp().numpy(), steepness)
        for row in distances.tolist()
    ]
    torch.testing.assert_close(
        distributed(paths, leaves).exp(),
        torch.tensor(twin, dtype=torch.float64),
        rtol=1e-6,
        atol=1e-12,
    )


def test_path_log_probabilities_steepness_near_1_are_those_of_the_tree():
    # At 1 itself the calculation is left out, so this is the other side of that shortcut.
    topology = Topology.full(4)
    distances = random_distances(8, topology.branches, largest=3.0)
    torch.testing.assert_close(
        path_log_probabilities(distances, topology, steepness=1 + 1e-12),
        path_log_probabilities(distances, topology),
    )


def test_path_log_probabilities_very_steep_give_the_greedy_leaf_alone():
    topology = Topology.full(5)
    distances = random_distances(50, topology.branches, largest=1.5)
    paths = path_log_probabilities(distances, topology, steepness=1e6)
    assert torch.equal(paths.argmax(1), greedy_leaf(distances, topology))
    assert not torch.equal(
        path_log_probabilities(distances, topology).argmax(1), greedy_leaf(distances, topology)
    )


@pytest.mark.parametrize("steepness", [2.0, 8.0])
def test_path_log_probabilities_steep_gradcheck_passes(steepness):
    topology = Topology.from_nested(((3, (1, 4)), (0, 2)))
    distances = random_distances(3, topology.branches, largest=2.0).add(0.01).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda d: path_log_probabilities(d, topology, steepness=steepness), (distances,)
    )


@pytest.mark.parametrize("steepness", [1.5, 16.0, 1000.0])
@pytest.mark.parametrize("distance", [0.0, 1e-30, 1e-12, 1e-6, math.log(2), 20.0, 100.0, 1e4])
def test_path_log_probabilities_steep_at_any_distance_have_finite_gradients(distance, steepness):
    distances = torch.full((1, 3), distance, requires_grad=True)
    leaves = torch.log_softmax(torch.arange(8.0).view(4, 2).cos(), dim=1)
    paths = path_log_probabilities(distances, Topology.full(2), steepness=steepness)
    distributed(paths, leaves)[0, 0].backward()
    assert paths.isfinite().all()
    assert distances.grad.isfinite().all()


# ---------------------------------------------------------------- distributed


def random_answers(batch: int, leaves: int, classes: int, *, scale: float, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    paths = scale * torch.randn(batch, leaves, generator=generator, dtype=dtype)
    counts = scale * torch.randn(leaves, classes, generator=generator, dtype=dtype)
    return torch.log_softmax(paths, 1), torch.log_softmax(counts, 1)


def summed_up(paths: torch.Tensor, leaves: torch.Tensor) -> torch.Tensor:
    return torch.logsumexp(paths.double()[:, :, None] + leaves.double(), dim=1)


def underflowing(dtype: torch.dtype):
    """Return paths and leaves for which every product of probabilities is below the least number.

    The leaf that an image reaches never gives class 1, and the leaf that does is never reached.
    """
    paths = torch.tensor([[0.0, -900.0], [-0.7, -0.7]], dtype=dtype)
    leaves = torch.tensor([[-1e-3, -900.0], [-900.0, -1e-3]], dtype=dtype)
    return paths, leaves


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0, 100.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_distributed_equals_logsumexp(scale, dtype, tolerance):
    paths, leaves = random_answers(20, 32, 7, scale=scale, dtype=dtype)
    torch.testing.assert_close(
        distributed(paths, leaves).double(),
        summed_up(paths, leaves),
        rtol=tolerance,
        atol=tolerance,
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_distributed_underflow_equals_logsumexp(dtype):
    paths, leaves = underflowing(dtype)
    mixed = distributed(paths, leaves)
    assert mixed[0, 1].item() == pytest.approx(-900 + math.log(1 + math.exp(-1e-3)), rel=1e-6)
    torch.testing.assert_close(mixed.double(), summed_up(paths, leaves), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", ["product", "underflow", "both"])
def test_distributed_gradient_equals_that_of_logsumexp(case):
    product, underflow = random_answers(3, 2, 2, scale=1.0), underflowing(torch.float64)
    paths, leaves = {
        "product": product,
        "underflow": (underflow[0][:1], underflow[1]),
        "both": (torch.cat([product[0], underflow[0]]), underflow[1]),
    }[case]
    gradients = []
    for function in (distributed, summed_up):
        inputs = paths.clone().requires_grad_(), leaves.clone().requires_grad_()
        function(*inputs).mul(torch.tensor([0.3, -1.0], dtype=torch.float64)).sum().backward()
        gradients.append([entry.grad for entry in inputs])
    for mine, truth in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, truth, rtol=1e-9, atol=1e-12)


def test_distributed_gradcheck_passes():
    paths, leaves = random_answers(3, 6, 4, scale=2.0)
    assert torch.autograd.gradcheck(distributed, (paths.requires_grad_(), leaves.requires_grad_()))


def test_distributed_leaf_of_probability_zero_counts_for_nothing():
    paths, _ = random_answers(5, 2, 2, scale=1.0)
    leaves = torch.tensor([[0.0, -math.inf], [-math.inf, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(distributed(paths, leaves), paths)


def test_distributed_depth_12_saturated_leaves_give_finite_loss_and_gradient():
    topology = Topology.full(12)
    distances = random_distances(8, topology.branches, largest=45.0, dtype=torch.float32)
    distances[:, ::7] = 0.0
    distances.requires_grad_()
    counts = torch.zeros(topology.leaves, 200)
    counts[torch.arange(topology.leaves), torch.arange(topology.leaves) % 100] = 1e6
    paths = path_log_probabilities(distances, topology)
    mixed = distributed(paths, leaf_log_distributions(counts))
    loss = torch.nn.functional.nll_loss(mixed, torch.full((8,), 150))  # a class no leaf believes in
    loss.backward()
    assert loss.isfinite()
    assert distances.grad.isfinite().all()


# ---------------------------------------------------------------- the two hard answers


def test_greedy_leaf_and_most_probable_leaf_differ_on_a_crafted_tree():
    # Right at the root with 0.51, then 0.51 again: 0.26. Left and then left: 0.49 * 0.99.
    distances = distances_of(0.51, 0.01, 0.51)
    topology = Topology.full(2)
    paths = path_log_probabilities(distances, topology)
    assert greedy_leaf(distances, topology).item() == 3
    assert most_probable_leaf(paths).item() == 0


def test_distributed_differs_from_both_hard_answers_on_a_crafted_tree():
    # Class 0 has two leaves of 0.3 each, the likeliest leaf has 0.4 and class 1.
    topology = Topology.from_nested(((0, 1), 2))
    paths = path_log_probabilities(distances_of(0.4, 0.5), topology)
    leaves = torch.log(torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9]], dtype=torch.float64))
    assert most_probable_leaf(paths).item() == 2
    assert distributed(paths, leaves).argmax().item() == 0


def test_most_probable_leaf_tie_gives_the_lowest_number():
    assert most_probable_leaf(torch.log(torch.tensor([[0.2, 0.4, 0.4]]))).item() == 1


@pytest.mark.parametrize(("similarity", "leaf"), [(0.5001, 1), (0.4999, 0), (1.0, 1), (1e-30, 0)])
def test_greedy_leaf_goes_right_from_one_half_on(similarity, leaf):
    assert greedy_leaf(distances_of(similarity), Topology.full(1)).item() == leaf


def test_greedy_leaf_at_exactly_one_half_goes_right():
    distances = torch.tensor([[math.log(2)]], dtype=torch.float64)
    assert greedy_leaf(distances, Topology.full(1)).item() == 1


def test_greedy_leaf_ignores_branches_off_the_path():
    distances = torch.tensor([[0.1, 9.0], [0.1, 0.0]])
    assert greedy_leaf(distances, SEED_EXAMPLE).tolist() == [2, 2]


# ---------------------------------------------------------------- path_margin


def test_path_margin_is_the_least_slack_on_the_path_alone():
    distances = torch.tensor([[1.0, 0.6, 0.7]], dtype=torch.float64)  # left, then right
    leaf = greedy_leaf(distances, Topology.full(2))
    assert leaf.item() == 1
    margin = path_margin(distances, leaf, Topology.full(2))
    assert margin.item() == pytest.approx(math.log(2) - 0.6)


def test_path_margin_at_the_turning_point_is_zero():
    distances = torch.tensor([[math.log(2)]], dtype=torch.float64)
    assert path_margin(distances, torch.tensor([1]), Topology.full(1)).item() == 0


def test_path_margin_depth_12_is_positive_and_finite():
    topology = Topology.full(12)
    distances = random_distances(4, topology.branches, largest=2.0)
    margin = path_margin(distances, greedy_leaf(distances, topology), topology)
    assert (margin > 0).all()
    assert (margin < math.inf).all()


def test_path_log_probabilities_after_inference_can_be_trained():
    topology = Topology.from_nested((0, ((1, 2), ((3, (4, 5)), 6))))  # asked for nowhere else
    distances = torch.rand(2, topology.branches, requires_grad=True)
    with torch.inference_mode():
        path_log_probabilities(torch.rand(2, topology.branches), topology)
    path_log_probabilities(distances, topology).sum().backward()
    assert distances.grad is not None
