"""What samples say of a black box: all but a small part of the box, with high probability.

Of n independent uniform points none has an error above the largest one seen. If the set of worse
points had measure more than ``ln(1/delta) / n`` (as a fraction of the box), this would happen with
probability below ``(1 - ln(1/delta)/n)^n <= delta``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pellucid._checks import DataError
from pellucid.approximation.box import Box
from pellucid.approximation.certificate.taylor_models import Floats
from pellucid.approximation.network import SigmoidNetwork

_CHUNK = 2**16


def sampled_bound(
    network: SigmoidNetwork,
    function: Callable[[Floats], Floats],
    box: Box,
    *,
    samples: int,
    seed: int,
) -> float:
    """Return the largest absolute error at ``samples`` uniform points drawn from ``seed``.

    Raises:
        DataError: The function is not a finite number at one of them.
    """
    generator, worst = np.random.default_rng(seed), 0.0
    for first in range(0, samples, _CHUNK):
        points = box.sample(min(_CHUNK, samples - first), generator)
        errors = np.abs(np.asarray(function(points), dtype=np.float64) - network(points))
        if not np.isfinite(errors).all():
            where = points[int(np.argmin(np.isfinite(errors)))].tolist()
            raise DataError(
                f"the function must be finite in the box, got another value at {where}."
            )
        worst = max(worst, float(errors.max()))
    return worst


def measure_of_worse(samples: int, delta: float) -> float:
    """Return the fraction of the box that can have errors above the largest one seen."""
    return min(1.0, math.log(1 / delta) / samples)
