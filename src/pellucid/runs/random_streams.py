"""Independent streams of random numbers, derived from one seed and labels."""

from __future__ import annotations

import hashlib
import json

import torch

from pellucid._checks import check_integer


def sequence_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed that depends on ``seed`` and on labels such as ``("epoch", 3)``.

    The same on every machine and in every version; streams with different labels are independent.
    An epoch's shuffling so depends on its number alone, not on what was drawn before it, which is
    what makes a resumed run equal an uninterrupted one.
    """
    parts: list[str | int] = [check_integer("seed", seed, low=-(2**63), high=2**64 - 1)]
    for name in names:
        parts.append(name if isinstance(name, str) else check_integer("name", name, low=-(2**63)))
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> torch.Generator:
    """Return a CPU generator seeded by :func:`sequence_seed`."""
    return torch.Generator().manual_seed(sequence_seed(seed, *names))
