"""From the records of a finished study to its result: compared, described, put in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from pellucid.data import LabelledData
from pellucid.regularization.arms import Arm
from pellucid.regularization.compaction.compact import CannotCompact, CompactionRow, compact
from pellucid.regularization.named_penalties import PENALTY_NAMES
from pellucid.regularization.penalty_path import PenaltyPath, write_path_words
from pellucid.regularization.recipe import NetworkRecipe
from pellucid.regularization.record import RunRecord
from pellucid.regularization.result import ArmFacts, DataFacts, StudyResult
from pellucid.regularization.small_networks import create_network
from pellucid.regularization.stacking.stacked_weights import parameter_kinds
from pellucid.regularization.statistics.summaries import compare, study_power, summarize
from pellucid.regularization.statistics.verdict import verdict
from pellucid.regularization.trained_networks import load_trained
from pellucid.regularization.tuning import TuningRow
from pellucid.regularization.weight_measures import weight_histograms
from pellucid.runs import Run

_FEW_IMAGES = 50
_LISTED = 10


def summarize_study(
    data: LabelledData,
    facts: DataFacts,
    *,
    arms: Sequence[Arm],
    records: Sequence[RunRecord],
    weights: Mapping[str, Sequence[Mapping[str, Tensor]]],
    tuning: tuple[TuningRow, ...],
    path: PenaltyPath | None,
    run: Run,
    preset: str | None,
    command: str,
    seconds: float,
) -> StudyResult:
    """Compare the arms of a study and put together all that its report needs.

    Args:
        data: The images.
        facts: What is said of them.
        arms: With the strengths they were trained at.
        records: One for each arm and seed, arms in order.
        weights: Of each arm after the last epoch, a state dict a seed.
        tuning: Candidates that were tried.
        path: The penalty path, or None.
        run: The study's folder, with all runs in it.
        preset: Name of the protocol, or None.
        command: What repeats the study, or "".
        seconds: Wall time.
    """
    summaries, comparisons = summarize(records), compare(records)
    power = study_power(comparisons)
    described = tuple(describe_arm(arm, data) for arm in arms)
    if tuning:
        described = tuple(map(_with_rate, described))
    networks = {arm.name: arm.recipe for arm in arms if isinstance(arm.recipe, NetworkRecipe)}
    named = [name for name, recipe in networks.items() if isinstance(recipe.network, str)]
    return StudyResult(
        title=_ask(arms, facts.name),
        preset=preset,
        data=facts,
        arms=described,
        records=tuple(records),
        summaries=summaries,
        comparisons=comparisons,
        verdict=verdict(
            summaries,
            comparisons,
            power,
            titles={arm.name: arm.title for arm in described},
            tuned=bool(tuning),
            path_words=None if path is None else write_path_words(path, _name_term(path.term)),
        ),
        power=power,
        histograms=weight_histograms({name: weights[name] for name in networks}),
        path=path,
        compaction=_compact_arms(run, named, records[0].seed, data),
        tuning=tuning,
        seconds=seconds,
        remarks=(*_warn_about(data), *_remarks(arms, records)),
        folder=run.path,
        command=command,
        environment=run.environment,
    )


def _ask(arms: Sequence[Arm], name: str) -> str:
    """Return the question that the study answers."""
    networks = all(isinstance(arm.recipe, NetworkRecipe) for arm in arms)
    what = "Which penalty helps" if networks else "Which arm is better"
    return f"{what} on {name}?"


def describe_arm(arm: Arm, data: LabelledData) -> ArmFacts:
    """Say in words what an arm minimizes.

    Raises:
        UsageError: its network cannot be built for these images, or its optimizer cannot take its
            penalty.
    """
    recipe = arm.recipe
    if not isinstance(recipe, NetworkRecipe):
        described = recipe.describe()
        title = str(described.get("title", arm.name.replace("_", " ")))
        return ArmFacts(arm.name, title, str(described.get("objective", "its own")), described)
    network = create_network(
        recipe.network,
        classes=len(data.images.class_names),
        image_size=data.images.image_size,
        seed=0,
    )
    objective = recipe.penalty.objective(parameter_kinds(network), optimizer=recipe.optimizer)
    objective = " ".join([objective, *_other_terms(recipe)])
    title = arm.name.replace("_", " ")
    if arm.name == "none":
        title = "no penalty"
    elif arm.name in PENALTY_NAMES or recipe.penalty.method == "subgradient":
        title = recipe.penalty.title
    elif arm.strength is not None:
        title = f"{title} {arm.strength:g}"
    return ArmFacts(arm.name, title, objective, recipe.describe())


def _name_term(term: str) -> str:
    """Return a term's name as it is written in sentences."""
    return {"l1": "L1", "l2": "L2"}.get(term, term.replace("_", " "))


def _with_rate(arm: ArmFacts) -> ArmFacts:
    """Name the learning rate that tuning chose, so that a lead is not taken for the penalty's."""
    rate = arm.recipe.get("learning_rate")
    return arm if rate is None else replace(arm, title=f"{arm.title} (rate {rate:.2g})")


def _warn_about(data: LabelledData) -> list[str]:
    """Return what a reader of the figures should know of the images."""
    said = []
    if 0 < (count := len(data.splits.validation)) < _FEW_IMAGES:
        said.append(
            f"Only {count} validation images choose checkpoints and strengths: one image is "
            f"{100 / count:.1f} points. Give more images, or a larger validation fraction."
        )
    if (count := len(data.splits.test)) < _FEW_IMAGES:
        said.append(f"Only {count} test images: one image is {100 / count:.1f} points.")
    if data.rejected:
        listed = "; ".join(map(str, data.rejected[:_LISTED]))
        more = f"; and {len(data.rejected) - _LISTED} more" * (len(data.rejected) > _LISTED)
        said.append(f"Pictures that could not be used were left out: {listed}{more}.")
    return said


def _other_terms(recipe: NetworkRecipe) -> list[str]:
    """Return a sentence for whatever else changes what is minimized or how."""
    said = []
    if recipe.label_smoothing:
        said.append(
            f"The cross-entropy is with targets of which {recipe.label_smoothing:g} is spread "
            "evenly over all classes."
        )
    if recipe.mixup:
        said.append(
            "It is that of pairs of images mixed by a share drawn from "
            f"Beta({recipe.mixup:g}, {recipe.mixup:g}), with their labels mixed alike."
        )
    if recipe.dropout:
        said.append(
            f"While training, {100 * recipe.dropout:g} % of the activations before each linear "
            "layer but the first are set to 0."
        )
    if recipe.decoupled_weight_decay:
        said.append(
            "Apart from the objective, each step shrinks the weights (not biases) by the learning "
            f"rate times {recipe.decoupled_weight_decay:g}."
        )
    return said


def _compact_arms(
    run: Run, arms: Sequence[str], seed: int, data: LabelledData
) -> tuple[CompactionRow, ...]:
    """Compact the network of each arm at one seed, where there is something to remove."""
    rows = []
    for arm in arms:
        trained = load_trained(run, arm, seed)
        if not any(layer.dead_rows for layer in trained.record.last.layers):
            continue
        try:
            row = compact(trained.module, trained.examples(data), name=arm).row
        except CannotCompact:  # an architecture it cannot read; the other figures stand without it
            continue
        if row.removed_units:
            rows.append(row)
    return tuple(rows)


def _remarks(arms: Sequence[Arm], records: Sequence[RunRecord]) -> tuple[str, ...]:
    said = [
        f"{arm.name} is trained by a recipe of its own: see there which of the other arms' "
        "settings it shares."
        for arm in arms
        if not isinstance(arm.recipe, NetworkRecipe)
    ]
    reasons: dict[str, list[str]] = {}
    for record in records:
        if reason := record.details.get("alone"):
            names = reasons.setdefault(str(reason), [])
            if record.arm not in names:
                names.append(record.arm)
    said += [
        f"Trained one network at a time ({', '.join(names)}): {reason}"
        for reason, names in reasons.items()
    ]
    return tuple(said)
