"""Data and script as they stand in the page: JSON that cannot end its element, and one script."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import math
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

# In the order they are read: each file uses only names from those above it.
SCRIPTS = (
    "numbers",
    "network",
    "constructions",
    "drawing",
    "controls",
    "view_error",
    "view_build",
    "view_playground",
    "view_microscope",
    "view_cells",
    "view_counts",
    "start",
)
_ESCAPES = {character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def encode_array(values: ArrayLike, dtype: str) -> str:
    """Return the values in base64, little-endian, of a dtype such as ``"<f4"``."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=dtype).tobytes()).decode("ascii")


def embed_json(data: Any) -> Markup:
    """Return JSON for a script element: no character in it can end the element or begin a comment.

    Numbers that are not finite become null, which JSON can hold.
    """
    text = json.dumps(_finite(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return Markup(text)


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    if isinstance(data, np.generic):
        return _finite(data.item())
    return None if isinstance(data, float) and not math.isfinite(data) else data


def join_scripts(names: Sequence[str] = SCRIPTS) -> str:
    """Return the named script files as one text."""
    folder = resources.files("pellucid.reports.approximation") / "scripts"
    return "\n".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in names)


@functools.cache
def page_script() -> tuple[Markup, str]:
    """Return the page's script, and its hash as the content security policy names it."""
    text = f'"use strict";\n{{\n{join_scripts()}}}\n'  # in a block: no name is global
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return Markup(text), f"'sha256-{digest}'"
