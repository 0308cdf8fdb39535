"""What the commands `bump`, `tower` and `tile` share: options, formulas, the files they write."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid._checks import UsageError
from pellucid.cli.arguments import Parser, add_output_options

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pellucid.approximation.network import SigmoidNetwork

NETWORK, PICTURE, FACTS = "network.safetensors", "picture.svg", "facts.json"


def add_shape_options(parser: Parser) -> None:
    """Add ``-o``, ``--json`` and ``--quiet``."""
    parser.add_argument(
        "-o",
        "--out",
        metavar="DIR",
        help=f"write {NETWORK}, {PICTURE} and {FACTS} there (nothing is written)",
    )
    add_output_options(parser)


def check_folder(out: str | None) -> Path | None:
    """Return the folder to write to; refuse one that has files.

    Raises:
        UsageError: It is a file, or not empty.
    """
    if out is None:
        return None
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--out must be a new or empty folder, got {out!r}. Use another one.")
    return folder


def write_shape(
    folder: Path,
    facts: Mapping[str, Any],
    *,
    network: SigmoidNetwork | None,
    draw: Callable[[], Figure],
) -> list[str]:
    """Write network, picture and facts; return a line for each file."""
    from pellucid.reports.approximation.shape_figures import save_figure
    from pellucid.runs.atomic_files import write_atomically

    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    if network is not None:
        network.save(folder / NETWORK)
        lines.append(f"network  {folder / NETWORK}")
    save_figure(draw(), folder / PICTURE)
    text = json.dumps(facts, indent=2, allow_nan=False) + "\n"
    write_atomically(folder / FACTS, text.encode())
    return [*lines, f"picture  {folder / PICTURE}", f"facts    {folder / FACTS}"]


def weights_in_json(network: SigmoidNetwork) -> dict[str, Any]:
    """Return every weight of a small network, layer by layer."""
    from pellucid.approximation.network import dense

    return {
        "hidden": [
            {"weight": dense(layer.weight).tolist(), "bias": layer.bias.tolist()}
            for layer in network.hidden
        ],
        "output_weight": network.output_weight.tolist(),
        "output_bias": network.output_bias,
    }


def write_sum(terms: Sequence[tuple[float, str]], constant: float) -> str:
    """Return ``500 x - 200`` from its terms and its constant; terms with weight 0 are left out.

    Example:
        >>> write_sum([(500.0, "x"), (0.0, "y"), (-1.0, "z")], -200.0)
        '500 x - z - 200'
    """
    text = ""
    for weight, name in [*terms, (constant, "")]:
        if weight == 0:
            continue
        size = f"{abs(weight):.10g}"
        part = name if size == "1" and name else f"{size} {name}".strip()
        sign = "-" if weight < 0 else "+"
        if text:
            text += f" {sign} {part}"
        else:
            text = f"-{part}" if sign == "-" else part
    return text or "0"


def cautions(remarks: Sequence[str]) -> list[str]:
    """Return remarks as lines that stand out."""
    return [f"caution: {remark}" for remark in remarks]
