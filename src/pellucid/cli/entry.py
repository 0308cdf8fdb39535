"""``main``: find the command, run it, and turn what went wrong into one line and an exit code."""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from pellucid import __version__
from pellucid._checks import PellucidError, UsageError, did_you_mean
from pellucid.cli.output import Interruption, print_error, print_note

COMMANDS = {
    "fit": ("pellucid.cli.fit", "train a prototype tree on images and write its report"),
    "evaluate": ("pellucid.cli.evaluate", "measure a trained tree on test images"),
    "explain": ("pellucid.cli.explain", "say why a trained tree answers as it does"),
    "serve": ("pellucid.cli.serve", "open a local page: drop an image, follow its path"),
    "study": ("pellucid.cli.study", "compare penalties over several seeds, with a verdict"),
    "compact": ("pellucid.cli.compact", "remove the dead units of a study's network for good"),
    "approximate": (
        "pellucid.cli.approximate",
        "write a small network with a proved error bound",
    ),
    "verify": ("pellucid.cli.verify", "prove the bound of such a network again"),
    "bump": ("pellucid.cli.bump", "write down two sigmoids that make a bump"),
    "tower": ("pellucid.cli.tower", "write down five sigmoids that make a tower"),
    "tile": ("pellucid.cli.tile", "cover a box with towers, and see the holes they leave"),
    "report": ("pellucid.cli.report", "write the report of a run, study or network again"),
    "data": ("pellucid.cli.data", "look at a folder of images: `pellucid data check DIR`"),
    "doctor": ("pellucid.cli.doctor", "say what this machine has and what is missing"),
}
EXAMPLES = """\
examples:
  pellucid fit digits
  pellucid fit photos/ -o runs/photos
  pellucid explain runs/photos photo.jpg
  pellucid study photos/ --arms none,l1,l2
  pellucid approximate "sin(6*x)*cos(4*y)" --box 0 1 0 1 --tolerance 0.01
  pellucid doctor
"""
_BUG = (
    "pellucid: this is a bug. Please report it with the lines above and the output of "
    "`pellucid doctor`."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What follows ``pellucid`` on the command line; None takes ``sys.argv``.

    Returns:
        0, or 1 (a check failed, or a bug), 2 (usage), 3 (bad data), 4 (diverged),
        130 or 143 (interrupted).
    """
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks must not end a training.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Threads that spin while they wait slow each other down manyfold where cores are shared: three
    # fits of four threads on four cores took 2.5 s an epoch like this, two took 6 to 26 s without.
    # OpenMP reads it when torch loads; a value that the user set stays.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    given = list(sys.argv[1:] if arguments is None else arguments)
    before = _heed_termination()
    try:
        code = _run(given)
        sys.stdout.flush()
        return code
    except Interruption as stop:
        print_error(f"{stop}", kind="")
        return stop.exit_code
    except KeyboardInterrupt as stop:
        code = int(getattr(stop, "exit_code", 130))
        print_error("interrupted", kind="")
        return code
    except PellucidError as error:
        print_error(str(error))
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does. Nothing can be said to them any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        # A full disk or a forbidden folder is the machine's matter, not a bug.
        print_error(_describe_system_error(error))
        return 3
    except MemoryError:
        print_error("there is not enough memory. Use a smaller --size, --batch-size or --depth.")
        return 3
    except Exception:
        import traceback

        traceback.print_exc()
        print_note(_BUG)
        return 1
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _run(given: list[str]) -> int:
    if not given:
        print_note(_help().rstrip())
        return UsageError.exit_code
    first = given[0]
    if first in ("-h", "--help"):
        print(_help(), end="")
        return 0
    if first in ("-V", "--version"):
        print(f"pellucid {__version__}")
        return 0
    if first == "help":
        return _run([*given[1:2], "--help"])
    if first not in COMMANDS:
        what = "option" if first.startswith("-") else "command"
        choices = ["--help", "--version"] if what == "option" else [*COMMANDS, "help"]
        raise UsageError(
            f"{what} must be one of {', '.join(choices)}, got {first!r}. "
            f"{did_you_mean(first, choices) or 'See `pellucid --help`.'}"
        )
    module = importlib.import_module(COMMANDS[first][0])
    try:
        return int(module.run(given[1:]))
    except SystemExit as stop:  # argparse's way out of --help
        return int(stop.code or 0)


def _help() -> str:
    listed = "\n".join(f"  {name:<13}{summary}" for name, (_, summary) in COMMANDS.items())
    return (
        "usage: pellucid COMMAND [options]\n\n"
        "Neural networks that a person can read.\n\n"
        f"commands:\n{listed}\n\n"
        "options:\n"
        "  -h, --help     show this help; `pellucid COMMAND --help` shows a command's\n"
        "  -V, --version  show the version\n\n"
        f"{EXAMPLES}"
    )


def _heed_termination() -> signal._HANDLER:
    """Make SIGTERM stop us as Ctrl-C does; return the handler that was there, or None."""

    def stop(number: int, _: FrameType | None) -> NoReturn:
        raise Interruption("interrupted by SIGTERM", 128 + number)

    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGTERM, stop)


def _describe_system_error(error: OSError) -> str:
    where = f" {str(error.filename)!r}" if error.filename is not None else ""
    return f"the system refused{where}: {error.strerror or error}."
