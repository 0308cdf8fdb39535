import numpy as np
import pytest

from pellucid.approximation.certificate.monomials import monomials
from pellucid.approximation.certificate.polynomial_range import polynomial_range


@pytest.mark.parametrize(("dimension", "degree", "nodes"), [(1, 8, 12), (2, 5, 9), (3, 3, 5)])
def test_polynomial_range_contains_values_and_is_close(dimension, degree, nodes):
    generator = np.random.default_rng(0)
    m = monomials(dimension, degree)
    coefficients = generator.normal(size=(m.count, 30))
    t = generator.uniform(-1, 1, size=(4000, dimension))
    t[:500] = np.sign(t[:500])
    values = np.prod(t[:, None] ** m.exponents, axis=-1) @ coefficients
    low, high, least, most = polynomial_range(
        coefficients, dimension=dimension, degree=degree, nodes=nodes
    )
    assert (values.min(axis=0) >= low).all()
    assert (values.max(axis=0) <= high).all()
    assert (least >= low).all()
    assert (most <= high).all()


def test_polynomial_range_on_fine_grid_is_within_a_percent():
    coefficients = np.array([[0.0], [-3.0], [0.0], [4.0]])  # the Chebyshev polynomial T_3
    low, high, _, _ = polynomial_range(coefficients, dimension=1, degree=3, nodes=64)
    assert 1.0 <= high[0] <= 1.01
    assert -1.01 <= low[0] <= -1.0
