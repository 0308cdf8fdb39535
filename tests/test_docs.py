"""What the documentation shows is run, and what it says of the command line is compared."""

from __future__ import annotations

import importlib.util
import re
import runpy
import shlex
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from pellucid.cli import entry, main
from pellucid.data import load
from pellucid.prototree import classifier

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
CONCEPT = ROOT / "docs" / "concepts" / "prototype-trees.md"
CLI_PAGE = ROOT / "docs" / "reference" / "cli.md"
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
# What is added where a tutorial would train for a minute; the option that comes last wins.
SHORT_STUDY = ["--epochs", "1", "--seeds", "2", "--train-images", "60", "--backend", "sequential"]
SHORT_FIT = ["--epochs", "2", "--size", "32", "--depth", "3"]
SEED_EXAMPLE = ROOT / "examples" / "seed_example.py"


def page_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def code_blocks(path: Path) -> list[tuple[str, str]]:
    """Return the (language, content) of the fenced blocks of a page, directives left out."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)
    return [(language, content) for language, content in found]


def python_blocks() -> list[object]:
    return [
        pytest.param(content, id=f"{page_name(path)}-{number}")
        for path in PAGES
        if path not in TUTORIALS
        for number, (language, content) in enumerate(code_blocks(path))
        if language == "python"
    ]


def shown_outputs() -> list[object]:
    return [
        pytest.param(block, shown, id=page_name(path))
        for path in PAGES
        for (language, block), (next_language, shown) in pairwise(code_blocks(path))
        if (language, next_language) == ("python", "text")
    ]


@pytest.fixture
def short_fits(monkeypatch) -> None:
    """Cut every fit of the estimator short: blocks are to run, not to learn."""
    whole = classifier.fit_tree

    def short(data, recipe, **options):
        return whole(data, replace(recipe, epochs=2, warm_up_epochs=1, depth=2), **options)

    monkeypatch.setattr(classifier, "fit_tree", short)


@pytest.mark.parametrize("block", python_blocks())
@pytest.mark.usefixtures("short_fits")
def test_python_block_runs(block, tmp_path, monkeypatch):
    if "TensorBoardLogger" in block:
        pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "block", "exec"), {"__name__": "block"})


@pytest.mark.parametrize(("block", "shown"), shown_outputs())
def test_output_shown_below_a_python_block_is_what_it_prints(block, shown, capsys):
    exec(compile(block, "block", "exec"), {"__name__": "block"})
    assert capsys.readouterr().out == shown


def test_seed_example_prints_what_the_concept_page_shows(capsys):
    runpy.run_path(str(SEED_EXAMPLE), run_name="__main__")
    printed = capsys.readouterr().out
    assert ("text", printed) in code_blocks(CONCEPT)
    assert "apart < 1e-12 True" in printed


def test_seed_example_and_its_page_agree_on_what_is_shown():
    source = SEED_EXAMPLE.read_text(encoding="utf-8")
    markers = re.findall(r'^:(?:start-after|end-before): "(.+)"$', CONCEPT.read_text(), re.M)
    functions = re.findall(r"^:pyobject: (\w+)$", CONCEPT.read_text(), re.M)
    assert len(markers) == len(functions) == 2
    assert all(source.count(f"{marker}\n") == 1 for marker in markers)
    assert all(f"def {function}(" in source for function in functions)


@pytest.fixture
def few_creatures(monkeypatch) -> None:
    """Let the sets of creatures have a tenth of their pictures."""
    whole = load.load_creatures

    def few(settings, **options):
        counts = {"train_per_class": 10, "validation_per_class": 2, "test_per_class": 5}
        return whole(replace(settings, **counts), **options)

    monkeypatch.setattr(load, "load_creatures", few)


@pytest.mark.parametrize("path", TUTORIALS, ids=page_name)
@pytest.mark.usefixtures("few_creatures")
def test_tutorial_works_from_top_to_bottom(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "tutorial"}
    for language, content in code_blocks(path):
        if language == "python":
            exec(compile(content, "tutorial", "exec"), names)
        elif language == "sh":
            for line in content.splitlines():
                given = shlex.split(line, comments=True)[1:]
                if importlib.util.find_spec("onnxscript") is None:  # an extra
                    given = [word for word in given if word != "--onnx"]
                if given[0] == "study" and "--resume" not in given:
                    given += SHORT_STUDY
                if given[0] == "fit" and given[1].startswith("creatures"):
                    given += SHORT_FIT
                if "--explanations" in given:
                    given += ["--images", "2"]
                assert main(given) == 0, capsys.readouterr().err


def test_tutorial_states_how_many_pictures_train_select_and_judge():
    from pellucid.data import split_images

    splits = split_images([number // 40 for number in range(120)])
    text = " ".join((ROOT / "docs/tutorials/own-images.md").read_text().split())
    said = re.search(r"trains on (\d+) of the 120 pictures, chooses the best epoch by (\d+)", text)
    judged = re.search(r"measures it on (\d+) that", text)
    assert said is not None
    assert judged is not None
    assert [int(said[1]), int(said[2]), int(judged[1])] == [
        len(part) for part in (splits.train, splits.validation, splits.test)
    ]


def test_command_line_page_says_what_help_says():
    tables = runpy.run_path(str(ROOT / "docs" / "cli_tables.py"))
    page = CLI_PAGE.read_text(encoding="utf-8")
    assert page == tables["with_tables"](page), "run `python docs/cli_tables.py`"


def test_command_line_page_has_every_command():
    page = CLI_PAGE.read_text(encoding="utf-8")
    for command in entry.COMMANDS:
        assert f"<!-- from --help: {command}" in page


@pytest.mark.parametrize(
    "path", [README, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"], ids=page_name
)
def test_links_to_files_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[\w-]+)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_readme_has_each_setting_up_command_as_one_line():
    lines = [content for _, content in code_blocks(README) if "-m venv" in content]
    assert [line.count("\n") for line in lines] == [1, 1]
    assert lines[0].endswith(".venv/bin/pellucid fit digits\n")
    marked = README.read_text(encoding="utf-8").split("<!-- command 2: tests -->\n")[1]
    assert marked.startswith(f"```sh\n{lines[1]}")
