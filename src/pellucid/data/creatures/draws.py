"""Random numbers by address: a draw depends on seed, scene and name, never on what came before.

A counter-based generator (Salmon et al. 2011, *Parallel random numbers: as easy as 1, 2, 3*) with
the finalizer of SplitMix64 (Steele, Lea and Flood 2014) as its mixing function. So a picture is the
same in whatever batch it is drawn, and a change of one part redraws nothing else.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_TO_UNIT = 2.0**-53


class Draws:
    """The random numbers of some scenes.

    Args:
        seed: Of the whole set, an integer >= 0.
        scenes: A number for each scene, (b,).
    """

    def __init__(self, seed: int, scenes: NDArray[np.int64]) -> None:
        start = np.full(1, seed, dtype=np.uint64)
        self._keys = _mix(_mix(start + _GOLDEN) ^ (scenes.astype(np.uint64) * _GOLDEN + _FIRST))

    def unit(self, name: str, count: int) -> NDArray[np.float64]:
        """Return ``count`` numbers in [0, 1) for each scene, (b, count)."""
        address = np.arange(count, dtype=np.uint64) + (np.uint64(zlib.crc32(name.encode())) << 20)
        bits = _mix(self._keys[:, None] ^ _mix(address * _GOLDEN + _SECOND)[None])
        return (bits >> np.uint64(11)).astype(np.float64) * _TO_UNIT

    def uniform(self, name: str, count: int, low: float, high: float) -> NDArray[np.float64]:
        """Return ``count`` numbers in [low, high) for each scene, (b, count)."""
        return low + (high - low) * self.unit(name, count)

    def choice(self, name: str, count: int, choices: int) -> NDArray[np.int64]:
        """Return ``count`` integers in [0, choices) for each scene, (b, count)."""
        return (self.unit(name, count) * choices).astype(np.int64)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    return values ^ (values >> np.uint64(31))
