import dataclasses
import json

import numpy as np
import pytest

from pellucid._checks import DataError
from pellucid.approximation.box import Box
from pellucid.approximation.certificate import Certificate, certify, verify, worst_point
from pellucid.approximation.certificate.certificate import seal
from pellucid.approximation.expressions import parse
from pellucid.approximation.network import SigmoidLayer, SigmoidNetwork
from pellucid.approximation.tables import TableTarget
from pellucid.approximation.targets import BlackBoxTarget
from tests.approximation.certificate import networks

FORMULA = "1 + 0.5*sin(2*pi*x)*cos(2*pi*y)"
SQUARE = Box((0.0, 0.0), (1.0, 1.0))
LINE = Box((0.0,), (1.0,))


@pytest.fixture(scope="module")
def wave():
    return networks.separable(
        [(lambda x: 0.5 * np.sin(2 * np.pi * x), lambda y: np.cos(2 * np.pi * y))],
        (6, 6),
        (7.0, 7.0),
        constant=1.0,
    )


@pytest.fixture(scope="module")
def certificate(wave):
    return certify(wave, parse(FORMULA), SQUARE, tolerance=0.02)


@pytest.fixture
def files(wave, certificate, tmp_path):
    return wave.save(tmp_path / "network.safetensors"), certificate.save(tmp_path / "c.json")


def changed(path, *, sealed, **changes):
    """Change a certificate file; ``sealed`` also writes the seal that fits."""
    content = {**json.loads(path.read_text()), **changes}
    if sealed:
        content["seal"] = seal(content)
    path.write_text(json.dumps(content))
    return path


def altered(network, layer=0, factor=1.0, shift=0.0, output=1.0):
    """Return a network with one layer and the output changed."""
    hidden = list(network.hidden)
    old = hidden[layer]
    hidden[layer] = SigmoidLayer(old.weight * factor, old.bias + shift, old.groups)
    return SigmoidNetwork(
        tuple(hidden), network.output_weight * output, network.output_bias, scheme=network.scheme
    )


def test_verify_of_files_confirms_in_arb(files):
    result = verify(*files)
    assert result.verified
    assert "arb" in result.reason
    assert result.status == "proved"
    assert 0.013 < result.bound < 0.02


def test_verify_of_objects_confirms(wave, certificate):
    assert verify(wave, certificate).verified


def test_verify_takes_nothing_from_the_details(files):
    network, path = files
    content = json.loads(path.read_text())
    details = dict.fromkeys(content["details"])
    changed(path, sealed=True, details=details, rounding=0.0, versions={}, seconds=0.0)
    assert verify(network, path).verified


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bound", 0.5),
        ("bound", 0.0137),
        ("tolerance", 1.0),
        ("box", [[0.0, 1.0], [0.0, 0.5]]),
        ("status", "conditional"),
        ("method", "cells"),
        ("target", {"kind": "expression", "text": "1 + x", "dimension": 2}),
        ("seconds", 0.0),
        ("excluded_measure", 0.5),
    ],
)
def test_verify_of_changed_field_finds_the_seal_broken(name, value, files):
    network, path = files
    result = verify(network, changed(path, sealed=False, **{name: value}))
    assert not result.verified
    assert "changed after it was written" in result.reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bound": 0.0134}, "error is 0.0134"),
        ({"bound": 0.001}, "above the bound"),
        ({"bound": 1e-12}, "rounding"),
        ({"bound": None}, "claims no bound"),
        ({"box": [[0.0, 1.5], [0.0, 1.0]]}, "above the bound"),
        ({"box": [[0.0, 1.0]]}, "one dimension|cannot be used"),
        ({"status": "conditional"}, "status"),
        ({"status": "pac"}, "status"),
        ({"status": "heuristic"}, "status"),
        ({"method": "cells"}, "none of cells"),
        ({"network_digest": "0" * 64}, "not the one"),
        (
            {
                "target": {
                    "kind": "expression",
                    "text": FORMULA.replace("0.5", "0.6"),
                    "dimension": 2,
                }
            },
            "above the bound",
        ),
        ({"target": {"kind": "expression", "text": "sin(", "dimension": 2}}, "cannot be used"),
        ({"target": {"kind": "expression", "text": "1/(x-0.5)", "dimension": 2}}, "cannot be used"),
        ({"target": {"kind": "expression"}}, "cannot be used"),
        ({"target": {"kind": "miracle"}}, "cannot be used"),
        ({"target": {"kind": "black_box"}}, "black box"),
    ],
)
def test_verify_of_false_claim_with_fitting_seal_is_rejected(changes, reason, files):
    import re

    network, path = files
    result = verify(network, changed(path, sealed=True, **changes))
    assert not result.verified
    assert re.search(reason, result.reason)


@pytest.mark.parametrize(
    "change",
    [{"factor": 1.01}, {"shift": 0.01}, {"output": 1.01}, {"layer": 1, "factor": 1.001}],
)
def test_verify_of_changed_weights_with_fitting_digest_is_rejected(change, wave, certificate):
    other = altered(wave, **change)
    result = verify(other, dataclasses.replace(certificate, network_digest=other.digest))
    _, error = worst_point(other, parse(FORMULA), SQUARE, points=30_000)
    assert error > certificate.bound
    assert not result.verified


def test_verify_of_changed_weights_is_rejected_by_digest(wave, certificate):
    result = verify(altered(wave, shift=1e-12), certificate)
    assert not result.verified
    assert "not the one" in result.reason


def test_verify_of_looser_claim_holds_if_its_seal_fits(files):
    # It is another certificate, and a true one.
    network, path = files
    assert verify(network, changed(path, sealed=True, bound=0.1)).verified


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_verify_of_weights_that_are_not_finite_is_rejected(value, files, wave):
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    network, path = files
    with safe_open(network, framework="numpy") as file:
        metadata = file.metadata()
    tensors = load_file(network)
    tensors["output_weight"][0] = value
    save_file(tensors, network, metadata=metadata)
    result = verify(network, path)
    assert not result.verified
    assert "finite" in result.reason


def test_verify_of_missing_or_broken_files_is_data_error(files, tmp_path):
    network, path = files
    with pytest.raises(DataError, match="no such file"):
        verify(tmp_path / "none.safetensors", path)
    with pytest.raises(DataError, match="no such file"):
        verify(network, tmp_path / "none.json")
    path.write_text("{")
    with pytest.raises(DataError, match="must be JSON"):
        verify(network, path)
    network.write_bytes(b"nothing")
    with pytest.raises(DataError, match="network"):
        verify(network, Certificate.load(_valid(path, network)))


def _valid(path, network):
    made = certify(
        networks.spectral(np.sin, 0, 1, 3, 2.0), parse("sin(x)"), LINE, arithmetic="intervals"
    )
    return made.save(path)


def test_verify_of_linear_form_names_where_it_fails():
    network = networks.ridge((1.0, -1.0), np.abs, -1, 1)
    certificate = certify(network, parse("abs(x-y)"), SQUARE)
    assert verify(network, certificate).verified
    result = verify(network, dataclasses.replace(certificate, bound=certificate.bound / 2))
    assert not result.verified
    assert "linear form" in result.reason


def test_verify_of_jump_checks_the_excluded_measure():
    network = SigmoidNetwork(
        (SigmoidLayer(np.array([[800.0], [0.3]]), np.array([-400.0, 0.0])),),
        np.array([1.0, 0.0]),
        0.0,
        scheme="step",
    )
    certificate = certify(network, parse("where(x < 0.5, 0, 1)"), LINE, tolerance=0.02)
    assert certificate.status == "heuristic"
    assert verify(network, certificate).verified
    smaller = dataclasses.replace(certificate, excluded_measure=certificate.excluded_measure / 3)
    result = verify(network, smaller)
    assert not result.verified
    assert "measure" in result.reason


def test_verify_of_table_needs_only_the_file_and_finds_changed_values(tmp_path):
    network = networks.spectral(lambda x: np.sin(2 * np.pi * x), 0, 1, 8, 6.0)
    table = TableTarget(np.sin(2 * np.pi * np.linspace(0, 1, 401)), LINE, (7.0,))
    certificate = certify(network, table, LINE)
    path = certificate.save(tmp_path / "c.json")
    result = verify(network, path)
    assert result.verified
    assert "Lipschitz" in result.reason
    lower = dataclasses.replace(certificate, bound=certificate.bound * 0.99)
    assert not verify(network, lower).verified
    stronger = dataclasses.replace(certificate, status="proved")
    assert not verify(network, stronger).verified
    other = TableTarget(table.values + 0.01, LINE, (7.0,)).to_json()
    assert not verify(network, dataclasses.replace(certificate, target=other)).verified
    flatter = {**certificate.target, "lipschitz": [1.0]}
    assert not verify(network, dataclasses.replace(certificate, target=flatter)).verified


def test_verify_of_samples_needs_the_function():
    network = networks.spectral(lambda x: np.sin(2 * np.pi * x), 0, 1, 8, 6.0)

    def function(x):
        return np.sin(2 * np.pi * x)

    certificate = certify(network, BlackBoxTarget(function, LINE), LINE, samples=5_000)
    without = verify(network, certificate)
    assert not without.verified
    assert "pass it to verify" in without.reason
    assert verify(network, certificate, function=function).verified
    other = verify(network, certificate, function=lambda x: np.sin(2 * np.pi * x) + 0.01)
    assert not other.verified
    assert "samples show" in other.reason


@pytest.mark.parametrize(
    "change",
    [
        {"status": "proved"},
        {"method": "branch and bound"},
        {"excluded_measure": 1e-6},
        {"details": {}},
        {"details": {"samples": 10**12, "seed": 0, "delta": 1e-6}},
        {"details": {"samples": 5_000, "seed": -1, "delta": 1e-6}},
        {"details": {"samples": 5_000, "seed": 0, "delta": 2.0}},
    ],
)
def test_verify_of_false_claim_about_samples_is_rejected(change):
    network = networks.spectral(lambda x: np.sin(2 * np.pi * x), 0, 1, 8, 6.0)

    def function(x):
        return np.sin(2 * np.pi * x)

    certificate = certify(network, BlackBoxTarget(function, LINE), LINE, samples=5_000)
    false = dataclasses.replace(certificate, **change)
    assert not verify(network, false, function=function).verified
