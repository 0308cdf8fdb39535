"""A path of penalty strengths: accuracy against exact zeros, and where to stop on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pellucid._checks import UsageError
from pellucid.regularization.arms import greatest_strength
from pellucid.regularization.statistics.findings import capitalize, write_list, write_share


@dataclass(frozen=True)
class PenaltyPath:
    """What each strength of one penalty does, at each seed.

    Attributes:
        term: The penalty's term that varies, such as ``"l1"``.
        strengths: In the order they were trained.
        seeds: Trained at every strength.
        accuracy: Validation accuracy in [0, 1]; a tuple of seeds for each strength.
        exact_zeros: Share of weights that are 0, in [0, 1].
        collapsed: Whether the run collapsed or diverged.
        pareto: Indices of the strengths that no other beats in both mean validation accuracy and
            mean zeros, in order of zeros.
        knee: Index of the strength the one-standard-error rule picks.
    """

    term: str
    strengths: tuple[float, ...]
    seeds: tuple[int, ...]
    accuracy: tuple[tuple[float, ...], ...]
    exact_zeros: tuple[tuple[float, ...], ...]
    collapsed: tuple[tuple[bool, ...], ...]
    pareto: tuple[int, ...]
    knee: int


def make_path(
    term: str,
    strengths: Sequence[float],
    seeds: Sequence[int],
    trials: Sequence[Sequence[Mapping[str, Any]]],
) -> PenaltyPath:
    """Put together what was measured at each strength and seed.

    Args:
        term: The penalty's term.
        strengths: In the order they were trained.
        seeds: Trained at every strength.
        trials: For each strength and seed ``validation_accuracy``, ``exact_zeros``, ``collapsed``.
    """

    def table(name: str, kind: Callable[[Any], Any]) -> tuple[tuple[Any, ...], ...]:
        return tuple(tuple(kind(trial[name]) for trial in row) for row in trials)

    accuracy, zeros = table("validation_accuracy", float), table("exact_zeros", float)
    collapsed = table("collapsed", bool)
    return PenaltyPath(
        term=term,
        strengths=tuple(strengths),
        seeds=tuple(seeds),
        accuracy=accuracy,
        exact_zeros=zeros,
        collapsed=collapsed,
        pareto=pareto_front(accuracy, zeros),
        knee=knee(accuracy, zeros, collapsed=collapsed),
    )


def _strengths_by_seeds(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.size == 0 or not np.isfinite(array).all():
        raise UsageError(
            f"{name} must hold finite numbers of shape (strengths, seeds), got shape "
            f"{np.shape(values)}. Leave out strengths that were not measured."
        )
    return array


def _check_alike(accuracy: NDArray[np.float64], sparsity: NDArray[np.float64]) -> None:
    if len(accuracy) != len(sparsity):
        raise UsageError(
            "sparsity must have a row for each of accuracy's strengths, got "
            f"{len(sparsity)} for {len(accuracy)}."
        )


def pareto_front(accuracy: ArrayLike, sparsity: ArrayLike) -> tuple[int, ...]:
    """Return the strengths that no other strength beats, in order of sparsity.

    One beats another if it is at least as good in both mean accuracy and mean sparsity and better
    in one; of equals all are kept.

    Args:
        accuracy: Validation accuracy, shape (strengths,) or (strengths, seeds).
        sparsity: Share of exact zeros, of the same shape.
    """
    means = _strengths_by_seeds("accuracy", accuracy).mean(1)
    zeros = _strengths_by_seeds("sparsity", sparsity).mean(1)
    _check_alike(means, zeros)
    no_worse = (means[:, None] >= means) & (zeros[:, None] >= zeros)
    better = (means[:, None] > means) | (zeros[:, None] > zeros)
    beaten = (no_worse & better).any(0)
    front = np.flatnonzero(~beaten)
    return tuple(int(i) for i in front[np.lexsort((front, zeros[front]))])


def knee(
    accuracy: ArrayLike,
    sparsity: ArrayLike,
    *,
    collapsed: Sequence[Sequence[bool]] | None = None,
) -> int:
    """Return the sparsest strength that is within one standard error of the best.

    Source: the one-standard-error rule, Breiman et al. 1984, section 3.4.3; Hastie et al. 2009,
    section 7.10. Deviations: the error is that of the best strength's mean over seeds, not over
    folds, so it leaves out the chance of the validation images; strengths with a collapsed run are
    left out as long as others are left; with one seed there is no error and the best itself is
    taken, the sparsest of equals.

    Args:
        accuracy: Validation accuracy, shape (strengths,) or (strengths, seeds).
        sparsity: Share of exact zeros, of the same shape.
        collapsed: Which runs broke, of the same shape.
    """
    table = _strengths_by_seeds("accuracy", accuracy)
    zeros = _strengths_by_seeds("sparsity", sparsity).mean(1)
    _check_alike(table, zeros)
    allowed = np.ones(len(table), dtype=bool)
    if collapsed is not None:
        sound = np.array([not any(row) for row in collapsed])
        _check_alike(table, sound)
        allowed = sound if sound.any() else allowed
    means = table.mean(1)
    best = int(np.where(allowed, means, -np.inf).argmax())
    seeds = table.shape[1]
    error = float(table[best].std(ddof=1)) / np.sqrt(seeds) if seeds > 1 else 0.0
    # Rounding must not shut out a strength exactly one error below.
    near = allowed & (means >= means[best] - error - 1e-12)
    candidates = np.flatnonzero(near)
    ranked = np.lexsort((candidates, -means[candidates], -zeros[candidates]))
    return int(candidates[ranked[0]])


def write_path_words(path: PenaltyPath, title: str) -> str:
    """Say where a path's knee is, whether the path was long enough, and where runs broke.

    Args:
        path: From weak to strong, each later strength started from the network before.
        title: Words for the penalty without a strength, such as ``"L1"``.
    """
    accuracy = np.asarray(path.accuracy).mean(1)
    zeros = float(np.asarray(path.exact_zeros)[path.knee].mean())
    broken = [any(row) for row in path.collapsed] or [False] * len(path.strengths)
    best = int(np.where([b and not all(broken) for b in broken], -np.inf, accuracy).argmax())
    low, high = _write_strength(min(path.strengths)), _write_strength(max(path.strengths))
    opening = (
        f"along {len(path.strengths)} strengths of {title} from {low} to {high}, each later one "
        "started from the network before,"
    )
    chosen, share = _write_strength(path.strengths[path.knee]), write_share(zeros)
    top, reached = write_share(float(accuracy[best])), write_share(float(accuracy[path.knee]))
    if len(path.seeds) == 1:  # no standard error, see `knee`
        found = (
            f"the best validation accuracy at the one seed ({reached}) is that of {chosen} (the "
            f"knee), with {share} of the weights exactly zero."
        )
    else:
        found = (
            f"the sparsest within one standard error of the best validation accuracy ({top}) is "
            f"{chosen} (the knee): {share} of the weights are exactly zero, at a validation "
            f"accuracy of {reached}."
        )
    too_short = [] if all(broken) else _say_too_short(path, best, title)
    sentences = [f"{opening} {found}", *too_short, *_say_broken(path, broken)]
    return " ".join(capitalize(sentence) for sentence in sentences)


def _write_strength(strength: float) -> str:
    """Return a strength with two digits that count: ``0.00018``, ``150``."""
    return f"{float(f'{strength:.2g}'):g}"


def _say_too_short(path: PenaltyPath, best: int, title: str) -> list[str]:
    """Say which way to go on if the knee or the best accuracy is at an end of the range."""
    greatest = greatest_strength(path.term)
    said = []
    for end, inner in ((0, 1), (len(path.strengths) - 1, -2)):
        names = [
            name
            for name, index in (("the knee", path.knee), ("the best accuracy", best))
            if index == end
        ]
        if not names or len(path.strengths) < 2:
            continue
        strength = path.strengths[end]
        way = "above" if strength > path.strengths[inner] else "below"
        verb = "is" if len(names) == 1 else "are"
        if way == "above" and strength >= greatest * (1 - 1e-9):
            said.append(
                f"{write_list(names)} {verb} at {_write_strength(strength)}, beyond which {title} "
                "makes no sense."
            )
            continue
        said.append(
            f"{write_list(names)} {verb} at the {'weak' if end == 0 else 'strong'} end of the "
            f"range, so the range was too short: go on {way} {_write_strength(strength)}."
        )
    return said


def _say_broken(path: PenaltyPath, broken: Sequence[bool]) -> list[str]:
    strengths = [_write_strength(path.strengths[i]) for i, one in enumerate(broken) if one]
    if not strengths:
        return []
    if all(broken):
        return ["a run collapsed or diverged at every strength, so none can be recommended."]
    word = "strength" if len(strengths) == 1 else "strengths"
    which = "it was" if len(strengths) == 1 else "they were"
    return [
        f"runs collapsed or diverged at the {word} {write_list(strengths)}; {which} passed over."
    ]
