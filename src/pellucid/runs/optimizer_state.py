"""An optimizer's state as named tensors and JSON, without pickle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from pellucid._checks import DataError, UsageError


def flatten_optimizer(
    state_dict: Mapping[str, Any], *, prefix: str = "optimizer"
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split an optimizer's ``state_dict()`` into named tensors and a JSON-able rest.

    Tensors of a parameter are named ``<prefix>.<parameter index>.<key>``, those of a group
    ``<prefix>.group.<group index>.<key>``. :func:`unflatten_optimizer` gives back the same
    dictionary, bit for bit.

    Raises:
        UsageError: The optimizer keeps something other than tensors, numbers, strings, None and
            tuples or lists of them (L-BFGS does).
    """
    tensors: dict[str, Tensor] = {}
    groups = []
    for index, group in enumerate(state_dict["param_groups"]):
        found, rest = _split_tensors(group, f"{prefix}.group.{index}")
        tensors |= found
        groups.append(rest)
    parameters = {}
    for index, entries in state_dict["state"].items():
        found, rest = _split_tensors(entries, f"{prefix}.{index}")
        tensors |= found
        # Also with an empty rest: order and presence are part of the round trip.
        parameters[str(index)] = {"order": list(entries), "rest": rest}
    return tensors, {"param_groups": groups, "state": parameters}


def unflatten_optimizer(
    tensors: Mapping[str, Tensor], state: Mapping[str, Any], *, prefix: str = "optimizer"
) -> dict[str, Any]:
    """Return the ``state_dict`` that :func:`flatten_optimizer` split; other tensors are ignored.

    Raises:
        DataError: A tensor that the state mentions is missing.
    """

    def rejoin(entries: Iterable[str], rest: Mapping[str, Any], owner: str) -> dict[str, Any]:
        joined = {}
        for key in entries:
            if key in rest:
                joined[key] = _decode_tuples(rest[key])
            elif f"{owner}.{key}" in tensors:
                joined[key] = tensors[f"{owner}.{key}"]
            else:
                raise DataError(f"the checkpoint lacks the optimizer tensor {owner}.{key!s}.")
        return joined

    groups = []
    for index, group in enumerate(state["param_groups"]):
        owner = f"{prefix}.group.{index}"
        extra = [name[len(owner) + 1 :] for name in tensors if name.startswith(f"{owner}.")]
        groups.append(rejoin([*group, *extra], group, owner))
    parameters = {
        int(index): rejoin(entry["order"], entry["rest"], f"{prefix}.{index}")
        for index, entry in state["state"].items()
    }
    return {"state": parameters, "param_groups": groups}


def _split_tensors(
    entries: Mapping[str, Any], owner: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, rest = {}, {}
    for key, value in entries.items():
        if isinstance(value, Tensor):
            tensors[f"{owner}.{key}"] = value
        else:
            rest[key] = _encode_tuples(value, f"{owner}.{key}")
    return tensors, rest


def _encode_tuples(value: Any, where: str) -> Any:
    """Mark tuples, which JSON would turn into lists."""
    if isinstance(value, tuple | list):
        entries = [_encode_tuples(entry, where) for entry in value]
        return {"tuple": entries} if isinstance(value, tuple) else entries
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise UsageError(
        f"{where} of the optimizer must be a tensor, number, string or None, got "
        f"{type(value).__name__}. Use Adam, AdamW or SGD."
    )


def _decode_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple(_decode_tuples(entry) for entry in value["tuple"])
    if isinstance(value, list):
        return [_decode_tuples(entry) for entry in value]
    return value
