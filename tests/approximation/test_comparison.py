"""A small edition of ``benchmarks/approximation_comparison.py``: the script runs, and tells."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "approximation_comparison.py"


# All but the staircase: 200,000 neurons take a quarter of a minute.
METHODS = ["tiling", "steep-tiling", "linear", "cubic", "chebyshev", "torch", "sklearn", "pellucid"]


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> tuple[dict, str]:
    folder = tmp_path_factory.mktemp("comparison")
    figures, table = folder / "figures.json", folder / "table.md"
    given = ["--quick", "--cases", "sin 2πx", "--results", figures, "--table", table]
    given += ["--methods", *METHODS]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, given)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(figures.read_text()), table.read_text(encoding="utf-8")


def test_comparison_every_method_has_a_row(compared):
    figures, page = compared
    rows = {row["method"]: row for row in figures["rows"]}
    assert list(rows) == METHODS
    assert page.count("SciPy, linear") == 1
    assert "its figures mean nothing" in page


def test_comparison_methods_are_measured_alike(compared):
    rows = {row["method"]: row for row in compared[0]["rows"]}
    for method in ("linear", "cubic", "chebyshev"):
        assert rows[method]["error"] <= 1.25e-5
        assert rows[method]["neurons"] is None
    for method in ("torch", "sklearn"):
        assert (rows[method]["neurons"], rows[method]["parameters"]) == (64, 1153)
        assert rows[method]["error"] < 1
        assert rows[method]["bound"] is None
    assert rows["tiling"]["neurons"] == 2 * 261_800


def test_comparison_certificates_hold(compared):
    row = next(row for row in compared[0]["rows"] if row["method"] == "pellucid")
    assert "failed" not in row
    assert row["error"] <= row["bound"]
