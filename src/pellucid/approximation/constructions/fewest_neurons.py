"""The fewest sigmoids a structure needs: counts along each direction, searched from below.

A :class:`Structure` says which directions the first layer reads and what each second-layer neuron
is to compute; how many first-layer sigmoids that takes is found by trying.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..box import Box
from .exchange import Function, Samples, exchange, sample
from .minimax import Draft, correct
from .products import Unit
from .sigmoid_basis import (
    curvature_density,
    dictionary,
    fit_damped,
    graded_knots,
    kink_density,
    monotone_pieces,
    uniform_knots,
)
from .work_budget import WorkBudget

Floats = NDArray[np.float64]
MARGIN = 0.9
"""Share of the tolerance that the fit may use; the certificate has the rest to be quick."""
MET = 0.97
"""Largest share of the tolerance at which a network counts as found: the certificate needs room."""


@dataclass(frozen=True, eq=False)
class Structure:
    """What the network computes before it is said with how many sigmoids.

    Attributes:
        name: In words, for the report.
        directions: Shape (K, d), each scaled so that ``direction · x`` spans [-1, 1] or less.
        units: Second layer; empty for one hidden layer.
        constant: Output bias that goes with the units.
        profiles: One function per direction, sampled on ``PROFILE`` (shape (201,)), whose curvature
            says where knots are wanted; empty where none is known.
    """

    name: str
    directions: Floats
    units: tuple[Unit, ...] = ()
    constant: float = 0.0
    profiles: tuple[Floats, ...] = ()


MOST_ALONG_ONE = 40
"""Where a structure with several directions needs more along one of them, it is given up."""
NEAR = 1.3
"""How far from its goal, in multiples of it, a fit with free knots is tried from all starts."""
PROFILE = np.linspace(-1, 1, 401)


@dataclass(frozen=True, eq=False)
class Found:
    """The outcome of a search: a draft, its scaled error, how its knots were set."""

    draft: Draft
    error: float
    knots: str
    structure: Structure


def search(
    structure: Structure,
    samples: Samples,
    *,
    fewer_than: int,
    budget: WorkBudget,
    free: bool = True,
) -> Found | None:
    """Find the fewest first-layer sigmoids with which a structure meets the tolerance.

    Args:
        structure: What to compute.
        samples: Target on points; may gain points.
        fewer_than: Give up at this many hidden neurons.
        budget: Work to charge; the search ends when it is exhausted.
        free: Whether knots may leave their rule where that saves sigmoids.

    Returns:
        The smallest draft within the tolerance; the best one met where none is; ``None`` where
        not even one was fitted.
    """
    attempts: dict[tuple[int, ...], Found] = {}
    goal = MARGIN * samples.tolerance
    room = fewer_than - 1 - len(structure.units)

    def attempt(counts: tuple[int, ...]) -> Found:
        if counts not in attempts:
            attempts[counts] = _fit(structure, samples, counts, goal, budget, free)
        return attempts[counts]

    counts = guess_counts(structure, samples, room, budget)
    if len(counts) > 1 and max(counts) >= MOST_ALONG_ONE:
        return None
    if sum(counts) > room or budget.exhausted:
        return None
    found = attempt(counts)
    errors = [found.error]
    while found.error > goal and sum(counts) < room and not budget.exhausted:
        # A large shortfall asks for several at once; the way back is tried below.
        jump = 1 + int(0.12 * sum(counts) * (found.error > 4 * goal))
        options = [
            tuple(count + jump * (axis == k) for axis, count in enumerate(counts))
            for k in range(len(counts))
        ]
        options = [option for option in options if sum(option) <= room]
        if not options:
            break
        counts = min(options, key=lambda option: attempt(option).error)
        everywhere = tuple(count + jump for count in counts)
        if attempt(counts).error > 0.7 * errors[-1] and sum(everywhere) <= room:
            # Directions that only help together.
            counts = min(counts, everywhere, key=lambda option: attempt(option).error)
        found = attempt(counts)
        errors.append(min(errors[-1], found.error))
        # Sigmoids that do not help: the structure is wrong, or too poor.
        if len(errors) > 4 and errors[-1] > max(3 * goal, 0.6 * errors[-5]):
            break
    step = max(1, max(counts) // 4) if found.error <= goal else 0
    while step and not budget.exhausted:
        for axis in np.argsort([-count for count in counts]):
            smaller = tuple(count - step * (k == axis) for k, count in enumerate(counts))
            if min(smaller) < 1 or budget.exhausted:
                continue
            if attempt(smaller).error <= goal:
                counts = tuple(int(count) for count in smaller)
                break
        else:
            step //= 2
    fitting = [one for one in attempts.values() if one.error <= goal]
    if fitting:
        return min(fitting, key=lambda one: (one.draft.neurons, one.error))
    return min(attempts.values(), key=lambda one: one.error)


def search_sum(
    structure: Structure,
    parts: list[Function],
    samples: Samples,
    *,
    fewer_than: int,
    budget: WorkBudget,
    free: bool = True,
) -> Found | None:
    """Find the fewest sigmoids for a sum of functions of one direction each.

    The largest error of the sum is at most the sum of the largest errors (and equal to it, signs
    apart, where the directions are the axes), so each summand has its own table from count to
    error, and the counts are chosen to hold the tolerance together. Smaller counts that miss it by
    little are then corrected jointly.

    Args:
        structure: One hidden layer; its directions.
        parts: The summand of each direction, (n, 1) in [-1, 1] to (n,), up to constants, scaled.
        samples: The target.
        fewer_than: Give up at this many hidden neurons.
        budget: Work to charge; the search ends when it is exhausted.
        free: Whether knots may leave their rule where that saves sigmoids.
    """
    kinds = len(parts)
    goal = MARGIN * samples.tolerance
    tables: list[dict[int, Found]] = []
    lines: list[Samples] = []
    for axis, function in enumerate(parts):
        line = sample(function, Box((-1.0,), (1.0,)), tolerance=samples.tolerance)
        own = Structure("one summand", np.eye(1), profiles=(line(PROFILE[:, None]),))
        share = budget.share(0.8 / (kinds - axis))
        table: dict[int, Found] = {}
        # Below the guess as well: a coarse summand leaves more of the tolerance to the others.
        count = max(1, guess_counts(own, line, fewer_than, share)[0] - 1)
        while count < fewer_than and not share.exhausted:
            wanted = goal / line.scale if kinds == 1 else 0.12 * goal / line.scale
            table[count] = _fit(own, line, (count,), wanted, share, free)
            error = table[count].error * line.scale
            if error < (goal if kinds == 1 else goal / (2 * kinds)):
                break
            count += 1 + int(0.12 * count * (error > 4 * goal))
        while kinds == 1 and min(table, default=1) > 1 and not share.exhausted:
            count = min(table) - 1
            table[count] = _fit(own, line, (count,), goal / line.scale, share, free)
            if table[count].error * line.scale > goal:
                break
        if not table:
            return None
        tables.append(table)
        lines.append(line)
    choices = []
    for counts in itertools.product(*tables):
        triples = zip(tables, counts, lines, strict=True)
        error = sum(table[count].error * line.scale for table, count, line in triples)
        choices.append((sum(counts), error, counts))
    held = [choice for choice in choices if choice[1] <= goal]
    best = min(held) if held else min(choices, key=lambda choice: choice[1])
    if best[0] >= fewer_than:
        return None
    found = _merged(structure, samples, tables, lines, best[2])
    if kinds == 1:
        return found
    # The axes are independent: there a joint correction gains nothing but the last few percent.
    independent = bool(np.all(np.count_nonzero(structure.directions, axis=1) == 1))
    near = (1.1 if independent else 6.0) * goal
    smaller = [one for one in choices if one[0] < found.draft.neurons and one[1] <= near]
    knots = "free" if free else "tied"
    for count, _, counts in sorted(smaller)[:6]:
        if budget.exhausted or (found.error <= goal and count >= found.draft.neurons):
            break
        start = _merged(structure, samples, tables, lines, counts).draft
        draft, error = correct(
            start,
            samples.points,
            samples.values,
            knots=knots,
            goal=0.9 * goal,
            budget=budget,
        )
        if error <= 1.03 * goal:
            draft, error = exchange(draft, samples, knots=knots, goal=goal, budget=budget)
            if error <= goal:
                found = Found(draft, error, knots, structure)
    # Directions at an angle share the work: fewer may do together than each by itself.
    while not independent and found.error <= goal and not budget.exhausted:
        counts = tuple(int(n) for n in np.bincount(found.draft.along, minlength=kinds))
        options = [tuple(n - 1 for n in counts)]
        options += [tuple(n - (k == axis) for k, n in enumerate(counts)) for axis in range(kinds)]
        for option in options:
            if min(option) >= 1 and not budget.exhausted:
                trial = _fit(structure, samples, option, goal, budget, free)
                if trial.error <= goal:
                    found = trial
                    break
        else:
            break
    return found


def _merged(
    structure: Structure,
    samples: Samples,
    tables: list[dict[int, Found]],
    lines: list[Samples],
    counts: tuple[int, ...],
) -> Found:
    """Put the summands' networks side by side."""
    chosen = [table[count] for table, count in zip(tables, counts, strict=True)]
    drafts = [one.draft for one in chosen]
    merged = Draft(
        structure.directions,
        np.repeat(np.arange(len(drafts)), counts),
        np.concatenate([draft.knots for draft in drafts]),
        np.concatenate([draft.steepness for draft in drafts]),
        None,
        np.zeros(0),
        np.concatenate([_scaled(d.output, line) for d, line in zip(drafts, lines, strict=True)]),
        sum(d.constant * line.scale + line.center for d, line in zip(drafts, lines, strict=True)),
    )
    # The summands are known up to constants: the middle of the errors sets their sum.
    residual = merged(samples.check_points) - samples.check_values
    middle = float(residual.max() + residual.min()) / 2
    merged = replace(merged, constant=merged.constant - middle)
    knots = "free" if any(one.knots == "free" for one in chosen) else "tied"
    return Found(merged, samples.error(merged), knots, structure)


def _scaled(weights: Floats, line: Samples) -> Floats:
    return np.multiply(weights, line.scale, dtype=np.float64)


def guess_counts(
    structure: Structure, samples: Samples, room: int, budget: WorkBudget
) -> tuple[int, ...]:
    """Guess counts from linear fits alone: the fewest along one direction, the others plentiful."""
    kinds = len(structure.directions)
    size = math.prod(len(axis) for axis in samples.axes)
    keep = np.arange(0, size, 1 + size // 2000)
    points, values = samples.points[keep], samples.values[keep]
    along = [points @ row for row in structure.directions]
    plenty = [dictionary(u, *uniform_knots(14, sharpness=2, overhang=0.2)) for u in along]
    counts = []
    for k in range(kinds):
        others = [np.ones((len(points), 1)), *(plenty[j] for j in range(kinds) if j != k)]
        count = 1
        if structure.profiles and not structure.units:
            pieces = len(monotone_pieces(structure.profiles[k], PROFILE)[0])
            count = max(1, pieces - 1)
        most = min(max(1, room), MOST_ALONG_ONE if kinds > 1 else 300)
        while count < most:
            best = math.inf
            for sharpness, overhang in ((1.2, 0.6), (2.0, 0.1), (3.5, -0.25)):
                own = dictionary(
                    along[k], *uniform_knots(count, sharpness=sharpness, overhang=overhang)
                )
                basis = np.hstack([*others, own])
                for _ in structure.units or (None,):
                    budget.charge_solve(points=len(basis), unknowns=basis.shape[1])
                best = min(best, _shortfall(structure, basis, values, keep))
            # With one direction every attempt is cheap: better to start low.
            if best < (100 if kinds == 1 else 12) * samples.tolerance:
                break
            count += 1 + count // 6
        counts.append(count)
    while sum(counts) > max(room, kinds):
        counts[int(np.argmax(counts))] -= 1
    return tuple(counts)


def _shortfall(
    structure: Structure, basis: Floats, values: Floats, keep: NDArray[np.int64]
) -> float:
    """Return the root mean square error of linear fits, in units of the scaled target."""
    if not structure.units:
        weights = fit_damped(basis, values)
        return float(np.abs(basis @ weights - values).max()) / 2
    total = 0.0
    for unit in structure.units:
        importance, wanted = unit.importance[keep], unit.wanted[keep]
        weights = fit_damped(basis * importance[:, None], wanted * importance)
        slope = np.exp(-np.abs(wanted)) * abs(unit.output) * 0.5
        total = max(total, float((slope * np.abs(basis @ weights - wanted)).max()))
    return total / 2


def _starts(
    structure: Structure, counts: tuple[int, ...], tolerance: float
) -> Iterator[list[tuple[Floats, Floats]]]:
    """Yield first layers by rule: uniform, one sigmoid a monotone piece, by curvature, by kinks."""
    if structure.profiles:
        pieces = [monotone_pieces(profile, PROFILE) for profile in structure.profiles]
        if all(
            len(p[0]) > 2 and 0 <= n - len(p[0]) <= 2 for p, n in zip(pieces, counts, strict=True)
        ):
            yield [_extend(p, n) for p, n in zip(pieces, counts, strict=True)]
    flat = counts == (1,) * len(counts)
    for sharpness in (0.05, 1.2, 2.5, 4.5) if flat else (1.2, 2.5, 4.5):
        for overhang in (0.0,) if flat else (-0.3, 0.15):
            yield [uniform_knots(n, sharpness=sharpness, overhang=overhang) for n in counts]
    if not structure.profiles or flat:
        return
    by_rule = [
        [curvature_density(profile, PROFILE, power=power) for profile in structure.profiles]
        for power in (0.45, 0.75)
    ]
    for width in (0.3 * tolerance, 3 * tolerance):
        kinks = [kink_density(profile, PROFILE, width=width) for profile in structure.profiles]
        if any(one is not None for one in kinks):
            even = np.ones(len(PROFILE))
            by_rule.append([even if one is None else one for one in kinks])
    for densities in by_rule:
        for sharpness in (1.5, 3.0):
            yield [
                graded_knots(density, PROFILE, n, sharpness=sharpness)
                for density, n in zip(densities, counts, strict=True)
            ]


def _extend(pieces: tuple[Floats, Floats], count: int) -> tuple[Floats, Floats]:
    """Add up to two knots outside the first and the last."""
    knots, steepness = pieces
    if count > len(knots):
        knots = np.append(knots, 2 * knots[-1] - knots[-2])
        steepness = np.append(steepness, steepness[-1])
    if count > len(knots):
        knots = np.insert(knots, 0, 2 * knots[0] - knots[1])
        steepness = np.insert(steepness, 0, steepness[0])
    return knots, steepness


def write_down(
    structure: Structure, samples: Samples, layers: list[tuple[Floats, Floats]]
) -> Draft:
    """Write a structure down over a given first layer, by linear least squares alone."""
    along = np.repeat(np.arange(len(layers)), [len(knots) for knots, _ in layers])
    knots = np.concatenate([one[0] for one in layers])
    steepness = np.concatenate([one[1] for one in layers])
    size = math.prod(len(axis) for axis in samples.axes)
    points = samples.points[:size]
    coordinates = (points @ structure.directions.T)[:, along]
    basis = np.hstack(
        [
            np.ones((size, 1)),
            1 / (1 + np.exp(np.clip(-steepness * (coordinates - knots), -700, 700))),
        ]
    )
    if not structure.units:
        solved = np.linalg.lstsq(basis, samples.values[:size], rcond=1e-10)[0]
        weights = np.asarray(solved, dtype=np.float64)
        return Draft(
            structure.directions,
            along,
            knots,
            steepness,
            None,
            np.zeros(0),
            weights[1:],
            float(weights[0]),
        )
    rows = []
    for unit in structure.units:
        system = basis * unit.importance[:, None]
        rows.append(fit_damped(system, unit.wanted * unit.importance))
    matrix = np.array(rows)
    return Draft(
        structure.directions,
        along,
        knots,
        steepness,
        matrix[:, 1:],
        matrix[:, 0],
        np.array([unit.output for unit in structure.units]),
        structure.constant,
        tuple(unit.role for unit in structure.units),
    )


def _fit(
    structure: Structure,
    samples: Samples,
    counts: tuple[int, ...],
    goal: float,
    budget: WorkBudget,
    free: bool,
) -> Found:
    """Fit with given counts: a few starts by rule, the promising ones corrected further."""
    points, values = samples.points, samples.values
    drafts = []
    for layers in _starts(structure, counts, samples.tolerance):
        for _ in structure.units or (None,):
            budget.charge_solve(points=len(points), unknowns=sum(counts))
        draft = write_down(structure, samples, layers)
        short = correct(
            draft,
            points,
            values,
            iterations=8 if structure.units else 3,
            settle=99,
            goal=goal * 0.9,
            budget=budget,
        )
        drafts.append((short[1], short[0]))
        if short[1] <= goal * 0.9 or budget.exhausted:
            break
    drafts.sort(key=lambda one: one[0])
    others = drafts[1:]
    best = Found(drafts[0][1], samples.error(drafts[0][1], budget), "tied", structure)

    def correct_further(draft: Draft, knots: str) -> tuple[float, Draft]:
        nonlocal best
        draft, error = correct(
            draft, points, values, knots=knots, goal=goal * 0.9, iterations=90, budget=budget
        )
        if error <= 1.03 * goal:
            draft, error = exchange(draft, samples, knots=knots, goal=goal, budget=budget)
        else:
            error = samples.error(draft, budget)
        if error < best.error:
            best = Found(draft, error, knots, structure)
        return error, draft

    ruled: list[tuple[float, Draft]] = []
    for _, draft in drafts[:3]:
        if best.error <= goal or budget.exhausted:
            return best
        ruled.append(correct_further(draft, "tied"))
    if best.error > 30 * goal or not free:
        return best
    ruled.sort(key=lambda one: one[0])
    # Knots leave their rule from where it led, and from the most promising start.
    for _, draft in (ruled[0], drafts[0]):
        if best.error <= goal or budget.exhausted:
            return best
        correct_further(draft, "free")
    # Where they end depends on the start: near the goal the others get their turn.
    for _, draft in (*ruled[1:], *others):
        if not goal < best.error <= NEAR * goal or budget.exhausted:
            return best
        correct_further(draft, "free")
    return best
