from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from pellucid.approximation import SigmoidNetwork


@pytest.fixture
def wave(finished_wave, tmp_path):
    """A copy of a folder with network and certificate."""
    shutil.copytree(finished_wave, tmp_path / "wave")
    return tmp_path / "wave"


def change(path, **values):
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **values}))


def test_verify_untouched_files_exits_0(pellucid, wave):
    outcome = pellucid("verify", wave / "certificate.json", "--json")
    assert outcome.code == 0
    assert outcome.json["verified"] is True
    assert outcome.json["status"] == "proved"
    assert 0 < outcome.json["bound"] <= 0.05


def test_verify_folder_means_its_certificate(pellucid, wave):
    assert pellucid("verify", wave).code == 0


def test_verify_network_elsewhere_is_named(pellucid, wave, tmp_path):
    (wave / "network.safetensors").rename(tmp_path / "other.safetensors")
    assert pellucid("verify", wave / "certificate.json").code == 3
    given = ("--network", tmp_path / "other.safetensors")
    assert pellucid("verify", wave / "certificate.json", *given).code == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"bound": 1e-9},
        {"bound": "small"},
        {"box": [[0.0, 2.0]]},
        {"target": {"kind": "expression", "text": "sin(7*x)", "dimension": 1}},
        {"status": "heuristic"},
        {"network_digest": "0" * 64},
        {"format": "pellucid-certificate/9"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_verify_changed_certificate_exits_1_with_a_reason(pellucid, wave, changes):
    change(wave / "certificate.json", **changes)
    outcome = pellucid("verify", wave / "certificate.json", "--json")
    assert outcome.code == 1
    assert outcome.json["verified"] is False
    assert outcome.json["reason"]


def test_verify_changed_weight_exits_1_even_with_its_digest_put_right(pellucid, wave):
    network = SigmoidNetwork.load(wave / "network.safetensors")
    weight = network.output_weight.copy()
    weight[0] *= 1.5
    changed = SigmoidNetwork(network.hidden, weight, network.output_bias, network.scheme)
    changed.save(wave / "network.safetensors")
    assert pellucid("verify", wave).code == 1
    change(wave / "certificate.json", network_digest=changed.digest)
    outcome = pellucid("verify", wave, "--json")
    assert outcome.code == 1
    error = np.abs(changed(np.linspace(0, 1, 99)[:, None]) - np.sin(6 * np.linspace(0, 1, 99)))
    assert error.max() > 0.05


@pytest.mark.parametrize("name", ["certificate.json", "network.safetensors"])
def test_verify_damaged_file_exits_1(pellucid, wave, name):
    content = (wave / name).read_bytes()
    (wave / name).write_bytes(content[: len(content) // 2])
    outcome = pellucid("verify", wave, "--json")
    assert outcome.code == 1
    assert outcome.json["verified"] is False


def test_verify_missing_file_exits_3(pellucid, tmp_path):
    outcome = pellucid("verify", tmp_path / "none.json")
    assert outcome.code == 3
    assert "certificate must be an existing file" in outcome.err


def test_verify_imports_neither_torch_nor_a_construction(wave):
    script = (
        "import sys\nfrom pellucid.cli import main\n"
        f"code = main(['verify', {str(wave)!r}])\n"
        "loaded = [n for n in sys.modules if n == 'torch' or 'constructions' in n]\n"
        "print(code, loaded, file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.stderr == "0 []\n"
