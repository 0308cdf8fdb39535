"""Sphinx settings."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).parent))

from pellucid import __version__

project = "Pellucid"
author = "The Pellucid developers"
copyright = author  # Sphinx's name for it
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "mathml",
]
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"Pellucid {version}"

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
# Shapes are written as strings inside the types; as they stand they read best.
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
# Else the fields of dataclasses would be described twice.
napoleon_use_ivar = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
