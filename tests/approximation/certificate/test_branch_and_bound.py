import numpy as np
import pytest

from pellucid.approximation.box import Box
from pellucid.approximation.certificate.branch_and_bound import bound_error, equal_parts
from pellucid.approximation.certificate.problem import make_problem
from pellucid.approximation.expressions import parse
from pellucid.approximation.network import SigmoidNetwork
from tests.approximation.certificate import networks


def zero(dimension):
    return SigmoidNetwork((), np.zeros(0), 0.0, scheme="zero", input_dimension=dimension)


def run(text, box, **options):
    problem = make_problem(zero(box.dimension), parse(text, box.dimension), box)
    return bound_error(problem.enclosure, box, **{"target": 1e-9, **options})


@pytest.mark.parametrize(
    ("text", "lower", "upper", "largest"),
    [
        ("x*(1-x)", (0.0,), (1.0,), 0.25),
        ("sqrt(x)", (0.0,), (4.0,), 2.0),
        ("sin(10*x)*cos(7*y)", (0.0, 0.0), (1.0, 1.0), 1.0),
        ("hypot(x, y)", (-1.0, -1.0), (1.0, 1.0), 2**0.5),
        ("x*y*z", (-1.0, -2.0, -1.0), (1.0, 1.0, 3.0), 6.0),
        ("x + y*z*t", (0.0,) * 4, (1.0,) * 4, 2.0),
    ],
)
def test_bound_error_of_known_maximum_is_close_above(text, lower, upper, largest):
    proof = run(text, Box(lower, upper), tightness=1.02)
    assert proof.complete
    assert proof.seen <= largest * (1 + 1e-9)
    assert largest * (1 - 1e-12) <= proof.bound <= 1.021 * largest


def test_bound_error_leaves_cover_the_box():
    box = Box((0.0, 0.0), (1.0, 2.0))
    proof = run("sqrt(x)*abs(y-1)", box, tightness=1.001)
    volume = np.prod(proof.upper - proof.lower, axis=1).sum()
    points = box.sample(2_000, np.random.default_rng(0))[:, None]
    inside = ((points >= proof.lower) & (points <= proof.upper)).all(axis=2)
    assert volume == pytest.approx(box.volume)
    assert inside.any(axis=1).all()


def test_bound_error_when_strict_stops_at_a_false_target():
    proof = run("x*(1-x)", Box((0.0,), (1.0,)), target=0.2, strict=True)
    assert not proof.complete
    assert proof.seen > 0.2


def test_bound_error_out_of_boxes_gives_a_sound_bound():
    network = networks.exponential()
    box = Box((0.0, 0.0), (1.0, 1.0))
    problem = make_problem(network, parse("exp(-200*((x-0.5)**2+(y-0.5)**2))"), box)
    proof = bound_error(problem.enclosure, box, target=1e-6, max_boxes=20)
    assert not proof.complete
    assert proof.bound >= 0.0129


def test_bound_error_in_balls_takes_the_boxes_given():
    network = networks.exponential()
    box = Box((0.0, 0.0), (1.0, 1.0))
    problem = make_problem(network, parse("exp(-200*((x-0.5)**2+(y-0.5)**2))"), box)
    rough = bound_error(problem.enclosure, box, target=0.0137)
    exact = bound_error(
        problem.enclosure,
        box,
        target=rough.bound * (1 + 1e-9),
        strict=True,
        balls=True,
        start=(rough.lower, rough.upper),
    )
    assert exact.complete
    assert exact.bound <= rough.bound * (1 + 1e-9)


def test_bound_error_near_jump_sets_a_small_part_aside():
    proof = run("where(x < 0.3, 0, 1) - where(x < 0.3, 0, 1)*1", Box((0.0,), (1.0,)), may_jump=True)
    assert proof.complete
    assert proof.excluded_measure < 1e-6


@pytest.mark.parametrize("count", [1, 3])
def test_equal_parts_share_their_ends(count):
    lower, upper = equal_parts(Box((0.1, -1.0), (0.7, 5.0)), count)
    assert len(lower) == count**2
    assert set(upper[:, 0]) - {0.7} == set(lower[:, 0]) - {0.1}
