"""Directed rounding for arrays of float64, without changing the mode of the processor.

What was rounded to nearest is moved outward: by two units in the last place (ulps) or less after
``+ - * / sqrt``, which IEEE 754 rounds correctly, and by ``ELEMENTARY_ULPS`` after other functions.
Zeros that are exact stay 0, so that signs survive.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: What an elementary function of NumPy or SciPy may err by; see ``intervals``.
ELEMENTARY_ULPS = 8
EPSILON = 2.0**-52
SUBNORMAL = 2.0**-1074
_NORMAL = 2.0**-1022
#: Below this, a rounding error may be larger than ``EPSILON`` relative to the result.
_DELICATE = 1e-290
LARGEST = float(np.finfo(np.float64).max)


def down(values: np.ndarray) -> np.ndarray:
    """Return at most the true value of what was rounded to nearest; 0 stays 0."""
    sizes = np.abs(values)
    if sizes.max(initial=0.0) <= LARGEST:
        return values - sizes * EPSILON
    # An overflow to +inf is below every real number that large.
    return np.where(values == np.inf, LARGEST, values - np.minimum(sizes, 1e300) * EPSILON)


def up(values: np.ndarray) -> np.ndarray:
    """Return at least the true value of what was rounded to nearest; 0 stays 0."""
    sizes = np.abs(values)
    if sizes.max(initial=0.0) <= LARGEST:
        return values + sizes * EPSILON
    return np.where(values == -np.inf, -LARGEST, values + np.minimum(sizes, 1e300) * EPSILON)


def wide_down(values: np.ndarray, ulps: int = ELEMENTARY_ULPS) -> np.ndarray:
    """Return a lower bound of the value of an elementary function."""
    sizes = np.minimum(np.abs(values), LARGEST)
    return np.minimum(values, LARGEST) - (sizes * (ulps * EPSILON) + _NORMAL)


def wide_up(values: np.ndarray, ulps: int = ELEMENTARY_ULPS) -> np.ndarray:
    """Return an upper bound of the value of an elementary function."""
    return -wide_down(-values, ulps)


def never_nan(values: np.ndarray, instead: float) -> np.ndarray:
    """Return the values with ``instead`` for each nan."""
    return np.where(np.isnan(values), instead, values)


def delicate_down(values: np.ndarray, inexact: np.ndarray) -> np.ndarray:
    """Return a lower bound where underflow may have happened; exact zeros stay."""
    result = down(values)
    small = np.abs(values) < _DELICATE
    if small.any():
        result = np.where(small & inexact, result - SUBNORMAL, result)
    return result


def product(
    a_low: np.ndarray, a_high: np.ndarray, b_low: np.ndarray, b_high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds of the product of two intervals."""
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        if b_low is b_high:
            first, second = a_low * b_low, a_high * b_low
            low, high = np.minimum(first, second), np.maximum(first, second)
            products = (first, second)
        else:
            products = (a_low * b_low, a_low * b_high, a_high * b_low, a_high * b_high)
            low = np.minimum(
                np.minimum(products[0], products[1]), np.minimum(products[2], products[3])
            )
            high = np.maximum(
                np.maximum(products[0], products[1]), np.maximum(products[2], products[3])
            )
        if np.isnan(low.sum() + high.sum()):
            # 0 times an unbounded end (or a sum of opposite infinities, for which it is harmless).
            cleaned = [never_nan(product, 0.0) for product in products]
            low = reduced(np.minimum, cleaned)
            high = reduced(np.maximum, cleaned)
    lower, upper = down(low), up(high)
    delicate = (np.abs(low) < _DELICATE) | (np.abs(high) < _DELICATE)
    if delicate.any():
        # Products may have underflowed. A sign that is certain stays.
        zero = ((a_low == 0) & (a_high == 0)) | ((b_low == 0) & (b_high == 0))
        same = ((a_low >= 0) & (b_low >= 0)) | ((a_high <= 0) & (b_high <= 0))
        opposite = ((a_low >= 0) & (b_high <= 0)) | ((a_high <= 0) & (b_low >= 0))
        lower = np.where(delicate, lower - SUBNORMAL, lower)
        upper = np.where(delicate, upper + SUBNORMAL, upper)
        lower = np.where(delicate & (same | zero), np.maximum(lower, 0.0), lower)
        upper = np.where(delicate & (opposite | zero), np.minimum(upper, 0.0), upper)
    return lower, upper


def sign_kept(
    lower: np.ndarray,
    upper: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    most: float = np.inf,
) -> tuple[np.ndarray, np.ndarray]:
    """Clip at 0 the bounds of a function with the sign of its argument (up to ``most``)."""
    lower = np.where((low >= 0) & (high <= most), np.maximum(lower, 0.0), lower)
    upper = np.where((high <= 0) & (low >= -most), np.minimum(upper, 0.0), upper)
    return lower, upper


def reduced(function: Callable[..., np.ndarray], arrays: list[np.ndarray]) -> np.ndarray:
    """Return ``function`` applied to all arrays, one after the other."""
    result = arrays[0]
    for array in arrays[1:]:
        result = function(result, array)
    return result
