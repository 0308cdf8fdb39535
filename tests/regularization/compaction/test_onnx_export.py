from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from pellucid._checks import UsageError
from pellucid.data import Normalization
from pellucid.regularization.compaction.compact import compact
from pellucid.regularization.compaction.onnx_export import export_onnx
from tests.regularization.pruned_networks import images, pruned_cnn

NORMALIZATION = Normalization(mean=(0.5, 0.4, 0.3), deviation=(0.2, 0.3, 0.1))


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    compacted = compact(pruned_cnn(), images(), repetitions=0)
    export_onnx(compacted.network, images(), path, normalization=NORMALIZATION)
    return path


@pytest.mark.parametrize("count", [1, 2, 7])
def test_export_onnx_compacted_network_answers_as_before(onnx_file, count):
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    unit = images(count, seed=3)
    with torch.no_grad():
        expected = pruned_cnn().eval()(NORMALIZATION(unit))
    (logits,) = session.run(["logits"], {"images": unit.numpy()})
    np.testing.assert_allclose(logits, expected.numpy(), rtol=0, atol=1e-5)


def test_export_onnx_file_holds_no_paths(onnx_file):
    content = onnx_file.read_bytes()
    assert b"stack_trace" not in content
    assert b".py" not in content


def test_export_onnx_one_image_raises(tmp_path):
    pytest.importorskip("onnxscript")
    with pytest.raises(UsageError, match=r"at least 2 images, got 1\. Use torch\.cat"):
        export_onnx(pruned_cnn(), images(1), tmp_path / "network.onnx")


def test_export_onnx_without_the_extra_names_the_install_line(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'pip install "pellucid\[onnx\]"'):
        export_onnx(pruned_cnn(), images(), tmp_path / "network.onnx")
