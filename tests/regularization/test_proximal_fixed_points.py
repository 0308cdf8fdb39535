"""Where training with proximal steps comes to rest, against exact solutions in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import ElasticNet, Lasso

from pellucid.regularization.penalties import Penalty, StackedPenalty

STRENGTH = 0.3
KINDS = {"w": "weight"}


def draw_regression() -> tuple[torch.Tensor, torch.Tensor]:
    """60 observations, 20 columns of which 6 matter."""
    random = torch.Generator().manual_seed(0)
    columns = torch.randn(60, 20, generator=random, dtype=torch.float64)
    truth = torch.zeros(20, dtype=torch.float64)
    truth[:6] = torch.tensor([3.0, -2.0, 1.0, 0.5, -0.4, 0.2])
    noise = 0.5 * torch.randn(60, generator=random, dtype=torch.float64)
    return columns, columns @ truth + noise


def loss_of(w: torch.Tensor) -> torch.Tensor:
    """scikit-learn's: half the mean squared error; w is a stack of networks of rows."""
    columns, targets = draw_regression()
    return (w.flatten(1) @ columns.T - targets).square().mean(1).sum() / 2


def train_with_momentum(
    penalty: Penalty, *, assumed_momentum: float = 0.9, steps: int = 800, rows: int = 1
) -> torch.Tensor:
    w = torch.zeros(1, rows, 20 // rows, dtype=torch.float64, requires_grad=True)
    penalties = StackedPenalty([penalty], {"w": w}, kinds=KINDS)
    optimizer = torch.optim.SGD([w], lr=0.02, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(w).backward()
        penalties.add_gradients(1.0)
        optimizer.step()
        penalties.proximal_step(learning_rate=0.02, momentum=assumed_momentum)
    return w.detach()


def exact_lasso(strength: float = STRENGTH) -> np.ndarray:
    columns, targets = (values.numpy() for values in draw_regression())
    lasso = Lasso(alpha=strength, fit_intercept=False, tol=1e-14, max_iter=100_000)
    return lasso.fit(columns, targets).coef_


def test_proximal_step_under_momentum_converges_to_the_exact_lasso():
    found = train_with_momentum(Penalty(l1=STRENGTH)).flatten().numpy()
    exact = exact_lasso()
    assert 0 < (exact == 0).sum() < 20
    np.testing.assert_array_equal(found == 0, exact == 0)
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-9)


def test_proximal_step_told_of_no_momentum_applies_a_tenth_of_the_penalty():
    found = train_with_momentum(Penalty(l1=STRENGTH), assumed_momentum=0.0).flatten().numpy()
    np.testing.assert_allclose(found, exact_lasso(STRENGTH / 10), rtol=0, atol=1e-9)
    assert np.abs(found - exact_lasso()).max() > 0.1


def test_proximal_step_with_l2_under_momentum_converges_to_the_exact_elastic_net():
    found = train_with_momentum(Penalty(l1=0.2, l2=0.5)).flatten().numpy()
    columns, targets = (values.numpy() for values in draw_regression())
    model = ElasticNet(alpha=0.7, l1_ratio=2 / 7, fit_intercept=False, tol=1e-14, max_iter=100_000)
    exact = model.fit(columns, targets).coef_
    np.testing.assert_array_equal(found == 0, exact == 0)
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-9)


def test_proximal_step_with_groups_under_momentum_meets_the_optimality_condition():
    l1, group = 0.1, 0.15
    w = train_with_momentum(Penalty(l1=l1, group=group), rows=5).requires_grad_()
    loss_of(w).backward()
    assert w.grad is not None
    zero_rows = 0
    for weights, gradient in zip(w.detach()[0], w.grad[0], strict=True):
        if not weights.any():
            zero_rows += 1
            rest = (gradient.abs() - l1).clamp_min(0)
            assert rest.norm() <= group * 2
            continue
        slopes = gradient + group * 2 * weights / weights.norm()
        on = weights != 0
        torch.testing.assert_close(slopes[on], -l1 * weights[on].sign(), rtol=0, atol=1e-9)
        assert (slopes[~on].abs() <= l1).all()
    assert 0 < zero_rows < 5


def test_max_norm_under_momentum_meets_the_optimality_condition():
    w = train_with_momentum(Penalty(max_norm=1.0)).requires_grad_()
    loss_of(w).backward()
    assert w.grad is not None
    torch.testing.assert_close(w.norm(), torch.tensor(1.0, dtype=torch.float64))
    # The gradient points straight out of the ball: -g = multiplier * w, multiplier > 0.
    multiplier = -(w.grad * w).sum()
    assert multiplier > 0
    torch.testing.assert_close(-w.grad, multiplier * w.detach(), rtol=0, atol=1e-9)


def test_polish_steps_converge_to_the_exact_lasso():
    w = torch.zeros(1, 1, 20, dtype=torch.float64, requires_grad=True)
    steps = 800
    penalties = StackedPenalty([Penalty(l1=STRENGTH, polish_steps=steps)], {"w": w}, kinds=KINDS)
    for index in range(steps):
        w.grad = None
        loss_of(w).backward()
        penalties.polish_step(index=index, learning_rate=0.1)
    np.testing.assert_allclose(w.detach().flatten().numpy(), exact_lasso(), rtol=0, atol=1e-9)


def train_with_adam(*, in_its_metric: bool, steps: int = 1500) -> np.ndarray:
    """Adam with a rate that falls to 0; its threshold in its own metric, or the same for all."""
    w = torch.zeros(1, 1, 20, dtype=torch.float64, requires_grad=True)
    penalties = StackedPenalty([Penalty(l1=STRENGTH)], {"w": w}, kinds=KINDS)
    optimizer = torch.optim.Adam([w], lr=0.05, eps=1e-8)
    for step in range(steps):
        rate = 0.05 * (1 - step / steps)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss_of(w).backward()
        optimizer.step()
        state = optimizer.state[w]
        corrected = state["exp_avg_sq"] / (1 - 0.999 ** float(state["step"]))
        denominators = {"w": corrected.sqrt() + 1e-8} if in_its_metric else None
        penalties.proximal_step(learning_rate=rate, denominators=denominators)
    return w.detach().flatten().numpy()


def test_proximal_step_in_the_metric_of_adam_converges_to_the_exact_lasso():
    found, exact = train_with_adam(in_its_metric=True), exact_lasso()
    np.testing.assert_array_equal(found == 0, exact == 0)
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-6)


def test_proximal_step_with_one_threshold_for_all_under_adam_misses_the_lasso():
    found = train_with_adam(in_its_metric=False)
    assert np.abs(found - exact_lasso()).max() > 0.01


@pytest.mark.parametrize("seed", range(5))
def test_proximal_step_of_all_terms_is_the_least_of_its_objective(seed):
    random = torch.Generator().manual_seed(seed)
    start = torch.randn(1, 1, 6, generator=random, dtype=torch.float64)
    l1, group, limit, rate = 0.3, 0.2, 1.0, 0.5

    def objective(w: torch.Tensor) -> torch.Tensor:
        penalty = l1 * w.abs().sum(-1) + group * 6**0.5 * w.norm(dim=-1)
        return (w - start[0, 0]).square().sum(-1) / 2 + rate * penalty

    w = start.clone()
    penalty = Penalty(l1=l1, group=group, max_norm=limit)
    StackedPenalty([penalty], {"w": w}, kinds=KINDS).proximal_step(learning_rate=rate)
    others = w[0, 0] + torch.randn(20_000, 6, generator=random, dtype=torch.float64) * 10 ** (
        torch.rand(20_000, 1, generator=random, dtype=torch.float64) * -5
    )
    others = others / (others.norm(dim=-1, keepdim=True) / limit).clamp_min(1)
    assert objective(w[0, 0]) <= objective(others).min() + 1e-12
