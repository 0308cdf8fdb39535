"""The page's script, run by Node where there is one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pellucid.reports.approximation.build_up import embed_network
from pellucid.reports.approximation.cell_splits import split_cells
from pellucid.reports.approximation.report import render_report
from pellucid.reports.embedded_script import join_scripts
from tests.reports.approximation import synthetic_approximation as synthetic

NODE = shutil.which("node")
FORMULAS = ("numbers", "network", "constructions")

pytestmark = pytest.mark.skipif(NODE is None, reason="needs Node")


def run(script: str) -> str:
    assert NODE is not None
    result = subprocess.run(
        [NODE, "-"], input=script, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def evaluate(expression: str, **values: object):
    names = "".join(f"const {name} = {json.dumps(value)};" for name, value in values.items())
    script = f'"use strict";{join_scripts("pellucid.reports.approximation", FORMULAS)}\n{names}'
    return json.loads(run(f"{script}\nconsole.log(JSON.stringify({expression}));"))


@pytest.mark.parametrize(
    "make", [synthetic.approximate_line, synthetic.approximate_square, synthetic.approximate_solid]
)
def test_evaluate_network_is_what_numpy_computes(make):
    approximation = make()
    points = approximation.box.sample(50, np.random.default_rng(3))
    answers = evaluate(
        "points.map((point) => evaluateNetwork(readNetwork(embedded), point))",
        points=points.tolist(),
        embedded=embed_network(approximation.network),
    )
    size = np.abs(approximation.network.output_weight).sum()
    assert np.abs(approximation.network(points) - answers).max() <= 1e-14 * size


def test_tower_value_is_what_the_audit_says():
    center, edge, corner = evaluate(
        "[[0.5, 0.5], [0.45, 0.5], [0.45, 0.45]]"
        ".map(([x, y]) => towerValue(x, y, [0.45, 0.55, 0.45, 0.55], 500))"
    )
    assert center == pytest.approx(1, abs=1e-12)
    assert edge == pytest.approx(0.5, abs=1e-6)
    assert corner == pytest.approx(3.72e-44, rel=0.01)


def test_bump_value_is_half_its_height_on_the_edge():
    assert evaluate("bumpValue(0.4, 500, -200, 300, 3)") == pytest.approx(1.5)


def test_tiling_value_is_one_on_an_edge_and_a_hole_at_a_vertex():
    edge, vertex = evaluate(
        "[[0.3, 0.35], [0.3, 0.3]].map(([x, y]) => tilingValue(x, y, 10, 500, () => 1))"
    )
    assert edge == pytest.approx(1, abs=1e-6)
    assert vertex < 1e-40


def test_grid_value_of_a_constant_is_that_constant_everywhere():
    points = [*np.random.default_rng(0).random((200, 2)).tolist(), [0.3, 0.3], [0, 0], [1, 1]]
    values = evaluate("points.map(([x, y]) => gridValue(x, y, 10, 80, () => 3))", points=points)
    assert np.abs(np.array(values) - 3).max() < 1e-12


def test_grid_value_is_the_sum_over_all_gates():
    k, w, gain = 6, 90.0, 40.0
    shift = np.log(gain / np.log(3) - 1)
    heights = np.random.default_rng(1).normal(size=(k, k))
    points = np.random.default_rng(2).random((40, 2))

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    steps = np.diff(np.diff(heights, axis=0, prepend=0), axis=1, prepend=0)
    expected = []
    for x, y in points:
        p = [1.0] + [sigmoid(w * (x - i / k) + shift) for i in range(1, k)]
        q = [1.0] + [sigmoid(w * (y - j / k) + shift) for j in range(1, k)]
        gates = 2 * sigmoid(gain * (np.add.outer(p, q) - 2))
        expected.append((steps * gates).sum())
    values = evaluate(
        "points.map(([x, y]) => gridValue(x, y, 6, 90, (i, j) => heights[i][j]))",
        points=points.tolist(),
        heights=heights.tolist(),
    )
    assert np.abs(np.array(values) - expected).max() < 1e-11


def test_soft_steps_are_second_order():
    worst = (
        "(k, c) => { const f = (x) => Math.sin(2 * Math.PI * x); const g = reflected(f);"
        "return Math.max(...spread(0, 1, 501).map((x) => Math.abs(staircaseValue(x, k, c * k,"
        "(i) => g((i + 0.5) / k), ghostCells(c)) - f(x)))); }"
    )
    coarse, fine, steep = evaluate(f"[[20, 3], [40, 3], [40, 40]].map(([k, c]) => ({worst})(k, c))")
    assert 3.6 < coarse / fine < 4.4
    assert fine < steep / 5


def test_replay_splits_gives_the_values_of_the_samples():
    x = np.linspace(0, 1, 33)
    values = np.exp(-20 * ((x[:, None] - 0.3) ** 2 + x**2))
    cells = split_cells(values, 0.05)
    shown = evaluate("replaySplits(cells.start, cells.splits, 1000)", cells=cells.to_json())
    assert len(shown) == len(cells.largest)
    area = 0.0
    for cell in shown:
        low, high = (np.rint(np.array(cell[end]) * 32).astype(int) for end in ("low", "high"))
        (i0, j0), (i1, j1) = low, high
        part = values[i0 : i1 + 1, j0 : j1 + 1]
        assert cell["radius"] == pytest.approx((part.max() - part.min()) / 2, rel=1e-5, abs=1e-12)
        assert cell["value"] == pytest.approx((part.max() + part.min()) / 2, rel=1e-5, abs=1e-12)
        area += (i1 - i0) * (j1 - j0) / 32**2
    assert area == pytest.approx(1)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123456, "0.01235"), (-2, "−2"), (3.72e-44, "3.72e−44"), (12345.6, "12 346"), (1e7, "1e7")],
)
def test_write_number_is_as_people_write_it(value, text):
    assert evaluate("writeNumber(value)", value=value) == text


@pytest.mark.parametrize(
    ("make", "is_small"),
    [
        (synthetic.approximate_line, True),
        (synthetic.approximate_square, True),
        (synthetic.approximate_solid, True),
        (lambda: synthetic.approximate_solid(2, dimension=4), True),
        (synthetic.approximate_huge, False),
    ],
    ids=["one", "two", "three", "four", "huge"],
)
def test_page_script_draws_every_view_and_moves_with_every_control(make, is_small):
    page = render_report(make())
    data, script = re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL)
    ids = re.findall(r'id="(view-[a-z]+|page-data|self-check)"', page)
    stub = (Path(__file__).parent / "page_stub.js").read_text()
    after = """
    for (const id of IDS.filter((id) => id.startsWith("view-"))) {
      if (byId[id].children.length === 0) throw new Error(`${id} is empty`);
    }
    let controls = 0;
    for (const node of everything.slice()) {
      if (node.name === "input" && node.type === "range") {
        for (const end of [node.min, node.max]) { node.value = end; node.fire("input", {}); }
      } else if (node.name === "input") { node.checked = true; node.fire("change", {}); }
      else if (node.name === "button") node.fire("click", {});
      else if (node.name === "select") {
        for (const option of node.children) { node.value = option.value; node.fire("change", {}); }
      } else if (node.attributes.tabindex) {
        for (const key of ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"]) {
          node.fire("keydown", { key, preventDefault() {} });
        }
        node.fire("pointermove", { clientX: 200, clientY: 150 });
      } else continue;
      controls++;
    }
    console.log(JSON.stringify({ controls, check: byId["self-check"].textContent }));
    process.exit(0);
    """
    head = f"const IDS = {json.dumps(ids)};\nconst DATA = {json.dumps(data)};\n"
    result = json.loads(run(head + stub + script + after))
    assert result["controls"] >= 15
    assert ("agree with those computed" in result["check"]) is is_small
