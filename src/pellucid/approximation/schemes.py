"""From a function, a box and a tolerance to a certified network: try the schemes, keep the least.

The schemes write networks; this file decides which of them to keep, and only by what the
certificate says of each.
"""

from __future__ import annotations

import importlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from threadpoolctl import threadpool_limits

from pellucid._checks import UsageError, check_choice, check_integer, check_number
from pellucid._progress import Progress
from pellucid.approximation.box import Box
from pellucid.approximation.certificate import Certificate, certify
from pellucid.approximation.constructions import Construction, NotApplicable, OverBudget
from pellucid.approximation.network import SigmoidNetwork
from pellucid.approximation.targets import Target, target_from_json
from pellucid.approximation.targets import target as make_target
from pellucid.runs.atomic_files import write_atomically
from pellucid.runs.json_values import read_json

SCHEMES = {
    "spectral": "few sigmoids of one steepness, outer weights by least squares (1-D)",
    "ridge": "functions of one direction each, one hidden layer",
    "separable": "sums of products of functions of one variable",
    "staircase": "one step a neuron between constant values (1-D)",
    "soft_grid": "a grid of wide steps, second order in the cell's side",
    "kd": "cells of different sizes, two hidden layers",
    "grid": "equal cells, two hidden layers",
}
"""Schemes by name, in the order in which ``auto`` tries them: few neurons first, so that a scheme
that needs many is stopped as soon as it has more than the best."""


_LAST_WORD_SECONDS = 10.0
_CELLS = ("staircase", "soft_grid", "kd", "grid")
_SMALL_SHARE = 0.01
"""Around jumps of the function, leaving out more of the box than this is a fault of the network."""


@dataclass(frozen=True)
class Candidate:
    """What became of one scheme.

    Attributes:
        scheme: Its name.
        hidden_neurons: Neurons of all hidden layers; None where the scheme wrote no network.
        parameters: Weights that are not zero, and biases; None as above.
        bound: Certified bound of the sup error; None where there is none.
        status: Of the certificate; None where there is none.
        seconds: Building and certifying.
        remark: In a sentence, why it has no network or what its bound rests on.
    """

    scheme: str
    hidden_neurons: int | None
    parameters: int | None
    bound: float | None
    status: str | None
    seconds: float
    remark: str


@dataclass(frozen=True, eq=False)
class Approximation:
    """A network, the certificate of its error, and what else was tried.

    Attributes:
        network: Its weights.
        certificate: The bound of ``|network - f|`` on the box and what it rests on.
        target: What was approximated.
        box: Where.
        tolerance: What was asked for.
        scheme: Which construction wrote the network.
        candidates: What became of every scheme that was tried, in order.
        seconds: All of it.
    """

    network: SigmoidNetwork
    certificate: Certificate
    target: Target
    box: Box
    tolerance: float
    scheme: str
    candidates: tuple[Candidate, ...]
    seconds: float

    def __str__(self) -> str:
        neurons = self.network.hidden_neurons
        return (
            f"{self.scheme}: {neurons} hidden neuron{'' if neurons == 1 else 's'}; "
            f"{self.certificate.in_words()}"
        )

    @property
    def met(self) -> bool:
        """Whether the certified bound is within the tolerance, everywhere."""
        return self.certificate.met

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Write the network, its certificate and the list of candidates into ``folder``.

        Returns:
            The files by name: ``network`` (safetensors), ``onnx``, ``certificate``, ``candidates``.
        """
        from pellucid.approximation.onnx_export import export_onnx

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return {
            "network": self.network.save(folder / "network.safetensors"),
            "onnx": export_onnx(self.network, folder / "network.onnx"),
            "certificate": self.certificate.save(folder / "certificate.json"),
            "candidates": self.save_candidates(folder),
        }

    def save_candidates(self, folder: str | Path) -> Path:
        """Write what became of every scheme as ``candidates.json`` into ``folder``."""
        rows = [asdict(candidate) for candidate in self.candidates]
        text = json.dumps({"seconds": self.seconds, "candidates": rows}, indent=2, allow_nan=False)
        path = Path(folder) / "candidates.json"
        write_atomically(path, (text + "\n").encode())
        return path

    @classmethod
    def load(cls, folder: str | Path) -> Approximation:
        """Read what :meth:`save` wrote, without proving anything again.

        Raises:
            DataError: A file is missing or damaged.
        """
        folder = Path(folder)
        network = SigmoidNetwork.load(folder / "network.safetensors")
        certificate = Certificate.load(folder / "certificate.json")
        tried = read_json(folder / "candidates.json")
        return cls(
            network=network,
            certificate=certificate,
            target=target_from_json(certificate.target),
            box=certificate.box,
            tolerance=certificate.tolerance or certificate.bound,
            scheme=network.scheme,
            candidates=tuple(Candidate(**row) for row in tried["candidates"]),
            seconds=tried["seconds"],
        )


def approximate(
    f: object,
    box: Box | Sequence[float],
    tolerance: float,
    scheme: str = "auto",
    *,
    lipschitz: float | Sequence[float] | None = None,
    max_neurons: int = 1_000_000,
    max_seconds: float = 60.0,
    seed: int = 0,
    quiet: bool = True,
    on_improvement: Callable[[Approximation], object] | None = None,
) -> Approximation:
    """Write a sigmoid network within ``tolerance`` of ``f`` on ``box``, with a certificate.

    With ``scheme="auto"`` every scheme that fits is tried and the fewest *certified* hidden neurons
    win; where no scheme reaches the tolerance, the smallest certified bound does, and
    ``result.met`` is False.

    Args:
        f: An expression such as ``"sin(6*x)*cos(4*y)"`` (variables x, y, z, t), a callable that
            takes points (n, d) and returns (n,), an array of values on a regular grid over the box
            with its boundary, or a target of `pellucid.approximation.targets`.
        box: Where: a `Box`, or ``(lower_1, upper_1, lower_2, ...)``; 1 to 4 dimensions.
        tolerance: Of the sup norm, above 0.
        scheme: ``"auto"`` or one of :data:`SCHEMES`.
        lipschitz: Bounds of ``|df/dx_i|`` on the box for a callable or an array, one number or one
            a variable. An expression needs none. A callable without one is a black box: its
            certificate only says how rare a larger error is.
        max_neurons: Budget of hidden neurons; a scheme stops there with the best it has.
        max_seconds: Budget of time for the search among the schemes, kept to roughly. The proof in
            ball arithmetic of the network that is kept may take ten seconds more.
        seed: Of whatever is drawn at random: starting points, and samples of a black box.
        quiet: Show no progress.
        on_improvement: Called with the best result so far each time there is a better one.

    Raises:
        UsageError: An argument outside what is allowed; an expression that is undefined or infinite
            somewhere on the box; a target for which no scheme can write a network.

    Example:
        >>> result = approximate("sin(6*x)", (0, 1), 0.01)
        >>> result.met, result.certificate.status
        (True, 'proved')
    """
    started = time.monotonic()
    tolerance = check_number(
        "tolerance",
        tolerance,
        low=0.0,
        open_low=True,
        remedy="No network of finitely many sigmoids is exact in general; use for example 0.01.",
    )
    check_choice("scheme", scheme, ["auto", *SCHEMES])
    max_neurons = check_integer("max_neurons", max_neurons, low=1)
    max_seconds = check_number("max_seconds", max_seconds, low=0.0, open_low=True)
    seed = check_integer("seed", seed, low=0)
    box = box if isinstance(box, Box) else Box.from_ends(list(box))
    target = make_target(f, box, lipschitz)

    search = _Search(target, box, tolerance, seed, started, max_seconds, on_improvement)
    names = list(SCHEMES) if scheme == "auto" else [scheme]
    # Many small least-squares problems: threads that wait for each other make them slower.
    with (
        threadpool_limits(1, user_api="blas"),
        Progress(len(names), "scheme", "approximate", quiet=quiet, leave=False) as progress,
    ):
        for name in names:
            progress.postfix({"scheme": name, **search.so_far()})
            search.try_scheme(name, max_neurons, is_last=name == names[-1])
            progress.update()
        search.prove()
    return search.result()


class _Search:
    """What is known while the schemes are tried, one after the other."""

    def __init__(
        self,
        target: Target,
        box: Box,
        tolerance: float,
        seed: int,
        started: float,
        max_seconds: float,
        on_improvement: Callable[[Approximation], object] | None,
    ) -> None:
        self._target, self._box, self._tolerance, self._seed = target, box, tolerance, seed
        self._started, self._max_seconds = started, max_seconds
        self._on_improvement = on_improvement
        self._candidates: list[Candidate] = []
        self._best: tuple[str, SigmoidNetwork, Certificate] | None = None

    def so_far(self) -> dict[str, str]:
        """Return the best so far, for the progress bar."""
        if self._best is None:
            return {}
        _, network, certificate = self._best
        return {"neurons": str(network.hidden_neurons), "bound": f"{certificate.bound:.2g}"}

    def try_scheme(self, name: str, max_neurons: int, *, is_last: bool) -> None:
        """Build and certify with one scheme, and keep the result if it is better.

        A scheme of cells takes half of the time that is left, so that the later ones get some too;
        the others stop after counted work. The certificate is in float64 intervals here, ten times
        faster than in balls.
        """
        begin = time.monotonic()
        capped = ""
        if self._best is not None and self._rank(*self._best[1:])[:2] <= (1.0, _SMALL_SHARE):
            # A network that is no smaller than the best would not be kept.
            best = self._best[1].hidden_neurons
            if best <= max_neurons:
                max_neurons = best - 1
                capped = f"not smaller: stopped at {best:,}"
        left = self._seconds_left()
        if max_neurons < 1 or left <= 0:
            self._add(name, begin, capped if left > 0 else "not tried: no time was left")
            return
        try:
            share = 0.5 if name in _CELLS and not is_last else 1.0
            built = self._build(name, max_neurons, share * left)
        except OverBudget as reason:
            self._add(name, begin, capped or str(reason))
            return
        except NotApplicable as reason:
            self._add(name, begin, str(reason))
            return
        if capped and built.details.get("met") is False:
            self._add(name, begin, capped)
            return
        left = self._seconds_left()
        certificate = self._certify(built.network, left if is_last else left / 2, "intervals")
        if capped and certificate.bound > self._tolerance:
            self._add(name, begin, capped)
            return
        self._add(name, begin, built.remark, built.network, certificate)
        if self._is_better(built.network, certificate):
            self._best = (name, built.network, certificate)
            if self._on_improvement is not None:
                self._on_improvement(self.result())

    def prove(self) -> None:
        """Prove the kept network again in balls, which have the last word."""
        if self._best is None:
            return
        name, network, _ = self._best
        seconds = max(_LAST_WORD_SECONDS, self._seconds_left())
        self._best = (name, network, self._certify(network, seconds, "balls"))

    def _seconds_left(self) -> float:
        return self._max_seconds - (time.monotonic() - self._started)

    def _certify(
        self, network: SigmoidNetwork, seconds: float, arithmetic: Literal["intervals", "balls"]
    ) -> Certificate:
        return certify(
            network,
            self._target,
            self._box,
            tolerance=self._tolerance,
            seed=self._seed,
            max_seconds=max(1.0, seconds),
            arithmetic=arithmetic,
        )

    def _build(self, name: str, max_neurons: int, max_seconds: float) -> Construction:
        home = "kd_cells" if name == "kd" else name
        module = importlib.import_module(f"pellucid.approximation.constructions.{home}")
        construct: Callable[..., Construction] = getattr(module, home)
        return construct(
            self._target,
            self._box,
            tolerance=self._tolerance,
            max_neurons=max_neurons,
            max_seconds=max_seconds,
        )

    def _is_better(self, network: SigmoidNetwork, certificate: Certificate) -> bool:
        if self._best is None:
            return True
        _, best_network, best = self._best
        return self._rank(network, certificate) < self._rank(best_network, best)

    def _rank(self, network: SigmoidNetwork, certificate: Certificate) -> tuple[float, ...]:
        neurons = network.hidden_neurons
        if certificate.met:
            return (0.0, neurons, network.parameters)
        share = certificate.excluded_measure / self._box.volume
        if certificate.bound <= self._tolerance:  # but not everywhere
            return (1.0, max(share, _SMALL_SHARE), neurons, share)
        return (2.0, certificate.bound, neurons)

    def _add(
        self,
        name: str,
        begin: float,
        remark: str,
        network: SigmoidNetwork | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        self._candidates.append(
            Candidate(
                scheme=name,
                hidden_neurons=None if network is None else network.hidden_neurons,
                parameters=None if network is None else network.parameters,
                bound=_finite(certificate),
                status=None if certificate is None else certificate.status,
                seconds=time.monotonic() - begin,
                remark=remark,
            )
        )

    def result(self) -> Approximation:
        """Return the best so far.

        Raises:
            UsageError: No scheme wrote a network.
        """
        if self._best is None:
            reasons = "; ".join(f"{c.scheme}: {c.remark}" for c in self._candidates)
            raise UsageError(
                f"no scheme could write a network for {self._target} on {self._box} ({reasons}). "
                "Use a larger tolerance, more max_neurons or max_seconds, or scheme='auto'."
            )
        name, network, certificate = self._best
        return Approximation(
            network=replace(network, scheme=name),
            certificate=certificate,
            target=self._target,
            box=self._box,
            tolerance=self._tolerance,
            scheme=name,
            candidates=tuple(self._candidates),
            seconds=time.monotonic() - self._started,
        )


def _finite(certificate: Certificate | None) -> float | None:
    if certificate is None or not math.isfinite(certificate.bound):
        return None
    return certificate.bound
