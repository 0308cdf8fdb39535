"""What the local page stands on: a run's tree, the page about it, and answers to pictures."""

from __future__ import annotations

import contextlib
import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pellucid._checks import DataError
from pellucid.data.pictures import decode_picture
from pellucid.prototree import FittedTree
from pellucid.prototree.tree_run import TreeRun
from pellucid.reports.contents import TreeReport
from pellucid.reports.explained_picture import explain_picture
from pellucid.reports.interactive import describe_image
from pellucid.reports.interactive.script import page_script
from pellucid.reports.page import render_report
from pellucid.reports.prototype_files import read_prototypes
from pellucid.reports.run_figures import read_figures
from pellucid.reports.run_report import make_tree_report

_LARGE_PIXELS = 4_000_000


@dataclass(frozen=True)
class LocalModel:
    """A tree in memory and the page that shows it.

    Attributes:
        name: Of the run.
        fitted: The tree.
        page: The whole page, with a place to drop pictures.
        script_source: The hash of the page's script, for a content security policy.
        images: How many test images the page holds.
    """

    name: str
    fitted: FittedTree
    page: str
    script_source: str
    images: int

    @classmethod
    def open(cls, run: str | Path, *, device: str = "auto", quiet: bool = False) -> LocalModel:
        """Read a run's tree and draw its page; its test images are in it where they still exist.

        Args:
            run: The folder that `pellucid fit` made.
            device: Where the tree computes.
            quiet: No progress bar.

        Raises:
            DataError: the run is not there, not finished or damaged.
        """
        tree_run = TreeRun.open(run)
        fitted = tree_run.load_tree(device=device)
        report = _make_report(tree_run, fitted, quiet=quiet)
        return cls(
            name=str(tree_run.path),
            fitted=fitted,
            page=render_report(report, live=True),
            script_source=page_script(live=True)[1],
            images=len(report.explained),
        )

    def answer(self, content: bytes, name: str) -> dict[str, Any]:
        """Explain a picture as the page's script takes it.

        Args:
            content: All bytes of a picture file.
            name: What to call it; text, never a path.

        Raises:
            PictureError: the content is not a picture that can be read.
        """
        picture = decode_picture(content, name=name)
        explained = explain_picture(self.fitted, picture, name=name)
        if picture.width * picture.height > _LARGE_PIXELS:
            del picture
            _return_memory()
        return describe_image(explained.contents)


def _make_report(run: TreeRun, fitted: FittedTree, *, quiet: bool) -> TreeReport:
    try:
        data = run.load_data(quiet=quiet)
        figures = read_figures(run, data)
    except DataError as error:
        return _make_report_without_data(run, fitted, str(error))
    return make_tree_report(fitted, data, figures)


def _make_report_without_data(run: TreeRun, fitted: FittedTree, reason: str) -> TreeReport:
    topology = fitted.tree.topology
    return TreeReport(
        title="Prototype tree",
        subtitle=f"{len(fitted.class_names)} classes, backbone {fitted.recipe.backbone}",
        class_names=fitted.class_names,
        left_child=np.asarray(topology.left),
        right_child=np.asarray(topology.right),
        leaf_distributions=fitted.tree.leaf_log_distributions().exp().detach().cpu().numpy(),
        prototypes=read_prototypes(run.run),
        warnings=(
            *(run.read_result() or {}).get("doubts", ()),
            f"The page shows no test images and no accuracy: {reason}",
        ),
    )


def _return_memory() -> None:
    """Give what a large picture took back to the system, where the C library would keep it."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # only glibc does and has this
        ctypes.CDLL(None).malloc_trim(0)
