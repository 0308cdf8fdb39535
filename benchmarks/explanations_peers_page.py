"""The page that ``explanations_peers.py`` writes from its figures."""

from __future__ import annotations

import json
import statistics
import textwrap
from pathlib import Path

from machine import machine_line

ROWS = {
    "cnn-grad-cam": "CNN + Grad-CAM",
    "cnn-integrated-gradients": "CNN + integrated gradients",
    "cabrnet": "CaBRNet, enlarged cells",
    "cabrnet-relevance": "CaBRNet, PRP",
    "cabrnet-as-pellucid": "CaBRNet, importance as Pellucid's",
    "pellucid-unbounded": "Pellucid, patches of 53 px",
    "pellucid": "Pellucid (patches of 25 px)",
}
CHOOSE = """## Which to choose

**Which parts of this picture matter to a network that I have?** Integrated gradients. On these
pictures no other map of the CNN does better: what they call important is what counts when it is
really removed (single deletion {cnn_integrated_gradients[single_deletion]}; Grad-CAM
{cnn_grad_cam[single_deletion]}, hardly more than the {cnn_grad_cam[single_deletion_chance]} of a
map
that is the same everywhere; Pellucid {pellucid[single_deletion]}), and they tell classes apart
(target sensitivity {cnn_integrated_gradients[target_sensitivity]}, Pellucid
{pellucid[target_sensitivity]}). They need the network and its gradients, nothing else, and say
where, not why: there is nothing that the part was compared with, and no path to follow. Grad-CAM
takes one gradient instead of fifty and draws a smoother picture, of which less is true; its
brightest pixel lies on the part that matters most in {cnn_grad_cam[pointing_game_decisive]} of
the images (integrated gradients {cnn_integrated_gradients[pointing_game_decisive]}, Pellucid
{pellucid[pointing_game_decisive]}, chance {cnn_grad_cam[pointing_game_decisive_chance]}).

**How was the answer found, step by step, and what was it compared with?** A prototype tree.
CaBRNet's takes {cabrnet[test_path_length]} turns to an answer, Pellucid's
{pellucid[test_path_length]}, and one path nearly always answers as the whole tree does. They
differ in whether the pictures along the path are true. Of Pellucid's boxes, replacing all that is
outside changes the similarity by {pellucid[local_perturbation_outside]}, replacing the inside
lowers it by {pellucid[local_perturbation_inside]}; of CaBRNet's it is
{cabrnet[local_perturbation_outside]} and {cabrnet[local_perturbation_inside]}, hardly better than
a box at a random place. A prototype of Pellucid's finds one and the same kind of part more often
(purity {pellucid[purity_top_10]} against {cabrnet[purity_top_10]}, chance
{cabrnet[purity_top_10_chance]}).

**Is CaBRNet's tree to blame, or its pictures?** Mostly its pictures, with this backbone. Its
answers are as good as anyone's. Taken with the importance that Pellucid computes for its own
trees, the same tree reaches single deletion {cabrnet_as_pellucid[single_deletion]} instead of
{cabrnet[single_deletion]} (cells enlarged) and {cabrnet_relevance[single_deletion]} (prototype
relevance propagation), and a better deletion curve than Pellucid's tree
({cabrnet_as_pellucid[deletion_curve]} against {pellucid[deletion_curve]}, lower is better). But a
cell of its latent map sees 99 px, the whole picture but at the corners, so that no small box can
hold what counts. Pellucid's default backbone is built so that a cell sees 25 px.

**Where Pellucid is worse.** Its tree errs a little more often than the CNN and CaBRNet's ResNet
({pellucid[test_accuracy]} against {cnn_grad_cam[test_accuracy]} and {cabrnet[test_accuracy]}). A
plain CNN with integrated gradients has the better target sensitivity
({pellucid[target_sensitivity]} against {cnn_integrated_gradients[target_sensitivity]}) and deletion
curve ({pellucid[deletion_curve]} against {cnn_integrated_gradients[deletion_curve]}, lower is
better). On the other measures of a map both are about equal (single deletion
{pellucid[single_deletion]} against {cnn_integrated_gradients[single_deletion]}), except that
Pellucid's is less distracted ({pellucid[distractibility]} against
{cnn_integrated_gradients[distractibility]}) and lies less on the background
({pellucid[importance_on_background]} against
{cnn_integrated_gradients[importance_on_background]}). A network must be trained for it, while an
attribution takes the one that is there. And CaBRNet has what Pellucid has not: ProtoPNet,
ProtoPool and PIP-Net, and relevance propagation.

**Small patches have a price.** With patches of 53 px Pellucid's tree errs less
({pellucid_unbounded[test_accuracy]}) and what it calls important agrees better with what counts
(single deletion {pellucid_unbounded[single_deletion]} against {pellucid[single_deletion]}); but a
box is then {pellucid_unbounded[box_size]} of the picture instead of {pellucid[box_size]}, and
prototypes are less pure ({pellucid_unbounded[purity_top_10]} against {pellucid[purity_top_10]}).
Where classes differ by what is spread over a picture, take larger patches (`--patch-size`).
"""
OWN = """## Your own network

Any torch classifier of images takes part. It needs Captum: `pip install 'pellucid[captum]'`.

```python
from torch import nn

from pellucid.data import Normalization, load_data
from pellucid.evaluation import GradCam, evaluate_explanations

data = load_data("creatures")
features = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4), nn.ReLU())
network = nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 20))

model = GradCam(
    network,  # yours, trained: from normalized images to logits
    features,  # its last layer that still has rows and columns
    class_names=data.images.class_names,
    normalization=Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # that of its training
)
evaluation = evaluate_explanations(model, data, images=5, quiet=True)
for measure in evaluation.measures:
    print(measure.label, measure.value, measure.chance)
```

`IntegratedGradients(network, class_names=..., normalization=...)` takes its place for the other
map.
"""
NOTES = """## What is not quite comparable

- *No tree of Pellucid's on CaBRNet's backbone* was trained for this page, nor one of CaBRNet's on
  small patches: what the backbone does and what the training does is not told apart, except by
  the row with patches of 53 px.
- *Backbones.* The CNN has Pellucid's backbone without a bound on its patches (53 px). CaBRNet
  takes networks of torchvision by name; it has a ResNet-18 with random weights cut after
  `layer2`, whose 8x8 cells see 99 px each, most or all of the picture. Its boxes suffer from
  that, its accuracy gains.
- *Recipes.* CaBRNet's tree is trained as its configuration for CUB-200 says (AdamW at 1e-3,
  halved four times), with 60 epochs instead of 100, depth 5, Pellucid's augmentation, nothing
  frozen, leaves pruned at 2 / classes; that configuration was made for a pre-trained ResNet-50 at
  224 px. The CNN and Pellucid's trees had 30 epochs, half of Pellucid's default; Pellucid's are
  those that `benchmarks/explanations.py` trained, with the recipe of this page. No setting was
  tuned for this comparison. Pellucid's defaults were chosen by its developers on validation
  images of the same kind of pictures, which is in its favor.
- *Importance of a class.* CaBRNet draws one picture a prototype and none a class. Here its
  pictures are added up by the share of the class's probability that each prototype carries, the
  rule of Pellucid's trees. Negative lobes of the cubic interpolation are cut off, and the blur of
  its relevance maps is scaled from 224 to 64 px; both are in its favor.
- *Boxes.* Its box at percentile .7, that of its configurations, which use it on relevance maps;
  here it is around the enlarged cell. Relevance maps have no boxes here: one a prototype for each
  of thousands of changed images would take hours.
- *Present prototypes.* Those on the path that each tree explains itself with: Pellucid's greedy
  walk, CaBRNet's most probable leaf (which it calls greedy). *Greedy* in the first table is the
  walk itself for both.
- *The measures are ours*, after published ones, and the importance of Pellucid's trees
  (integrated gradients and blurred regions together) was chosen by one of them, single deletion,
  on validation images. Nobody made such a choice for the other maps: the CNN's are Captum's (50
  steps from the mean color; Grad-CAM at the last map), CaBRNet's its own.
- *The pictures* are small, flat and generated, and all models answer nearly all of them.
- *Seeds* are few, and minutes were taken on a machine that was busy with other work: two- to
  threefold too long, and not the same for all.

## Measured on
"""
# Told in the first table for both trees, or measured for one of them only.
OF_THE_MODELS = ("accuracy", "fidelity", "path_length", "projection_drop")
NETWORKS = "What the networks look at"
GROUPS = {
    "Maps: what is called important": (),  # and whatever no other group has
    "Prototypes and their boxes": (
        "prototypes_on_background",
        "purity_top_10",
        "purity",
        "consistency",
        "stability",
        "box_size",
        "local_perturbation_outside",
        "local_perturbation_inside",
    ),
    NETWORKS: ("background_independence", "background_changes_answer", "class_coverage"),
}
SAME_NETWORK = ("cnn-integrated-gradients", "cabrnet-relevance", "cabrnet-as-pellucid")
LEGEND = (
    "The figure (its 95 % interval over images or prototypes; of several seeds the mean, the least "
    "and the greatest), and after the comma what chance gets: an explanation that knows nothing."
)
HEAD = """# Explanations of a CNN, of CaBRNet and of Pellucid

Written by `python benchmarks/explanations_peers.py`; how to measure again is said at the top of
that file. All models learned the same creatures (64 px, 20 classes, 100 training images each, seed
of the pictures 0) and were measured by `pellucid.evaluation.evaluate_explanations` on the same
{images} test images (the pixels have one SHA-256). No model and no setting was
chosen by the test images. Two choices of this page were made when test figures had been seen: the
row of CaBRNet with Pellucid's importance was added, and the rows with Pellucid's importance were
measured again when its definition had changed (that was decided on validation images).
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
    if set(documents) == set(ROWS):
        lines += [_wrap(CHOOSE.format_map(_Values(documents)).strip()), ""]
    lines += [OWN, NOTES, *_machines(documents)]
    return "\n".join(lines) + "\n"


def _wrap(text: str) -> str:
    """Return the text with its paragraphs broken anew, after figures were put in."""
    return "\n\n".join(textwrap.fill(part, 98) for part in text.split("\n\n"))


class _Values(dict):
    """Looks up ``{row[measure]}`` in a text: the mean over seeds, two digits."""

    def __init__(self, documents: dict[str, dict]) -> None:
        found: dict[str, dict[str, list[float]]] = {}
        for row, document in documents.items():
            of_row = found.setdefault(row.replace("-", "_"), {})
            for run in document["seeds"].values():
                for measure in run["evaluation"]["measures"]:
                    if measure["value"] is not None:
                        of_row.setdefault(measure["name"], []).append(measure["value"])
                        chance = measure["chance"]
                        if chance is not None:
                            of_row.setdefault(f"{measure['name']}_chance", []).append(chance)
                for name, value in run["test"].items():
                    of_row.setdefault(f"test_{name}", []).append(value)
                seconds = run["training"]["training_seconds"]
                of_row.setdefault("minutes", []).append(seconds / 60)
        super().__init__(
            {
                row: {name: _round(statistics.fmean(values), name) for name, values in by.items()}
                for row, by in found.items()
            }
        )


def _round(value: float, name: str) -> str:
    if name.startswith("local_perturbation"):
        return f"{100 * value:.1f}\u00a0%"
    styles = {"minutes": ".0f", "test_path_length": ".1f"}
    return format(value, styles.get(name, ".3f" if name.startswith("test_") else ".2f"))


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
    """Return the tables of all measures, and below each what its measures are."""
    found: dict[str, dict[str, list[dict]]] = {}
    for row, document in documents.items():
        for run in document["seeds"].values():
            for measure in run["evaluation"]["measures"]:
                if measure["name"] not in OF_THE_MODELS and measure["value"] is not None:
                    found.setdefault(measure["name"], {}).setdefault(row, []).append(measure)
    groups: dict[str, list[dict[str, list[dict]]]] = {title: [] for title in GROUPS}
    for name, by_row in found.items():
        of = [title for title, names in GROUPS.items() if name in names] or [next(iter(GROUPS))]
        groups[of[0]].append(by_row)
    lines = []
    for title, measures in groups.items():
        rows = [row for row in documents if any(row in by_row for by_row in measures)]
        if title == NETWORKS:
            rows = [row for row in rows if row not in SAME_NETWORK]
        lines += [f"## {title}", "", LEGEND, ""]
        lines.append("| | better | " + " | ".join(ROWS[row] for row in rows) + " |")
        lines.append("|---|---|" + "---|" * len(rows))
        for by_row in measures:
            any_measure = next(iter(by_row.values()))[0]
            cells = [_cell(by_row.get(row, [])) for row in rows]
            lines.append(
                f"| {any_measure['label']} | {any_measure['better']} | " + " | ".join(cells) + " |"
            )
        lines.append("")
        for by_row in measures:
            known = [measure for of_row in by_row.values() for measure in of_row]
            totals = sorted({measure["total"] for measure in known})
            counted = f"{totals[0]}" + (f" to {totals[-1]}" if len(totals) > 1 else "")
            about = known[0]
            lines.append(f"- *{about['label']}* ({about['unit']}, n = {counted}): {about['note']}.")
        lines.append("")
    return lines


def _cell(measures: list[dict]) -> str:
    if not measures:
        return "–"
    values = [measure["value"] for measure in measures]
    shown = [statistics.fmean(values), min(values), max(values)]
    if len(values) == 1:
        shown[1:] = [measures[0]["low"], measures[0]["high"]]
    mean, low, high = (_write(value, measures[0]["unit"]) for value in shown)
    text = mean if low is None or high is None else f"{mean} ({low}–{high})"
    chances = [measure["chance"] for measure in measures if measure["chance"] is not None]
    if chances:
        text += f", {_write(statistics.fmean(chances), measures[0]['unit'])}"
    return text


def _write(value: float | None, unit: str) -> str | None:
    if value is None:
        return None
    return f"{100 * value:.1f} %" if unit == "relative change" else f"{value:.2f}"


def _mean(values: list, style: str) -> str:
    known = [value for value in values if value is not None]
    return format(statistics.fmean(known), style) if known else ""


def _machines(documents: dict[str, dict]) -> list[str]:
    machines: dict[str, list[str]] = {}
    for row, document in documents.items():
        machines.setdefault(machine_line(document["machine"]), []).append(ROWS[row])
    return [f"- {', '.join(rows)}: {machine}." for machine, rows in machines.items()]
