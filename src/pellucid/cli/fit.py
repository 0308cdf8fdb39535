"""``pellucid fit``: from images to a trained tree and its report."""

from __future__ import annotations

import argparse
import contextlib
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pellucid._checks import UsageError
from pellucid.cli.arguments import (
    Parser,
    add_device_option,
    add_output_options,
    augmentation_amounts,
    errors_in_flags,
    given_options,
    integer,
    number,
    size,
)
from pellucid.cli.output import Interruption, print_error, print_json, print_lines, print_note
from pellucid.cli.result_text import describe_result

_DIVERGED = 4
_WITH_RESUME = {"--resume", "--json", "--quiet", "--device"}
_RECIPE_OPTIONS = (
    "backbone",
    "stage",
    "patch_size_px",
    "depth",
    "latent_channels",
    "epochs",
    "warm_up_epochs",
    "prototype_initialization",
    "interim_projections",
    "routing_steepness",
    "batch_size",
    "learning_rate",
    "backbone_learning_rate",
    "prototype_learning_rate",
    "decoupled_weight_decay",
    "pruning_tolerance",
    "top_k",
)


def build_parser() -> Parser:
    """Return the parser; options that were not given are None."""
    parser = Parser(
        "fit",
        "Train a prototype tree on labelled images, make every prototype a patch of a real\n"
        "training image, prune the tree, measure it on test images and write a report.",
        [
            "pellucid fit",
            "pellucid fit digits --depth 4 --json",
            "pellucid fit creatures",
            "pellucid fit photos/ -o runs/photos",
            "pellucid fit photos/ --size 64x96 --augment shift=0.1,flip --epochs 30",
            "pellucid fit photos/ --backbone resnet18 --learning-rate 1e-3",
            "pellucid fit --resume runs/photos",
        ],
    )
    parser.add_argument(
        "data",
        nargs="?",
        metavar="DATA",
        help="digits (default), cifar10, creatures, creatures-hard, creatures-shortcut, or a "
        "folder DIR/class/*.png or DIR/{train,val,test}/class/*.png",
    )
    run = parser.add_argument_group("the run")
    run.add_argument("-o", "--out", metavar="DIR", help="new run folder (default: under runs/)")
    run.add_argument(
        "--resume", metavar="RUN", help="go on with a run that was cut off, as it was started"
    )
    add_output_options(run)
    run.add_argument("--no-report", action="store_true", help="write no report.html")
    run.add_argument("--seed", type=integer, metavar="N", help="of every random choice (0)")
    run.add_argument("--threads", type=integer, metavar="N", help="CPU threads (torch's choice)")
    add_device_option(run, default=None)

    data = parser.add_argument_group("the data")
    data.add_argument(
        "--size", type=size, metavar="S", help="pixels, 64 or HEIGHTxWIDTH (by the data)"
    )
    data.add_argument(
        "--validation-fraction", type=number, metavar="F", help="of what is not for testing (0.1)"
    )
    data.add_argument("--test-fraction", type=number, metavar="F", help="of all images (0.2)")
    data.add_argument(
        "--strict", action="store_true", help="refuse a folder in which anything is wrong"
    )
    varied = data.add_mutually_exclusive_group()
    varied.add_argument(
        "--augment",
        type=augmentation_amounts,
        metavar="AMOUNTS",
        help="vary training images: gentle (default; small shifts, turns and scales), or "
        "amounts by name: shift=0.1,rotate=10,flip; there are also scale, brightness, contrast",
    )
    varied.add_argument(
        "--no-augment", action="store_true", help="leave training images as they are"
    )

    tree = parser.add_argument_group("the tree")
    tree.add_argument("--depth", type=integer, metavar="N", help="before pruning, 1 to 16 (6)")
    tree.add_argument(
        "--backbone", metavar="NAME", help="patch_cnn (default; small patches) or a timm model"
    )
    tree.add_argument("--weights", metavar="FILE", help="a weights file or 'hub' (random weights)")
    tree.add_argument("--stage", type=integer, metavar="N", help="of a timm model (by image size)")
    tree.add_argument(
        "--patch-size",
        dest="patch_size_px",
        type=integer,
        metavar="PX",
        help="what a patch of patch_cnn may see each way, 7 px or more; 0 for no bound (25 px at "
        "64 px, about an eighth of a larger image, no bound below)",
    )
    tree.add_argument(
        "--freeze-backbone", action="store_true", help="leave the backbone's weights as they are"
    )
    tree.add_argument("--latent-channels", type=integer, metavar="N", help="of a patch (64)")
    tree.add_argument("--top-k", type=integer, metavar="N", help="patches by each prototype (5)")
    tree.add_argument(
        "--pruning-tolerance",
        type=number,
        metavar="F",
        help="share of training images on which pruning may newly err (0.001)",
    )

    training = parser.add_argument_group("the training")
    training.add_argument("--epochs", type=integer, metavar="N", help="warm-up included (60)")
    training.add_argument(
        "--warm-up-epochs",
        type=integer,
        metavar="N",
        help="of the backbone alone, 0 for none (a sixth of the epochs)",
    )
    training.add_argument(
        "--prototype-initialization",
        metavar="HOW",
        help="patches (default; of training images) or random",
    )
    training.add_argument(
        "--interim-projections",
        type=integer,
        metavar="N",
        help="of the prototypes while training goes on (4)",
    )
    training.add_argument(
        "--routing-steepness",
        type=number,
        metavar="S",
        help="of the branches in half of the loss, for greedy answers; 1 for none (8)",
    )
    training.add_argument(
        "--batch-size",
        type=integer,
        metavar="N",
        help="images a step, fewer where there are less than eight times as many (64)",
    )
    training.add_argument("--learning-rate", type=number, metavar="R", help="Adam's (0.002)")
    training.add_argument(
        "--backbone-learning-rate",
        type=number,
        metavar="R",
        help="(the learning rate; a tenth of it with --weights)",
    )
    training.add_argument(
        "--prototype-learning-rate", type=number, metavar="R", help="(the learning rate)"
    )
    training.add_argument(
        "--decoupled-weight-decay",
        type=number,
        metavar="R",
        help="of weights, not prototypes (0.1)",
    )
    return parser


def run(given: Sequence[str]) -> int:
    """Train, or go on with a training; return the exit code."""
    parser = build_parser()
    values = parser.parse(given)
    notify = None if values.quiet else print_note
    folder: list[Path] = []
    with errors_in_flags(parser), _saying_how_to_resume(folder):
        if values.resume is not None:
            _refuse_with_resume(parser, values)
            from pellucid.cli.fit_run import resume_run

            if Path(values.resume).is_dir():
                folder.append(Path(values.resume))
            result = resume_run(
                values.resume, device=values.device, quiet=values.quiet, notify=notify
            )
        else:
            from pellucid.cli.fit_run import fit_run

            result = fit_run(
                _read_settings(values),
                out=values.out,
                report=not values.no_report,
                quiet=values.quiet,
                notify=notify,
                warn=print_note,
                created=folder.append,
            )
    diverged = result["status"] == "diverged"
    is_model = not diverged or result["best_epoch"] is not None
    if values.json:
        print_json(result)
    elif is_model:
        print_lines(describe_result(result))
    if diverged:
        kept = (
            f"The state of the last good epoch is kept in {result['run']}"
            if is_model
            else "It did so before the tree was trained for a whole epoch, so there is no model"
        )
        print_error(
            f"training diverged: a loss was not finite. {kept}. Use a lower --learning-rate."
        )
        return _DIVERGED
    return 0


def _read_settings(values: argparse.Namespace) -> Any:
    """Return the `pellucid.prototree.tree_run.TreeSettings` of a command line."""
    from pellucid.data import Augmentation
    from pellucid.prototree import TreeRecipe
    from pellucid.prototree.tree_run import TreeSettings

    chosen: dict[str, Any] = {
        name: value for name in _RECIPE_OPTIONS if (value := getattr(values, name)) is not None
    }
    if values.weights is not None:
        is_hub = values.weights == "hub"
        chosen["weights"] = "hub" if is_hub else str(Path(values.weights).expanduser().absolute())
    if values.no_augment:
        chosen["augmentation"] = Augmentation()
    elif values.augment is not None and values.augment != "gentle":
        try:
            chosen["augmentation"] = Augmentation(**values.augment)
        except UsageError as error:
            raise UsageError(f"--augment: {error}") from None
    data: dict[str, Any] = {
        name: value
        for name in ("seed", "validation_fraction", "test_fraction", "device")
        if (value := getattr(values, name)) is not None
    }
    return TreeSettings.of(
        "digits" if values.data is None else values.data,
        TreeRecipe(freeze_backbone=values.freeze_backbone, **chosen),
        image_size=values.size,
        threads=values.threads,
        strict=values.strict,
        **data,
    )


def _refuse_with_resume(parser: Parser, values: argparse.Namespace) -> None:
    others = [flag for flag in given_options(parser, values) if flag not in _WITH_RESUME]
    if others:
        raise UsageError(
            f"--resume goes on with a run as it was started, so {', '.join(others)} cannot be "
            "given with it. Leave that out, or start a new run without --resume."
        )


@contextlib.contextmanager
def _saying_how_to_resume(folder: list[Path]) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, Interruption) as stop:
        code = int(getattr(stop, "exit_code", 130))
        name = "SIGTERM" if code == 143 else "SIGINT"
        what = (
            f"Continue with: pellucid fit --resume {shlex.quote(str(folder[0]))}"
            if folder
            else "Nothing was written."
        )
        raise Interruption(f"interrupted by {name}. {what}", code) from None
