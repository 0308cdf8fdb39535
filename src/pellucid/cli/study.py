"""``pellucid study``: which way of regularizing helps, by how much, and how sure that is."""

from __future__ import annotations

import argparse
import importlib.util
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid._checks import DataError, UsageError, check_choice, did_you_mean
from pellucid.cli.arguments import (
    Parser,
    add_output_options,
    augmentation_amounts,
    errors_in_flags,
    given_options,
    integer,
    number,
    size,
)
from pellucid.cli.output import Interruption, print_error, print_json, print_lines, print_note

if TYPE_CHECKING:
    from pellucid.regularization.arms import Arm
    from pellucid.regularization.recipe import NetworkRecipe
    from pellucid.regularization.result import StudyResult
    from pellucid.regularization.study_settings import StudySettings

REPORT_FILE = "report.html"
_DIVERGED = 4
_WITH_RESUME = {"--resume", "--json", "--quiet", "--no-report"}
_NOT_KEPT = {"resume", "json", "quiet", "no_report", "out"}
_RECIPE_OPTIONS = (
    "network",
    "epochs",
    "batch_size",
    "optimizer",
    "learning_rate",
    "momentum",
    "schedule",
    "precision",
)
_SMALLEST_FOR_CNN_PX = 12
LOGGERS = ("tensorboard",)
TREE_ARMS = {"tree": "greedy", "soft_tree": "distributed"}


def build_parser() -> Parser:
    """Return the parser; options that were not given are None."""
    parser = Parser(
        "study",
        "Train a network with and without penalties over several seeds, compare the arms and\n"
        "say in words which helps, by how much and how sure that is; write a report.",
        [
            "pellucid study",
            "pellucid study photos/ --arms none,l1,l2 --seeds 10 -o runs/photos-study",
            "pellucid study --arms none,l1,group_lasso,dropout,l1+shifts --strength l1=1e-3",
            "pellucid study --size 8 --path l1",
            "pellucid study --tune 5",
            "pellucid study --arms none,tree",
            "pellucid study cifar10 --preset reference",
            "pellucid study --resume runs/photos-study",
        ],
    )
    parser.add_argument(
        "data",
        nargs="?",
        metavar="DATA",
        help="digits (default: 400 of them, a fifth of the labels wrong on purpose), cifar10, "
        "creatures, creatures-hard, creatures-shortcut, or "
        "a folder DIR/class/*.png or DIR/{train,val,test}/class/*.png",
    )
    study = parser.add_argument_group("the study")
    study.add_argument(
        "--arms",
        type=_names,
        metavar="NAMES",
        help="none,l1,l2 (default); also elastic_net, group_lasso, sparse_group_lasso, max_norm, "
        "weight_decay, dropout, label_smoothing, mixup, shifts, flips, cosine, several joined by "
        "+ (l1+shifts), and tree, soft_tree",
    )
    study.add_argument(
        "--strength",
        type=_strength,
        action="append",
        metavar="ARM=S",
        help="of an arm (l1=6e-4, l2=0.025); may be given several times",
    )
    study.add_argument("--seeds", type=_seeds, metavar="N", help="how many, or which: 0,1,7 (5)")
    study.add_argument("--path", metavar="ARM", help="also follow an arm over many strengths")
    study.add_argument("--path-points", type=integer, metavar="N", help="strengths on it (10)")
    study.add_argument(
        "--tune", type=integer, metavar="N", help="try N candidates for each arm on validation"
    )
    study.add_argument(
        "--preset", metavar="NAME", help="reference: the original protocol, faults and all"
    )

    run = parser.add_argument_group("the run")
    run.add_argument("-o", "--out", metavar="DIR", help="new run folder (default: under runs/)")
    run.add_argument("--resume", metavar="RUN", help="go on with a study that was cut off")
    add_output_options(run)
    run.add_argument("--no-report", action="store_true", help="write no report.html")
    run.add_argument("--log", metavar="WHERE", help="tensorboard: also write its event files")
    run.add_argument("--seed", type=integer, metavar="N", help="of the data, and the first (0)")
    run.add_argument("--jobs", type=integer, metavar="N", help="processes (one a core, at most 8)")
    run.add_argument("--backend", metavar="NAME", help="loky (default), dask, ray or sequential")
    run.add_argument("--device", metavar="NAME", help="auto, cpu (default), cuda or mps")

    data = parser.add_argument_group("the data")
    data.add_argument(
        "--size", type=size, metavar="S", help="pixels, 64 or HEIGHTxWIDTH (by the data)"
    )
    data.add_argument("--train-images", type=integer, metavar="N", help="use only N of them")
    data.add_argument(
        "--wrong-labels", type=number, metavar="F", help="share of training labels made wrong (0)"
    )
    data.add_argument(
        "--validation-fraction", type=number, metavar="F", help="of what is not for testing (0.1)"
    )
    data.add_argument("--test-fraction", type=number, metavar="F", help="of all images (0.2)")

    data.add_argument(
        "--sha256", metavar="HEX", help="of an archive in CIFAR-10's format that is another one"
    )

    training = parser.add_argument_group("the training of every arm")
    training.add_argument(
        "--network",
        metavar="NAME",
        help="small_cnn (default), small_mlp, patch_cnn or one of timm",
    )
    training.add_argument("--epochs", type=integer, metavar="N", help="(60; 30 with the preset)")
    training.add_argument("--batch-size", type=integer, metavar="N", help="images a step (64)")
    training.add_argument("--optimizer", metavar="NAME", help="sgd (default) or adam")
    training.add_argument("--learning-rate", type=number, metavar="R", help="(0.01)")
    training.add_argument("--momentum", type=number, metavar="R", help="of sgd (0.9)")
    training.add_argument("--schedule", metavar="NAME", help="constant (default) or cosine")
    training.add_argument(
        "--ramp", type=number, metavar="F", help="strengths rise over this share of the epochs (0)"
    )
    training.add_argument(
        "--polish", type=integer, metavar="N", help="full-batch proximal steps at the end (0)"
    )
    training.add_argument(
        "--method", metavar="NAME", help="of L1 and groups: proximal (default) or subgradient"
    )
    training.add_argument(
        "--augment",
        type=augmentation_amounts,
        metavar="AMOUNTS",
        help="vary training images in every arm: shift=0.1,rotate=10,flip (default: not at all)",
    )
    training.add_argument(
        "--precision", metavar="NAME", help="float32 (default), bfloat16 or float64"
    )
    return parser


def run(given: Sequence[str]) -> int:
    """Make a study, or go on with one; return the exit code."""
    parser = build_parser()
    values = parser.parse(given)
    folder: list[Path] = []
    with errors_in_flags(parser):
        if values.resume is not None:
            others = [f for f in given_options(parser, values) if f not in _WITH_RESUME]
            if others:
                raise UsageError(
                    f"--resume goes on with a study as it was started, so {', '.join(others)} "
                    "cannot be given with it. Leave that out, or start a new study."
                )
            values = _read_request(parser, values)
            folder.append(Path(values.resume))
        settings = read_settings(values, given)
        try:
            result = _make(settings, values, folder)
        except (KeyboardInterrupt, Interruption) as stop:
            code = int(getattr(stop, "exit_code", 130))
            how = (
                f"Continue with: pellucid study --resume {shlex.quote(str(folder[0]))}"
                if folder
                else "Nothing was written."
            )
            name = "SIGTERM" if code == 143 else "SIGINT"
            raise Interruption(f"interrupted by {name}. {how}", code) from None
    code = _tell(result, values)
    if all(record.status == "diverged" for record in result.records):
        print_error("every training diverged: a loss was not finite. Use a lower --learning-rate.")
        return _DIVERGED
    return code


def _make(settings: StudySettings, values: argparse.Namespace, folder: list[Path]) -> StudyResult:
    from pellucid.regularization.study import run_study

    return run_study(
        settings,
        out=values.resume or values.out,
        resume=values.resume is not None,
        quiet=values.quiet,
        notify=(lambda _: None) if values.quiet else print_note,
        created=folder.append,
    )


def _tell(result: StudyResult, values: argparse.Namespace) -> int:
    report = None
    if not values.no_report:
        from pellucid.reports.study.report import write_study_report

        report = write_study_report(result, result.folder / REPORT_FILE)
    if values.log is not None:
        from pellucid.training.loggers import TensorBoardLogger

        logger = TensorBoardLogger(result.folder / values.log)
        result.log(logger)
        logger.close()
    if values.json:
        print_json({**result.to_json(), "report": None if report is None else str(report)})
    else:
        from pellucid.cli.study_text import describe_study

        print_lines(describe_study(result))
        print_lines([f"report: {report}"] if report else [f"run folder: {result.folder}"])
    return 0


def read_settings(values: argparse.Namespace, given: Sequence[str]) -> StudySettings:
    """Return the settings of a command line.

    Raises:
        UsageError: a value is out of range or a name unknown.
    """
    from dataclasses import replace

    from pellucid.regularization.presets import (
        PRESETS,
        REFERENCE_RECIPE,
        REFERENCE_SEED,
        reference_arms,
        reference_data,
    )
    from pellucid.regularization.recipe import NetworkRecipe
    from pellucid.regularization.study_data import StudyData
    from pellucid.regularization.study_settings import StudySettings

    reference = values.preset is not None
    if values.log is not None:
        check_choice("log", values.log, LOGGERS)
        if importlib.util.find_spec("tensorboard") is None:
            raise UsageError(
                "log 'tensorboard' needs the package tensorboard, which is not installed. "
                "Run `pip install 'pellucid[tensorboard]'` ('.[tensorboard]' in a clone), or leave "
                "--log out."
            )
    if reference:
        check_choice("preset", values.preset, PRESETS)
        fixed = ("arms", "strength", "tune", "path", "size", "validation_fraction", "test_fraction")
        for flag in fixed:
            if getattr(values, flag) is not None:
                typed = flag.replace("_", "-")
                raise UsageError(
                    f"--{typed} cannot be given with --preset reference, which fixes it. Leave one "
                    "of them out."
                )
    _check_names([*(values.arms or []), *([values.path] if values.path else [])])
    base = _read_recipe(values, REFERENCE_RECIPE if reference else NetworkRecipe())
    seed = values.seed if values.seed is not None else (REFERENCE_SEED if reference else 0)
    named = "cifar10" if reference else "digits"
    if reference:
        data = reference_data(values.data or named, seed=seed, sha256=values.sha256)
        if values.train_images is not None or values.wrong_labels is not None:
            data = replace(
                data, train_images=values.train_images, wrong_labels=values.wrong_labels or 0.0
            )
    else:
        data = StudyData.of(
            values.data or named,
            train_images=values.train_images,
            wrong_labels=values.wrong_labels,
            image_size=values.size,
            validation_fraction=values.validation_fraction,
            test_fraction=0.2 if values.test_fraction is None else values.test_fraction,
            seed=seed,
            sha256=values.sha256,
        )
    arms: Sequence[str | Arm] = (
        reference_arms(base)
        if reference
        else [_tree_arm(name, base) if name in TREE_ARMS else name for name in values.arms]
        if values.arms
        else ("none", "l1", "l2")
    )
    seeds = _list_seeds(values.seeds, seed, usual=1 if reference else 5)
    settings = StudySettings.of(
        data,
        arms,
        strengths=dict(values.strength or []),
        seeds=seeds,
        base=base,
        path=values.path,
        path_points=10 if values.path_points is None else values.path_points,
        tune=values.tune or 0,
        processes=values.jobs,
        backend=values.backend or "loky",
    )
    # What must load torch comes last, so that a mistake is said at once.
    settings = replace(settings, device=_device(values.device))
    kept = {name: value for name, value in vars(values).items() if name not in _NOT_KEPT}
    kept["jobs"] = settings.processes  # the machine that resumes may have other cores
    if values.data is not None:
        kept["data"] = settings.data.data  # absolute: it may be resumed from another folder
    line = getattr(values, "command_line", None) or shlex.join(
        ["pellucid", "study", *_without_output(given)]
    )
    return replace(settings, preset=values.preset, request={**kept, "command_line": line})


def _check_names(names: Sequence[str]) -> None:
    from pellucid.regularization.arms import arm_names

    known = [*arm_names(), *TREE_ARMS]
    for name in names:
        for part in name.split("+"):
            if part not in known:
                raise UsageError(
                    f"arms must be among {', '.join(known)}, several joined by '+' (l1+shifts), "
                    f"got {part!r}. {did_you_mean(part, known)}".rstrip()
                )


def _without_output(given: Sequence[str]) -> list[str]:
    """Leave out what says where results go: whoever repeats the study needs another place."""
    kept: list[str] = []
    skip = False
    for word in given:
        if skip or word in ("--json", "--quiet") or word.startswith("--out="):
            skip = False
        elif word in ("-o", "--out"):
            skip = True
        else:
            kept.append(word)
    return kept


def _read_recipe(values: argparse.Namespace, base: NetworkRecipe) -> NetworkRecipe:
    from dataclasses import replace

    from pellucid.data.augmentation import Augmentation

    chosen: dict[str, Any] = {
        name: value for name in _RECIPE_OPTIONS if (value := getattr(values, name)) is not None
    }
    given = {"ramp": values.ramp, "polish_steps": values.polish, "method": values.method}
    asked = {name: value for name, value in given.items() if value is not None}
    if asked:
        chosen["penalty"] = replace(base.penalty, **asked)
    if values.network is None and values.size is not None:
        sides = (values.size, values.size) if isinstance(values.size, int) else values.size
        if min(sides) < _SMALLEST_FOR_CNN_PX:
            chosen["network"] = "small_mlp"
    if values.augment == "gentle":
        from pellucid.prototree.recipe import GENTLE

        chosen["augmentation"] = GENTLE
    elif values.augment is not None:
        try:
            chosen["augmentation"] = Augmentation(**values.augment)
        except UsageError as error:
            raise UsageError(f"--augment: {error}") from None
    return replace(base, **chosen)


def _tree_arm(name: str, base: NetworkRecipe) -> Arm:
    """Return a prototype tree on the convolutions of the network that the other arms train."""
    from pellucid.prototree import TreeRecipe
    from pellucid.prototree.arm import TreeArm
    from pellucid.regularization.arms import Arm

    backbone = "patch_cnn" if base.network == "small_mlp" else base.network
    recipe = TreeRecipe(
        backbone=str(backbone),
        patch_size_px=0,
        epochs=base.epochs,
        batch_size=base.batch_size,
        augmentation=base.augmentation,
    )
    return Arm(name, TreeArm(recipe, TREE_ARMS[name]))


def _read_request(parser: Parser, values: argparse.Namespace) -> argparse.Namespace:
    """Return the options that the study was started with, and those of now for showing it."""
    from pellucid.runs import Run

    run = Run.open(values.resume)
    request = run.config.get("request") if run.config.get("command") == "study" else None
    if not isinstance(request, dict) or not request:
        raise DataError(
            f"{values.resume!r} is not a study that `pellucid study` made. Give the folder that it "
            "printed."
        )
    merged = {**vars(values), **{k: v for k, v in request.items() if k not in _NOT_KEPT}}
    merged["strength"] = [tuple(pair) for pair in request.get("strength") or []]
    if isinstance(request.get("size"), list):
        merged["size"] = tuple(request["size"])
    return argparse.Namespace(**merged)


def _device(name: str | None) -> str:
    from pellucid.prototree.classifier import choose_device

    # Small networks are faster on the processor than on an accelerator that waits for each step.
    return "cpu" if name is None else str(choose_device(name))


def _list_seeds(given: int | list[int] | None, first: int, *, usual: int) -> list[int]:
    if given is None:
        given = usual
    if isinstance(given, int):
        if given < 1:
            raise UsageError(f"--seeds must be at least 1, got {given}. Use 5, or 20 to be sure.")
        return list(range(first, first + given))
    return given


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("must name at least one arm, such as none,l1,l2")
    return names


def _strength(text: str) -> tuple[str, float]:
    name, mark, value = text.partition("=")
    if not mark or not name:
        raise argparse.ArgumentTypeError(f"must be ARM=STRENGTH, such as l1=6e-4, got {text!r}")
    return name, number(value)


def _seeds(text: str) -> int | list[int]:
    if "," not in text:
        return integer(text)
    return [integer(part) for part in text.split(",") if part.strip()]
