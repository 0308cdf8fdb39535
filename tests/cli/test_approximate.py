from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

QUICK = ("--tolerance", "0.05", "--quiet")


def test_approximate_json_has_what_scripts_need(pellucid, tmp_path):
    outcome = pellucid("approximate", "sin(6*x)", *QUICK, "--json", "-o", tmp_path / "wave")
    assert outcome.code == 0
    result = outcome.json
    assert result["status"] == "proved"
    assert 0 < result["bound"] <= 0.05
    assert result["hidden_neurons"] == sum(result["neurons_per_layer"]) > 0
    assert result["parameters"] > result["hidden_neurons"]
    assert result["seconds"] > 0
    for name in ("network", "onnx", "certificate", "report"):
        assert Path(result[name]).is_file()


def test_approximate_text_names_bound_files_and_the_next_command(pellucid, tmp_path):
    outcome = pellucid("approximate", "sin(6*x)", *QUICK, "-o", tmp_path / "wave")
    assert "error at most" in outcome.out
    assert f"pellucid verify {tmp_path / 'wave' / 'certificate.json'}" in outcome.out


def test_approximate_expression_may_begin_with_a_minus(pellucid, tmp_path):
    outcome = pellucid("approximate", "-x", "--box", "-1e-1", "1", "--json", "-o", tmp_path / "a")
    assert outcome.code == 0
    assert outcome.json["hidden_neurons"] <= 1


def test_approximate_box_takes_constants(pellucid, tmp_path):
    outcome = pellucid(
        "approximate", "sin(x)", "--box", "-pi", "pi/2", *QUICK, "--json", "-o", tmp_path / "a"
    )
    assert outcome.code == 0
    ((low, high),) = json.loads(Path(outcome.json["certificate"]).read_text())["box"]
    assert (low, high) == (-math.pi, math.pi / 2)


def test_approximate_without_box_takes_the_unit_box_of_its_variables(pellucid, tmp_path):
    outcome = pellucid("approximate", "x*y", *QUICK, "-o", tmp_path / "a")
    assert "x*y on [0, 1] × [0, 1]" in outcome.out


def test_approximate_table_is_conditional_on_the_slope(pellucid, tmp_path):
    np.save(tmp_path / "hat.npy", np.abs(np.linspace(-1, 1, 401)))
    outcome = pellucid(
        *("approximate", tmp_path / "hat.npy", "--box", -1, 1, "--lipschitz", 1, *QUICK),
        *("--json", "-o", tmp_path / "a"),
    )
    assert outcome.code == 0
    assert outcome.json["status"] == "conditional"
    assert pellucid("verify", outcome.json["certificate"]).code == 0


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("1/x", "--box", "0", "1"), "1/x"),
        (("sin(x", "--box", "0", "1"), "never closed"),
        (("sin(x)", "--tolerance", "0"), "--tolerance must be a number in (0, inf)"),
        (("sni(x)",), "Did you mean 'sin'"),
        (("x", "--box", *("0", "1") * 5), "1 to 4 dimensions"),
        (("x", "--box", "0", "1", "2"), "pairs of ends"),
        (("x", "--box", "1", "0"), "lower < upper"),
        (("x + y", "--box", "0", "1"), "y is coordinate 2"),
        (("x", "--box", "0", "one"), "must be a number such as 0.5 or 2*pi"),
        (("x", "--scheme", "sepparable"), "Did you mean 'separable'"),
        (("x", "--max-neurons", "0"), "--max-neurons must be an integer >= 1"),
        (("__import__('os').system('true')",), "expression cannot be read"),
        (("x", "--lipschitz", "1"), "--lipschitz must be left out"),
        (("none.npy",), "existing file"),
    ],
)
def test_approximate_bad_input_is_one_line_without_traceback(
    pellucid, tmp_path, monkeypatch, given, expected
):
    monkeypatch.chdir(tmp_path)
    outcome = pellucid("approximate", *given)
    assert outcome.code in (2, 3)
    assert outcome.err.startswith("pellucid: error: ")
    first, *below = outcome.err.splitlines()
    assert expected in first
    assert not below or (len(below) == 2 and set(below[1].strip()) == {"^"})
    assert not list(tmp_path.iterdir())


def test_approximate_occupied_folder_is_refused_before_any_work(pellucid, tmp_path):
    (tmp_path / "kept.txt").write_text("x")
    outcome = pellucid("approximate", "sin(6*x)", "-o", tmp_path)
    assert outcome.code == 2
    assert [file.name for file in tmp_path.iterdir()] == ["kept.txt"]


@pytest.mark.parametrize("text", ["where(x < 0.5, 0, 1)", "sqrt(x) + sqrt(y)"])
def test_approximate_jump_or_infinite_slope_gets_a_clear_answer(pellucid, tmp_path, text):
    outcome = pellucid(
        "approximate", text, "--tolerance", "0.1", "--max-seconds", "20", "-o", tmp_path / "a"
    )
    assert "Traceback" not in outcome.err
    assert outcome.code == ("where" in text)
    assert ("may jump" in outcome.err) == ("where" in text)


def test_approximate_into_a_finished_folder_does_not_speak_of_resuming(pellucid, finished_wave):
    outcome = pellucid("approximate", "sin(6*x)", "-o", finished_wave)
    assert outcome.code == 2
    assert "is not empty. Use another -o." in outcome.err


def test_approximate_unreachable_tolerance_keeps_the_best_and_exits_1(pellucid, tmp_path):
    outcome = pellucid(
        *("approximate", "sin(60*x*y)", "--tolerance", "1e-6", "--scheme", "kd"),
        *("--max-neurons", "50", "--json", "--quiet", "-o", tmp_path / "a"),
    )
    assert outcome.code == 1
    assert "was not reached: the best certified bound is" in outcome.err
    assert 0 < outcome.json["hidden_neurons"] <= 50
    assert pellucid("verify", outcome.json["certificate"]).code == 0


def test_approximate_does_not_import_torch(tmp_path):
    script = (
        "import sys\nfrom pellucid.cli import main\n"
        f"code = main(['approximate', 'x', '--quiet', '-o', {str(tmp_path / 'a')!r}])\n"
        "print(code, 'torch' in sys.modules, file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.stderr == "0 False\n"


def test_report_of_an_approximation_is_written_again(pellucid, finished_wave, tmp_path):
    folder = tmp_path / "wave"
    shutil.copytree(finished_wave, folder)
    (folder / "report.html").unlink()
    assert pellucid("report", folder).code == 0
    assert "sin(6*x)" in (folder / "report.html").read_text()
