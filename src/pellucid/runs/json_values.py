"""Python values as strict JSON: no NaN, no infinity, no silently converted key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pellucid._checks import DataError, UsageError


def read_json(path: Path) -> Any:
    """Read one JSON file.

    Raises:
        DataError: The file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{str(path.parent)!r} has no {path.name}.") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{str(path)!r} cannot be read as JSON: {error}.") from error


def to_json(value: Any, where: str, *, non_finite: Literal["refuse", "null"]) -> Any:
    """Return ``value`` in JSON's own types; ``where`` names it in an error.

    Raises:
        UsageError: A key is not a string, a value has no JSON form, or a number is not finite and
            ``non_finite`` is ``"refuse"``.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if value - value == 0:  # finite
            return float(value)
        if non_finite == "null":
            return None
        raise UsageError(f"{where} must be a finite number, got {value!r}. Use None instead.")
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise UsageError(f"keys of {where} must be strings, got {key!r}. Use str(key).")
        return {
            str(key): to_json(entry, f"{where}.{key}", non_finite=non_finite)
            for key, entry in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            to_json(entry, f"{where}[{index}]", non_finite=non_finite)
            for index, entry in enumerate(value)
        ]
    if hasattr(value, "tolist"):  # NumPy's scalars and arrays, torch's tensors
        return to_json(value.tolist(), where, non_finite=non_finite)
    raise UsageError(
        f"{where} must be JSON-able, got {type(value).__name__}. "
        "Use numbers, strings, lists and dictionaries."
    )
