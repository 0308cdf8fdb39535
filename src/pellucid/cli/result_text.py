"""The result of a fit or an evaluation as a few plain lines."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from pellucid.cli.output import make_table, write_percent

_ROWS = (
    ("greedy (one path)", "greedy"),
    ("most probable leaf", "most_probable_leaf"),
    ("soft (all leaves)", "distributed"),
    ("soft, before projection", "distributed_before_projection"),
    ("greedy agrees with soft", "fidelity_greedy"),
)


def describe_result(result: Mapping[str, Any], *, fitted_now: bool = True) -> list[str]:
    """Return the headline, the table, where things are and what to do next.

    Args:
        result: As of ``--json``.
        fitted_now: Whether the tree was just trained, rather than measured again.
    """
    test = result["test"]
    count = test["images"]
    lines = []
    if test["greedy"] is None:
        lines.append("There were no test images, so nothing is known about accuracy.")
    else:
        low, high = test["intervals"]["greedy"]
        lines += [
            f"The tree answers {round(test['greedy'] * count)} of {count} test images right, "
            f"one path each: {write_percent(test['greedy'])} "
            f"(95 % interval {100 * low:.1f} to {write_percent(high)}).",
            "",
        ]
        rows = [("routing", "share", "95 % interval")]
        for label, name in _ROWS:
            if test.get(name) is not None:
                low, high = test["intervals"][name]
                interval = f"{100 * low:.1f} to {write_percent(high)}"
                rows.append((label, write_percent(test[name]), interval))
        lines += make_table(rows)
    lines += [
        "",
        f"{_count(result['prototypes'], 'prototype')} (of {result['prototypes_before_pruning']} "
        f"before pruning), {_count(result['leaves'], 'leaf', 'leaves')}; "
        f"{result['seconds']:.0f} seconds.",
    ]
    lines += [f"caution: {caution}" for caution in result.get("cautions", ())]
    if fitted_now:
        where = shlex.quote(str(result["run"]))
        lines.append("")
        if result["report"] is not None:
            lines.append(f"report  {result['report']}")
        lines += [
            f"next    pellucid explain {where} IMAGE",
            f"        pellucid serve {where}",
            f"        pellucid evaluate {where} [DATA]",
        ]
    return lines


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
