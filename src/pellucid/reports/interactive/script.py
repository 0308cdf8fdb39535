"""The script of the interactive view, as it stands in the page."""

from __future__ import annotations

import functools

from markupsafe import Markup

from pellucid.reports.embedded_script import join_scripts, seal_script

_PACKAGE = "pellucid.reports.interactive"
# In the order they are read: each file uses only names from those above it.
SCRIPTS = (
    "routing",
    "layout",
    "wording",
    "permalink",
    "elements",
    "pictures",
    "histogram",
    "node_drawing",
    "tree_view",
    "tree_keys",
    "zoom",
    "node_panel",
    "image_choice",
    "image_answers",
    "download",
    "tree_tools",
    "theme",
    "start",
)
_LIVE = "upload"


@functools.cache
def page_script(live: bool = False) -> tuple[Markup, str]:
    """Return the page's script, and its hash as the content security policy names it.

    Args:
        live: For the local page, to which a reader gives images of their own.
    """
    names = (*SCRIPTS[:-1], _LIVE, SCRIPTS[-1]) if live else SCRIPTS
    return seal_script(join_scripts(_PACKAGE, names))
