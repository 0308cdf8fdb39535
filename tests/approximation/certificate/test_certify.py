import flint
import numpy as np
import pytest

from pellucid._checks import UsageError
from pellucid.approximation.box import Box
from pellucid.approximation.certificate import certify, worst_point
from pellucid.approximation.expressions import parse
from pellucid.approximation.network import SigmoidLayer, SigmoidNetwork
from pellucid.approximation.tables import TableTarget
from pellucid.approximation.targets import BlackBoxTarget, CallableTarget, ExpressionTarget
from tests.approximation.certificate import networks
from tests.reference import naive_certificate as naive

FRANKE = (
    "0.75*exp(-((9*x-2)**2+(9*y-2)**2)/4)+0.75*exp(-(9*x+1)**2/49-(9*y+1)/10)"
    "+0.5*exp(-((9*x-7)**2+(9*y-3)**2)/4)-0.2*exp(-(9*x-4)**2-(9*y-7)**2)"
)


def features(text, lower, upper, neurons=24, **options):
    return networks.random_features(parse(text, len(lower)), lower, upper, neurons, **options)


def cases():
    """Formula, network, box: 1-D to 4-D, one and two layers, kinks, infinite slopes."""
    two = networks.separable(
        [(lambda x: np.sin(6 * x), lambda y: np.cos(4 * y)), (lambda x: x, lambda y: y)],
        (10, 8),
        (8.0, 6.0),
    )
    wave = networks.separable(
        [(lambda x: 0.5 * np.sin(2 * np.pi * x), lambda y: np.cos(2 * np.pi * y))],
        (6, 6),
        (7.0, 7.0),
        constant=1.0,
    )
    steep = networks.separable([(lambda x: np.sin(20 * x), lambda y: y)], (14, 3), (18.0, 1.0))
    sine = networks.spectral(lambda x: np.sin(2 * np.pi * x), 0, 1, 8, 6.0)
    fine = networks.spectral(lambda x: np.sin(2 * np.pi * x), 0, 1, 16, 12.0)
    unit, square = ((0,), (1,)), ((0, 0), (1, 1))
    yield "sin(2*pi*x)", sine, unit
    yield "sin(2*pi*x)", fine, unit
    yield "1 + 0.5*sin(2*pi*x)*cos(2*pi*y)", wave, square
    yield "exp(-200*((x-0.5)**2+(y-0.5)**2))", networks.exponential(), square
    yield "sin(20*x)*y", steep, square
    yield "sin(6*x)*cos(4*y)+x*y", two, square
    yield "abs(x-y)", networks.ridge((1.0, -1.0), np.abs, -1, 1), square
    for text, lower, upper in (
        ("sqrt(x)", (0,), (1,)),
        ("abs(x)*x**2 + exp(-x**2)", (-2,), (3,)),
        (FRANKE, (0, 0), (1, 1)),
        ("sqrt(x) + sqrt(y)", (0, 0), (1, 1)),
        ("hypot(x - 0.5, y - 0.3)", (0, 0), (1, 1)),
        ("max(x, y, 0.5)", (0, 0), (1, 1)),
        ("atan(3*x)*tanh(y) + erf(x*y)", (-1, -1), (1, 2)),
        ("log(1 + x**2 + y)", (-3, 0), (3, 5)),
        ("sin(x + 2*y)*z + exp(-x*y*z)", (0, 0, 0), (1, 1, 1)),
        ("abs(x - y) + z", (0, 0, 0), (1, 1, 1)),
        ("x*y*z*t", (0, 0, 0, 0), (1, 1, 1, 1)),
    ):
        yield text, features(text, lower, upper), (lower, upper)
    yield "cos(3*x)*y", features("cos(3*x)*y", *square, neurons=6, hidden=3), square


CASES = list(cases())


def box_of(ends):
    return Box(tuple(map(float, ends[0])), tuple(map(float, ends[1])))


@pytest.mark.parametrize(("text", "network", "ends"), CASES, ids=[case[0][:30] for case in CASES])
def test_certify_bound_holds_under_adversarial_search_and_is_tight(text, network, ends):
    box = box_of(ends)
    expression = parse(text, box.dimension)
    certificate = certify(network, expression, box, arithmetic="intervals")
    _, error = worst_point(network, expression, box, points=60_000)
    assert certificate.status == "proved"
    assert error <= certificate.bound <= 1.1 * error


@pytest.mark.parametrize("place", [0, 2, 3, 5, 6, 8, 11, 15])
def test_certify_in_balls_agrees_with_intervals(place):
    text, network, ends = CASES[place]
    box = box_of(ends)
    expression = parse(text, box.dimension)
    balls = certify(network, expression, box)
    rough = certify(network, expression, box, arithmetic="intervals")
    _, error = worst_point(network, expression, box, points=20_000)
    assert balls.details["arithmetic"] == "balls"
    assert rough.details["arithmetic"] == "intervals"
    assert error <= balls.bound <= rough.bound * (1 + 1e-6)


@pytest.mark.parametrize(
    ("text", "function", "ends"),
    [
        ("sin(3*x)", lambda x: naive.sin(naive.constant(3, 1) * x[0]), ((0,), (1,))),
        (
            "sin(2*x)*exp(y)",
            lambda x: naive.sin(naive.constant(2, 2) * x[0]) * naive.exp(x[1]),
            ((0, 0), (1, 0.5)),
        ),
    ],
)
def test_certify_is_no_worse_than_naive_certificate(text, function, ends):
    box = box_of(ends)
    expression = parse(text)
    network = networks.random_features(expression, *ends, 4, steepness=2.0)
    slow = naive.naive_bound(function, network, *ends, 512 if box.dimension == 1 else 40)
    certificate = certify(network, expression, box)
    _, error = worst_point(network, expression, box, points=20_000)
    assert error <= slow
    assert certificate.bound <= slow * 1.03
    assert slow <= 4 * certificate.bound


def test_certify_with_reachable_tolerance_meets_it():
    text, network, ends = CASES[2]
    certificate = certify(network, parse(text), box_of(ends), tolerance=0.0137)
    assert certificate.met
    assert certificate.bound <= 0.0137


def test_certify_with_unreachable_tolerance_returns_best_bound():
    text, network, ends = CASES[2]
    certificate = certify(network, parse(text), box_of(ends), tolerance=0.001)
    assert not certificate.met
    assert certificate.status == "proved"
    assert 0.013 < certificate.bound < 0.014


def test_certify_out_of_boxes_still_returns_a_sound_bound():
    text, network, ends = CASES[5]
    expression = parse(text)
    certificate = certify(network, expression, box_of(ends), max_boxes=1, arithmetic="intervals")
    _, error = worst_point(network, expression, box_of(ends), points=20_000)
    assert error <= certificate.bound < np.inf


def test_certify_of_linear_form_uses_one_variable():
    text, network, ends = CASES[6]
    certificate = certify(network, parse(text), box_of(ends))
    assert certificate.details["linear_form"] == [1.0, -1.0]
    assert certificate.details["boxes"] < 100


def test_certify_of_zero_error_is_rounding_only():
    network = SigmoidNetwork(
        (SigmoidLayer(np.array([[2.0]]), np.array([-1.0])),), np.array([3.0]), 0.5, scheme="exact"
    )
    expression = parse("0.5 + 3*sigmoid(2*x - 1)")
    certificate = certify(network, expression, Box((0.0,), (1.0,)))
    assert certificate.bound < 1e-12


def test_certify_of_constant_network_is_proved():
    network = SigmoidNetwork((), np.zeros(0), 0.5, scheme="constant", input_dimension=1)
    certificate = certify(network, parse("x"), Box((0.0,), (1.0,)))
    assert 0.5 <= certificate.bound <= 0.52


def test_certify_of_jump_within_tolerance_is_heuristic_with_excluded_measure():
    box = Box((0.0,), (1.0,))
    network = SigmoidNetwork(
        (SigmoidLayer(np.array([[800.0], [0.3]]), np.array([-400.0, 0.0])),),
        np.array([1.0, 0.0]),
        0.0,
        scheme="step",
    )
    expression = parse("where(x < 0.5, 0, 1)")
    certificate = certify(network, expression, box, tolerance=0.02)
    points = np.random.default_rng(0).random((200_000, 1))
    worse = np.abs(expression(points) - network(points)) > certificate.bound
    assert certificate.status == "heuristic"
    assert worse.mean() <= certificate.excluded_measure <= 0.05
    assert certificate.bound <= 0.02


def test_certify_of_jump_without_tolerance_is_a_proved_large_bound():
    text, network, ends = "where(x < y, 1, 0)", CASES[5][1], CASES[5][2]
    certificate = certify(network, parse(text), box_of(ends))
    _, error = worst_point(network, parse(text), box_of(ends), points=20_000)
    assert certificate.status == "proved"
    assert error <= certificate.bound <= 1.1 * error


def wave_table(cells, lipschitz=(7.0,)):
    x = np.linspace(0, 1, cells + 1)
    return TableTarget(np.sin(2 * np.pi * x), Box((0.0,), (1.0,)), lipschitz)


def test_certify_of_table_is_conditional_and_covers_functions_that_fit():
    network = networks.spectral(lambda x: np.sin(2 * np.pi * x), 0, 1, 8, 6.0)
    table = wave_table(400)
    certificate = certify(network, table, Box((0.0,), (1.0,)))
    # The worst function that fits: up with the Lipschitz constant from every node, then down.
    x = np.linspace(0, 1, 400 * 32 + 1)[:, None]
    nodes = np.linspace(0, 1, 401)
    gap = np.abs(x - nodes[None])
    values = np.sin(2 * np.pi * nodes)
    upper = (values + 7.0 * gap).min(axis=1)
    lower = (values - 7.0 * gap).max(axis=1)
    error = max(np.abs(upper - network(x)).max(), np.abs(lower - network(x)).max())
    assert certificate.status == "conditional"
    assert error <= certificate.bound <= 1.15 * error


def test_certify_of_table_on_smaller_box_uses_the_cells_it_meets():
    x, y = np.meshgrid(np.linspace(-1, 2, 61), np.linspace(0, 1, 41), indexing="ij")
    table = TableTarget(x * y, Box((-1.0, 0.0), (2.0, 1.0)), (1.0, 2.0))
    network = networks.random_features(lambda p: p[:, 0] * p[:, 1], (0, 0), (1, 1), 20)
    box = Box((0.013, 0.27), (0.71, 0.93))
    certificate = certify(network, table, box)
    _, error = worst_point(network, lambda p: p[:, 0] * p[:, 1], box, points=20_000)
    assert error <= certificate.bound <= error + 2 * table.slack


def test_certify_of_table_without_lipschitz_leaves_out_the_whole_box():
    network = networks.spectral(lambda x: np.sin(2 * np.pi * x), 0, 1, 8, 6.0)
    certificate = certify(network, wave_table(50, None), Box((0.0,), (1.0,)))
    assert certificate.status == "heuristic"
    assert certificate.excluded_measure == 1.0


def test_certify_of_callable_holds_a_table():
    network = networks.spectral(lambda x: np.sin(2 * np.pi * x), 0, 1, 8, 6.0)
    target = CallableTarget(lambda x: np.sin(2 * np.pi * x), Box((0.0,), (1.0,)), (6.3,))
    certificate = certify(network, target, Box((0.0,), (1.0,)), tolerance=0.005)
    assert certificate.status == "conditional"
    assert certificate.target["kind"] == "table"
    assert certificate.met


def test_certify_of_black_box_is_pac():
    network = networks.spectral(lambda x: np.sin(2 * np.pi * x), 0, 1, 8, 6.0)
    box = Box((0.0,), (1.0,))
    target = BlackBoxTarget(lambda x: np.sin(2 * np.pi * x), box)
    certificate = certify(network, target, box, samples=10_000, delta=1e-3, seed=5)
    assert certificate.status == "pac"
    assert certificate.details["seed"] == 5
    assert certificate.excluded_measure == pytest.approx(np.log(1e3) / 10_000)


def test_certify_of_black_box_with_hidden_peak_claims_no_sup_bound():
    box = Box((0.0,), (1.0,))
    network = networks.spectral(lambda x: 0 * x, 0, 1, 3, 2.0)
    target = BlackBoxTarget(lambda x: np.exp(-(((x - 0.12345) / 1e-6) ** 2)), box)
    certificate = certify(network, target, box, samples=2_000)
    assert certificate.status == "pac"
    assert certificate.bound < 0.01
    assert certificate.excluded_measure > 0


def test_certify_of_undefined_formula_is_refused():
    network = networks.spectral(np.sin, 0, 1, 3, 2.0)
    with pytest.raises(UsageError, match="1/x"):
        certify(network, parse("1/x"), Box((0.0,), (1.0,)))


def test_certify_with_other_dimension_is_refused():
    network = networks.spectral(np.sin, 0, 1, 3, 2.0)
    with pytest.raises(UsageError, match="one dimension"):
        certify(network, parse("x + y"), Box((0.0, 0.0), (1.0, 1.0)))


def test_certify_of_target_on_smaller_box_checks_the_whole_box():
    network = networks.spectral(np.sin, 0, 1, 3, 2.0)
    target = ExpressionTarget(parse("log(x)"), Box((0.5,), (1.0,)))
    with pytest.raises(UsageError, match="log"):
        certify(network, target, Box((0.0,), (1.0,)))


def test_certify_leaves_precision_of_flint_alone():
    before = flint.ctx.prec
    text, network, ends = CASES[0]
    certify(network, parse(text), box_of(ends))
    assert flint.ctx.prec == before
