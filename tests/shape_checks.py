"""Check the annotated shapes of tensors at run time, and nothing else.

Plain types are left to our own argument checks, which have tests that pass wrong ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from beartype import beartype
from jaxtyping import AbstractArray


def check_shapes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` checking those arguments and results annotated by jaxtyping."""
    annotations = getattr(function, "__annotations__", {})
    kept = {name: hint for name, hint in annotations.items() if _is_shape(hint)}
    if not kept:
        return function
    function.__annotations__ = kept
    return beartype(function)


def _is_shape(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, AbstractArray)
