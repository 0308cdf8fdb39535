"""Counted work: how it is charged, shared, and stopped by the clock; searches repeat exactly."""

from __future__ import annotations

import itertools
import time

import pytest

from pellucid._checks import UsageError
from pellucid.approximation.box import Box
from pellucid.approximation.constructions import NotApplicable
from pellucid.approximation.constructions.ridge import ridge
from pellucid.approximation.constructions.separable import separable
from pellucid.approximation.constructions.spectral import spectral
from pellucid.approximation.constructions.work_budget import WorkBudget
from pellucid.approximation.expressions import parse

LINE = Box((0.0,), (1.0,))
SQUARE = Box((0.0, 0.0), (1.0, 1.0))
SEARCHES = [
    (spectral, "sin(20*x)", LINE, 0.01),
    (ridge, "1 + 0.5*sin(2*pi*x)*cos(2*pi*y)", SQUARE, 0.01),
    (separable, "sin(20*x)*y", SQUARE, 0.01),
]


def hurry(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """Let the clock run ``factor`` times faster from now on."""
    clock, start = time.monotonic, time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: start + factor * (clock() - start))


def test_charge_solve_grows_with_points_and_unknowns() -> None:
    budget = WorkBudget()
    spent = [0.0]
    for points, unknowns in ((100, 5), (200, 5), (200, 10)):
        budget.charge_solve(points=points, unknowns=unknowns)
        spent.append(budget.spent - sum(spent))
    assert 0 < spent[1] < spent[2] < spent[3]


def test_share_spends_from_the_whole() -> None:
    budget = WorkBudget(1.0)
    part = budget.share(0.5)
    part.share(0.5).charge_evaluation(points=1000, neurons=10)
    assert 0 < budget.spent == part.spent
    assert part.units == 0.5


def test_share_of_the_rest_is_smaller() -> None:
    budget = WorkBudget(1.0)
    budget.charge_solve(points=10_000, unknowns=100)
    assert budget.share(1.0).units == pytest.approx(1.0 - budget.spent)


def test_exhausted_part_leaves_the_whole() -> None:
    budget = WorkBudget(1.0)
    part = budget.share(1e-6)
    part.charge_solve(points=1, unknowns=1)
    assert part.exhausted
    assert not budget.exhausted
    assert not budget.stopped_by_clock


def test_exhausted_whole_ends_its_parts() -> None:
    budget = WorkBudget(1e-6)
    part = budget.share(1.0)
    budget.charge_solve(points=1, unknowns=1)
    assert part.exhausted
    assert budget.share(0.5).exhausted


def test_budget_without_limit_is_never_exhausted(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = WorkBudget()
    monkeypatch.setattr(time, "monotonic", lambda: 1e12)
    budget.charge_solve(points=10**9, unknowns=10**3)
    assert not budget.exhausted


def test_clock_stops_parts_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = WorkBudget(1.0, max_seconds=5.0)
    part = budget.share(0.5)
    assert not part.exhausted
    monkeypatch.setattr(time, "monotonic", lambda: 1e12)
    assert not part.stopped_by_clock
    assert part.exhausted
    assert part.stopped_by_clock
    assert budget.stopped_by_clock


def test_clock_after_the_work_is_not_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = WorkBudget(1e-6, max_seconds=5.0)
    budget.charge_solve(points=1, unknowns=1)
    monkeypatch.setattr(time, "monotonic", lambda: 1e12)
    assert budget.exhausted
    assert not budget.stopped_by_clock


@pytest.mark.parametrize("units", [0.0, -1.0, float("nan")])
def test_budget_without_work_is_refused(units: float) -> None:
    with pytest.raises(UsageError, match="units must be a number"):
        WorkBudget(units)


def test_share_above_one_is_refused() -> None:
    with pytest.raises(UsageError, match="fraction must be a number"):
        WorkBudget(1.0).share(1.5)


@pytest.mark.parametrize(("scheme", "text", "box", "tolerance"), SEARCHES)
def test_search_under_fast_clock_is_the_same(
    scheme, text: str, box: Box, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"tolerance": tolerance, "max_work": 0.4, "max_seconds": 1000.0}
    expected = scheme(parse(text), box, **options)
    hurry(monkeypatch, 10.0)
    found = scheme(parse(text), box, **options)
    assert found.network.digest == expected.network.digest
    assert found.details["work"] == expected.details["work"] > 0
    assert not found.details["stopped_by_clock"]


def test_search_that_runs_out_of_work_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    target = parse("sin(3*x)*sin(3*y)")
    options = {"tolerance": 1e-5, "max_work": 0.5, "max_seconds": 1000.0}
    expected = separable(target, SQUARE, **options)
    hurry(monkeypatch, 10.0)
    found = separable(target, SQUARE, **options)
    assert expected.details["work"] >= 0.5
    assert not expected.details["met"]
    assert found.network.digest == expected.network.digest


def test_search_stopped_by_clock_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    # A clock that goes on by a second each time it is looked at strikes at the same step always.
    seconds = itertools.count(start=time.monotonic())
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    found = spectral(parse("abs(sin(20*x))"), LINE, tolerance=1e-5, max_seconds=100.0)
    assert found.details["stopped_by_clock"]
    assert "stopped by the clock" in found.remark


def test_search_stopped_before_anything_is_not_applicable(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, 1e9)
    with pytest.raises(NotApplicable, match="use a larger max_seconds"):
        spectral(parse("sin(20*x)"), LINE, tolerance=0.01, max_seconds=1.0)


@pytest.mark.parametrize(("scheme", "text", "box", "tolerance"), SEARCHES)
def test_search_without_free_knots_keeps_the_rule(
    scheme, text: str, box: Box, tolerance: float
) -> None:
    tied = scheme(parse(text), box, tolerance=tolerance, free=False)
    free = scheme(parse(text), box, tolerance=tolerance)
    assert tied.details["knots"] == "tied"
    assert tied.details["met"]
    assert "three fitted numbers" in tied.remark
    assert tied.network.hidden_neurons >= free.network.hidden_neurons


@pytest.mark.parametrize("max_work", [0.1, 0.2, 0.4, 0.8])
def test_search_that_is_met_leaves_room_for_the_certificate(max_work: float) -> None:
    found = separable(parse("sin(20*x)*y"), SQUARE, tolerance=0.01, max_work=max_work)
    assert found.details["met"] == (found.details["measured_error"] <= 0.97 * 0.01)
