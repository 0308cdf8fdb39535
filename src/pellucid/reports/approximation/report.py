"""The page: from an approximation to one HTML file that stands alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.reports.approximation.build_up import (
    choose_checks,
    embed_network,
    is_small,
    sum_frames,
)
from pellucid.reports.approximation.cell_splits import CellSplits, split_cells
from pellucid.reports.approximation.contents import ShownApproximation, names_of, text_of
from pellucid.reports.approximation.embedding import page_script
from pellucid.reports.approximation.neuron_lines import NeuronLines, draw_lines, find_steepness
from pellucid.reports.approximation.own_cells import draw_own_cells
from pellucid.reports.approximation.samples import sample, sample_plane
from pellucid.reports.approximation.statements import (
    explain_choice,
    explain_status,
    list_cautions,
    list_facts,
    name_scheme,
    say_reach,
    tabulate_candidates,
    write_bound,
    write_count,
    write_value,
    write_verdict,
)
from pellucid.reports.approximation.weight_tables import tabulate_layers
from pellucid.reports.embedded_script import embed_json
from pellucid.reports.page import template_environment, write_page

_LONGEST_TITLE = 80


@dataclass(frozen=True)
class _CountBar:
    name: str
    count: str
    width: float  # percent of the longest, on a logarithmic scale
    style: str


def write_report(approximation: ShownApproximation, path: str | Path) -> Path:
    """Write the page of an approximation to ``path``: all of it, or nothing; return the path.

    The page needs no network and no other file. It shows what is certified, the error over the
    box, the network neuron by neuron, the reference constructions to try, and neuron counts.

    Args:
        approximation: What ``pellucid.approximation.schemes`` returns.
        path: The HTML file.
    """
    return write_page(render_report(approximation), path)


def write_shapes_page(path: str | Path) -> Path:
    """Write a page of the reference shapes alone: bump, tower and the holes of their tiling."""
    return write_page(_render({"samples": None, "plane": None}, _shapes_view()), path)


def render_report(approximation: ShownApproximation) -> str:
    """Return the page of an approximation as text."""
    network, box, target = approximation.network, approximation.box, approximation.target
    names = names_of(target, box.dimension)
    samples = sample(network, target, box, names)
    plane = sample_plane(target, samples)
    cells = split_cells(plane.values, approximation.tolerance)
    steepness = find_steepness(target, box)
    lines = draw_lines(approximation, steepness, cells)
    small = is_small(network)
    frames = None if small else sum_frames(network, samples)
    own_cells = draw_own_cells(network, samples)
    bound = approximation.certificate.bound
    data = {
        "certificate": {
            "bound": bound if math.isfinite(bound) else None,
            "tolerance": approximation.tolerance,
        },
        "samples": samples.to_json(),
        "network": embed_network(network) if small else None,
        "checks": choose_checks(network, samples) if small else None,
        "frames": frames,
        "plane": plane.to_json(),
        "cells": cells.to_json(),
        "ownCells": own_cells,
        "counts": lines.to_json(),
    }
    text = text_of(target)
    view = {
        "approximation": approximation,
        "title": f"{_shorten(text)} as a network of sigmoids",
        "text": text,
        "dimension": box.dimension,
        "verdict": write_verdict(approximation),
        "status": explain_status(approximation),
        "reach": say_reach(approximation.certificate),
        "warnings": list_cautions(approximation),
        "facts": list_facts(approximation),
        "candidates": tabulate_candidates(approximation),
        "choice": explain_choice(approximation),
        "tolerance": write_value(approximation.tolerance),
        "bound": write_bound(bound),
        "has_own_cells": own_cells is not None,
        "has_build": small or frames is not None,
        "is_small": small,
        "hidden_layers": len(network.hidden),
        "plane_title": plane.title,
        "slopes": ", ".join(write_value(s, 3) for s in steepness.slopes),
        "slopes_known": steepness.is_known,
        "bars": _draw_bars(approximation, lines, cells),
        "layers": tabulate_layers(network, names),
        "output_bias": write_value(network.output_bias, 6),
        "sections": _list_sections(small or frames is not None),
    }
    return _render(data, view)


def _render(data: dict[str, Any], view: dict[str, Any]) -> str:
    script, source = page_script()
    return (
        template_environment()
        .get_template("approximation.html.j2")
        .render(
            **view,
            pictures="",
            data=embed_json(data),
            script=script,
            script_source=f"script-src {source}; ",
        )
    )


def _shapes_view() -> dict[str, Any]:
    return {
        "approximation": None,
        "title": "Bumps, towers and their tiling",
        "dimension": 0,
        "warnings": [],
        "sections": [("shapes", "Bump and tower"), ("holes", "Holes")],
    }


def _list_sections(has_build: bool) -> list[tuple[str, str]]:
    sections = (
        ("error", "Error", True),
        ("neurons", "Neuron by neuron", has_build),
        ("counts", "How many neurons", True),
        ("shapes", "Bump and tower", True),
        ("holes", "Holes", True),
        ("cells", "Cells", True),
        ("soft", "Steep to soft", True),
        ("weights", "Weights", True),
    )
    return [(anchor, name) for anchor, name, shown in sections if shown]


def _draw_bars(
    approximation: ShownApproximation, lines: NeuronLines, cells: CellSplits
) -> list[_CountBar]:
    """Return the counts at the tolerance asked for, from most to fewest as formulas order them."""
    counts = [(name, number, style.split()[0]) for name, number, style in lines.at_tolerance]
    adaptive = [count for radius, count in cells.neurons if radius <= approximation.tolerance]
    others = [point for point in lines.points if not point["chosen"]]
    met = [point for point in others if point["tolerance"] <= approximation.tolerance]
    counts += [(name_scheme(point["name"]), point["neurons"], "a3") for point in met]
    if approximation.box.dimension <= 2 and adaptive and not any(p["name"] == "kd" for p in met):
        counts.append(("cells that follow the function (on samples)", min(adaptive), "a3"))
    own = approximation.network.hidden_neurons
    counts.append(("this network", own, "chosen"))
    counts.sort(key=lambda item: -item[1])
    longest = math.log10(1 + max(number for _, number, _ in counts)) or 1.0

    def width(number: float) -> float:
        return max(0.6, 100 * math.log10(1 + number) / longest)

    return [
        _CountBar(name, write_count(number), width(number), style) for name, number, style in counts
    ]


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_TITLE else text[: _LONGEST_TITLE - 1] + "…"
