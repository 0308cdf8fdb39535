from __future__ import annotations

import json

import numpy as np
import pytest

from pellucid.approximation.network import SigmoidNetwork
from pellucid.cli.shapes import write_sum


def test_bump_prints_the_weights_and_where_the_steps_are(pellucid):
    outcome = pellucid("bump")
    assert outcome.code == 0
    assert "y = s(500 x - 200) + s(-500 x + 300) - 1" in outcome.out
    assert "step up    500      -200  x = 0.4" in outcome.out
    assert "0.5 and 0.5" in outcome.out
    assert (
        "with the weight 1000 and the old biases the edges would be at 0.2 and 0.3" in outcome.out
    )
    assert "Two hidden neurons are the fewest" in outcome.out
    assert "caution" not in outcome.out


def test_bump_json_has_weights_and_facts(pellucid):
    facts = pellucid("bump", "--rise", 0.3, "--fall", 0.7, "--direction", 1, 0, "--json").json
    assert facts["shape"] == "ridge bump"
    assert facts["weights"]["hidden"][0] == {
        "weight": [[500.0, 0.0], [-500.0, 0.0]],
        "bias": [-150.0, 350.0],
    }
    assert facts["peak"] == 1.0
    assert facts["remarks"] == []


def test_bump_two_steepnesses_and_a_slanted_direction(pellucid):
    outcome = pellucid("bump", "--steepness", 100, 200, "--direction", 1, -0.5, "--height", -2)
    assert "y = -2 s(100 x - 50 y - 40) - 2 s(-200 x + 100 y + 120) + 2" in outcome.out
    assert "found by search" in outcome.out


def test_bump_narrower_than_its_steps_is_cautioned(pellucid):
    outcome = pellucid("bump", "--rise", 0.4, "--fall", 0.402)
    assert outcome.code == 0
    assert "caution: this bump vanishes" in outcome.out


@pytest.mark.parametrize("command", ["bump", "tower"])
def test_shape_is_written_and_read_back(pellucid, tmp_path, command):
    outcome = pellucid(command, "-o", tmp_path / "new")
    assert outcome.code == 0
    assert f"network  {tmp_path / 'new' / 'network.safetensors'}" in outcome.out
    network = SigmoidNetwork.load(tmp_path / "new" / "network.safetensors")
    assert network(np.full((1, network.input_dimension), 0.5))[0] == pytest.approx(1.0)
    assert (tmp_path / "new" / "picture.svg").read_text().count("<svg") == 1
    assert json.loads((tmp_path / "new" / "facts.json").read_text())["shape"] == command


def test_shape_folder_with_files_is_refused(pellucid, tmp_path):
    (tmp_path / "file").write_text("")
    outcome = pellucid("bump", "-o", tmp_path)
    assert outcome.code == 2
    assert "--out must be a new or empty folder" in outcome.err


def test_tower_prints_the_weights_and_the_values(pellucid):
    outcome = pellucid("tower")
    assert "200 s(500 x - 225) + 200 s(-500 x + 275)" in outcome.out
    assert "gate            200 each  -700" in outcome.out
    assert "3.72e-44" in outcome.out
    assert "Five hidden neurons are the fewest for a rectangle" in outcome.out
    assert "leave a hole at every corner" in outcome.out


def test_tower_that_vanishes_is_cautioned(pellucid):
    outcome = pellucid("tower", "--rise", 0.5, 0.5, "--fall", 0.505, 0.505)
    assert outcome.code == 0
    assert "caution: this tower vanishes" in outcome.out
    assert pellucid("tower", "--rise", 0.5, "--fall", 0.505, "--json").json["vanishes"] is False


@pytest.mark.parametrize("dimension", [1, 3, 4])
def test_tower_other_dimensions_say_how_many_neurons(pellucid, dimension):
    ends = ["--rise", *[0.2] * dimension, "--fall", *[0.8] * dimension]
    assert f"{2 * dimension + 1} hidden neurons:" in pellucid("tower", *ends).out


def test_tile_says_where_the_holes_are_and_what_it_costs(pellucid):
    outcome = pellucid("tile", "1 + 0.5*sin(2*pi*x)*cos(2*pi*y)", "--tolerance", 0.3)
    assert "121 towers of 0.09091 × 0.09091: 605 hidden neurons" in outcome.out
    assert "The tolerance 0.3 is not kept" in outcome.out
    assert "- holes: at every corner" in outcome.out
    assert "14.34 / c²" in outcome.out
    assert "No continuous choice of fewer than 55 parameters" in outcome.out


def test_tile_constant_function_has_error_one(pellucid):
    facts = pellucid("tile", "1 + 0*x*y", "--cells", 10, "--json").json
    assert facts["vertex_error"] == 1.0
    assert facts["center_error"] < 1e-9
    assert facts["meets_tolerance"] is None


def test_tile_constant_function_by_tolerance_is_one_tower(pellucid):
    facts = pellucid("tile", "1 + 0*x*y", "--tolerance", 0.01, "--json").json
    assert (facts["towers"], facts["worst_error"]) == (1, 1.0)


def test_tile_one_dimension_keeps_the_tolerance(pellucid):
    facts = pellucid("tile", "x*(1 - x)", "--tolerance", 0.1, "--json").json
    assert facts["meets_tolerance"] is True
    assert facts["hidden_neurons"] == 2 * facts["towers"] == 10


@pytest.mark.parametrize("expression", ["sin(6*x)", "x*y", "x*y*z"])
def test_tile_is_written(pellucid, tmp_path, expression):
    outcome = pellucid("tile", expression, "--cells", 3, "-o", tmp_path / "new")
    assert outcome.code == 0, outcome.err
    assert (
        SigmoidNetwork.load(tmp_path / "new" / "network.safetensors").scheme == "reference tiling"
    )
    assert "<svg" in (tmp_path / "new" / "picture.svg").read_text()


def test_tile_box_and_cells_of_each_axis(pellucid):
    given = ["--box", -1, 2, 0, 1, "--cells", 6, 2, "--shifts", 2, "--steepness", 100]
    facts = pellucid("tile", "x*y", *given, "--json").json
    assert facts["box"] == [[-1.0, 2.0], [0.0, 1.0]]
    assert facts["towers"] == 12 + 21


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["bump", "--rise", "0.6", "--fall", "0.4"], "--rise must be below fall"),
        (["bump", "--rise", "nan"], "--rise must be a number"),
        (["bump", "--steepness", "0"], "--steepness must be a number in (0, inf), got 0.0"),
        (["bump", "--steepness", "1", "2", "3"], "--steepness must be one number or two"),
        (["bump", "--height", "0"], "--height must not be 0"),
        (["bump", "--ris", "1"], "has no option '--ris'. Did you mean '--rise'?"),
        (["tower", "--rise", "0.5"], "--rise and fall must be equally many"),
        (["tower", "--gate", "-1"], "--gate must be a number"),
        (["tile", "x*y"], "needs --tolerance or --cells"),
        (["tile", "x*y", "--tolerance", "0"], "--tolerance must be a number"),
        (["tile", "sqrt(x)", "--tolerance", "0.1"], "must have bounded partial derivatives"),
        (["tile", "sin(x", "--cells", "3"], "cannot be read"),
        (["tile", "1/x", "--cells", "3"], "1/x"),
        (["tile", "x*y", "--box", "0", "1", "0", "--cells", "3"], "--box must have pairs"),
        (["tile", "sin(20*x)*y", "--tolerance", "1e-5"], "at most 5000000 towers"),
    ],
)  # fmt: skip
def test_shape_bad_option_is_refused_in_one_line(pellucid, given, message):
    outcome = pellucid(*given)
    assert outcome.code == 2
    assert message in outcome.err
    # A caret may point into a formula below.
    assert outcome.err.count("\n") == (3 if "^" in outcome.err else 1)
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("terms", "constant", "text"),
    [
        ([(500.0, "x")], -200.0, "500 x - 200"),
        ([(-1.0, "x"), (0.0, "y")], 0.0, "-x"),
        ([], 0.0, "0"),
        ([(0.5, "x"), (-2.5, "y")], 1.0, "0.5 x - 2.5 y + 1"),
    ],
)
def test_write_sum_is_what_a_person_would_write(terms, constant, text):
    assert write_sum(terms, constant) == text
