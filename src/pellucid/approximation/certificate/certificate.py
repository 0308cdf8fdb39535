"""The certificate: what was proved of which network on which box, as a JSON file."""

from __future__ import annotations

import decimal
import hashlib
import json
import math
import sys
from dataclasses import dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, get_args

from pellucid._checks import DataError, UsageError
from pellucid.approximation.box import Box

FORMAT = "pellucid-certificate/1"
Status = Literal["proved", "conditional", "pac", "heuristic"]
Method = Literal["branch and bound", "cells", "table nodes", "samples"]
STATUSES: tuple[str, ...] = get_args(Status)
METHODS: tuple[str, ...] = get_args(Method)


@dataclass(frozen=True)
class Certificate:
    """A bound of the absolute error of a network on a box.

    Args:
        target: What is approximated, as JSON: kind, text or values, Lipschitz constants.
        box: Where.
        network_digest: Of the weights, :attr:`SigmoidNetwork.digest`.
        tolerance: What was asked for, if anything.
        bound: The absolute error is at most this; infinite where nothing could be shown.
        status: ``"proved"``; ``"conditional"`` on Lipschitz constants that the user gave;
            ``"pac"``: all but a small part of the box, with high probability; ``"heuristic"``:
            outside a set whose measure is ``excluded_measure``, around jumps of the function.
        method: How it was found.
        rounding: The part of the bound that covers the evaluation in float64.
        excluded_measure: Volume of the part of the box that the bound says nothing of.
        details: Figures of interest. A check reads of them only how samples were drawn, and
            ``arithmetic`` where its time ends before balls have confirmed what intervals proved.
        versions: Of the programs that were used.
        seconds: How long it took.
    """

    target: dict[str, Any]
    box: Box
    network_digest: str
    tolerance: float | None
    bound: float
    status: Status
    method: Method
    rounding: float
    excluded_measure: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def met(self) -> bool:
        """The bound is at most the tolerance; False where none was asked for.

        Never where a part of the box is left out (``"heuristic"``); ``"pac"`` speaks of samples.
        """
        within = self.tolerance is not None and self.bound <= self.tolerance
        return within and self.status != "heuristic"

    def in_words(self) -> str:
        """Say in one sentence what is certified, and on what it rests."""
        if self.status == "pac":
            share = self.details.get("measure")
            rare = "an unknown part" if share is None else f"a share of {share:.2g}"
            sure = 1 - float(self.details.get("delta", 0))
            return (
                f"error up to {round_up(self.bound):.4g} at the sampled points, more on at most "
                f"{rare} of the box with probability {sure:.6g} (pac: nothing is known between "
                "the samples)"
            )
        if not math.isfinite(self.bound):
            return f"no bound of the error could be proved ({self.status})"
        error = f"error at most {round_up(self.bound):.4g}"
        if self.status == "conditional":
            return f"{error} everywhere on the box, if the given slopes hold (conditional)"
        if self.status == "heuristic":
            return (
                f"{error} outside of a set of measure {round_up(self.excluded_measure, 2):.2g} "
                "where the function may jump (heuristic: no bound holds everywhere)"
            )
        return f"{error} everywhere on the box, rounding included (proved, {self.method})"

    def to_json(self) -> dict[str, Any]:
        """Return the content as JSON values, with a seal over all of them."""
        content: dict[str, Any] = {"format": FORMAT}
        for each in fields(self):
            content[each.name] = getattr(self, each.name)
        content["box"] = self.box.to_json()
        if not math.isfinite(self.bound):
            content["bound"] = None
        content["seal"] = seal(content)
        return content

    @classmethod
    def from_json(cls, content: Any) -> Certificate:
        """Return the certificate that :meth:`to_json` wrote; the seal is for ``verify``.

        Raises:
            DataError: Not a certificate, one of another format, or values that make no sense.
        """
        if not isinstance(content, dict):
            raise DataError(f"certificate must be a JSON object, got {type(content).__name__}.")
        if content.get("format") != FORMAT:
            raise DataError(
                f"certificate must have the format {FORMAT!r}, got {content.get('format')!r}. "
                "Use the certificate.json that `pellucid approximate` wrote, with this version."
            )
        names = {each.name for each in fields(cls)}
        given = set(content) - {"format", "seal"}
        if given != names:
            wrong = sorted(given ^ names)
            raise DataError(f"certificate must have the fields of {FORMAT}, got wrong {wrong}.")
        try:
            box = Box.from_json(content["box"])
        except (UsageError, TypeError, ValueError, IndexError, KeyError) as error:
            raise DataError(f"certificate must have a box of pairs: {error}") from error
        certificate = cls(**{**{name: content[name] for name in names}, "box": box})
        certificate._check()
        return cls(
            **{
                **{each.name: getattr(certificate, each.name) for each in fields(cls)},
                "bound": math.inf if content["bound"] is None else float(content["bound"]),
            }
        )

    def _check(self) -> None:
        """Raise DataError for values that no certificate has."""
        numbers = {"bound": self.bound, "tolerance": self.tolerance, "rounding": self.rounding}
        numbers |= {"excluded_measure": self.excluded_measure, "seconds": self.seconds}
        for name, value in numbers.items():
            if value is None and name in ("bound", "tolerance"):
                continue
            plain = isinstance(value, int | float) and not isinstance(value, bool)
            if not plain or not 0 <= float(value) < math.inf:  # type: ignore[arg-type]
                raise DataError(f"certificate must have a number >= 0 as {name}, got {value!r}.")
        for name, value, allowed in (
            ("status", self.status, STATUSES),
            ("method", self.method, METHODS),
        ):
            if value not in allowed:
                raise DataError(f"certificate must have as {name} one of {allowed}, got {value!r}.")
        if not isinstance(self.network_digest, str):
            raise DataError("certificate must have a text as network_digest.")
        for name in ("target", "details", "versions"):
            if not isinstance(getattr(self, name), dict):
                raise DataError(f"certificate must have an object as {name}.")

    def save(self, path: str | Path) -> Path:
        """Write the certificate as JSON."""
        path = Path(path)
        text = json.dumps(self.to_json(), indent=2, allow_nan=False) + "\n"
        partial = path.with_name(path.name + ".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Certificate:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: No such file, not JSON, or not a certificate.
        """
        return cls.from_json(read_content(path))


def round_up(value: float, digits: int = 4) -> float:
    """Return ``value`` >= 0 with so many digits, rounded up: what a person reads still holds."""
    if not math.isfinite(value) or value == 0:
        return value
    rounded = decimal.Decimal(f"{value:.{digits - 1}e}")
    if float(rounded) < value:
        rounded += decimal.Decimal(1).scaleb(rounded.adjusted() - digits + 1)
    return float(rounded)


def read_content(path: str | Path) -> Any:
    """Return the JSON value in a file.

    Raises:
        DataError: No such file, or not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise DataError(f"certificate must be a file, got {str(path)!r}: no such file.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"certificate must be JSON, got {str(path)!r}: {error}.") from error


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def seal(content: dict[str, Any]) -> str:
    """Return the SHA-256 of a certificate's content, without the seal itself.

    The seal finds changes made by accident or without thought. It proves nothing: what a
    certificate says is proved again by ``verify``, whatever the seal is.
    """
    kept = {name: value for name, value in content.items() if name != "seal"}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def program_versions() -> dict[str, str]:
    """Return the versions of what a certificate depends on."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in ("pellucid", "numpy", "scipy", "python-flint"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
