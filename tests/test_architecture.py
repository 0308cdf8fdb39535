"""The house rules that a linter does not know."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pellucid
from pellucid.cli.entry import COMMANDS

SOURCE = Path(pellucid.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
PACKAGES = ["pellucid", *sorted(f"pellucid.{p.parent.name}" for p in SOURCE.glob("*/__init__.py"))]
MAXIMAL_LINES = 500
MAXIMAL_NAMES = 15
# Names that say nothing of what is inside.
VAGUE = {"utils", "util", "helpers", "helper", "common", "core", "misc", "base", "tools", "stuff"}
SERIALIZERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
HEAVY = {"torch", "torchvision", "timm", "sklearn", "scipy", "matplotlib", "pandas"}

in_every_file = pytest.mark.parametrize(
    "path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix()
)


def exported(package: str) -> list[tuple[str, object]]:
    module = importlib.import_module(package)
    return [(name, getattr(module, name)) for name in getattr(module, "__all__", [])]


@pytest.mark.parametrize("package", PACKAGES)
def test_exported_members_exist_and_are_documented(package):
    for name, member in exported(package):
        if inspect.isclass(member) or inspect.isroutine(member):
            assert inspect.getdoc(member), f"{package}.{name} has no docstring"


@pytest.mark.parametrize("package", PACKAGES)
def test_exported_members_are_sorted_and_listed_once(package):
    names = [name for name, _ in exported(package) if not name.startswith("_")]
    assert names == sorted(set(names))


@pytest.mark.parametrize("package", PACKAGES[1:])
def test_every_package_says_what_it_is_for(package):
    assert importlib.import_module(package).__doc__


def test_top_level_names_are_few():
    assert len(pellucid.__all__) <= MAXIMAL_NAMES


def test_top_level_dir_lists_the_names():
    assert dir(pellucid) == sorted(pellucid.__all__)


def test_top_level_unknown_name_raises():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        pellucid.nothing  # noqa: B018


@in_every_file
def test_file_is_not_too_long(path):
    lines = len(path.read_text().splitlines())
    assert lines <= MAXIMAL_LINES, f"{lines} lines; split it by concept"


@in_every_file
def test_file_name_says_what_is_inside(path):
    words = set(path.stem.strip("_").split("_")) | {path.parent.name}
    assert not words & VAGUE


@in_every_file
def test_file_starts_with_a_docstring(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def imported_modules(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@in_every_file
def test_file_imports_no_serializer_that_runs_code(path):
    found = {name.split(".")[0] for name in imported_modules(path)} & SERIALIZERS
    # Between our own processes joblib may carry what it likes; its dump and load are not used.
    if path.name == "workers.py":
        assert not re.search(r"joblib\.(dump|load)", path.read_text())
        found -= {"joblib"}
    assert not found


def calls_of(path: Path, *, owner: str, name: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == name
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == owner
    ]


@in_every_file
def test_file_loads_foreign_weights_as_plain_tensors_only(path):
    for call in calls_of(path, owner="torch", name="load"):
        settings = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert settings.get("weights_only") == "True", f"line {call.lineno}"


@in_every_file
def test_file_saves_no_torch_pickle_and_loads_no_numpy_pickle(path):
    assert calls_of(path, owner="torch", name="save") == []
    for call in calls_of(path, owner="np", name="load"):
        settings = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert settings.get("allow_pickle", "False") == "False", f"line {call.lineno}"


@in_every_file
def test_file_neither_evaluates_text_nor_imports_by_the_users_text(path):
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    names = {node.func.id for node in calls if isinstance(node.func, ast.Name)}
    assert not names & {"eval", "exec", "__import__"}


# What must start fast: help of all kinds, of every command.
HELP_COMMANDS: list[list[str]] = [
    ["--help"],
    ["--version"],
    ["help"],
    *([name, "--help"] for name in COMMANDS),
    *(["help", name] for name in COMMANDS),
    ["data", "check", "--help"],
]
_HELP = """
from pellucid.cli import main
try:
    main(sys.argv[1:])
except SystemExit as ending:
    assert ending.code in (0, None), ending.code
"""


def modules_after(code: str, *arguments: str) -> set[str]:
    program = f"import sys\n{code}\nprint('modules:', *(m for m in sys.modules if '.' not in m))"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("modules:")[2].split())


def test_importing_pellucid_imports_nothing_heavy():
    assert not modules_after("import pellucid") & HEAVY


@pytest.mark.parametrize("arguments", HELP_COMMANDS, ids=" ".join)
def test_help_imports_nothing_heavy(arguments):
    assert not modules_after(_HELP, *arguments) & HEAVY


BAD_STUDIES = (
    "--arms l3",
    "--arms none,tree --epochs 0",
    "--arms flips --strength flips=1",
    "--strength l1=-1",
    "--path cosine",
    "--path-points 1",
    "--preset reverence",
    "--preset reference --arms l1",
    "--optimizer sdg",
    "--precision float16",
    "--method subgradient --polish 3",
    "--augment shift=3",
    "--seeds 0",
    "--tune 200",
    "--jobs 0",
    "--backend loki",
    "--size 3",
    "--validation-fraction 1",
    "no-such-folder",
)
_REFUSED = """
from pellucid.cli import main
assert main(sys.argv[1:]) == 2
"""


@pytest.mark.parametrize("options", BAD_STUDIES)
def test_study_that_is_refused_imports_nothing_heavy(options):
    assert not modules_after(_REFUSED, "study", *options.split()) & HEAVY


@pytest.mark.parametrize("package", ["data", "regularization", "training"])
def test_lazy_package_unknown_name_raises(package):
    with pytest.raises(AttributeError, match=f"'pellucid.{package}' has no attribute 'nothing'"):
        importlib.import_module(f"pellucid.{package}").nothing  # noqa: B018


@pytest.mark.parametrize("package", ["data", "regularization", "training"])
def test_lazy_package_importing_it_imports_nothing_heavy(package):
    assert not modules_after(f"import pellucid.{package}") & HEAVY
