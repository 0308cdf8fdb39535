from __future__ import annotations

import subprocess
import sys

import pytest

from pellucid import __version__
from pellucid.cli import entry

COMMANDS = [[name] for name in entry.COMMANDS] + [["data", "check"]]
HEAVY = ("torch", "torchvision", "timm", "sklearn", "scipy", "matplotlib", "numpy", "PIL", "jinja2")


def test_main_version_prints_it(pellucid):
    assert pellucid("--version").out == f"pellucid {__version__}\n"


def test_main_without_command_shows_the_commands_on_stderr_and_exits_2(pellucid):
    outcome = pellucid()
    assert outcome.code == 2
    assert outcome.out == ""
    assert all(name in outcome.err for name in entry.COMMANDS)


def test_main_help_lists_every_command(pellucid):
    outcome = pellucid("--help")
    assert outcome.code == 0
    assert all(f"  {name} " in outcome.out for name in entry.COMMANDS)


def test_main_help_of_a_command_is_the_command_with_help(pellucid):
    assert pellucid("help", "fit").out == pellucid("fit", "--help").out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_main_command_help_has_examples(pellucid, command):
    outcome = pellucid(*command, "--help")
    assert outcome.code == 0
    assert f"examples:\n  pellucid {command[0]}" in outcome.out


@pytest.mark.parametrize("command", [[], *COMMANDS], ids=" ".join)
def test_main_help_imports_nothing_heavy(command):
    script = (
        "import sys\n"
        "from pellucid.cli import main\n"
        f"code = main({[*command, '--help']!r})\n"
        f"print(code, [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.stderr == "0 []\n"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["fti"], "Did you mean 'fit'?"),
        (["explian"], "Did you mean 'explain'?"),
        (["--verison"], "Did you mean '--version'?"),
        (["data", "chek"], "Did you mean 'check'?"),
        (["fit", "--depht", "3"], "Did you mean '--depth'?"),
        (["fit", "digit"], "Did you mean 'digits'?"),
    ],
)
def test_main_misspelt_word_is_refused_with_a_guess(pellucid, given, expected):
    outcome = pellucid(*given)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("pellucid: error: ")
    assert outcome.err.count("\n") == 1
    assert expected in outcome.err


def test_main_closed_pipe_ends_without_a_trace():
    script = (
        "import sys\n"
        "from pellucid.cli import main\n"
        "sys.stdin.readline()\n"  # until the reader has gone
        "sys.exit(main(['--help']))"
    )
    ran = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert ran.stdin is not None
    assert ran.stdout is not None
    assert ran.stderr is not None
    ran.stdout.close()
    ran.stdin.write("\n")
    ran.stdin.close()
    assert ran.stderr.read() == ""
    assert ran.wait() == 1
    ran.stderr.close()


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (KeyboardInterrupt(), 130, "pellucid: interrupted\n"),
        (entry.Interruption("stopped", 143), 143, "pellucid: stopped\n"),
        (OSError(28, "No space left on device", "x"), 3, "'x': No space left on device"),
        (MemoryError(), 3, "not enough memory"),
    ],
)
def test_main_expected_trouble_is_one_line(pellucid, monkeypatch, error, code, expected):
    def fail(_):
        raise error

    monkeypatch.setattr("pellucid.cli.doctor.run", fail)
    outcome = pellucid("doctor")
    assert outcome.code == code
    assert expected in outcome.err
    assert outcome.err.count("\n") == 1


def test_main_bug_traces_and_says_how_to_report(pellucid, monkeypatch):
    def fail(_):
        raise ZeroDivisionError

    monkeypatch.setattr("pellucid.cli.doctor.run", fail)
    outcome = pellucid("doctor")
    assert outcome.code == 1
    assert "ZeroDivisionError" in outcome.err
    assert "Please report it" in outcome.err


def test_module_runs_as_the_command():
    ran = subprocess.run(
        [sys.executable, "-m", "pellucid", "--version"], capture_output=True, text=True
    )
    assert ran.stdout == f"pellucid {__version__}\n"
