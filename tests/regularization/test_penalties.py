from __future__ import annotations

import numpy as np
import pytest
import torch

from pellucid._checks import UsageError
from pellucid.regularization.penalties import Penalty, StackedPenalty
from tests.reference import penalties as twin

SHAPES = {
    "conv.weight": (4, 3, 2, 2),
    "conv.bias": (4,),
    "norm.weight": (4,),
    "fc.weight": (5, 6),
    "fc.bias": (5,),
}
KINDS = {
    "conv.weight": "weight",
    "conv.bias": "bias",
    "norm.weight": "norm",
    "fc.weight": "weight",
    "fc.bias": "bias",
}
MIXED = (
    Penalty(),
    Penalty(l1=0.3),
    Penalty(l2=0.2, include_biases=True),
    Penalty(l1=0.2, l2=0.1, method="subgradient", include_norms=True),
    Penalty(group=0.2, ramp=0.5),
    Penalty(l1=0.1, group=0.15, max_norm=0.7, include_biases=True, include_norms=True),
    Penalty(group=0.3, method="subgradient", ramp=1.0),
    Penalty(max_norm=0.4),
    Penalty(l1=100.0),
    Penalty(),
)


def draw_stack(models: int, seed: int = 0, dtype=torch.float64) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    stack = {}
    for name, shape in SHAPES.items():
        stack[name] = torch.randn(models, *shape, generator=random, dtype=dtype)
        stack[name][:, -1] = 0  # A dead row.
        stack[name].requires_grad_()
        stack[name].grad = torch.randn(models, *shape, generator=random, dtype=dtype)
    return stack


def copy_of(stack: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: weights.detach().clone().numpy() for name, weights in stack.items()}


@pytest.mark.parametrize("fraction", [0.0, 0.2, 1.0])
def test_add_gradients_for_mixed_penalties_equals_the_twin(fraction):
    stack = draw_stack(len(MIXED))
    before = {name: weights.grad.clone().numpy() for name, weights in stack.items()}
    StackedPenalty(MIXED, stack, kinds=KINDS).add_gradients(fraction)
    for name, weights in stack.items():
        for model, penalty in enumerate(MIXED):
            expected = before[name][model] + twin.penalty_gradient(
                penalty, weights[model].detach().numpy(), KINDS[name], fraction
            )
            np.testing.assert_allclose(weights.grad[model].numpy(), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("fraction", [0.0, 0.2, 1.0])
def test_proximal_step_for_mixed_penalties_equals_the_twin(fraction):
    stack = draw_stack(len(MIXED))
    before = copy_of(stack)
    StackedPenalty(MIXED, stack, kinds=KINDS).proximal_step(
        learning_rate=0.1, momentum=0.8, fraction=fraction
    )
    for name, weights in stack.items():
        for model, penalty in enumerate(MIXED):
            expected = twin.proximal_step(
                penalty, before[name][model], KINDS[name], step=0.1 / (1 - 0.8), fraction=fraction
            )
            np.testing.assert_allclose(
                weights[model].detach().numpy(), expected, rtol=0, atol=2e-15
            )


def test_proximal_step_leaves_networks_without_a_term_bit_for_bit():
    stack = draw_stack(len(MIXED), dtype=torch.float32)
    before = copy_of(stack)
    StackedPenalty(MIXED, stack, kinds=KINDS).proximal_step(learning_rate=0.1, momentum=0.9)
    for name, weights in stack.items():
        for model in (0, 2, 3, 6, 9):
            assert (weights[model].detach().numpy() == before[name][model]).all()


def test_value_for_mixed_penalties_equals_the_twin():
    stack = draw_stack(len(MIXED))
    values = StackedPenalty(MIXED, stack, kinds=KINDS).value()
    expected = [
        sum(
            twin.penalty_value(penalty, weights[model].detach().numpy(), KINDS[name])
            for name, weights in stack.items()
        )
        for model, penalty in enumerate(MIXED)
    ]
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-14)


def test_l2_including_biases_equals_the_weight_decay_of_sgd():
    stack = draw_stack(2)
    decayed = {name: weights.detach().clone().requires_grad_() for name, weights in stack.items()}
    everything = Penalty(l2=0.025, include_biases=True, include_norms=True)
    penalty = StackedPenalty([everything] * 2, stack, kinds=KINDS)
    ours = torch.optim.SGD(stack.values(), lr=0.1, momentum=0.9)
    theirs = torch.optim.SGD(decayed.values(), lr=0.1, momentum=0.9, weight_decay=0.025)
    random = torch.Generator().manual_seed(1)
    for _ in range(20):
        for name, weights in stack.items():
            weights.grad = torch.randn(weights.shape, generator=random, dtype=torch.float64)
            decayed[name].grad = weights.grad.clone()
        penalty.add_gradients(1.0)
        ours.step()
        theirs.step()
    for name, weights in stack.items():
        torch.testing.assert_close(weights, decayed[name], rtol=1e-15, atol=1e-15)


def test_stacked_penalty_of_a_parameter_without_kind_raises():
    with pytest.raises(
        UsageError, match=r"kinds must name every parameter, got none for 'fc.bias'"
    ):
        StackedPenalty(
            MIXED,
            draw_stack(len(MIXED)),
            kinds={name: kind for name, kind in KINDS.items() if name != "fc.bias"},
        )


def test_stacked_penalty_of_a_parameter_of_another_count_raises():
    with pytest.raises(
        UsageError, match=r"must have shape \(3, rows, ...\).*got \(2, 4, 3, 2, 2\)"
    ):
        StackedPenalty([Penalty()] * 3, draw_stack(2), kinds=KINDS)


def test_proximal_step_with_denominators_equals_the_twin():
    stack = draw_stack(2)
    before = copy_of(stack)
    random = torch.Generator().manual_seed(3)
    denominators = {
        name: torch.rand(w.shape, generator=random, dtype=torch.float64) + 0.1
        for name, w in stack.items()
    }
    penalties = [Penalty(), Penalty(l1=0.3, max_norm=0.8)]
    StackedPenalty(penalties, stack, kinds=KINDS).proximal_step(
        learning_rate=0.1, denominators=denominators
    )
    for name, weights in stack.items():
        for model, penalty in enumerate(penalties):
            expected = twin.proximal_step(
                penalty,
                before[name][model],
                KINDS[name],
                step=0.1,
                fraction=1.0,
                denominators=denominators[name][model].numpy(),
            )
            np.testing.assert_allclose(weights[model].detach().numpy(), expected, atol=2e-15)


def test_proximal_step_of_groups_with_denominators_raises():
    stack = draw_stack(1)
    penalties = StackedPenalty([Penalty(group=0.1)], stack, kinds=KINDS)
    with pytest.raises(UsageError, match=r"optimizer must be 'sgd' with a group penalty"):
        penalties.proximal_step(learning_rate=0.1, denominators=stack)


def test_proximal_step_with_a_learning_rate_a_network_equals_each_alone():
    together = draw_stack(3)
    penalties = [Penalty(l1=0.3), Penalty(group=0.1), Penalty(l1=0.2, ramp=0.5)]
    rates = torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64)
    alone = copy_of(together)
    StackedPenalty(penalties, together, kinds=KINDS).proximal_step(
        learning_rate=rates, momentum=0.5, fraction=0.3
    )
    for model, penalty in enumerate(penalties):
        part = {name: torch.tensor(weights[model : model + 1]) for name, weights in alone.items()}
        StackedPenalty([penalty], part, kinds=KINDS).proximal_step(
            learning_rate=float(rates[model]), momentum=0.5, fraction=0.3
        )
        for name, weights in part.items():
            torch.testing.assert_close(together[name][model].detach(), weights[0])


@pytest.mark.parametrize("steps_taken", [1, 3])
def test_proximal_step_after_few_steps_has_the_share_that_the_velocity_has(steps_taken):
    weights = torch.ones(1, 1, 1, dtype=torch.float64)
    StackedPenalty([Penalty(l1=1.0)], {"w": weights}, kinds={"w": "weight"}).proximal_step(
        learning_rate=0.01, momentum=0.9, steps_taken=steps_taken
    )
    velocity = 0.0
    for _ in range(steps_taken):
        velocity = 0.9 * velocity + 1.0
    torch.testing.assert_close(weights.item(), 1 - 0.01 * velocity, rtol=1e-14, atol=0)


def test_proximal_step_of_channels_last_weights_equals_contiguous_ones():
    start = draw_stack(1)["conv.weight"].detach()
    penalty = [Penalty(l1=0.1, group=0.1, max_norm=0.5)]
    results = []
    for weights in (start.clone(), start[0].to(memory_format=torch.channels_last)[None]):
        StackedPenalty(penalty, {"w": weights}, kinds={"w": "weight"}).proximal_step(
            learning_rate=0.1
        )
        results.append(weights)
    torch.testing.assert_close(results[1], results[0])


def test_polish_step_moves_only_networks_with_steps_left():
    stack = draw_stack(3)
    before = copy_of(stack)
    penalties = [Penalty(l1=0.1), Penalty(l1=0.1, polish_steps=1), Penalty(polish_steps=2)]
    StackedPenalty(penalties, stack, kinds=KINDS).polish_step(index=1, learning_rate=0.1)
    for name, weights in stack.items():
        assert (weights[:2].detach().numpy() == before[name][:2]).all()
        expected = before[name][2] - 0.1 * weights.grad[2].numpy()
        np.testing.assert_allclose(weights[2].detach().numpy(), expected, rtol=0, atol=1e-15)


def test_polish_steps_of_a_stack_is_the_most_of_any():
    penalties = [Penalty(), Penalty(polish_steps=7)]
    assert StackedPenalty(penalties, draw_stack(2), kinds=KINDS).polish_steps == 7


def test_add_gradients_to_parameters_without_gradient_leaves_them_without():
    stack = draw_stack(1)
    for weights in stack.values():
        weights.grad = None
    StackedPenalty([Penalty(l2=1.0)], stack, kinds=KINDS).add_gradients(1.0)
    assert all(weights.grad is None for weights in stack.values())


@pytest.mark.parametrize(
    ("penalty", "title"),
    [
        (Penalty(), "none"),
        (Penalty(l1=6e-4), "L1 0.0006"),
        (Penalty(l2=0.025), "L2 0.025"),
        (Penalty(l1=3e-4, l2=0.0125), "elastic net 0.0003 + 0.0125"),
        (Penalty(group=1e-3, ramp=0.5), "group lasso 0.001, ramp 50%"),
        (Penalty(l1=1e-4, group=1e-3), "sparse group lasso 0.0001 + 0.001"),
        (Penalty(max_norm=1.5), "max-norm 1.5"),
        (Penalty(l1=1e-4, method="subgradient"), "L1 0.0001, by subgradient"),
        (Penalty(l1=1e-4, polish_steps=30), "L1 0.0001, 30 polishing steps"),
    ],
)
def test_title_of_a_penalty_names_terms_and_extras(penalty, title):
    assert penalty.title == title


TWO = {"fc.weight": "weight", "fc.bias": "bias"}


def test_objective_of_proximal_l1_names_formula_parameters_and_threshold():
    assert Penalty(l1=6e-4, ramp=0.5, polish_steps=30).objective(TWO) == (
        "cross-entropy + 0.0006 * sum |w|. w: fc.weight. Not penalized: fc.bias. |w| by a proximal "
        "step after each step of the optimizer, threshold learning rate * strength / "
        "(1 - momentum). Strengths rise linearly from 0 over the first 50% of the training. At the "
        "end 30 proximal gradient steps on all training images, without momentum."
    )


def test_objective_of_l2_with_biases_names_the_half():
    assert Penalty(l2=1e-3, include_biases=True).objective(TWO, loss="loss") == (
        "loss + 0.001/2 * sum w^2. w: fc.weight, fc.bias. w^2 by its gradient, before momentum."
    )


def test_objective_of_subgradient_groups_and_max_norm_names_groups():
    penalty = Penalty(group=1e-3, max_norm=2, method="subgradient")
    assert penalty.objective(TWO, optimizer="adam") == (
        "cross-entropy + 0.001 * sum_g sqrt(|g|) * ||w_g||, subject to ||w_g|| <= 2. w: fc.weight. "
        "g: the weights of one w into one filter or neuron, |g| of them. Not penalized: fc.bias. "
        "||w_g|| by a subgradient, 0 at 0, before Adam's averages: no exact zeros. Longer w_g are "
        "shortened after each step."
    )


def test_objective_of_no_penalty_is_the_loss():
    assert Penalty().objective(TWO) == "cross-entropy."


def test_objective_of_proximal_groups_under_adam_raises():
    with pytest.raises(UsageError, match=r"has no closed form under Adam's steps"):
        Penalty(group=1e-3).objective(TWO, optimizer="adam")


def test_polish_steps_by_subgradient_raises():
    with pytest.raises(UsageError, match=r"polish_steps must be 0 with method='subgradient'"):
        Penalty(l1=1e-3, method="subgradient", polish_steps=1)
