"""The script of the page of an approximation, and arrays in its data."""

from __future__ import annotations

import base64
import functools

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

from pellucid.reports.embedded_script import join_scripts, seal_script

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
_PACKAGE = "pellucid.reports.approximation"


def encode_array(values: ArrayLike, dtype: str) -> str:
    """Return the values in base64, little-endian, of a dtype such as ``"<f4"``."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=dtype).tobytes()).decode("ascii")


@functools.cache
def page_script() -> tuple[Markup, str]:
    """Return the page's script, and its hash as the content security policy names it."""
    return seal_script(join_scripts(_PACKAGE, SCRIPTS))
