"""``pellucid approximate``: a function and a tolerance to a network with a proved error bound."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid._checks import DataError, UsageError
from pellucid.cli.arguments import Parser, add_output_options, errors_in_flags, integer
from pellucid.cli.output import Interruption, make_table, print_json, print_lines, print_note

if TYPE_CHECKING:
    from pellucid.approximation.box import Box
    from pellucid.approximation.schemes import Approximation
    from pellucid.approximation.targets import Target

_REMARK_LENGTH = 60
_TABLES = (".npy", ".csv", ".txt")


def build_parser() -> Parser:
    """Return the parser."""
    parser = Parser(
        "approximate",
        "Write down a sigmoid network that is within a tolerance of a function at every point of\n"
        "a box: weights by theorem, not by training, with a certificate that `pellucid verify`\n"
        "confirms from the files alone, and a report that shows how the network works.\n"
        "Exits 0 if the tolerance is proved to hold everywhere, else 1.",
        [
            'pellucid approximate "sin(6*x)*cos(4*y)" --box 0 1 0 1 --tolerance 0.01',
            'pellucid approximate "abs(x)" --box -1 1 --tolerance 0.001 --scheme staircase',
            "pellucid approximate heights.npy --box 0 10 0 10 --tolerance 0.5 --lipschitz 2",
        ],
    )
    # argparse takes -1e-3 for an option; no option of ours begins with a digit.
    parser._negative_number_matcher = re.compile(r"^-(\d|\.\d|pi\b|e\b)")
    parser.add_argument(
        "function",
        metavar="FUNCTION",
        help="an expression in x, y, z, t (or x1 to x4) with + - * / ** ^, numbers, pi, e and sin "
        "cos tan asin acos atan sinh cosh tanh exp log log2 log10 sqrt abs sign sigmoid erf min "
        "max hypot pow where(x < 0, a, b); or a table of values on a regular grid over the box, "
        "boundary included, with --lipschitz: a file .npy, .csv or .txt, first axis x",
    )
    parser.add_argument(
        "--box",
        type=_constant,
        nargs="+",
        metavar="END",
        help="LOWER UPPER for each variable, such as 0 1 -pi pi (0 1 for each)",
    )
    parser.add_argument(
        "--tolerance", type=_constant, default=0.01, metavar="T", help="largest error (0.01)"
    )
    parser.add_argument(
        "--scheme",
        default="auto",
        metavar="NAME",
        help="auto (default: the fewest certified neurons of all), spectral, ridge, separable, "
        "staircase, soft_grid, kd or grid",
    )
    parser.add_argument(
        "--lipschitz",
        type=_constant,
        nargs="+",
        metavar="L",
        help="for a table: bound of the slope, one number or one for each variable. The "
        "certificate is then conditional on it",
    )
    budget = parser.add_argument_group("budget")
    budget.add_argument(
        "--max-neurons", type=integer, default=1_000_000, metavar="N", help="(1000000)"
    )
    budget.add_argument("--max-seconds", type=_constant, default=60.0, metavar="S", help="(60)")
    parser.add_argument(
        "--seed", type=integer, default=0, metavar="N", help="of the search for large errors (0)"
    )
    parser.add_argument(
        "-o", "--out", metavar="DIR", help="folder for the files (runs/approximate-TIME)"
    )
    add_output_options(parser)
    return parser


def run(given: Sequence[str]) -> int:
    """Approximate one function; return 0 if the tolerance is met, else 1."""
    parser = build_parser()
    values = parser.parse(_shield(parser, given))
    with errors_in_flags(parser):
        from pellucid.approximation.schemes import approximate

        if values.out is not None and Path(values.out).is_dir():
            from pellucid.runs.run_folder import refuse_occupied

            refuse_occupied(Path(values.out))
        target, box = _read_target(values)
        writer = _Writer(values)
        try:
            result = approximate(
                target,
                box,
                values.tolerance,
                values.scheme,
                max_neurons=values.max_neurons,
                max_seconds=values.max_seconds,
                seed=values.seed,
                quiet=values.quiet,
                on_improvement=writer.save,
            )
        except (KeyboardInterrupt, Interruption) as stop:
            code = stop.exit_code if isinstance(stop, Interruption) else 130
            raise Interruption(f"interrupted. {writer.what_is_kept()}", code) from None
    files = writer.save(result)
    from pellucid.reports.approximation import write_report

    files["report"] = write_report(result, files["run"] / "report.html")
    if values.json:
        print_json(as_json(result, files))
    else:
        print_lines(describe(result, files))
    if not result.met:
        print_note(_why_not_met(result))
    return 0 if result.met else 1


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _shorten(text: str) -> str:
    return text if len(text) <= _REMARK_LENGTH else f"{text[: _REMARK_LENGTH - 1]}…"


def _why_not_met(result: Approximation) -> str:
    from pellucid.approximation.certificate.certificate import round_up

    certificate = result.certificate
    jumps = getattr(result.target, "continuous", True) is None
    if certificate.status == "heuristic":
        return (
            f"{result.target} may jump: next to a jump no continuous network is close to it. What "
            f"is certified leaves out {certificate.excluded_measure:.2g} of the box's "
            f"{result.box.volume:g}. Approximate each side of the jump by itself."
        )
    return (
        f"the tolerance {result.tolerance:g} was not reached: the best certified bound is "
        f"{round_up(certificate.bound):.4g}, and its network is kept. "
        + (
            "The function may jump: next to a jump nothing continuous is close to it."
            if jumps
            else "Raise --max-neurons or --max-seconds, or the tolerance."
        )
    )


class _Writer:
    """Writes the best network so far into a run folder, which is made with the first one."""

    def __init__(self, values: argparse.Namespace) -> None:
        self._values = values
        self._run: Any = None
        self._saved: Any = None
        self._files: dict[str, Path] = {}

    def save(self, result: Approximation) -> dict[str, Path]:
        """Write the files of ``result``; return them by name, the folder as ``run``."""
        from pellucid.runs import Run

        if self._run is None:
            config = {
                "command": "approximate",
                **{name: value for name, value in vars(self._values).items() if name != "out"},
                "box": result.box.to_json(),
            }
            self._run = Run.create(self._values.out, command="approximate", config=config)
        with self._run.exclusive():
            if self._saved is not result.network:
                self._files = result.save(self._run.path)
                self._saved = result.network
            else:
                result.save_candidates(self._run.path)
        return {"run": self._run.path, **self._files}

    def what_is_kept(self) -> str:
        """Say where the best network so far is, if there is one."""
        if not self._files:
            return "No network was certified yet, so nothing was written."
        folder = self._run.path
        return (
            f"The best network so far and its certificate are in {folder}; "
            f"`pellucid report {folder}` writes their report."
        )


def as_json(result: Approximation, files: dict[str, Path]) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    network, certificate = result.network, result.certificate
    return {
        "scheme": result.scheme,
        "hidden_neurons": network.hidden_neurons,
        "neurons_per_layer": list(network.neurons_per_layer),
        "parameters": network.parameters,
        "tolerance": result.tolerance,
        "bound": certificate.bound,
        "met": result.met,
        "status": certificate.status,
        "seconds": result.seconds,
        "candidates": [asdict(candidate) for candidate in result.candidates],
        **{name: str(path) for name, path in files.items()},
    }


def describe(result: Approximation, files: dict[str, Path]) -> list[str]:
    """Return what the command prints for a person."""
    from pellucid.approximation.certificate.certificate import round_up

    rows = [["tried", "neurons", "parameters", "certified bound", "seconds", "remark"]]
    for candidate in result.candidates:
        rows.append(
            [
                candidate.scheme,
                "-" if candidate.hidden_neurons is None else f"{candidate.hidden_neurons:,}",
                "-" if candidate.parameters is None else f"{candidate.parameters:,}",
                "-" if candidate.bound is None else f"{round_up(candidate.bound):.4g}",
                f"{candidate.seconds:.1f}",
                "kept" if candidate.scheme == result.scheme else _shorten(candidate.remark),
            ]
        )
    remark = next(c.remark for c in result.candidates if c.scheme == result.scheme)
    layers = " + ".join(f"{neurons:,}" for neurons in result.network.neurons_per_layer) or "0"
    certificate = result.certificate
    return [
        f"{result.target} on {result.box}, tolerance {result.tolerance:g}",
        "",
        *make_table(rows),
        "",
        f"network      {result.scheme}: {_count(result.network.hidden_neurons, 'hidden neuron')} "
        f"({layers}), {result.network.parameters:,} parameters",
        f"             {remark}",
        f"certificate  {certificate.in_words()}",
        f"files        {files['network']}, {files['onnx'].name}, {files['certificate'].name}",
        f"report       {files['report']}",
        f"check it     pellucid verify {files['certificate']}",
    ]


def _read_target(values: argparse.Namespace) -> tuple[Target, Box]:
    from pellucid.approximation.box import Box
    from pellucid.approximation.expressions import parse
    from pellucid.approximation.targets import target as make_target

    text = values.function
    if Path(text).suffix in _TABLES:
        table = _read_table(Path(text))
        box = (
            Box.from_ends(values.box)
            if values.box
            else Box((0.0,) * table.ndim, (1.0,) * table.ndim)
        )
        if values.lipschitz is None:
            raise UsageError(
                "lipschitz must be given with a table: between its points a function can do "
                "anything without one. Use for example --lipschitz 2."
            )
        return make_target(table, box, values.lipschitz), box
    if values.lipschitz is not None:
        raise UsageError(
            "lipschitz must be left out with an expression: its slopes are enclosed from the "
            f"expression itself, got {values.lipschitz}."
        )
    box = Box.from_ends(values.box) if values.box else None
    expression = parse(text, None if box is None else box.dimension)
    if box is None:
        box = Box.from_ends([0.0, 1.0] * expression.dimension)
    return make_target(expression, box, None), box


def _read_table(path: Path) -> Any:
    import numpy as np

    if not path.is_file():
        raise DataError(f"table must be an existing file, got {str(path)!r}.")
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        return np.loadtxt(path, delimiter="," if path.suffix == ".csv" else None)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(
            f"table must be numbers in a .npy file or in lines of text, got {str(path)!r}, which "
            "cannot be read as such. Write it with numpy.save or numpy.savetxt."
        ) from error


def _constant(text: str) -> float:
    """Return a number from a command line, or the value of an expression such as ``2*pi``."""
    try:
        return float(text)
    except ValueError:
        pass
    import numpy as np

    from pellucid.approximation.expressions import parse

    try:
        expression = parse(text, 1)
        ends = expression(np.array([[0.25], [0.75]]))
    except UsageError:
        ends = [0.0, 1.0]
    if ends[0] != ends[1]:
        raise argparse.ArgumentTypeError(f"must be a number such as 0.5 or 2*pi, got {text!r}")
    return float(ends[0])


def _shield(parser: Parser, given: Sequence[str]) -> list[str]:
    """Let an expression begin with a minus: argparse takes ``-sin(x)`` for an option."""
    options = parser._option_string_actions
    return [
        f" {word}"
        if word.startswith("-") and word.split("=", 1)[0] not in options and _is_expression(word)
        else word
        for word in given
    ]


def _is_expression(word: str) -> bool:
    return not word.startswith("--") and re.search(r"^-[(\d.]|[()*/+^]|^-[xyzt]$", word) is not None
