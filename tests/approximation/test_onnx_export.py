from __future__ import annotations

import numpy as np
import pytest

from pellucid._checks import DataError, UsageError
from pellucid.approximation.box import Box
from pellucid.approximation.constructions.and_gate import AndGate
from pellucid.approximation.constructions.grid import build_grid
from pellucid.approximation.constructions.kd_cells import kd_cells
from pellucid.approximation.constructions.staircase import build_staircase
from pellucid.approximation.network import SigmoidNetwork
from pellucid.approximation.onnx_export import OPSET, export_onnx
from pellucid.approximation.targets import target


def grid_network(shape):
    values = np.random.default_rng(0).random(shape)
    edges = [np.linspace(0, 1, k + 1)[1:-1] for k in shape]
    steepness = [100.0 * k for k in shape]
    return build_grid(edges, values, steepness, gate=AndGate.of(len(shape)))


def outputs(path, points):
    """Run a file in the reference implementation and in ONNX Runtime."""
    from onnx.reference import ReferenceEvaluator

    # Its sigmoid overflows on the branch it does not take.
    with np.errstate(over="ignore", invalid="ignore"):
        values = ReferenceEvaluator(str(path)).run(None, {"points": points})[0]
    yield values
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    yield session.run(None, {"points": points})[0]


@pytest.mark.parametrize("shape", [(6, 7), (5, 1), (3, 4, 5), (2, 3, 2, 3)])
@pytest.mark.parametrize("form", ["dense", "compact"])
@pytest.mark.parametrize("batch", [1, 40])
def test_export_onnx_of_a_grid_gives_the_values_of_the_network(tmp_path, shape, form, batch):
    network = grid_network(shape)
    path = export_onnx(network, tmp_path / "network.onnx", form=form)
    points = np.random.default_rng(1).random((batch, len(shape)))
    for values in outputs(path, points):
        assert values.dtype == np.float64
        np.testing.assert_allclose(values, network(points), rtol=0, atol=1e-13)


def test_export_onnx_of_a_staircase_is_dense(tmp_path):
    network = build_staircase(np.array([0.2, 0.7]), np.array([1.0, 3.0, 2.0]), 50.0)
    points = np.random.default_rng(1).random((20, 1))
    for values in outputs(export_onnx(network, tmp_path / "stairs.onnx"), points):
        np.testing.assert_allclose(values, network(points), rtol=0, atol=1e-13)


def test_export_onnx_of_kd_cells_gives_the_values_of_the_network(tmp_path):
    box = Box((0.0, 0.0), (1.0, 1.0))
    network = kd_cells(target("sin(5*x)*y", box), box, tolerance=0.1).network
    points = box.sample(30, np.random.default_rng(0))
    for values in outputs(export_onnx(network, tmp_path / "kd.onnx"), points):
        np.testing.assert_allclose(values, network(points), rtol=0, atol=1e-13)


def test_export_onnx_of_a_constant_gives_it(tmp_path):
    network = SigmoidNetwork((), np.empty(0), 2.5, "grid", input_dimension=2)
    for values in outputs(export_onnx(network, tmp_path / "constant.onnx"), np.zeros((3, 2))):
        np.testing.assert_array_equal(values, [2.5, 2.5, 2.5])


def test_export_onnx_of_a_large_grid_has_no_matrix_of_neurons_times_steps(tmp_path):
    network = grid_network((150, 140))
    path = export_onnx(network, tmp_path / "grid.onnx")
    # 21,000 output weights of 8 bytes; a dense matrix would take 49 MB.
    assert path.stat().st_size < 200_000


def test_export_onnx_states_its_operator_set(tmp_path):
    import onnx

    model = onnx.load(export_onnx(grid_network((3, 3)), tmp_path / "network.onnx"))
    assert [entry.version for entry in model.opset_import] == [OPSET]


def test_export_onnx_of_a_staircase_in_the_compact_form_is_refused(tmp_path):
    network = build_staircase(np.array([0.5]), np.array([1.0, 3.0]), 50.0)
    with pytest.raises(UsageError, match="form must be 'dense'"):
        export_onnx(network, tmp_path / "stairs.onnx", form="compact")


def test_export_onnx_of_too_large_a_dense_form_is_refused(tmp_path):
    with pytest.raises(UsageError, match="form='compact'"):
        export_onnx(grid_network((500, 400)), tmp_path / "grid.onnx", form="dense")


def test_export_onnx_into_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match="path must be a file"):
        export_onnx(grid_network((3, 3)), tmp_path / "missing" / "network.onnx")
