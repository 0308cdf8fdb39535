from __future__ import annotations

import math

import pytest
import torch

from pellucid.prototree import nearest_patch as module
from pellucid.prototree.nearest_patch import nearest_patch, nearest_patch_of_some


def naive(patches: torch.Tensor, prototypes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return least distances and their first positions, by the difference itself, in float64."""
    gaps = patches.double()[:, :, None] - prototypes.double()[None, None]
    return gaps.norm(dim=3).min(dim=1)


def naive_gradients(patches, prototypes, weights):
    patches = patches.detach().double().requires_grad_()
    prototypes = prototypes.detach().double().requires_grad_()
    (naive(patches, prototypes)[0] * weights.double()).sum().backward()
    return patches.grad, prototypes.grad


def gradients(patches, prototypes, weights):
    patches = patches.detach().clone().requires_grad_()
    prototypes = prototypes.detach().clone().requires_grad_()
    (nearest_patch(patches, prototypes).distance * weights).sum().backward()
    return patches.grad, prototypes.grad


def uniform(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def mixed_case(dtype: torch.dtype, *, dim: int = 16, positions: int = 9):
    """Return patches and prototypes with far, near and touching pairs, no two patches tied."""
    patches = uniform(6, positions, dim, seed=1, dtype=dtype)
    prototypes = uniform(8, dim, seed=2, dtype=dtype)
    prototypes[0] = patches[0, 3]
    prototypes[1] = patches[1, 4] + 1e-5
    prototypes[2] = patches[2, 5] + 1e-3
    return patches, prototypes


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_nearest_patch_values_equal_naive_double_precision(dtype, tolerance):
    patches, prototypes = mixed_case(dtype)
    distance, position = naive(patches, prototypes)
    found = nearest_patch(patches, prototypes)
    torch.testing.assert_close(found.distance.double(), distance, rtol=tolerance, atol=1e-12)
    assert torch.equal(found.position, position)


def test_nearest_patch_large_dimension_float32_stays_close():
    patches, prototypes = mixed_case(torch.float32, dim=2048, positions=6)
    found = nearest_patch(patches, prototypes)
    torch.testing.assert_close(
        found.distance.double(), naive(patches, prototypes)[0], rtol=1e-4, atol=1e-12
    )


@pytest.mark.parametrize("dim", [4, 64, 256, 2048])
@pytest.mark.parametrize("gap", [0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2])
def test_nearest_patch_near_pair_float32_has_the_true_distance(dim, gap):
    patches = uniform(1, 5, dim, seed=3, dtype=torch.float32)
    step = uniform(dim, seed=4, dtype=torch.float32) - 0.5
    prototypes = (patches[0, 2] + gap * step / step.norm())[None]
    truth, _ = naive(patches, prototypes)  # of the rounded numbers
    found = nearest_patch(patches, prototypes)
    assert found.position.item() == 2
    assert found.distance.item() == pytest.approx(truth.item(), rel=1e-5, abs=1e-12)


def test_nearest_patch_single_position_and_single_prototype_works():
    patches, prototypes = uniform(2, 1, 3), uniform(1, 3, seed=5)
    found = nearest_patch(patches, prototypes)
    assert found.distance.shape == (2, 1)
    torch.testing.assert_close(found.distance, naive(patches, prototypes)[0])


def test_nearest_patch_noncontiguous_patches_give_the_same():
    latent = uniform(3, 6, 4, 5)
    patches, prototypes = latent.flatten(2).transpose(1, 2), uniform(7, 6, seed=6)
    found = nearest_patch(patches, prototypes)
    plain = nearest_patch(patches.contiguous(), prototypes)
    torch.testing.assert_close(found.distance, plain.distance)
    assert torch.equal(found.position, plain.position)


def test_nearest_patch_nan_is_passed_on():
    patches, prototypes = uniform(2, 3, 4), uniform(2, 4, seed=7)
    patches[0, 1, 2] = math.nan
    distance = nearest_patch(patches, prototypes).distance
    assert distance[0].isnan().all()
    assert distance[1].isfinite().all()


@pytest.mark.parametrize("count", [1, 15, 16, 17])
def test_nearest_patch_any_number_of_prototypes_gives_each_its_own(count):
    patches, prototypes = uniform(3, 5, 4), uniform(count, 4, seed=24)
    found = nearest_patch(patches, prototypes)
    distance, position = naive(patches, prototypes)
    torch.testing.assert_close(found.distance, distance)
    assert torch.equal(found.position, position)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("entries", [1, 100, 1 << 19])
def test_nearest_patch_of_some_equals_those_of_all(monkeypatch, dtype, entries):
    monkeypatch.setattr(module, "_PRODUCT_ENTRIES", entries)
    patches, prototypes = mixed_case(dtype)
    chosen = torch.tensor([[0, 7, 3], [1, 1, 2], [2, 6, 0], [5, 4, 3], [0, 1, 2], [7, 7, 7]])
    found = nearest_patch_of_some(patches, prototypes, chosen)
    all_of_them = nearest_patch(patches, prototypes)
    torch.testing.assert_close(found.distance, all_of_them.distance.gather(1, chosen))
    assert torch.equal(found.position, all_of_them.position.gather(1, chosen))
    assert found.distance[0, 0] == 0  # near pairs are exact here too


# ---------------------------------------------------------------- ties


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("positions", [2, 7, 16, 49, 63])
def test_nearest_patch_constant_map_near_prototype_gives_the_first_position(dtype, positions):
    patches = uniform(5, 1, 64, seed=8, dtype=dtype).expand(5, positions, 64).contiguous()
    prototypes = patches[:, 0] + torch.tensor([0, 1e-6, 1e-5, 1e-4, 1e-3])[:, None].to(dtype)
    assert (nearest_patch(patches, prototypes).position.diagonal() == 0).all()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_nearest_patch_constant_map_has_the_distance_of_its_patch(dtype, tolerance):
    patches = uniform(5, 1, 16, seed=8, dtype=dtype)
    prototypes = uniform(9, 16, seed=9, dtype=dtype)
    distance = nearest_patch(patches.expand(5, 49, 16).contiguous(), prototypes).distance
    truth, _ = naive(patches, prototypes)
    torch.testing.assert_close(distance.double(), truth, rtol=tolerance, atol=tolerance)


def test_nearest_patch_constant_map_gradient_goes_to_one_patch():
    patches = uniform(1, 1, 8, seed=10).expand(1, 12, 8).contiguous()
    prototypes = uniform(1, 8, seed=11)
    weights = torch.tensor([[0.7]], dtype=torch.float64)
    grad_patches, grad_prototypes = gradients(patches, prototypes, weights)
    gap = patches[0, 0] - prototypes[0]
    expected = 0.7 * gap / gap.norm()
    torch.testing.assert_close(grad_patches.sum(1)[0], expected)
    assert (grad_patches.abs().sum(2) > 0).sum() == 1
    torch.testing.assert_close(grad_prototypes[0], -expected)


def test_nearest_patch_exact_zeros_at_many_positions_give_the_first():
    patches = uniform(2, 10, 6, seed=13, dtype=torch.float32)
    patches[:, 4] = patches[:, 8] = patches[0, 4]
    found = nearest_patch(patches, patches[:1, 4])
    assert found.position.tolist() == [[4], [4]]
    assert found.distance.tolist() == [[0.0], [0.0]]


# ---------------------------------------------------------------- gradients


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_nearest_patch_gradients_equal_naive_double_precision(dtype, tolerance):
    patches, prototypes = mixed_case(dtype)
    prototypes[0] = patches[0, 3] + 0.25  # the naive norm has no gradient at zero
    weights = uniform(6, 8, seed=14, dtype=dtype) - 0.5
    ours = gradients(patches, prototypes, weights)
    for mine, truth in zip(ours, naive_gradients(patches, prototypes, weights), strict=True):
        torch.testing.assert_close(mine.double(), truth, rtol=tolerance, atol=tolerance)


def test_nearest_patch_gradcheck_passes_for_far_and_near_pairs():
    patches = uniform(3, 5, 4, seed=15)
    prototypes = uniform(4, 4, seed=16)
    prototypes[1] = patches[1, 2] + 1e-3  # refined: 4e-6 of the squares' sum is below 1e-3
    patches.requires_grad_()
    prototypes.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z, p: nearest_patch(z, p).distance, (patches, prototypes), eps=1e-7, atol=1e-5
    )


@pytest.mark.parametrize("dim", [4, 64, 256, 2048])
@pytest.mark.parametrize("gap", [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0])
def test_nearest_patch_gradient_direction_float32_is_right(dim, gap):
    patches = uniform(1, 5, dim, seed=17, dtype=torch.float32)
    step = uniform(dim, seed=18, dtype=torch.float32) - 0.5
    prototypes = (patches[0, 2] + gap * step / step.norm())[None]
    ours = gradients(patches, prototypes, torch.ones(1, 1))
    truth = naive_gradients(patches, prototypes, torch.ones(1, 1))
    for mine, true in zip(ours, truth, strict=True):
        mine = mine.double().flatten()
        cosine = torch.nn.functional.cosine_similarity(mine, true.flatten(), dim=0)
        assert cosine > 0.99
        assert mine.norm().item() == pytest.approx(1, abs=1e-3)


def test_nearest_patch_gradient_reaches_only_the_nearest_patch():
    patches, prototypes = uniform(4, 9, 5, seed=19), uniform(3, 5, seed=20)
    found = nearest_patch(patches, prototypes)
    grad_patches, _ = gradients(patches, prototypes, torch.ones(4, 3))
    touched = grad_patches.abs().sum(2) > 0
    expected = torch.zeros(4, 9, dtype=torch.bool).scatter_(1, found.position, True)
    assert torch.equal(touched, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nearest_patch_zero_distance_has_zero_gradient(dtype):
    patches = uniform(1, 4, 6, seed=21, dtype=dtype)
    for grad in gradients(patches, patches[0, 1:2], torch.ones(1, 1, dtype=dtype)):
        assert torch.equal(grad, torch.zeros_like(grad))


def test_nearest_patch_zero_distance_infinite_weight_gives_no_nan():
    patches = uniform(1, 4, 6, seed=22)
    for grad in gradients(patches, patches[0, 1:2], torch.full((1, 1), math.inf)):
        assert not grad.isnan().any()


def test_nearest_patch_prototypes_alone_receive_their_gradient():
    patches, prototypes = mixed_case(torch.float64)
    both = gradients(patches, prototypes, torch.ones(6, 8))
    alone = prototypes.clone().requires_grad_()
    nearest_patch(patches, alone).distance.sum().backward()
    torch.testing.assert_close(alone.grad, both[1])


def test_nearest_patch_patches_alone_receive_their_gradient():
    patches, prototypes = mixed_case(torch.float64)
    both = gradients(patches, prototypes, torch.ones(6, 8))
    alone = patches.clone().requires_grad_()
    nearest_patch(alone, prototypes).distance.sum().backward()
    torch.testing.assert_close(alone.grad, both[0])


# ---------------------------------------------------------------- chunks


@pytest.mark.parametrize("product_entries", [1, 100, 1 << 30])
@pytest.mark.parametrize("difference_entries", [1, 50, 1 << 30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nearest_patch_chunked_equals_unchunked(
    monkeypatch, product_entries, difference_entries, dtype
):
    patches, prototypes = mixed_case(dtype)
    weights = uniform(6, 8, seed=23, dtype=dtype)
    plain, plain_gradients = (
        nearest_patch(patches, prototypes),
        gradients(patches, prototypes, weights),
    )
    monkeypatch.setattr(module, "_PRODUCT_ENTRIES", product_entries)
    monkeypatch.setattr(module, "_DIFFERENCE_ENTRIES", difference_entries)
    chunked = nearest_patch(patches, prototypes)
    assert torch.equal(chunked.position, plain.position)
    # A matrix product of another shape may round otherwise in its last bits.
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(chunked.distance, plain.distance, rtol=tolerance, atol=tolerance)
    for mine, other in zip(gradients(patches, prototypes, weights), plain_gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=tolerance, atol=tolerance)


def test_nearest_patch_many_near_pairs_chunked_by_differences_are_bit_equal(monkeypatch):
    patches = uniform(4, 6, 5, seed=24, dtype=torch.float32)
    prototypes = patches[:, 2] + 1e-5
    patches[:] = patches[:1]
    plain = nearest_patch(patches, prototypes)
    monkeypatch.setattr(module, "_DIFFERENCE_ENTRIES", 1)
    chunked = nearest_patch(patches, prototypes)
    assert torch.equal(chunked.distance, plain.distance)
    assert torch.equal(chunked.position, plain.position)


@pytest.mark.parametrize("positions", [1, 9, 40_000])
def test_order_by_position_equals_stable_argsort(positions):
    generator = torch.Generator().manual_seed(23)
    position = torch.randint(positions, (5, 300), generator=generator)
    order = module._order_by_position(position, positions)
    assert torch.equal(order, position.argsort(dim=1, stable=True))
