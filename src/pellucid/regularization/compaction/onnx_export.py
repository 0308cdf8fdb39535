"""Writing a network as ONNX, with the normalization of the images inside."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn

from pellucid._checks import UsageError
from pellucid.data import Normalization
from pellucid.runs.atomic_files import write_atomically

INPUT_NAME = "images"
OUTPUT_NAME = "logits"


class _Normalized(nn.Module):
    """A network that takes images in [0, 1]."""

    def __init__(self, network: nn.Module, normalization: Normalization, dtype: torch.dtype):
        super().__init__()
        self.network = network
        for name in ("mean", "deviation"):
            values = torch.tensor(getattr(normalization, name), dtype=dtype).view(1, 3, 1, 1)
            self.register_buffer(name, values)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of float images in [0, 1], (batch, 3, height, width)."""
        return self.network((images - self.mean) / self.deviation)  # type: ignore[operator]


def check_onnx() -> None:
    """Refuse to go on without the packages that write ONNX.

    Raises:
        UsageError: the extra ``onnx`` is not installed.
    """
    missing = [m for m in ("onnx", "onnxscript") if importlib.util.find_spec(m) is None]
    if missing:
        raise UsageError(
            f"Writing ONNX needs {' and '.join(missing)}, not installed. "
            'Run: pip install "pellucid[onnx]", or ".[onnx]" in a clone.'
        )


def export_onnx(
    network: nn.Module,
    example: Tensor,
    path: str | Path,
    *,
    normalization: Normalization | None = None,
) -> None:
    """Write a network as one ONNX file with the input ``images`` and the output ``logits``.

    With `normalization` the file takes float images in [0, 1] (a pixel divided by 255), so that
    whoever applies it needs to know nothing of the training; without, it takes what the network
    takes. The number of images in a batch is free, their size is not. Nothing of this machine is in
    the file, neither paths nor source code.

    Args:
        network: Is not changed; exported in evaluation mode.
        example: Input batch of the network, float (batch, 3, height, width), batch >= 2 (an axis of
            length 1 would be taken for a constant); only its shape and type matter.
        path: Of the ``.onnx`` file; replaced as a whole.
        normalization: Put before the network.

    Raises:
        UsageError: The extra ``onnx`` is not installed, or the example has one image only.
        DataError: The file cannot be written.
    """
    check_onnx()
    if len(example) < 2:
        raise UsageError(
            f"example must hold at least 2 images, got {len(example)}. Use torch.cat([x, x])."
        )
    exported = copy.deepcopy(network).eval()
    if normalization is not None:
        exported = _Normalized(exported, normalization, example.dtype).to(example.device).eval()
    program = torch.onnx.export(
        exported,
        (example,),
        dynamo=True,
        input_names=[INPUT_NAME],
        output_names=[OUTPUT_NAME],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        verbose=False,
    )
    assert program is not None  # with dynamo=True and no file
    model = program.model_proto
    # The exporter notes stack traces with the paths of this machine at every operation.
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        part.ClearField("metadata_props")
    write_atomically(Path(path), model.SerializeToString())
