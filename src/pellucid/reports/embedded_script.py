"""Data and script as they stand in a page: JSON that cannot end its element, and the hash."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
from markupsafe import Markup

_ESCAPES = {character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


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


def join_scripts(package: str, names: Sequence[str]) -> str:
    """Return the named files of a package's ``scripts`` folder as one text."""
    folder = resources.files(package) / "scripts"
    return "\n".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in names)


def seal_script(scripts: str) -> tuple[Markup, str]:
    """Return a script for a page, and its hash as the content security policy names it."""
    text = f'"use strict";\n{{\n{scripts}}}\n'  # in a block: no name is global
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return Markup(text), f"'sha256-{digest}'"
