from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from pellucid import DataError, UsageError
from pellucid.approximation.network import NeuronGroup, SigmoidLayer, SigmoidNetwork
from tests.reference.sigmoid_network import evaluate, random_network


def sparse_twin(network: SigmoidNetwork) -> SigmoidNetwork:
    layers = tuple(
        SigmoidLayer(scipy.sparse.csr_array(layer.weight), layer.bias, layer.groups)
        for layer in network.hidden
    )
    return SigmoidNetwork(layers, network.output_weight, network.output_bias, network.scheme)


def step(axis: int = 0, dimension: int = 1) -> SigmoidNetwork:
    weight = np.zeros((1, dimension))
    weight[0, axis] = -500.0
    layer = SigmoidLayer(weight, np.array([300.0]), (NeuronGroup("step", 0, 1),))
    return SigmoidNetwork((layer,), np.array([2.0]), 0.5, "step")


@pytest.mark.parametrize("sizes", [(1, 7), (2, 5, 4), (3, 4, 3, 2)])
def test_network_any_depth_equals_the_plain_loop(sizes: tuple[int, ...]) -> None:
    generator = np.random.default_rng(len(sizes))
    network = random_network(generator, sizes)
    points = generator.standard_normal((20, sizes[0]))
    plain = [evaluate(network, list(point)) for point in points]
    np.testing.assert_allclose(network(points), plain, rtol=0, atol=1e-13)
    np.testing.assert_allclose(sparse_twin(network)(points), plain, rtol=0, atol=1e-13)


def test_network_points_in_many_chunks_equal_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_network(np.random.default_rng(0), (2, 3, 3))
    points = np.random.default_rng(1).standard_normal((10, 2))
    whole = network(points)
    monkeypatch.setattr("pellucid.approximation.network._CHUNK_ENTRIES", 9)
    np.testing.assert_allclose(network(points), whole, rtol=0, atol=1e-14)


def test_network_without_hidden_layer_is_its_bias() -> None:
    network = SigmoidNetwork((), np.empty(0), 1.5, "constant", input_dimension=2)
    assert network(np.zeros((3, 2))).tolist() == [1.5, 1.5, 1.5]
    assert (network.hidden_neurons, network.parameters) == (0, 1)


def test_network_counts_neurons_and_nonzero_parameters() -> None:
    network = step(dimension=3)
    assert (network.neurons_per_layer, network.hidden_neurons) == ((1,), 1)
    assert network.parameters == 1 + 1 + 1 + 1


def test_network_describe_names_location_and_direction() -> None:
    assert step(1, 2).describe(0, 0) == "step: down at y = 0.6, steepness 500"


def test_network_digest_sparse_and_dense_storage_agree() -> None:
    network = random_network(np.random.default_rng(0), (2, 3, 3))
    assert sparse_twin(network).digest == network.digest


def test_network_digest_changes_with_one_ulp() -> None:
    network = random_network(np.random.default_rng(0), (2, 3))
    weight = network.output_weight.copy()
    weight[1] = np.nextafter(weight[1], 9)
    other = SigmoidNetwork(network.hidden, weight, network.output_bias, network.scheme)
    assert other.digest != network.digest


@pytest.mark.parametrize("sparse", [False, True])
def test_network_saved_and_loaded_is_the_same(tmp_path: Path, sparse: bool) -> None:
    network = random_network(np.random.default_rng(3), (2, 5, 4))
    network = sparse_twin(network) if sparse else network
    loaded = SigmoidNetwork.load(network.save(tmp_path / "network.safetensors"))
    points = np.random.default_rng(1).standard_normal((10, 2))
    assert loaded.digest == network.digest
    assert np.array_equal(loaded(points), network(points))


def test_network_saved_keeps_roles_and_leaves_no_partial_file(tmp_path: Path) -> None:
    loaded = SigmoidNetwork.load(step().save(tmp_path / "network.safetensors"))
    assert loaded.hidden[0].groups == (NeuronGroup("step", 0, 1),)
    assert [file.name for file in tmp_path.iterdir()] == ["network.safetensors"]


def test_network_load_missing_or_foreign_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        SigmoidNetwork.load(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(DataError, match="readable sigmoid network"):
        SigmoidNetwork.load(tmp_path / "text.safetensors")


def test_network_load_other_safetensors_names_the_format(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match="pellucid-sigmoid-network/1"):
        SigmoidNetwork.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize("part", ["columns", "row_starts", "values"])
def test_network_load_indices_outside_the_matrix_are_refused(tmp_path: Path, part: str) -> None:
    from safetensors import safe_open
    from safetensors.numpy import save_file

    path = sparse_twin(random_network(np.random.default_rng(3), (2, 5))).save(tmp_path / "n")
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    name = f"hidden_0.{part}"
    tensors[name] = tensors[name] + 100 if part == "columns" else tensors[name][:-1]
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(DataError, match="hidden layer 0"):
        SigmoidNetwork.load(path)


def test_network_to_torch_agrees_to_rounding() -> None:
    torch = pytest.importorskip("torch")
    network = random_network(np.random.default_rng(3), (2, 5, 4))
    points = np.random.default_rng(1).standard_normal((10, 2))
    with torch.no_grad():
        values = network.to_torch()(torch.from_numpy(points))[:, 0].numpy()
    np.testing.assert_allclose(values, network(points), rtol=0, atol=1e-14)


def test_network_shapes_that_do_not_fit_are_refused() -> None:
    layer = SigmoidLayer(np.ones((2, 1)), np.zeros(2))
    with pytest.raises(UsageError, match="take the 2 neurons"):
        SigmoidNetwork((layer, SigmoidLayer(np.ones((1, 3)), np.zeros(1))), np.ones(1), 0.0, "x")
    with pytest.raises(UsageError, match=r"shape \(2,\)"):
        SigmoidNetwork((layer,), np.ones(3), 0.0, "x")
    with pytest.raises(UsageError, match=r"points must have shape \(n, 1\)"):
        SigmoidNetwork((layer,), np.ones(2), 0.0, "x")(np.zeros((4, 2)))


def test_layer_bad_values_or_groups_are_refused() -> None:
    with pytest.raises(UsageError, match="finite"):
        SigmoidLayer(np.array([[np.nan]]), np.zeros(1))
    with pytest.raises(UsageError, match="without gaps"):
        SigmoidLayer(np.ones((2, 1)), np.zeros(2), (NeuronGroup("a", 1, 2),))


def test_layer_does_not_freeze_the_callers_array() -> None:
    weight = scipy.sparse.csr_array(np.ones((2, 1)))
    SigmoidLayer(weight, np.zeros(2))
    weight.data[0] = 3.0
