"""Other ways to approximate a function on a box: the text-book, interpolation, trained networks.

Each takes a `Case` and a `Budget` and returns what it built; the search for its worst point is done
by the caller, in the same way for all.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from error_search import Function, sample_faces, worst_error
from numpy.typing import NDArray

from pellucid.approximation.box import Box
from pellucid.approximation.network import SigmoidNetwork, dense

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """One row of the comparison.

    Args:
        name: In words, for the table.
        expression: The formula.
        box: Where.
        tolerance: Of the sup norm.
        target: The formula as a function.
    """

    name: str
    expression: str
    box: Box
    tolerance: float
    target: Function


@dataclass(frozen=True)
class Budget:
    """How much everything may take.

    Args:
        seconds: Of one training, and of one Pellucid build.
        seeds: Trainings of each network.
        points: Of the final search for the worst point.
        towers: Largest tiling that is built.
        values: Most values that an interpolation may store.
        training_points: For a network.
        sigmoids: That the final search may compute; a large network gets fewer points.
    """

    seconds: float = 60.0
    seeds: int = 3
    points: int = 1_000_000
    towers: int = 2_000_000
    values: int = 2_000_000
    training_points: int = 4000
    sigmoids: float = 2e9


@dataclass(frozen=True, eq=False)
class Built:
    """What a method made.

    Args:
        function: Points (n, d) to values (n,); None if it was only counted.
        neurons: Hidden neurons; None if it is no network.
        parameters: Numbers stored.
        seconds: To build it; None if it was not built.
        lines: Its own lines, for the search.
        bound: Certified, if it is.
        status: Of the certificate.
        note: What a reader must know.
    """

    function: Function | None
    neurons: int | None
    parameters: int | None
    seconds: float | None
    lines: Sequence[Floats] = ()
    bound: float | None = None
    status: str | None = None
    note: str = ""
    extra: dict[str, object] = field(default_factory=dict)


def build_pellucid(case: Case, budget: Budget, scheme: str) -> Built:
    """Approximate with a certificate."""
    from pellucid.approximation.schemes import approximate

    started = time.perf_counter()
    result = approximate(
        case.expression, case.box, case.tolerance, scheme=scheme, max_seconds=budget.seconds
    )
    seconds = time.perf_counter() - started
    network = result.network
    certificate = result.certificate
    note = "" if result.met else "tolerance not reached within the budget"
    if scheme == "auto":
        note = f"{network.scheme}{'; ' if note else ''}{note}"
    return Built(
        network,
        network.hidden_neurons,
        network.parameters,
        seconds,
        lines=find_lines(network),
        bound=float(certificate.bound),
        status=str(certificate.status),
        note=note,
        extra={"layers": list(network.neurons_per_layer)},
    )


def find_lines(network: SigmoidNetwork) -> list[Floats]:
    """Return where first-layer neurons turn that see one variable; empty if an axis has none."""
    first = network.hidden[0]
    rows = dense(first.weight)
    lines = []
    for axis in range(network.input_dimension):
        alone = (rows[:, axis] != 0) & (np.count_nonzero(rows, axis=1) == 1)
        lines.append(-first.bias[alone] / rows[alone, axis])
    return lines if all(len(axis) for axis in lines) else []


def build_tiling(case: Case, budget: Budget, steepness: float | None) -> Built:
    """Tile with towers of the text-book: w = 500, or steep enough for the towers to stand."""
    from pellucid.approximation.enclosures.bounds import lipschitz_bounds
    from pellucid.approximation.expressions import parse
    from pellucid.approximation.tiling import cells_for, tile
    from pellucid.approximation.tower_sum import neurons_per_tower

    d = case.box.dimension
    slopes = lipschitz_bounds(parse(case.expression, d), case.box, relative=1e-3)
    # The text-book has one bound for all partial derivatives.
    slope = max(slopes)
    cells = cells_for(case.tolerance, (slope,) * d, case.box.sides)
    count = math.prod(cells)
    neurons = count * neurons_per_tower(d)
    # Weights and biases of the steps, of the gates, and of the output.
    weights = count * (6 if d == 1 else 6 * d + 2) + 1
    if count > budget.towers:
        # At a corner of the tiling towers add up to nothing (d > 1); a part of the corners will do.
        per_axis = min(max(cells), int(1e6 ** (1 / d))) + 1
        missed = float(np.abs(case.target(case.box.grid(per_axis))).max())
        note = "only counted" if d == 1 else f"only counted; error about {missed:.3g} at corners"
        return Built(None, neurons, weights, None, note=note)
    steep = steepness or 50 / float(np.min(case.box.sides / cells))
    started = time.perf_counter()
    tiling = tile(case.target, case.box, case.tolerance, lipschitz=slope, steepness=steep)
    if count <= 20_000:
        _ = tiling.network
    seconds = time.perf_counter() - started
    notes = ["vanishing towers"] if tiling.vanishes else []
    if count > 20_000:
        notes.append("evaluated tower by tower near a point, weights not written out")
    return Built(
        tiling,
        neurons,
        weights,
        seconds,
        lines=[tiling.grid_lines(0, axis) for axis in range(d)],
        note="; ".join(notes),
        extra={"towers": count, "steepness": steep, "lipschitz": slope},
    )


def build_interpolant(case: Case, budget: Budget, method: str) -> Built:
    """Interpolate on the coarsest regular grid that a search finds within the tolerance."""
    from scipy.interpolate import RegularGridInterpolator

    d = case.box.dimension

    def build(count: int) -> Built:
        started = time.perf_counter()
        axes = [np.linspace(*ends, count) for ends in case.box.to_json()]
        values = case.target(case.box.grid(count)).reshape((count,) * d)
        found = RegularGridInterpolator(axes, values, method=method)
        seconds = time.perf_counter() - started
        return Built(
            found, None, values.size, seconds, lines=axes, note=f"{count} values along each axis"
        )

    return _coarsest(case, budget, build, least=2 if method == "linear" else 4)


def build_chebyshev(case: Case, budget: Budget) -> Built:
    """Interpolate at Chebyshev points of the lowest degree that a search finds good enough."""
    from numpy.polynomial import chebyshev

    d = case.box.dimension
    low, sides = np.array(case.box.lower), case.box.sides

    def build(count: int) -> Built:
        started = time.perf_counter()
        nodes = np.cos(np.pi * (np.arange(count) + 0.5) / count)
        mesh = np.meshgrid(*[nodes] * d, indexing="ij")
        points = np.stack([part.ravel() for part in mesh], axis=1)
        values = case.target(low + sides * (points + 1) / 2).reshape((count,) * d)
        # Values at the nodes to coefficients: the discrete cosine sum, axis by axis.
        basis = chebyshev.chebvander(nodes, count - 1) * (2 / count)
        basis[:, 0] /= 2
        for axis in range(d):
            values = np.moveaxis(np.tensordot(basis.T, values, (1, axis)), 0, axis)
        seconds = time.perf_counter() - started

        def evaluate(points: Floats) -> Floats:
            unit = np.clip(2 * (points - low) / sides - 1, -1, 1)
            total = np.tensordot(chebyshev.chebvander(unit[:, 0], count - 1), values, 1)
            for axis in range(1, d):
                factors = chebyshev.chebvander(unit[:, axis], count - 1)
                total = np.einsum("ni,ni...->n...", factors, total)
            return total

        return Built(
            evaluate, None, values.size, seconds, note=f"degree {count - 1} in each variable"
        )

    return _coarsest(case, budget, build, least=1)


def _coarsest(case: Case, budget: Budget, build: Callable[[int], Built], *, least: int) -> Built:
    """Double the resolution until the tolerance is met, then bisect; this search is not timed."""
    most = int(budget.values ** (1 / case.box.dimension))

    def is_good(count: int) -> bool:
        made = build(count)
        assert made.function is not None
        points = min(20_000, budget.points)
        found, _ = worst_error(
            made.function, case.target, case.box, lines=made.lines, points=points, starts=16
        )
        return found <= case.tolerance

    high = max(least, 2)
    while high < most and not is_good(high):
        high = min(2 * high, most)
    if high >= most and not is_good(most):
        made = build(most)
        return Built(**{**_fields(made), "note": f"{made.note}; tolerance not reached"})
    low = max(least, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_good(middle) else (middle + 1, high)
    build(high)  # what is built once is warm
    return build(high)


def _fields(made: Built) -> dict[str, object]:
    return {name: getattr(made, name) for name in made.__dataclass_fields__}


@dataclass(frozen=True, eq=False)
class Training:
    """One training of a network.

    Args:
        function: The network as it ended.
        error: Largest error found during it, at the end.
        seconds: Without the searches.
        met: Whether the tolerance was met.
    """

    function: Function
    error: float
    seconds: float
    met: bool


def sample_training_points(case: Case, budget: Budget, seed: int) -> Floats:
    """Return half a regular grid with the boundary, a quarter uniform, a quarter on the faces."""
    generator = np.random.default_rng(1000 + seed)
    d, count = case.box.dimension, budget.training_points
    side = max(2, round((count / 2) ** (1 / d)))
    return np.concatenate(
        [
            case.box.grid(side),
            case.box.sample(count // 4, generator),
            sample_faces(case.box, count // 4, generator),
        ]
    )


def build_torch_mlp(case: Case, budget: Budget, width: int = 32) -> Built:
    """Train tanh networks of two layers with LBFGS until the tolerance or the end of the budget."""
    trainings = [
        _train(case, budget, seed, _torch_rounds(case, seed, width)) for seed in range(budget.seeds)
    ]
    return _best_of(trainings, case, width, "LBFGS with strong Wolfe line search, float64")


def build_sklearn_mlp(case: Case, budget: Budget, width: int = 32) -> Built:
    """Train scikit-learn's MLPRegressor, lbfgs and tanh, with warm restarts."""
    trainings = [
        _train(case, budget, seed, _sklearn_rounds(case, seed, width))
        for seed in range(budget.seeds)
    ]
    return _best_of(trainings, case, width, "lbfgs with warm restarts")


Rounds = Callable[[Floats], Iterator[Function]]


def _train(case: Case, budget: Budget, seed: int, rounds: Rounds) -> Training:
    """Train in rounds; after each the worst points found are added to the training points.

    That is more than a user would do, and in the network's favor: the sup error is what counts.
    """
    points = sample_training_points(case, budget, seed)
    seconds, error, function = 0.0, math.inf, None
    while True:
        training = rounds(points)
        added: list[Floats] = []
        while seconds < budget.seconds:
            started = time.perf_counter()
            try:
                function = next(training)
            except StopIteration:
                break
            seconds += time.perf_counter() - started
            error, place = worst_error(
                function, case.target, case.box, points=20_000, starts=16, seed=len(added)
            )
            if error <= case.tolerance:
                error, place = worst_error(
                    function, case.target, case.box, points=min(budget.points, 200_000), seed=1
                )
            if error <= case.tolerance:
                return Training(function, error, seconds, True)
            added.append(place)
            if len(added) == _ROUNDS_BEFORE_NEW_POINTS:
                break
        assert function is not None
        if seconds >= budget.seconds:
            return Training(function, error, seconds, False)
        generator = np.random.default_rng(len(points))
        near = np.repeat(np.array(added), 8, axis=0)
        near = near + 0.01 * case.box.sides * generator.standard_normal(near.shape)
        near = np.clip(near, case.box.lower, case.box.upper)
        points = np.concatenate([points, np.array(added), near])


_ROUNDS_BEFORE_NEW_POINTS = 3


def _scales(case: Case) -> tuple[Floats, Floats, float, float]:
    """Return what brings inputs to [-1, 1] and outputs to mean 0 and deviation 1."""
    values = case.target(case.box.grid(33 if case.box.dimension < 3 else 13))
    middle = np.array(case.box.lower) + case.box.sides / 2
    return middle, case.box.sides / 2, float(values.mean()), float(values.std()) or 1.0


def _torch_rounds(case: Case, seed: int, width: int) -> Rounds:
    import torch

    torch.manual_seed(seed)
    d = case.box.dimension
    middle, half, mean, deviation = _scales(case)
    network = torch.nn.Sequential(
        torch.nn.Linear(d, width),
        torch.nn.Tanh(),
        torch.nn.Linear(width, width),
        torch.nn.Tanh(),
        torch.nn.Linear(width, 1),
    ).double()
    for layer in network:
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.xavier_normal_(layer.weight, gain=5 / 3)
            torch.nn.init.uniform_(layer.bias, -0.5, 0.5)

    def function(points: Floats) -> Floats:
        with torch.no_grad():
            output = network(torch.from_numpy((points - middle) / half)).squeeze(1)
        return output.numpy() * deviation + mean

    def rounds(points: Floats) -> Iterator[Function]:
        inputs = torch.from_numpy((points - middle) / half)
        wanted = torch.from_numpy((case.target(points) - mean) / deviation)
        optimizer = torch.optim.LBFGS(
            network.parameters(),
            max_iter=100,
            history_size=50,
            line_search_fn="strong_wolfe",
            tolerance_grad=0.0,
            tolerance_change=0.0,
        )
        # One at the tolerance: else differences of tiny losses end the line search early.
        scale = (deviation / case.tolerance) ** 2

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = scale * torch.mean((network(inputs).squeeze(1) - wanted) ** 2)
            loss.backward()
            return loss

        while True:
            optimizer.step(closure)
            yield function

    return rounds


def _sklearn_rounds(case: Case, seed: int, width: int) -> Rounds:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    middle, half, mean, deviation = _scales(case)
    # Its optimizer stops at an absolute change of 2e-9 of a loss below 1: large targets keep on.
    scale = min(deviation / case.tolerance, 1e3) / deviation
    regressor = MLPRegressor(
        hidden_layer_sizes=(width, width),
        activation="tanh",
        solver="lbfgs",
        alpha=0.0,
        max_iter=100,
        max_fun=10_000,
        tol=1e-12,
        warm_start=True,
        random_state=seed,
    )

    def function(points: Floats) -> Floats:
        return regressor.predict((points - middle) / half) / scale + mean

    def rounds(points: Floats) -> Iterator[Function]:
        inputs, wanted = (points - middle) / half, (case.target(points) - mean) * scale
        while True:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                regressor.fit(inputs, wanted)
            yield function

    return rounds


def _best_of(trainings: Sequence[Training], case: Case, width: int, how: str) -> Built:
    met = [training for training in trainings if training.met]
    # The median seed that made it, else the one that came closest.
    chosen = (
        sorted(met, key=lambda training: training.seconds)[len(met) // 2]
        if met
        else min(trainings, key=lambda training: training.error)
    )
    d = case.box.dimension
    note = f"{len(met)} of {len(trainings)} seeds reach the tolerance"
    return Built(
        chosen.function,
        2 * width,
        width * (d + 1) + width * (width + 1) + width + 1,
        chosen.seconds,
        note=note,
        extra={
            "how": how,
            "seconds_each": [training.seconds for training in trainings],
            "errors": [training.error for training in trainings],
            "met": [training.met for training in trainings],
        },
    )
