"""Penalties by the names that arms of a study have."""

from __future__ import annotations

from collections.abc import Callable

from pellucid._checks import UsageError, check_choice, check_number
from pellucid.regularization.penalty import Penalty

_BUILDERS: dict[str, tuple[float, Callable[[float], Penalty]]] = {
    "l1": (6e-4, lambda strength: Penalty(l1=strength)),
    "l2": (2.5e-2, lambda strength: Penalty(l2=strength)),
    "elastic_net": (4e-4, lambda strength: Penalty(l1=strength, l2=40 * strength)),
    "group_lasso": (1e-3, lambda strength: Penalty(group=strength)),
    "sparse_group_lasso": (5e-4, lambda strength: Penalty(l1=strength, group=strength)),
    "max_norm": (0.5, lambda strength: Penalty(max_norm=strength)),
}
PENALTY_NAMES = ("none", *_BUILDERS)


def default_strength(name: str) -> float | None:
    """Return the strength that `named_penalty` takes without one; None for ``"none"``.

    Raises:
        UsageError: no penalty has that name.
    """
    check_choice("penalty", name, PENALTY_NAMES)
    return None if name == "none" else _BUILDERS[name][0]


def named_penalty(name: str, strength: float | None = None) -> Penalty:
    """Return the penalty of an arm; the default strengths are tuned to the embedded digits.

    =========================  ================  ================================
    name                       default strength  terms at strength ``s``
    =========================  ================  ================================
    ``none``                                     none
    ``l1``                     6e-4              ``l1=s``
    ``l2``                     2.5e-2            ``l2=s``
    ``elastic_net``            4e-4              ``l1=s, l2=40 * s``
    ``group_lasso``            1e-3              ``group=s``
    ``sparse_group_lasso``     5e-4              ``l1=s, group=s``
    ``max_norm``               0.5               ``max_norm=s``
    =========================  ================  ================================

    Without a ramp, networks collapse under twice the default of ``group_lasso`` or
    ``sparse_group_lasso``, five times that of ``l1``, and below 0.4 of ``max_norm``. No default has
    a ramp or is polished: both change more than the penalty, see ``docs/concepts/penalties.md``;
    use ``dataclasses.replace`` to ask for them.

    Args:
        name: One of `PENALTY_NAMES`.
        strength: > 0, or None for the default.

    Raises:
        UsageError: no penalty has that name, or the strength is not positive, or ``"none"`` is
            given one.
    """
    check_choice("penalty", name, PENALTY_NAMES)
    if name == "none":
        if strength is not None:
            raise UsageError(
                f"strength must be left out for the penalty 'none', got {strength!r}. "
                f"Other penalties have one: {', '.join(_BUILDERS)}."
            )
        return Penalty()
    default, build = _BUILDERS[name]
    if strength is None:
        return build(default)
    return build(check_number(f"strength of {name}", strength, low=0, high=1e4, open_low=True))
