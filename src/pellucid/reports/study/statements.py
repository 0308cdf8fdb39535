"""What a study's page says in sentences: path, power, what the arms share, cautions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.regularization.penalty_path import PenaltyPath
from pellucid.regularization.result import ArmFacts, StudyResult
from pellucid.regularization.statistics.power import Power
from pellucid.reports.study.wording import count_of, points, write_strength
from pellucid.reports.wording import flatten_configuration, percent, plain_number


@dataclass(frozen=True, eq=False)
class PathWords:
    """What is said of a penalty path."""

    sentence: str
    rows: tuple[tuple[str, ...], ...]


def describe_path(path: PenaltyPath) -> PathWords:
    """Return the path in words and numbers."""
    accuracy = np.asarray(path.accuracy, dtype=float).mean(axis=1)
    zeros = np.asarray(path.exact_zeros, dtype=float).mean(axis=1)
    knee = path.knee
    values = count_of(len(path.strengths), "value")
    seeds = count_of(len(path.seeds), "seed")
    sentence = (
        f"The strength of {path.term} takes {values}, each with {seeds}. The chosen one is "
        f"{write_strength(path.strengths[knee])}: {percent(float(zeros[knee]))} of the weights are "
        f"exactly zero at a validation accuracy of {percent(float(accuracy[knee]))}. It is the "
        f"sparsest within one standard error of the best ({percent(float(accuracy.max()))}). Small "
        "dots are seeds, lines their means; crosses in the last figure are strengths that another "
        "beats in accuracy and zeros. The test images were not looked at."
    )
    order = np.argsort(path.strengths)
    rows = []
    for i in order:
        row = [write_strength(path.strengths[i]), percent(float(accuracy[i]))]
        broken = sum(path.collapsed[i]) if path.collapsed else 0
        row += [percent(float(zeros[i])), f"{broken} of {len(path.seeds)}"]
        rows.append(tuple(row))
    return PathWords(sentence, tuple(rows))


@dataclass(frozen=True, eq=False)
class PowerWords:
    """What the study could have found, in words, with the chance for each difference."""

    sentences: tuple[str, ...]
    rows: tuple[tuple[str, float], ...]


def describe_power(power: Power) -> PowerWords:
    """Return the power statement."""
    seeds = count_of(power.n_seeds, "seed")
    if power.sd is None or power.detectable is None:
        return PowerWords(
            (
                f"With {seeds} the spread between seeds is not known, so nothing can be said about "
                "how large a difference would have been found. Use five seeds or more.",
            ),
            (),
        )
    sentences = [
        f"With {seeds} and the spread seen here (standard deviation {points(power.sd)[1:]} between "
        f"the paired differences), a true difference of {points(power.detectable)[1:]} is found "
        f"with a chance of 80 %. Smaller ones are often missed: that none was found does not show "
        "that there is none."
    ]
    if power.comparisons > 1 and power.detectable_strict is not None:
        sentences.append(
            f"Guarded for {power.comparisons} comparisons, it takes "
            f"{points(power.detectable_strict)[1:]}."
        )
    if power.wilcoxon_least_p >= 0.05:
        sentences.append(
            f"The Wilcoxon test cannot find anything with {seeds}: its p cannot fall below "
            f"{power.wilcoxon_least_p:.4g}."
        )
    rows = tuple(
        (f"{100 * difference:g}\N{NO-BREAK SPACE}points", chance)
        for difference, chance in power.chances
    )
    return PowerWords(tuple(sentences), rows)


def split_recipes(
    arms: Sequence[ArmFacts],
) -> tuple[tuple[tuple[str, object], ...], Mapping[str, str]]:
    """Return the settings that all arms share, and the others by arm, in words."""
    flat = {arm.name: dict(flatten_configuration(arm.recipe)) for arm in arms}
    keys = dict.fromkeys(key for settings in flat.values() for key in settings)
    missing = object()
    shared = [
        key
        for key in keys
        if all(
            settings.get(key, missing) == next(iter(flat.values())).get(key, missing)
            for settings in flat.values()
        )
    ]
    own = {
        name: ", ".join(
            f"{key} = {plain_number(settings[key])}"
            for key in keys
            if key not in shared and key in settings
        )
        for name, settings in flat.items()
    }
    first = next(iter(flat.values()), {})
    return tuple((key, first[key]) for key in shared), own


def list_cautions(result: StudyResult) -> tuple[str, ...]:
    """Return what a reader must know before the first figure."""
    found = []
    if result.preset == "reference":
        found.append(
            "This is the reference experiment with its faults, listed under Protocol; do not "
            "decide by it."
        )
    if result.data.wrong_labels > 0:
        found.append(
            f"{percent(result.data.wrong_labels, 0)} of the training labels were made wrong on "
            "purpose. It makes over-fitting plain to see; penalties help less on clean labels."
        )
    broken = {
        arm.title: sum(r.arm == arm.name and r.status != "finished" for r in result.records)
        for arm in result.arms
    }
    for title, number in broken.items():
        if number:
            found.append(
                f"{title}: {count_of(number, 'run')} collapsed or diverged; the figures count "
                f"{'it' if number == 1 else 'them'}."
            )
    if len({record.seed for record in result.records}) == 1:
        found.append("One seed: nothing on this page says which differences are chance.")
    if result.data.validation == 0:
        found.append(
            "There are no validation images: no checkpoint was selected, and the gap is to the "
            "test accuracy."
        )
    return tuple(found)
