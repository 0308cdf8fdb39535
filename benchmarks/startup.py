"""Seconds until ``import pellucid`` and ``pellucid --help`` are done, and what they import.

    python benchmarks/startup.py

Each figure is the median of fresh processes, run in turn with a bare ``python -c pass``. Goals:
the import costs at most 50 ms over the bare interpreter, any ``--help`` takes at most 0.3 s, and
neither imports torch. Writes ``docs/measurements/startup.md``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import describe_machine, machine_line

TABLE = Path(__file__).resolve().parent.parent / "docs" / "measurements" / "startup.md"

BARE = "python -c pass"
IMPORT = "import pellucid"
IMPORT_GOAL_MS, HELP_GOAL_MS = 50, 300
COMMANDS = ("", "fit", "evaluate", "explain", "report", "data", "data check", "doctor")
_CALL_MAIN = "import sys; sys.argv[0] = 'pellucid'; from pellucid.cli import main; sys.exit(main())"
_COUNT = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "


def programs() -> dict[str, list[str]]:
    """Return what is run: a title and the arguments of ``python``, without the interpreter."""
    found = {BARE: ["-c", "pass"], IMPORT: ["-c", "import pellucid"]}
    for command in COMMANDS:
        title = " ".join(["pellucid", command, "--help"]).replace("  ", " ")
        found[title] = ["-c", _CALL_MAIN, *command.split(), "--help"]
    return found


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run one fresh interpreter."""
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=os.environ, check=False
    )


def imported(arguments: list[str]) -> set[str]:
    """Return the modules that are loaded when the program ends."""
    code, *rest = arguments[1:]
    done = run(["-c", _COUNT + code, *rest])
    return set(done.stderr.split())


def measure(rounds: int) -> tuple[dict[str, float], dict[str, set[str]], list[str]]:
    """Return median milliseconds, the modules, and the programs that do not run (yet)."""
    candidates = programs()
    broken = [title for title, arguments in candidates.items() if run(arguments).returncode != 0]
    working = {title: a for title, a in candidates.items() if title not in broken}
    times: dict[str, list[float]] = {title: [] for title in working}
    for number in range(rounds):
        for title, arguments in working.items():
            started = time.perf_counter()
            run(arguments)
            times[title].append(1e3 * (time.perf_counter() - started))
        print(f"round {number + 1}/{rounds}", file=sys.stderr)
    modules = {title: imported(arguments) for title, arguments in working.items()}
    return {title: statistics.median(values) for title, values in times.items()}, modules, broken


def render_table(
    medians: dict[str, float], modules: dict[str, set[str]], broken: list[str], rounds: int
) -> str:
    """Return the markdown page."""
    bare = medians[BARE]
    lines = [
        "# Start-up",
        "",
        "Written by `python benchmarks/startup.py`. Medians of "
        f"{rounds} fresh processes each, run in turn; files are in the system's cache.",
        "",
        "| | ms | over bare, ms | × bare | modules loaded | torch imported | goal |",
        "|---|---|---|---|---|---|---|",
    ]
    for title, value in medians.items():
        torch = "yes" if "torch" in modules[title] else "no"
        if title == BARE:
            goal = ""
        elif title == IMPORT:
            goal = _verdict(value - bare, IMPORT_GOAL_MS, "over bare", torch)
        else:
            goal = _verdict(value, HELP_GOAL_MS, "in all", torch)
        lines.append(
            f"| `{title}` | {value:.0f} | {value - bare:.0f} | {value / bare:.2f} | "
            f"{len(modules[title])} | {torch} | {goal} |"
        )
    lines.append("")
    if broken:
        lines.append(f"- Not measured, because they do not run: {', '.join(broken)}.")
    machine = describe_machine(threads=os.cpu_count() or 1, distributions=("pellucid",))
    lines.append(f"- {machine_line(machine)}.")
    return "\n".join(lines) + "\n"


def _verdict(value: float, goal: float, what: str, torch: str) -> str:
    met = value <= goal and torch == "no"
    return f"≤ {goal} ms {what}: {'met' if met else '**not met**'}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10, help="fresh processes for each figure")
    parser.add_argument("--table", type=Path, default=TABLE, help="the markdown file to write")
    options = parser.parse_args()
    medians, modules, broken = measure(options.rounds)
    if BARE not in medians or IMPORT not in medians:
        raise SystemExit(f"these must run, but do not: {', '.join(broken)}. Install Pellucid.")
    options.table.parent.mkdir(parents=True, exist_ok=True)
    options.table.write_text(render_table(medians, modules, broken, options.rounds))
    print(f"wrote {options.table}", file=sys.stderr)


if __name__ == "__main__":
    main()
