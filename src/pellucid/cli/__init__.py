"""The command line: parse, one library call, print.

Importing it, and any ``--help``, imports neither torch nor timm, scikit-learn or matplotlib: each
command's parser is built only when it is called for, and the library only when it runs.
"""

from __future__ import annotations

from pellucid.cli.entry import main

__all__ = ["main"]
