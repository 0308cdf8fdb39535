"""The parser of one command: argparse with our errors, and the options that commands share."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from pellucid._checks import UsageError, did_you_mean


class Parser(argparse.ArgumentParser):
    """One command's parser: errors are `UsageError`, unknown options come with a guess.

    Args:
        command: Name as typed after ``pellucid``.
        description: What it does, in a sentence or two.
        examples: Whole command lines; a test runs each of them.
    """

    def __init__(self, command: str, description: str, examples: Sequence[str]) -> None:
        lines = "\n".join(f"  {example}" for example in examples)
        super().__init__(
            prog=f"pellucid {command}",
            description=description,
            epilog=f"examples:\n{lines}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def parse(self, given: Sequence[str]) -> argparse.Namespace:
        """Return the values of a command line.

        Raises:
            UsageError: an option is unknown or a value is not of its kind.
        """
        values, unknown = self.parse_known_args(list(given))
        if unknown:
            self._refuse(unknown)
        return values

    def _refuse(self, unknown: Sequence[str]) -> NoReturn:
        for text in unknown:
            if text.startswith("-") and text != "-":
                option = text.split("=", 1)[0]
                guess = did_you_mean(option, self._option_string_actions)
                raise UsageError(
                    f"{self.prog} has no option {option!r}. {guess or f'See `{self.prog} --help`.'}"
                )
        raise UsageError(
            f"{self.prog} cannot use {unknown[0]!r}: it has all the arguments it takes. "
            f"See `{self.prog} --help`."
        )

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving the process."""
        message = re.sub(r"^argument (\S+?/)?(--?[\w-]+|\w+): ", r"\2 ", message)
        end = "" if message.endswith((".", "?")) else "."
        raise UsageError(f"{message}{end} See `{self.prog} --help`.")

    def in_flags(self, message: str) -> str:
        """Return a library's error message with its argument names as flags: as the user typed."""
        for action in self._actions:
            flag = next((text for text in action.option_strings if text.startswith("--")), None)
            if flag is None:
                continue
            name = "image_size" if action.dest == "size" else action.dest
            message = re.sub(rf"\b{name}=\((\d+), (\d+)\)", rf"{flag} \1x\2", message)
            message = re.sub(rf"\b{name}=([\w.]+)", rf"{flag} \1", message)
            message = re.sub(rf"^{name}\b", flag, message)
        return message


def integer(text: str) -> int:
    """Return a whole number from a command line."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be an integer, got {text!r}") from None


def number(text: str) -> float:
    """Return a number from a command line."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None


def size(text: str) -> int | tuple[int, int]:
    """Return one side, or (height, width), from ``64`` or ``64x96``."""
    sides = re.fullmatch(r"(-?\d+)(?:[x×](-?\d+))?", text.strip())
    if sides is None:
        raise argparse.ArgumentTypeError(
            f"must be pixels as SIDE or HEIGHTxWIDTH, such as 64 or 64x96, got {text!r}"
        )
    return int(sides[1]) if sides[2] is None else (int(sides[1]), int(sides[2]))


_AMOUNTS = {
    "shift": "shift_fraction",
    "rotate": "rotate_degrees",
    "scale": "scale",
    "flip": "flip",
    "brightness": "brightness",
    "contrast": "contrast",
}


def augmentation_amounts(text: str) -> dict[str, float | bool] | str:
    """Return ``gentle``, or amounts by name from ``shift=0.1,rotate=10,flip``."""
    if text == "gentle":
        return text
    amounts: dict[str, float | bool] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        if name not in _AMOUNTS:
            guess = did_you_mean(name, ["gentle", *_AMOUNTS])
            raise argparse.ArgumentTypeError(
                f"must be 'gentle' or amounts of {', '.join(_AMOUNTS)} such as "
                f"shift=0.1,rotate=10,flip, got {name!r}. {guess}".rstrip()
            )
        if name == "flip":
            if value not in ("", "yes", "no"):
                raise argparse.ArgumentTypeError(f"takes flip, flip=yes or flip=no, got {part!r}")
            amounts["flip"] = value != "no"
        elif not value:
            raise argparse.ArgumentTypeError(f"needs an amount, such as {name}=0.1")
        else:
            amounts[_AMOUNTS[name]] = number(value)
    return amounts


Options = argparse.ArgumentParser | argparse._ArgumentGroup


def add_output_options(parser: Options) -> None:
    """Add ``--json`` and ``--quiet``."""
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object, and nothing else, on stdout"
    )
    parser.add_argument(
        "--quiet", action="store_true", help="no progress and no notes; warnings still show"
    )


def add_device_option(parser: Options, default: str | None = "auto") -> None:
    """Add ``--device``."""
    parser.add_argument(
        "--device",
        default=default,
        metavar="NAME",
        help="auto (default: an accelerator if there is one), cpu, cuda or mps",
    )


def given_options(parser: Parser, values: argparse.Namespace) -> list[str]:
    """Return the flags whose values differ from their defaults, as typed."""
    found: list[str] = []
    for action in parser._actions:
        default: Any = action.default
        if action.dest != "help" and getattr(values, action.dest, default) != default:
            flags = [text for text in action.option_strings if text.startswith("--")]
            found.append(flags[0] if flags else str(action.metavar or action.dest))
    return found


@contextlib.contextmanager
def errors_in_flags(parser: Parser) -> Iterator[None]:
    """Let usage errors of the library inside the block name flags, as the user typed them."""
    try:
        yield
    except UsageError as error:
        raise UsageError(parser.in_flags(str(error))) from error
