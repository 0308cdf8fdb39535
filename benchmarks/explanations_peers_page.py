"""The page that ``explanations_peers.py`` writes from its figures."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from machine import machine_line

ROWS = {
    "cnn-grad-cam": "CNN + Grad-CAM",
    "cnn-integrated-gradients": "CNN + integrated gradients",
    "cabrnet": "CaBRNet, enlarged cells",
    "cabrnet-relevance": "CaBRNet, PRP",
    "cabrnet-integrated": "CaBRNet, importance as Pellucid's",
    "pellucid-resnet18": "Pellucid, ResNet-18",
    "pellucid-unbounded": "Pellucid, patches of 53 px",
    "pellucid": "Pellucid (patches of 25 px)",
}
OF_THE_MODELS = ("accuracy", "fidelity", "path_length")  # in the first table, for all trees
HEAD = """# Explanations of a CNN, of CaBRNet and of Pellucid

Written by `python benchmarks/explanations_peers.py`; how to measure again is said at the top of
that file. All models learned the same creatures (64 px, 20 classes, 100 training images each, seed
of the pictures 0) and were measured by `pellucid.evaluation.evaluate_explanations` on the same
{images} test images (the pixels have one SHA-256). Nothing was chosen by the test images.
"""


def render_page(results: Path) -> str:
    """Return the page of all figures in ``results``."""
    documents = {}
    for row in ROWS:
        path = results / f"explanations-{row}.json"
        if path.exists():
            documents[row] = json.loads(path.read_text())
    runs = [seed for document in documents.values() for seed in document["seeds"].values()]
    images = {run["evaluation"]["images"] for run in runs}
    if len({run["pixels_sha256"] for run in runs}) != 1 or len(images) != 1:
        raise SystemExit("The models were measured on different images; measure --again.")
    lines = [HEAD.format(images=images.pop()), *_models(documents), *_measures(documents)]
    lines += ["## Notes", "", *_machines(documents)]
    return "\n".join(lines) + "\n"


def _models(documents: dict[str, dict]) -> list[str]:
    lines = [
        "## The models",
        "",
        "Accuracies are shares of all test images; *greedy* follows the more probable child at "
        "each branch, *fidelity* is how often that answers as the mixture of all leaves does.",
        "",
        "| | seeds | accuracy | greedy | fidelity | path, turns | prototypes | leaves | epochs | "
        "training, minutes |",
        "|---|" + "---|" * 9,
    ]
    for row, document in documents.items():
        runs = list(document["seeds"].values())
        training = [run["training"] for run in runs]
        cells = [
            ", ".join(document["seeds"]),
            _mean([run["test"]["accuracy"] for run in runs], ".3f"),
            _mean([run["test"].get("greedy_accuracy") for run in runs], ".3f"),
            _mean([run["test"].get("greedy_fidelity") for run in runs], ".3f"),
            _mean([run["test"].get("path_length") for run in runs], ".1f"),
            _mean([facts.get("prototypes") for facts in training], ".1f"),
            _mean([facts.get("leaves") for facts in training], ".1f"),
            _mean([facts["epochs"] for facts in training], ".0f"),
            _mean([facts["training_seconds"] / 60 for facts in training], ".0f"),
        ]
        lines.append(f"| {ROWS[row]} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _measures(documents: dict[str, dict]) -> list[str]:
    """Return the table of all measures, and below it what each of them is."""
    found: dict[str, dict[str, list[dict]]] = {}
    for row, document in documents.items():
        for run in document["seeds"].values():
            for measure in run["evaluation"]["measures"]:
                if measure["name"] in OF_THE_MODELS:
                    continue
                found.setdefault(measure["name"], {}).setdefault(row, []).append(measure)
    several = any(len(document["seeds"]) > 1 for document in documents.values())
    spread = "its 95 % interval over images (or prototypes)"
    if several:
        spread += "; where there are several seeds, the mean, and the least and the greatest"
    lines = ["## The measures", ""]
    lines += [
        f"In brackets {spread}. *Chance* is what a random explanation, or guessing, gets.",
        "",
    ]
    lines.append("| | better | " + " | ".join(ROWS[row] for row in documents) + " |")
    lines.append("|---|---|" + "---|" * len(documents))
    for by_row in found.values():
        any_measure = next(iter(by_row.values()))[0]
        cells = [_cell(by_row.get(row, [])) for row in documents]
        lines.append(
            f"| {any_measure['label']} | {any_measure['better']} | " + " | ".join(cells) + " |"
        )
    lines += ["", "What they are:", ""]
    for by_row in found.values():
        measured = [m for measures in by_row.values() for m in measures]
        chosen = next((m for m in measured if m["value"] is not None), measured[0])
        totals = sorted({m["total"] for m in measured if m["value"] is not None})
        counted = f" n = {totals[0]}" if totals else ""
        counted += f" to {totals[-1]}" if len(totals) > 1 else ""
        lines.append(f"- *{chosen['label']}* ({chosen['unit']}{';' if counted else ''}{counted}): ")
        lines[-1] += f"{chosen['note']}."
    return [*lines, ""]


def _cell(measures: list[dict]) -> str:
    known = [measure for measure in measures if measure["value"] is not None]
    if not known:
        return "–"
    style = ".1f" if known[0]["unit"] == "count" else ".2f"
    values = [measure["value"] for measure in known]
    text = format(statistics.fmean(values), style)
    if len(known) > 1:
        text += f" ({min(values):{style}} to {max(values):{style}})"
    elif known[0]["low"] is not None:
        text += f" ({known[0]['low']:{style}} to {known[0]['high']:{style}})"
    chances = [measure["chance"] for measure in known if measure["chance"] is not None]
    if chances:
        text += f"; chance {statistics.fmean(chances):{style}}"
    return text


def _mean(values: list, style: str) -> str:
    known = [value for value in values if value is not None]
    return format(statistics.fmean(known), style) if known else ""


def _machines(documents: dict[str, dict]) -> list[str]:
    machines: dict[str, list[str]] = {}
    for row, document in documents.items():
        machines.setdefault(machine_line(document["machine"]), []).append(ROWS[row])
    return [f"- {', '.join(rows)}: {machine}." for machine, rows in machines.items()]
