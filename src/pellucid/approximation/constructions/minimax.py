"""Networks in the making, and their correction towards the least largest error on points.

A :class:`Draft` is written down by a rule; :func:`correct` then solves for the weights behind the
first layer by Gauss and Newton's method under Lawson's weights: each step is a linear weighted
least-squares problem, as are the linear programs of Osborne and Watson whose limit it shares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.special import expit

from ..box import Box
from ..network import NeuronGroup, SigmoidLayer, SigmoidNetwork, variable_names
from .work_budget import WorkBudget

Floats = NDArray[np.float64]
(posv,) = scipy.linalg.get_lapack_funcs(("posv",), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Draft:
    """A network with one or two hidden layers on the box [-1, 1]^d, by direction.

    Attributes:
        directions: Shape (K, d); neuron i of the first layer reads ``directions[along[i]] · x``.
        along: Shape (n,), integers, increasing.
        knots: Where each first-layer sigmoid is 1/2, shape (n,).
        steepness: Shape (n,).
        weight: Second layer, shape (M, n); ``None`` for one hidden layer.
        bias: Shape (M,); empty for one hidden layer.
        output: Shape (M,), or (n,) for one hidden layer.
        constant: Output bias.
        roles: What each second-layer neuron is for, M of them.
    """

    directions: Floats
    along: NDArray[np.int64]
    knots: Floats
    steepness: Floats
    weight: Floats | None
    bias: Floats
    output: Floats
    constant: float
    roles: tuple[str, ...] = ()

    @property
    def neurons(self) -> int:
        """Hidden neurons in both layers."""
        return len(self.knots) + len(self.bias)

    def __call__(self, points: Floats) -> Floats:
        """Evaluate at points (m, d) of the scaled box, shape (m,)."""
        return self.forward((points @ self.directions.T)[:, self.along])[2]

    def forward(self, coordinates: Floats) -> tuple[Floats, Floats, Floats]:
        """Return both layers' activations and the output for coordinates (m, n) per neuron."""
        first = expit(self.steepness * (coordinates - self.knots))
        if self.weight is None:
            return first, first, self.constant + first @ self.output
        second = expit(first @ self.weight.T + self.bias)
        return first, second, self.constant + second @ self.output

    def to_network(self, box: Box, *, center: float, scale: float, scheme: str) -> SigmoidNetwork:
        """Return the network on ``box`` whose output is ``center + scale * draft``."""
        half = box.sides / 2
        middle = np.asarray(box.lower) + half
        normal = self.directions[self.along] / half
        names = [direction_name(row / half) for row in self.directions]
        groups = []
        for number, name in enumerate(names):
            rows = np.flatnonzero(self.along == number)
            if len(rows):
                groups.append(NeuronGroup(f"steps in {name}", int(rows[0]), int(rows[-1]) + 1))
        hidden = [
            SigmoidLayer(
                self.steepness[:, None] * normal,
                -self.steepness * (self.knots + normal @ middle),
                tuple(groups),
            )
        ]
        if self.weight is not None:
            groups = [NeuronGroup(role, m, m + 1) for m, role in enumerate(self.roles)]
            hidden.append(SigmoidLayer(self.weight, self.bias, tuple(groups)))
        return SigmoidNetwork(
            tuple(hidden), scale * self.output, center + scale * self.constant, scheme=scheme
        )


def direction_name(direction: Floats) -> str:
    """Write a direction such as ``x - 2 y``, the largest entry scaled to 1."""
    direction = direction / np.abs(direction).max()
    if direction[np.flatnonzero(np.abs(direction) > 1e-12)[0]] < 0:
        direction = -direction
    parts: list[str] = []
    for value, name in zip(direction, variable_names(len(direction)), strict=True):
        if abs(value) > 1e-12:
            size = "" if math.isclose(abs(value), 1.0) else f"{abs(value):.4g} "
            sign = "-" if value < 0 else "+"
            parts.append(
                f"{sign} {size}{name}" if parts else f"{'-' if value < 0 else ''}{size}{name}"
            )
    return " ".join(parts)


def correct(
    draft: Draft,
    points: Floats,
    values: Floats,
    *,
    knots: str = "tied",
    goal: float = 0.0,
    iterations: int = 100,
    settle: int = 25,
    budget: WorkBudget | None = None,
) -> tuple[Draft, float]:
    """Lower the largest error on points, keeping the rule of the first layer.

    Args:
        draft: The start.
        points: In [-1, 1]^d, shape (m, d).
        values: Wanted there, shape (m,).
        knots: ``"fixed"``: the first layer stays. ``"tied"``: for each direction three numbers move
            (a shift of all knots, their spread, and a common factor on their steepness).
            ``"free"``: every knot and steepness moves, as in free-knot approximation.
        goal: Stop at this largest error.
        iterations: Gauss-Newton steps at most.
        settle: Steps with equal weights before Lawson's weights set in.
        budget: Work to charge; stops when it is exhausted. ``None``: no limit.

    Returns:
        The best draft met and its largest error on the points.

    Source: Levenberg 1944, Marquardt 1963 for the damping; Lawson's weights, here raised by
    ``(|r|/max|r| + 0.02)**0.6`` a step. Watson, "Approximation theory and numerical methods"
    (1980), ch. 10 for nonlinear minimax problems by sequences of linear ones.
    """
    if draft.weight is None:
        return project(
            draft, points, values, knots=knots, goal=goal, iterations=iterations, budget=budget
        )
    budget = WorkBudget() if budget is None else budget
    coordinates = (points @ draft.directions.T)[:, draft.along]
    emphasis = np.ones(len(values))
    damping, stalled, recent = 1e-2, 0, []
    best, best_error = draft, math.inf
    forward = draft.forward(coordinates)
    for step in range(iterations):
        residual = forward[2] - values
        error = float(np.abs(residual).max())
        if error < best_error * 0.999:
            stalled = 0
        else:
            stalled += 1
        if error < best_error:
            best, best_error = draft, error
        if best_error <= goal or not math.isfinite(error) or budget.exhausted:
            break
        if step >= settle:
            emphasis = emphasis * (np.abs(residual) / error + 0.02) ** 0.6
            emphasis /= emphasis.mean()
            recent.append(best_error)
            slow = len(recent) > 15 and recent[-1] > 0.85 * recent[-15]
            if stalled > 20 or (slow and best_error > 2 * goal):
                break
        columns, take = _jacobian(draft, coordinates, forward, knots)
        budget.charge_solve(points=len(values), unknowns=columns.shape[1])
        root = np.sqrt(emphasis)
        system, right = columns * root[:, None], residual * root
        before = float(right @ right)
        solve = _damped_solver(system, right)
        for _ in range(8):
            budget.charge_evaluation(points=len(values), neurons=draft.neurons)
            trial = take(solve(damping))
            trial_forward = trial.forward(coordinates)
            change = trial_forward[2] - values
            after = float(emphasis @ (change * change))
            if after < before * (1 - 1e-9):
                draft, forward, damping = trial, trial_forward, max(damping / 5, 1e-14)
                break
            damping *= 6
        else:
            damping = min(damping, 1.0)
            if step < settle - 1 and stalled > 3:
                settle = step
    return best, best_error


def project(
    draft: Draft,
    points: Floats,
    values: Floats,
    *,
    knots: str = "tied",
    goal: float = 0.0,
    iterations: int = 60,
    settle: int = 10,
    budget: WorkBudget | None = None,
) -> tuple[Draft, float]:
    """Lower the largest error of a draft with one hidden layer, by variable projection.

    Only the numbers of the first layer's rule take Gauss-Newton steps; the outer weights follow
    from them by least squares at each step, which keeps full accuracy where the sigmoids overlap
    so strongly that the normal equations of all weights would be singular.

    Args:
        draft: The start, with one hidden layer; its outer weights do not matter.
        points: In [-1, 1]^d, shape (m, d).
        values: Wanted there, shape (m,).
        knots: As in :func:`correct`.
        goal: Stop at this largest error.
        iterations: Steps at most.
        settle: Steps before Lawson's weights set in.
        budget: Work to charge; stops when it is exhausted. ``None``: no limit.

    Returns:
        The best draft met and its largest error on the points.

    Source: Golub and Pereyra 1973, with Kaufman's 1975 shorter derivative.
    """
    coordinates = (points @ draft.directions.T)[:, draft.along]
    emphasis = np.full(len(values), 1.0)
    budget = WorkBudget() if budget is None else budget
    rank = min(1e-6, max(1e-12, 1e-3 * goal))
    damping, stalled, recent = 1e-2, 0, []
    best, best_error = draft, math.inf
    budget.charge_solve(points=len(values), unknowns=draft.neurons)
    draft, basis, residual = _outer_fit(draft, coordinates, values, emphasis, rank)
    for step in range(iterations):
        error = float(np.abs(residual).max())
        stalled = 0 if error < best_error * 0.999 else stalled + 1
        if error < best_error:
            best, best_error = draft, error
        recent.append(best_error)
        slow = len(recent) > 20 and recent[-1] > 0.85 * recent[-15] and best_error > 2 * goal
        if best_error <= goal or stalled > 15 or slow or budget.exhausted:
            break
        if step >= settle:
            emphasis = emphasis * (np.abs(residual) / error + 0.01) ** 0.7
            emphasis /= emphasis.mean()
            budget.charge_solve(points=len(values), unknowns=draft.neurons)
            draft, basis, residual = _outer_fit(draft, coordinates, values, emphasis, rank)
        if knots == "fixed":
            settle = 0
            continue
        root = np.sqrt(emphasis)[:, None]
        columns, take = _jacobian(draft, coordinates, draft.forward(coordinates), knots)
        moving = columns[:, 1 + len(draft.output) :] * root
        moving = moving - basis @ (basis.T @ moving)
        right = residual * root[:, 0]
        before = float(right @ right)
        size = np.linalg.norm(moving, axis=0) + 1e-300
        orthogonal, triangle = np.linalg.qr(moving / size)
        padded = np.concatenate([-(orthogonal.T @ right), np.zeros(len(size))])
        budget.charge_solve(points=len(values), unknowns=len(size))
        for _ in range(7):
            budget.charge_solve(points=2 * len(size), unknowns=len(size))
            budget.charge_solve(points=len(values), unknowns=draft.neurons)
            system = np.vstack([triangle, math.sqrt(damping) * np.eye(len(size))])
            part = np.linalg.lstsq(system, padded, rcond=None)[0] / size
            trial = take(np.concatenate([np.zeros(1 + len(draft.output)), part]))
            fitted = _outer_fit(trial, coordinates, values, emphasis, rank)
            after = float(emphasis @ fitted[2] ** 2)
            if after < before * (1 - 1e-9):
                draft, basis, residual = fitted
                damping = max(damping / 5, 1e-12)
                break
            damping *= 8
        else:
            damping = 1e-2
            if step < settle:
                settle = step
    return best, best_error


def _outer_fit(draft: Draft, coordinates: Floats, values: Floats, emphasis: Floats, rank: float):
    """Return the draft with weighted least-squares outer weights, an orthonormal basis, residual.

    Singular values below ``rank`` of the largest are dropped: what they could gain costs weights
    of the size of their inverse, which makes rounding and the certificate's enclosures worse.
    """
    first = expit(draft.steepness * (coordinates - draft.knots))
    system = np.hstack([np.ones((len(values), 1)), first])
    root = np.sqrt(emphasis)[:, None]
    weighted = system * root
    if rank > 1e-7:
        # The normal equations see singular values down to 1e-8 of the largest: enough here.
        squares, right = np.linalg.eigh(weighted.T @ weighted)
        singular = np.sqrt(np.maximum(squares[::-1], 0.0))
        kept = singular > rank * singular[0]
        singular, right = singular[kept], right.T[::-1][kept]
        left = (weighted @ right.T) / singular
    else:
        left, singular, right = np.linalg.svd(weighted, full_matrices=False)
        kept = singular > rank * singular[0]
        left, singular, right = left[:, kept], singular[kept], right[kept]
    weights = right.T @ ((left.T @ (values * root[:, 0])) / singular)
    draft = replace(draft, constant=float(weights[0]), output=weights[1:])
    return draft, left, system @ weights - values


def _damped_solver(system: Floats, right: Floats):
    """Return damping -> step, by normal equations (two layers) scaled to unit diagonal."""
    normal = system.T @ system
    diagonal = np.diag(normal)
    size = np.sqrt(diagonal + 1e-13 * diagonal.max() + 1e-300)
    normal = normal / np.outer(size, size)
    gradient = (system.T @ right) / size
    identity = np.eye(len(size))

    def solve(damping: float) -> Floats:
        # LAPACK directly: the wrappers' checks would cost as much as these small systems.
        _, step, failed = posv(normal + damping * identity, gradient)
        if failed:
            step = np.linalg.lstsq(normal + damping * identity, gradient, rcond=1e-12)[0]
        return -step / size

    return solve


def _jacobian(draft: Draft, coordinates: Floats, forward: tuple[Floats, Floats, Floats], mode: str):
    """Return the derivatives (m, P) of the output and the map from a step (P,) to a draft."""
    first, second, _ = forward
    ones = np.ones((len(first), 1))
    if draft.weight is None:
        blocks = [ones, first]
        back = draft.output * first * (1 - first)
    else:
        slope = draft.output * second * (1 - second)
        layer = (slope[:, :, None] * first[:, None, :]).reshape(len(first), -1)
        blocks = [ones, second, slope, layer]
        back = (slope @ draft.weight) * first * (1 - first)
    offsets = coordinates - draft.knots
    move, steepen = -back * draft.steepness, back * offsets * draft.steepness
    member = np.equal.outer(draft.along, np.arange(len(draft.directions))).astype(float)
    middle = (member.T @ draft.knots) / np.maximum(member.sum(0), 1)
    spread = draft.knots - middle[draft.along]
    if mode == "tied":
        blocks += [move @ member, (move * spread) @ member, steepen @ member]
    elif mode == "free":
        blocks += [move, steepen]
    count, kinds = len(draft.output), len(draft.directions)

    def take(step: Floats) -> Draft:
        ends = [1, 1 + count]
        weight, bias = draft.weight, draft.bias
        if weight is not None:
            ends += [1 + 2 * count, 1 + 2 * count + weight.size]
            bias = bias + step[ends[1] : ends[2]]
            weight = weight + step[ends[2] : ends[3]].reshape(weight.shape)
        rest = step[ends[-1] :]
        knots, steepness = draft.knots, draft.steepness
        if mode == "tied":
            shift = np.clip(rest[:kinds], -0.2, 0.2)
            stretch = np.clip(rest[kinds : 2 * kinds], -0.4, 0.4)
            factor = np.clip(rest[2 * kinds :], -0.5, 0.5)
            knots = knots + shift[draft.along] + spread * np.expm1(stretch[draft.along])
            steepness = steepness * np.exp(factor[draft.along])
        elif mode == "free":
            n = len(knots)
            knots = knots + np.clip(rest[:n], -0.3, 0.3)
            steepness = steepness * np.exp(np.clip(rest[n:], -0.7, 0.7))
        return replace(
            draft,
            knots=knots,
            steepness=steepness,
            weight=weight,
            bias=bias,
            output=draft.output + step[1 : ends[1]],
            constant=draft.constant + float(step[0]),
        )

    return np.hstack(blocks), take
