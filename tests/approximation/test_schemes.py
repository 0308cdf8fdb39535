from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from pellucid import UsageError
from pellucid.approximation.box import Box
from pellucid.approximation.certificate import verify
from pellucid.approximation.schemes import SCHEMES, Approximation, approximate


def sup_error_seen(result: Approximation) -> float:
    points = np.vstack(
        [
            result.box.sample(20_000, np.random.default_rng(7)),
            result.box.vertices,
            result.box.grid(41 if result.box.dimension < 3 else 17),
        ]
    )
    return float(np.abs(result.network(points) - result.target(points)).max())


@pytest.mark.parametrize(
    ("text", "ends", "tolerance"),
    [
        ("sin(6*x)", (0, 1), 0.01),
        ("abs(x)", (-1, 2), 0.02),
        ("exp(x*y)", (0, 1, 0, 1), 0.02),
        ("sqrt(x) + sqrt(y)", (0, 1, 0, 1), 0.05),
        ("x*y*z", (0, 1, 0, 1, 0, 1), 0.05),
    ],
)
def test_approximate_expression_is_proved_and_holds_where_looked(
    text: str, ends: tuple, tolerance: float
) -> None:
    result = approximate(text, ends, tolerance)
    assert result.met
    assert result.certificate.status == "proved"
    assert sup_error_seen(result) <= result.certificate.bound <= tolerance


def test_approximate_constant_and_affine_need_next_to_nothing() -> None:
    assert approximate("3", (0, 1), 0.01).network.hidden_neurons == 0
    assert approximate("2*x - y", (0, 1, 0, 1), 0.01).network.hidden_neurons <= 1


@pytest.mark.parametrize("text", ["abs(x - y)", "sin(6*x)*cos(4*y)"])
def test_approximate_auto_is_no_larger_than_the_best_single_scheme(text: str) -> None:
    single = []
    for scheme in ("ridge", "separable", "kd"):
        try:
            result = approximate(text, (0, 1, 0, 1), 0.1, scheme)
        except UsageError:
            continue
        single += [result.network.hidden_neurons] if result.met else []
    auto = approximate(text, (0, 1, 0, 1), 0.1)
    assert auto.network.hidden_neurons <= min(single)
    assert {candidate.scheme for candidate in auto.candidates} == set(SCHEMES)


def test_approximate_budget_of_neurons_keeps_the_best_and_says_not_met() -> None:
    result = approximate("sin(40*x)*cos(35*y)", (0, 1, 0, 1), 1e-3, "kd", max_neurons=200)
    assert not result.met
    assert 0 < result.network.hidden_neurons <= 200
    assert sup_error_seen(result) <= result.certificate.bound


def test_approximate_callable_with_lipschitz_constant_is_conditional() -> None:
    result = approximate(lambda p: np.sin(3 * p[:, 0]), (0, 1), 0.05, lipschitz=3.0)
    assert result.met
    assert result.certificate.status == "conditional"
    assert sup_error_seen(result) <= result.certificate.bound


def test_approximate_callable_without_lipschitz_constant_is_never_proved() -> None:
    result = approximate(lambda p: np.sin(3 * p[:, 0]), (0, 1), 0.05)
    assert result.certificate.status == "pac"


def test_approximate_table_holds_between_its_points() -> None:
    grid = np.linspace(0, 1, 201)
    result = approximate(np.abs(grid - 0.3), (0, 1), 0.05, lipschitz=1.0)
    assert result.certificate.status == "conditional"
    assert result.certificate.bound <= 0.05


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("where(x < 0.5, 0, 1)", (0, 1)),
        ("where(x < 0.3, 0, 1)", (0, 1)),
        ("sign(x)", (-1, 1)),
        ("where(x < 0.3, 0, x)", (0, 1)),
        ("where(x < 0.3, 0, y)", (0, 1, 0, 1)),
    ],
)
def test_approximate_discontinuous_function_leaves_out_next_to_nothing(
    text: str, ends: tuple, tmp_path: Path
) -> None:
    result = approximate(text, ends, 0.1)
    assert result.certificate.status == "heuristic"
    assert result.certificate.bound <= 0.1
    assert 0 < result.certificate.excluded_measure < 0.02 * result.box.volume
    assert not result.met
    files = result.save(tmp_path)
    assert verify(files["network"], files["certificate"]).verified


def test_approximate_infinite_bound_of_a_candidate_is_written_as_none(tmp_path: Path) -> None:
    first, second = np.meshgrid(np.linspace(0, 10, 41), np.linspace(0, 10, 41), indexing="ij")
    table = np.sin(first / 2) + 0.1 * second
    result = approximate(table, (0, 10, 0, 10), 0.01, lipschitz=(0.5, 0.1), max_seconds=5)
    assert not result.met
    result.save(tmp_path)
    assert Approximation.load(tmp_path).candidates == result.candidates


def test_approximate_improvements_are_reported_as_they_come() -> None:
    seen: list[int] = []
    approximate(
        "abs(x)", (-1, 1), 0.05, on_improvement=lambda r: seen.append(r.network.hidden_neurons)
    )
    assert seen
    assert seen == sorted(seen, reverse=True)


def test_approximate_same_seed_gives_the_same_network() -> None:
    first, second = (approximate("sin(6*x)*y", (0, 1, 0, 1), 0.02) for _ in range(2))
    assert first.network.digest == second.network.digest


def test_approximate_saved_and_loaded_is_verified(tmp_path: Path) -> None:
    result = approximate("sin(6*x)", (0, 1), 0.01)
    files = result.save(tmp_path)
    loaded = Approximation.load(tmp_path)
    assert loaded.network.digest == result.network.digest
    assert loaded.certificate == result.certificate
    assert loaded.candidates == result.candidates
    assert verify(files["network"], files["certificate"]).verified


@pytest.mark.parametrize(
    ("f", "box", "tolerance", "message"),
    [
        ("1/x", (0, 1), 0.01, "1/x"),
        ("log(x)", (0, 1), 0.01, r"log\(x\)"),
        ("sin(x", (0, 1), 0.01, r"\("),
        ("sin(x)", (0, 1), 0.0, "tolerance must be a number in"),
        ("sin(x)", (0, 1), float("nan"), "tolerance must be a number in"),
        ("x", (0, 1) * 5, 0.01, "1 to 4 dimensions"),
        ("x + y", (0, 1), 0.01, "y"),
        ("sni(x)", (0, 1), 0.01, "Did you mean 'sin'"),
        ("x", (1, 0), 0.01, "lower < upper"),
        (3, (0, 1), 0.01, "f must be"),
    ],
)
def test_approximate_bad_input_is_refused_at_once(
    f: object, box: tuple, tolerance: float, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        approximate(f, box, tolerance)


def test_approximate_unknown_scheme_is_guessed() -> None:
    with pytest.raises(UsageError, match="Did you mean 'ridge'"):
        approximate("x", (0, 1), 0.1, "rigde")


def test_approximate_scheme_that_does_not_fit_says_why() -> None:
    with pytest.raises(UsageError, match="staircase"):
        approximate("x*y", (0, 1, 0, 1), 0.1, "staircase")


def test_approximate_budget_of_time_is_kept_to() -> None:
    begin = time.monotonic()
    result = approximate(
        "sin(90*x)*cos(70*y*x)", Box((0, 0), (1, 1)), 1e-4, max_neurons=20_000, max_seconds=2.0
    )
    assert not result.met
    # Not a measure of speed: an unlimited search would go on for minutes.
    assert time.monotonic() - begin < 60
