"""Many networks of one architecture as one: wide grouped convolutions and batched products.

A network is traced once (`torch.fx`) in training and once in evaluation mode, and each of its
operations is replaced by one that serves all networks at a time. Between operations a value of
per-network shape (batch, channels, height, width) is kept *wide*, as (batch, networks * channels,
height, width), and one of shape (batch, features) *deep*, as (networks, batch, features).

Networks that share their images share them here too: a value that no parameter has touched exists
once a seed, and fans out to the networks at the first layer. For a convolution that is one wide
convolution a seed.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx.passes.shape_prop import ShapeProp

from pellucid._checks import PellucidError
from pellucid.regularization.stacking.in_place_operations import make_out_of_place, trace
from pellucid.regularization.stacking.stack_layout import CannotStack, FanOut, Pass, Program
from pellucid.regularization.stacking.stacked_operations import MAX_POOLS, Builder

_PROBE_BATCH = 3


class StackedNetwork:
    """Networks of one architecture that answer together.

    Args:
        network: One of them, on the CPU, as the pattern.
        image_size: Height and width in pixels.
        seeds: For each network the number, from 0, of the images it gets in training; in ascending
            order.
        dropout: Share of the activations before every linear layer but the first set to 0 in
            training, besides the network's own dropout.

    Raises:
        CannotStack: an operation is not known here, or changes in place what is used afterwards.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        image_size: tuple[int, int],
        seeds: Sequence[int],
        dropout: float = 0.0,
    ) -> None:
        self.seeds = tuple(seeds)
        fan = FanOut(self.seeds)
        # Both modes: control flow on `training`, as around F.dropout, so falls into place.
        self._programs = {
            training: _compile(network, image_size, fan, dropout, training=training)
            for training in (True, False)
        }

    def __call__(self, images: Tensor, sets: int, state: Pass, *, training: bool):
        """Return logits, shape (networks, batch, classes).

        Args:
            images: Shape (batch, sets * 3, height, width): one set of images for all networks, or
                one a seed.
            sets: The number of sets.
            state: Parameters, buffers and random numbers.
            training: Whether normalization and dropout do as in training.
        """
        return self._programs[training](images, sets, state)


def count_activations(network: nn.Module, image_size: tuple[int, int]) -> int:
    """Return how many numbers the layers of one network that can be stacked give for one image."""
    traced = _trace(network, image_size, training=False)
    shapes = [node.meta["tensor_meta"].shape for node in traced.graph.nodes if _is_tensor(node)]
    return sum(shape.numel() for shape in shapes) // _PROBE_BATCH


class SingleNetwork:
    """A stack of one, whatever the network does inside.

    Args:
        network: The network.
        dropout: As in `StackedNetwork`; drawn from the global random numbers.
        low_precision: Let PyTorch choose the operations that are done in bfloat16.
    """

    def __init__(
        self, network: nn.Module, *, dropout: float = 0.0, low_precision: bool = False
    ) -> None:
        self.seeds = (0,)
        self._network = copy.deepcopy(network)
        self._low_precision = low_precision
        self._dropout = dropout
        if dropout:
            linear = [m for m in self._network.modules() if isinstance(m, nn.Linear)]
            for module in linear[1:]:
                module.register_forward_pre_hook(self._drop)

    def _drop(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (F.dropout(inputs[0], self._dropout, training=module.training), *inputs[1:])

    def __call__(self, images: Tensor, sets: int, state: Pass, *, training: bool):
        """Return logits, shape (1, batch, classes)."""
        self._network.train(training)
        # squeeze: a view, so that statistics changed in place arrive in the stacked buffers
        tensors = {
            name: value.squeeze(0) if value.shape[0] == 1 else value
            for name, value in {**state.parameters, **state.buffers}.items()
        }
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._low_precision):
            # Of a copy: a network may change its input in place, and the images are used again.
            answers = torch.func.functional_call(self._network, tensors, (images.clone(),))
        return answers.unsqueeze(0)


def _is_tensor(node: torch.fx.Node) -> bool:
    return hasattr(node.meta.get("tensor_meta"), "shape")


def _trace(
    network: nn.Module, image_size: tuple[int, int], *, training: bool
) -> torch.fx.GraphModule:
    """Record the network's operations and the shapes of their results."""
    pattern = copy.deepcopy(network).to(device="cpu", dtype=torch.float32).train(training)
    try:
        traced = trace(pattern)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            ShapeProp(traced).propagate(torch.zeros(_PROBE_BATCH, 3, *image_size))
    except PellucidError:
        raise
    except Exception as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CannotStack(type(network).__name__, f"its forward cannot be traced ({text})") from (
            error
        )
    return traced


def _compile(
    network: nn.Module,
    image_size: tuple[int, int],
    fan: FanOut,
    dropout: float,
    *,
    training: bool,
) -> Program:
    traced = _trace(network, image_size, training=training)
    make_out_of_place(traced)
    _pool_before_relu(traced)
    builder = Builder(traced, fan, dropout, training=training)
    for node in traced.graph.nodes:
        builder.add(node)
    return builder.finish()


_RELUS = {F.relu, torch.relu, "relu"}


def _is_relu(traced: torch.fx.GraphModule, node: torch.fx.Node) -> bool:
    if node.op == "call_module":
        return type(traced.get_submodule(str(node.target))) is nn.ReLU
    return node.op in ("call_function", "call_method") and node.target in _RELUS


def _pool_before_relu(traced: torch.fx.GraphModule) -> None:
    """Turn pool(relu(x)) into relu(pool(x)): the same function, on a quarter of the numbers."""
    graph = traced.graph
    for pool in list(graph.nodes):
        is_pool = (
            type(traced.get_submodule(str(pool.target))) is nn.MaxPool2d
            if pool.op == "call_module"
            else pool.op == "call_function" and pool.target in MAX_POOLS
        )
        if not is_pool or not pool.args or not isinstance(pool.args[0], torch.fx.Node):
            continue
        relu = pool.args[0]
        if not _is_relu(traced, relu) or len(relu.users) != 1:
            continue
        with graph.inserting_after(pool):
            after = graph.call_function(F.relu, (pool,))
        after.meta = dict(pool.meta)
        pool.replace_all_uses_with(after, delete_user_cb=lambda user, own=after: user is not own)
        pool.replace_input_with(relu, relu.args[0])
        graph.erase_node(relu)
