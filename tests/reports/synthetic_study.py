"""A made-up study whose figures behave like real ones, for tests and for looking at."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pellucid.regularization.compaction.compact import CompactionRow
from pellucid.regularization.compaction.network_size import Latency, NetworkSize
from pellucid.regularization.compaction.unit_removal import CompactedLayer
from pellucid.regularization.penalty_path import PenaltyPath, knee, pareto_front
from pellucid.regularization.record import LayerWeights, Measured, RunRecord
from pellucid.regularization.result import ArmFacts, DataFacts, StudyResult
from pellucid.regularization.statistics.comparison import compare, study_power
from pellucid.regularization.statistics.summaries import summarize
from pellucid.regularization.statistics.verdict import verdict
from pellucid.regularization.tuning import TuningRow
from pellucid.regularization.weight_measures import LayerHistogram

LAYERS = {
    "conv1.weight": (8, 3, 5, 5),
    "conv2.weight": (16, 8, 3, 3),
    "fc1.weight": (120, 576),
    "fc2.weight": (84, 120),
    "fc3.weight": (10, 84),
}
# name, title, test accuracy, gap, share of zeros, strength of the over-fitting
ARMS = (
    ("none", "no penalty", 0.806, 0.145, 0.0, 1.0),
    ("l1", "L1 0.0006", 0.831, 0.08, 0.30, 0.4),
    ("l2", "L2 0.025", 0.842, 0.05, 0.0, 0.2),
    ("group", "group lasso 0.002", 0.836, 0.06, 0.42, 0.3),
    ("elastic_net", "elastic net 0.0003", 0.835, 0.07, 0.17, 0.3),
    ("dropout", "dropout 0.3", 0.829, 0.09, 0.0, 0.5),
    ("label_smoothing", "label smoothing 0.1", 0.822, 0.11, 0.0, 0.6),
    ("max_norm", "max-norm 3", 0.809, 0.14, 0.0, 0.9),
)
TEST_IMAGES = 360


def make_study(
    *,
    arms: int = 3,
    seeds: int = 5,
    epochs: int = 60,
    validation: bool = True,
    path: bool = True,
    broken: bool = False,
    preset: str | None = None,
    titles: tuple[str, ...] = (),
) -> StudyResult:
    generator = np.random.default_rng(7)
    difficulty = generator.random(TEST_IMAGES)
    chosen = [
        (name, titles[i] if i < len(titles) else title, *figures)
        for i, (name, title, *figures) in enumerate(ARMS[:arms])
    ]
    records = tuple(
        _make_record(arm, seed, epochs, validation, difficulty, generator)
        for arm in chosen
        for seed in range(seeds)
    )
    if broken:
        records = (*records[:-1], _break(records[-1]))
    comparisons = compare(records)
    summaries = summarize(records)
    return StudyResult(
        title="Which penalty helps on digits?",
        preset=preset,
        data=DataFacts(
            name="digits",
            train=400,
            validation=359 if validation else 0,
            test=TEST_IMAGES,
            classes=10,
            image_size=(32, 32),
            wrong_labels=0.2,
            note="80 of the 400 training labels were made wrong on purpose, so that over-fitting "
            "shows within a minute; validation and test labels are right.",
        ),
        arms=tuple(
            ArmFacts(
                name,
                title,
                "cross-entropy"
                + ("" if name == "none" else f" + 0.0006 * sum |w| over {', '.join(LAYERS)}")
                + "; biases are free",
                {
                    "network": "small_cnn",
                    "penalty": {"l1": 0.0006 if name == "l1" else 0.0, "method": "proximal"},
                    "epochs": epochs,
                    "batch_size": 64,
                    "learning_rate": 0.01,
                    "momentum": 0.9,
                    "dropout": 0.3 if name == "dropout" else 0.0,
                },
            )
            for name, title, *_ in chosen
        ),
        records=records,
        summaries=summaries,
        comparisons=comparisons,
        verdict=verdict(
            summaries,
            comparisons,
            study_power(comparisons),
            titles={name: title for name, title, *_ in chosen},
        ),
        power=study_power(comparisons),
        histograms=tuple(
            _make_histogram(name, layer, shape, zeros, seeds, generator)
            for layer, shape in LAYERS.items()
            for name, _, _, _, zeros, _ in chosen
        ),
        path=_make_path(min(seeds, 5), generator) if path else None,
        compaction=tuple(
            _make_compaction(name, zeros) for name, _, _, _, zeros, _ in chosen if zeros
        ),
        tuning=tuple(
            TuningRow(name, 0.01, 6e-4 * factor, 0.81 + 0.01 * (factor == 1), False, factor == 1)
            for name, *_ in chosen[1:3]
            for factor in (0.1, 1.0, 10.0)
        ),
        seconds=21.4,
        remarks=("All 15 networks were trained in stacks of 8 and 7.",),
        folder=Path("runs/study-digits-20260101-120000"),
        command="pellucid study digits --arms none,l1,l2 --seeds 5 --path l1",
        environment={"python": "3.11.2", "packages": {"torch": "2.6.0"}, "torch_threads": 1},
    )


def _make_record(arm, seed, epochs, validation, difficulty, generator) -> RunRecord:
    name, _, accuracy, gap, zeros, overfit = arm
    luck = np.random.default_rng(seed).normal(0, 0.008)  # the same in every arm
    level = accuracy + luck + generator.normal(0, 0.006)
    time = np.arange(1, epochs + 1)
    done = 1 - np.exp(-time / 8)
    noise = generator.normal(0, 0.012, (4, epochs))
    train_accuracy = 0.1 + (level + gap - 0.1) * done + 0.5 * noise[0]
    validation_accuracy = 0.1 + (level - 0.1) * (1 - np.exp(-time / 5)) + noise[1]
    validation_accuracy -= 0.03 * overfit * done**3
    train_loss = 2.3 * np.exp(-time / 14) * (0.4 + 0.6 / (1 + overfit)) + 0.2 + 0.02 * noise[2]
    validation_loss = 1.7 * np.exp(-time / 5) + 0.75 + 0.6 * overfit * (time / epochs) ** 1.5
    validation_loss = validation_loss + 0.5 * noise[3]
    penalty = (0 if name == "none" else 0.35) * (1 - 0.4 * done)
    history = tuple(
        {
            "epoch": i,
            "train_loss": float(train_loss[i]),
            "train_accuracy": float(np.clip(train_accuracy[i], 0, 1)),
            "validation_loss": float(validation_loss[i]) if validation else None,
            "validation_accuracy": float(np.clip(validation_accuracy[i], 0, 1))
            if validation
            else None,
            "penalty": float(penalty[i]) if name != "none" else 0.0,
            "objective": float(train_loss[i] + (penalty[i] if name != "none" else 0.0)),
            "seconds": 0.1,
        }
        for i in range(epochs)
    )
    best = int(validation_accuracy.argmax()) if validation else epochs - 1

    def measure(epoch: int, bonus: float) -> Measured:
        answers = difficulty + generator.normal(0, 0.05, len(difficulty)) < level + bonus
        row = history[epoch]
        return Measured(
            epoch=epoch,
            train_loss=row["train_loss"],
            train_accuracy=row["train_accuracy"],
            validation_loss=row["validation_loss"],
            validation_accuracy=row["validation_accuracy"],
            test_loss=float(validation_loss[epoch]),
            test_accuracy=float(answers.mean()),
            test_correct=answers,
            penalty=row["penalty"],
            layers=tuple(_make_layer(layer, shape, zeros) for layer, shape in LAYERS.items()),
        )

    last = measure(epochs - 1, 0.0)
    at_best = measure(best, 0.02 * overfit) if validation else last
    return RunRecord(name, seed, "finished", history, last, at_best, seconds=1.4)


def _break(record: RunRecord) -> RunRecord:
    history = tuple(
        {**row, "train_loss": float("nan"), "validation_loss": 50.0} for row in record.history[:7]
    )
    chance = np.arange(TEST_IMAGES) % 10 == 0
    at_chance = Measured(
        6, 2.3, 0.1, 2.3, 0.1, 2.3, float(chance.mean()), chance, 0.0, record.last.layers
    )
    return RunRecord(record.arm, record.seed, "collapsed", history, at_chance, at_chance, 0.3)


def _make_layer(name: str, shape: tuple[int, ...], zeros: float) -> LayerWeights:
    size = float(np.prod(shape))
    own = min(1.0, zeros * (1.3 if "fc1" in name else 0.6))
    return LayerWeights(
        name, shape, own, own + 0.02, own**4, size * 0.03 * (1 - own), size**0.5 * 0.04
    )


def _make_histogram(arm, layer, shape, zeros, seeds, generator) -> LayerHistogram:
    own = min(1.0, zeros * (1.3 if "fc1" in layer else 0.6))
    total = int(np.prod(shape)) * seeds
    fan_in = int(np.prod(shape[1:]))
    count = int(total * (1 - own))
    limit = 2.5 / fan_in**0.5
    if zeros:
        values = generator.laplace(0, 0.25 * limit, min(count, 20_000))
    else:
        values = generator.normal(0, 0.35 * limit, min(count, 20_000))
    edges = np.linspace(-limit, limit, 42)
    counts, _ = np.histogram(values.clip(-limit, limit), edges)
    counts = np.round(counts * (count / max(1, len(values)))).astype(int)
    return LayerHistogram(
        arm, layer, tuple(edges.tolist()), tuple(counts.tolist()), total - count, total
    )


def _make_path(seeds: int, generator) -> PenaltyPath:
    strengths = np.logspace(-5, -2, 10)
    x = np.log10(strengths)[:, None]
    noise = generator.normal(0, 0.006, (2, 10, seeds))
    zeros = np.clip(1 / (1 + np.exp(-3 * (x + 3.2))) + 0.3 * noise[0], 0, 1)
    accuracy = 0.80 + 0.04 * np.exp(-((x + 3.1) ** 2)) - 0.5 * np.clip(x + 2.4, 0, None) + noise[1]
    collapsed = np.zeros(accuracy.shape, dtype=bool)
    collapsed[-1, 0] = True
    rows = [tuple(map(tuple, values.tolist())) for values in (accuracy, zeros)]
    return PenaltyPath(
        term="l1",
        strengths=tuple(strengths.tolist()),
        seeds=tuple(range(seeds)),
        accuracy=rows[0],
        exact_zeros=rows[1],
        collapsed=tuple(map(tuple, collapsed.tolist())),
        pareto=pareto_front(accuracy, zeros),
        knee=knee(accuracy, zeros, collapsed=collapsed.tolist()),
    )


def _make_compaction(name: str, zeros: float) -> CompactionRow:
    kept = 1 - 0.8 * zeros
    return CompactionRow(
        name=name,
        before=NetworkSize(81_738, int(81_738 * (1 - zeros)), 652_944, 328_104),
        after=NetworkSize(
            int(81_738 * kept**2),
            int(81_738 * (1 - zeros)),
            int(652_944 * kept),
            int(328_104 * kept**2),
        ),
        layers=(
            CompactedLayer("conv1", 8, 8, 0, ""),
            CompactedLayer("fc1", 120, int(120 * kept), 0, ""),
        ),
        largest_difference=3.1e-7,
        largest_logit=12.4,
        tolerance=0.0,
        latencies=(Latency(1, 2.1e-4, 1.8e-4, 1), Latency(64, 2.9e-3, 2.2e-3, 1)),
    )
