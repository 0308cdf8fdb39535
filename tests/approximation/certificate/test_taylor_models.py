import flint
import numpy as np
import pytest

from pellucid.approximation.certificate.expression_models import expression_model
from pellucid.approximation.certificate.monomials import monomials
from pellucid.approximation.certificate.network_models import network_model
from pellucid.approximation.certificate.taylor_models import Arithmetic
from pellucid.approximation.expressions import parse
from tests.approximation.certificate import networks

FORMULAS = [
    ("sin(5*x)*cos(4*y) + x*y", (0, 0), (1, 1)),
    ("exp(-20*((x-0.5)**2 + (y-0.5)**2))", (0, 0), (1, 1)),
    ("sqrt(x) + sqrt(y)", (0, 0), (1, 1)),
    ("abs(x - y) + max(x, y, 0.5) - min(x, 2*y)", (0, 0), (1, 1)),
    ("hypot(x, y) + hypot(x - 0.5, 0.1)", (-1, -1), (1, 1)),
    ("log(x + 2)/(1 + y**2) + 1/(3 + x)", (-1, -1), (1, 1)),
    ("tanh(3*x)*sigmoid(5*y) + erf(x*y)", (-1, -1), (1, 1)),
    ("tan(x) + atan(3*y) + asin(x*0.9) - acos(0.5*y)", (-1, -1), (1, 1)),
    ("sinh(x)*cosh(2*y) + x**7 - y**-2", (-1, 0.5), (1, 1)),
    ("(x + 1.5)**y + (x + 2)**2.5 + (y+1)**(1/3)", (-1, 0), (1, 1)),
    ("where(x < y, x, y**2) + sign(x - 0.3)", (0, 0), (1, 1)),
    ("where(x**2 + y**2 < 0.5 and not x > 0.6, 1, x)", (0, 0), (1, 1)),
    ("pi*x + e*y + 0.1", (0, 0), (1, 1)),
]


def parts(lower, upper, count):
    lower, upper = np.array(lower, float), np.array(upper, float)
    grid = np.stack(np.meshgrid(*[np.arange(count)] * len(lower), indexing="ij"), -1)
    grid = grid.reshape(-1, len(lower))
    side = (upper - lower) / count
    return lower + grid * side, lower + (grid + 1) * side


def points_of(arithmetic, generator, count=40):
    """Return points (n, count, d) of the boxes, corners among them, and their t in [-1, 1]."""
    n, d = arithmetic.count, arithmetic.dimension
    t = generator.uniform(-1, 1, size=(n, count, d))
    t[:, : 2**d] = np.stack(np.meshgrid(*[[-1, 1]] * d), -1).reshape(-1, d)
    x = arithmetic.middle.T[:, None] + t * arithmetic.radius.T[:, None]
    x = np.clip(x, arithmetic.lower.T[:, None], arithmetic.upper.T[:, None])
    t = (x - arithmetic.middle.T[:, None]) / arithmetic.radius.T[:, None]
    return x, t


def polynomial(arithmetic, coefficients, t):
    powers = np.prod(t[:, :, None, :] ** arithmetic.monomials.exponents, axis=-1)
    return np.einsum("npm,mn->np", powers, coefficients)


@pytest.mark.parametrize("balls", [False, True])
@pytest.mark.parametrize("degree", [1, 4, 6])
@pytest.mark.parametrize(("text", "lower", "upper"), FORMULAS)
def test_expression_model_on_boxes_holds_at_points(text, lower, upper, degree, balls):
    expression = parse(text, 2)
    ends = parts(lower, upper, 3 if balls else 8)
    with flint.ctx.workprec(80):
        arithmetic = Arithmetic(*ends, degree=degree, balls=balls)
        model = expression_model(expression, arithmetic)
        coefficients, remainder = arithmetic.to_floats(model)
    x, t = points_of(arithmetic, np.random.default_rng(0))
    value = expression(x.reshape(-1, 2)).reshape(x.shape[:2])
    gap = np.abs(polynomial(arithmetic, coefficients, t) - value)
    slack = 1e-13 * (1 + np.abs(value))
    assert (gap <= remainder.sum(axis=0)[:, None] + slack).all()
    assert (value >= model.lower[:, None] - slack).all()
    assert (value <= model.upper[:, None] + slack).all()


@pytest.mark.parametrize(("text", "lower", "upper"), FORMULAS[:2] + FORMULAS[5:8])
def test_expression_model_of_smaller_boxes_has_remainder_of_its_order(text, lower, upper):
    def largest(count):
        arithmetic = Arithmetic(*parts(lower, upper, count), degree=3)
        return expression_model(parse(text, 2), arithmetic).total.max()

    assert largest(32) < largest(16) / 8


NETWORKS = [
    networks.separable([(np.sin, np.cos)], (6, 5), (6.0, 6.0)),
    networks.exponential(),
    networks.ridge((1.0, -1.0), np.abs, -1, 1),
    networks.random_features(lambda p: p[:, 0] * p[:, 1], (0, 0), (1, 1), 12, hidden=3),
    networks.random_features(lambda p: p[:, 0] * p[:, 1], (0, 0), (1, 1), 8, steepness=500.0),
]


@pytest.mark.parametrize("balls", [False, True])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.scheme)
def test_network_model_on_boxes_holds_at_points(network, balls):
    with flint.ctx.workprec(80):
        arithmetic = Arithmetic(*parts((0, 0), (1, 1), 4), degree=5, balls=balls)
        model = network_model(network, arithmetic)
        coefficients, remainder = arithmetic.to_floats(model)
    x, t = points_of(arithmetic, np.random.default_rng(0))
    value = network(x.reshape(-1, 2)).reshape(x.shape[:2])
    gap = np.abs(polynomial(arithmetic, coefficients, t) - value)
    # Evaluation in float64 errs too.
    slack = 1e-14 * np.abs(network.output_weight).sum() + 1e-13
    assert (gap <= remainder.sum(axis=0)[:, None] + slack).all()


def test_network_model_in_float64_contains_the_one_in_balls():
    network = NETWORKS[0]
    ends = parts((0, 0), (1, 1), 4)
    with flint.ctx.workprec(80):
        exact = Arithmetic(*ends, degree=5, balls=True)
        middle, _ = exact.to_floats(network_model(network, exact))
    rough = Arithmetic(*ends, degree=5)
    model = network_model(network, rough)
    gap = np.abs(model.coefficients - middle).sum(axis=0)
    assert (gap <= model.remainder[-1]).all()


def test_network_model_of_no_hidden_layer_is_its_bias():
    from pellucid.approximation.network import SigmoidNetwork

    network = SigmoidNetwork((), np.zeros(0), 0.25, scheme="constant", input_dimension=2)
    model = network_model(network, Arithmetic(*parts((0, 0), (1, 1), 2), degree=2))
    assert (model.coefficients[0] == 0.25).all()
    assert (model.coefficients[1:] == 0).all()


@pytest.mark.parametrize(("dimension", "degree"), [(1, 5), (2, 3), (3, 2)])
def test_multiply_of_polynomials_equals_numpy(dimension, degree):
    generator = np.random.default_rng(1)
    m = monomials(dimension, degree)
    a, b = generator.normal(size=(2, m.count, 1))
    arithmetic = Arithmetic(-np.ones((1, dimension)), np.ones((1, dimension)), degree=degree)
    product = arithmetic._product(a, b, degree)[:, 0]
    expected = np.zeros(m.count)
    place = {tuple(e): i for i, e in enumerate(m.exponents)}
    for i, left in enumerate(m.exponents):
        for j, right in enumerate(m.exponents):
            if tuple(left + right) in place:
                expected[place[tuple(left + right)]] += a[i, 0] * b[j, 0]
    np.testing.assert_allclose(product, expected, atol=1e-13)


def test_expression_model_of_undefined_formula_is_unbounded_not_wrong():
    arithmetic = Arithmetic(np.array([[-1.0]]), np.array([[1.0]]), degree=3)
    model = expression_model(parse("1/x"), arithmetic)
    assert np.isinf(model.total).all()
    assert not np.isnan(model.coefficients).any()
