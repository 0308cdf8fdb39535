from __future__ import annotations

import numpy as np
import pytest

from pellucid.evaluation.part_checks import (
    THRESHOLDS,
    PartEvidence,
    check_parts,
    measure_part_checks,
    score_parts,
)
from tests.reference import explanation_measures as reference

PARTS, OBJECTS = 3, 2


def kept_set(number: int) -> frozenset[int]:
    return frozenset(part for part in range(PARTS) if number >> part & 1)


def random_evidence(seed: int = 0, images: int = 11) -> PartEvidence:
    generator = np.random.default_rng(seed)
    columns = PARTS + OBJECTS
    importance = generator.normal(0.2, 0.3, (images, columns))
    answers = generator.integers(0, 3, (images, 2**PARTS))
    return PartEvidence(
        importance=importance,
        total=importance.clip(min=0).sum(axis=1) + 0.1,
        visible=generator.random((images, columns)) < 0.8,
        drops=generator.normal(0.05, 0.1, (images, columns)),
        answers=answers[:, -1],
        answers_by_kept_parts=answers,
    )


def by_loops(evidence: PartEvidence):
    """Return the reference's scores, [image][threshold]."""
    rows = []
    for row in range(len(evidence.answers)):
        table = {kept_set(n): evidence.answers_by_kept_parts[row, n] for n in range(2**PARTS)}
        rows.append(
            [
                reference.part_checks(
                    evidence.importance[row].tolist(),
                    float(evidence.total[row]),
                    evidence.visible[row].tolist(),
                    evidence.drops[row].tolist(),
                    evidence.answers[row],
                    table.__getitem__,
                    PARTS,
                    threshold,
                )
                for threshold in THRESHOLDS
            ]
        )
    return rows


@pytest.mark.parametrize("seed", range(3))
def test_check_parts_equals_plain_loops(seed):
    evidence = random_evidence(seed)
    found = np.stack(check_parts(evidence), axis=2)
    expected = np.array(by_loops(evidence), dtype=float)  # None becomes NaN
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(("seed", "images"), [(0, 11), (1, 8), (2, 2)])
def test_score_parts_takes_each_half_s_threshold_from_the_other_half(seed, images):
    evidence = random_evidence(seed, images)
    expected = reference.best_thresholds(by_loops(evidence), THRESHOLDS)
    found = np.stack(score_parts(evidence), axis=1)
    np.testing.assert_allclose(found, np.array(expected, dtype=float))


def lookup_evidence(answer_of, importance, drops, images: int = 6) -> PartEvidence:
    """Return the same image several times: two parts, one object."""
    answers = np.array([[answer_of(kept & 1 > 0, kept & 2 > 0) for kept in range(4)]] * images)
    rows = np.array([importance] * images, dtype=float)
    return PartEvidence(
        importance=rows,
        total=rows.clip(min=0).sum(axis=1),
        visible=np.ones(rows.shape, bool),
        drops=np.array([drops] * images, dtype=float),
        answers=answers[:, -1],
        answers_by_kept_parts=answers,
    )


def test_measure_part_checks_needed_and_named_part_is_perfect():
    evidence = lookup_evidence(lambda first, _: int(first), [1, 0, 0], [0.9, 0, 0])
    assert [measure.value for measure in measure_part_checks(evidence, evidence)] == [1, 1, 1]


def test_measure_part_checks_either_part_suffices_preserves_but_does_not_delete():
    evidence = lookup_evidence(lambda first, second: int(first or second), [1, 0, 0], [0, 0, 0])
    preserved, changed, _ = measure_part_checks(evidence, evidence)
    assert (preserved.value, changed.value) == (1, 0)


def test_measure_part_checks_both_parts_needed_deletes_but_does_not_preserve():
    evidence = lookup_evidence(
        lambda first, second: int(first and second), [1, 0, 0], [0.9, 0.9, 0]
    )
    preserved, changed, _ = measure_part_checks(evidence, evidence)
    assert (preserved.value, changed.value) == (0, 1)


def test_measure_part_checks_object_called_important_distracts_alone():
    evidence = lookup_evidence(lambda first, _: int(first), [1, 0, 1], [0.9, 0, 0])
    preserved, changed, spared = measure_part_checks(evidence, evidence)
    assert (preserved.value, changed.value, spared.value) == (1, 1, 0.5)


def test_measure_part_checks_chance_is_what_the_blind_explanation_scores():
    knows = lookup_evidence(lambda first, _: int(first), [1, 0, 0], [0.9, 0, 0])
    blind = lookup_evidence(lambda first, _: int(first), [0, 1, 0], [0.9, 0, 0])
    measures = measure_part_checks(knows, blind)
    assert [measure.value for measure in measures] == [1, 1, 1]
    assert [measure.chance for measure in measures] == [0, 0, 0.5]


def test_measure_part_checks_of_one_image_has_no_value():
    one = lookup_evidence(lambda first, _: int(first), [1, 0, 0], [0.9, 0, 0], images=1)
    assert all(measure.value is None for measure in measure_part_checks(one, one))


def test_measure_part_checks_where_everything_matters_distractibility_has_no_value():
    evidence = lookup_evidence(lambda first, _: int(first), [1, 1, 1], [0.9, 0.9, 0.9])
    spared = measure_part_checks(evidence, evidence)[2]
    assert spared.value is None
    assert spared.chance is None
