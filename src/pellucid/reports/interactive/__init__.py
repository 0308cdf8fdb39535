"""The tree as a view to work with: zoom, fold, open a branch, follow an image; all in the page."""

from __future__ import annotations

from pellucid.reports.interactive.view_data import describe_image as describe_image
from pellucid.reports.interactive.view_data import describe_tree as describe_tree
