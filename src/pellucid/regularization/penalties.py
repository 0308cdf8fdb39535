"""Penalties of many networks at once: their gradients, proximal steps and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid._checks import UsageError, check_choice
from pellucid.regularization.penalty import KINDS, NO_GROUP_UNDER_ADAM, Penalty


@dataclass(frozen=True)
class _Term:
    """One term's strengths for a run of neighboring networks; the others do not have it."""

    models: slice
    strengths: Tensor

    @classmethod
    def build(cls, strengths: Sequence[float], *, absent: float, like: Tensor) -> _Term | None:
        users = [index for index, strength in enumerate(strengths) if strength != absent]
        if not users:
            return None
        models = slice(users[0], users[-1] + 1)
        return cls(models, torch.tensor(strengths[models], dtype=like.dtype, device=like.device))

    def times(self, factor: float | Tensor) -> Tensor:
        """Strengths times a number, or times a vector of one number a network."""
        return self.strengths * (factor[self.models] if isinstance(factor, Tensor) else factor)


@dataclass(frozen=True)
class _Terms:
    """What penalizes the parameters of one kind; None where no network uses a term."""

    l2: _Term | None
    l1_gradient: _Term | None
    group_gradient: _Term | None
    l1_proximal: _Term | None
    group_proximal: _Term | None
    max_norm: _Term | None


class StackedPenalty:
    """The penalties of M networks whose parameters are stacked along a leading axis.

    Call `add_gradients` between the backward pass and the optimizer's step, and `proximal_step`
    after it. Both work in place, touch only what some network penalizes, and leave a network
    without a term exactly as it was. A row is what one filter or neuron holds of a parameter
    (one entry of a bias or of a normalization's scale); rows are the groups of ``group`` and
    ``max_norm``.

    Args:
        penalties: One a network.
        parameters: Name to stacked leaf tensor, shape (M, ...), M the number of penalties.
        kinds: Name to ``"weight"``, ``"bias"`` or ``"norm"``, for every parameter.

    Raises:
        UsageError: a parameter has no kind, or its first axis is not M.
    """

    def __init__(
        self,
        penalties: Sequence[Penalty],
        parameters: Mapping[str, Tensor],
        *,
        kinds: Mapping[str, str],
    ) -> None:
        self.penalties = tuple(penalties)
        for name, parameter in parameters.items():
            if name not in kinds:
                raise UsageError(
                    f"kinds must name every parameter, got none for {name!r}. "
                    f"Give one of {', '.join(KINDS)}."
                )
            check_choice(f"kinds[{name!r}]", kinds[name], KINDS)
            if parameter.ndim < 2 or len(parameter) != len(self.penalties):
                raise UsageError(
                    f"parameters[{name!r}] must have shape ({len(self.penalties)}, rows, ...), one "
                    f"slice a penalty, got {tuple(parameter.shape)}."
                )
        self._parameters = dict(parameters)
        self._kinds = {name: kinds[name] for name in parameters}
        like = next(iter(self._parameters.values()))
        self._terms = {
            kind: self._gather_terms(kind, like) for kind in KINDS if kind in self._kinds.values()
        }
        self._last_ramp = max(penalty.ramp for penalty in self.penalties)
        ramps = torch.tensor([penalty.ramp for penalty in self.penalties], dtype=torch.float64)
        # Factor of the strengths = min(1, offset + fraction * slope); no ramp: offset 1, slope 0.
        self._ramp_offset = (ramps == 0).to(like)
        self._ramp_slope = torch.where(ramps > 0, 1 / ramps, 0.0).to(like)

    def _gather_terms(self, kind: str, like: Tensor) -> _Terms:
        def gather(attribute: str, method: str | None) -> _Term | None:
            strengths = [
                getattr(penalty, attribute)
                if penalty.applies_to(kind) and method in (None, penalty.method)
                else 0.0
                for penalty in self.penalties
            ]
            return _Term.build(strengths, absent=0.0, like=like)

        limits = [
            penalty.max_norm
            if penalty.max_norm is not None and penalty.applies_to(kind)
            else float("inf")
            for penalty in self.penalties
        ]
        return _Terms(
            l2=gather("l2", None),
            l1_gradient=gather("l1", "subgradient"),
            group_gradient=gather("group", "subgradient"),
            l1_proximal=gather("l1", "proximal"),
            group_proximal=gather("group", "proximal"),
            max_norm=_Term.build(limits, absent=float("inf"), like=like),
        )

    def _of_kind(self, kind: str) -> Iterator[tuple[str, Tensor]]:
        return (
            (name, parameter)
            for name, parameter in self._parameters.items()
            if self._kinds[name] == kind
        )

    @property
    def polish_steps(self) -> int:
        """The most steps that one of the networks wants to be polished by."""
        return max(penalty.polish_steps for penalty in self.penalties)

    def _ramp_factor(self, fraction: float) -> float | Tensor:
        if fraction >= self._last_ramp:
            return 1.0
        return (self._ramp_offset + fraction * self._ramp_slope).clamp_max(1)

    @torch.no_grad()
    def add_gradients(self, fraction: float) -> None:
        """Add the gradients of L2, and of L1 and groups by ``"subgradient"``, to ``.grad``.

        The subgradient is 0 where a weight, or a whole group, is 0. Parameters without ``.grad``
        are left alone, as an optimizer does.

        Args:
            fraction: Share of the training that is done, in [0, 1]; decides the ramp.
        """
        factor = self._ramp_factor(fraction)
        for kind, terms in self._terms.items():
            l2, l1, group = (
                None if term is None else (term.models, term.times(factor))
                for term in (terms.l2, terms.l1_gradient, terms.group_gradient)
            )
            if l2 is None and l1 is None and group is None:
                continue
            for _, parameter in self._of_kind(kind):
                if parameter.grad is None:
                    continue
                if l2 is not None:
                    weights = parameter[l2[0]]
                    parameter.grad[l2[0]].addcmul_(weights, _spread(l2[1], weights))
                if l1 is not None:
                    weights = parameter[l1[0]]
                    parameter.grad[l1[0]].addcmul_(weights.sign(), _spread(l1[1], weights))
                if group is not None:
                    weights = parameter[group[0]]
                    slopes = _spread(group[1] * _root_of_row_size(weights), weights)
                    lengths = _row_lengths(weights)
                    # A row of zeros divided by the least number stays a row of zeros.
                    directions = weights / lengths.clamp_min(_least(weights))
                    parameter.grad[group[0]].addcmul_(directions, slopes)

    @torch.no_grad()
    def proximal_step(
        self,
        *,
        learning_rate: float | Tensor,
        momentum: float | Tensor = 0.0,
        fraction: float = 1.0,
        steps_taken: int | None = None,
        denominators: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Apply the proximal map of L1 and groups, then shorten rows to ``max_norm``.

        SGD with momentum (PyTorch's: the velocity sums gradients, ``v = momentum * v + g``) takes
        in the long run steps of ``learning_rate / (1 - momentum)`` along the gradient, so that is
        the step of the proximal map too; at first, while the velocity builds up, it is shorter by
        ``1 - momentum ** steps_taken``. Soft threshold first, group shrink second, shortening
        third is the exact proximal map of the sum of the three.

        Source: Yu, "On Decomposing the Proximal Map" (NeurIPS 2013) for the order. Yun, Lozano
        and Yang, "Adaptive Proximal Gradient Methods for Structured Neural Networks" (ProxGen,
        NeurIPS 2021) for the diagonal metric of Adam. Deviation: they leave heavy-ball momentum
        to their averaged form, where no correction is needed.

        Args:
            learning_rate: Of the step just taken; one number, or one a network, shape (M,).
            momentum: Of SGD, in [0, 1); 0 for Adam, whose first moment is an average.
            fraction: Share of the training that is done, in [0, 1]; decides the ramp.
            steps_taken: Steps of the optimizer so far, this one included; None for many.
            denominators: For Adam: name to ``sqrt(v_hat) + eps``, by which the step of each weight
                was divided; shaped like the parameter.

        Raises:
            UsageError: groups with `denominators`; their proximal map has no closed form there.
        """
        step = learning_rate / (1 - momentum) * self._ramp_factor(fraction)
        if steps_taken is not None:
            step = step * (1 - momentum**steps_taken)
        for kind, terms in self._terms.items():
            l1, group = (
                None if term is None else (term.models, term.times(step))
                for term in (terms.l1_proximal, terms.group_proximal)
            )
            limit = terms.max_norm
            if l1 is None and group is None and limit is None:
                continue
            if group is not None and denominators is not None:
                raise UsageError(NO_GROUP_UNDER_ADAM)
            for name, parameter in self._of_kind(kind):
                if l1 is not None:
                    weights = parameter[l1[0]]
                    thresholds = _spread(l1[1], weights)
                    if denominators is not None:
                        thresholds = thresholds / denominators[name][l1[0]]
                    # w - clamp(w, -t, t); two one-sided clamps are faster where t is broadcast.
                    inside = torch.maximum(weights, -thresholds)
                    weights.sub_(torch.minimum(inside, thresholds, out=inside))
                if group is not None:
                    weights = parameter[group[0]]
                    thresholds = _spread(group[1] * _root_of_row_size(weights), weights)
                    lengths = _row_lengths(weights)
                    rest = (lengths - thresholds).clamp_min_(0)
                    weights.mul_(rest / lengths.clamp_min(_least(weights)))
                if limit is not None:
                    weights = parameter[limit.models]
                    lengths = _row_lengths(weights).clamp_min(_least(weights))
                    weights.mul_((_spread(limit.strengths, weights) / lengths).clamp_max(1))

    @torch.no_grad()
    def polish_step(self, *, index: int, learning_rate: float | Tensor) -> None:
        """Take one proximal gradient step without momentum, at full strength.

        Reads ``.grad`` of all parameters: the gradient of the mean loss over all training images.
        A network whose ``polish_steps`` are done (``index`` or fewer) stays bit for bit as it was.

        Args:
            index: Number of the polishing step, from 0.
            learning_rate: Length of the step; one number, or one a network, shape (M,).
        """
        done = torch.tensor([penalty.polish_steps <= index for penalty in self.penalties])
        kept = {
            name: parameter[done.to(parameter.device)].clone()
            for name, parameter in self._parameters.items()
        }
        self.add_gradients(1.0)
        for parameter in self._parameters.values():
            if parameter.grad is not None:
                rate = learning_rate
                if isinstance(rate, Tensor):
                    rate = _spread(rate, parameter)
                parameter.sub_(rate * parameter.grad)
        self.proximal_step(learning_rate=learning_rate)
        for name, parameter in self._parameters.items():
            parameter[done.to(parameter.device)] = kept[name]

    @torch.no_grad()
    def value(self) -> Tensor:
        """Return each network's penalty at full strength, whatever the ramp; float64, shape (M,).

        ``max_norm`` is a constraint and adds nothing.
        """
        total = torch.zeros(len(self.penalties), dtype=torch.float64)
        for name, parameter in self._parameters.items():
            kind = self._kinds[name]
            l1, l2, group = torch.tensor(
                [
                    [p.l1, p.l2, p.group] if p.applies_to(kind) else [0.0, 0.0, 0.0]
                    for p in self.penalties
                ],
                dtype=torch.float64,
            ).unbind(1)
            if not (l1.any() or l2.any() or group.any()):
                continue
            weights = parameter.detach().cpu().double()
            flat = weights.flatten(1)
            lengths = _row_lengths(weights).flatten(1).sum(1)
            total += l1 * flat.abs().sum(1) + l2 / 2 * flat.square().sum(1)
            total += group * _root_of_row_size(weights) * lengths
        return total


def _spread(vector: Tensor, weights: Tensor) -> Tensor:
    """Shape a vector of one number a network to be broadcast over its weights."""
    return vector.view(-1, *[1] * (weights.ndim - 1))


def _row_lengths(weights: Tensor) -> Tensor:
    """Return the Euclidean length of each row, shape (M, rows, 1, ...)."""
    if weights.ndim == 2:
        return weights.abs()
    return torch.linalg.vector_norm(weights, dim=tuple(range(2, weights.ndim)), keepdim=True)


def _root_of_row_size(weights: Tensor) -> float:
    return float(weights[0, 0].numel()) ** 0.5


def _least(weights: Tensor) -> float:
    return torch.finfo(weights.dtype).tiny
