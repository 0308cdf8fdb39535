from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from pellucid.regularization.statistics.summaries import compare, summarize
from tests.reference import statistics as plain
from tests.regularization.made_records import BETTER, EPOCHS, NONE, make_arm


def test_summarize_gives_each_arm_at_both_moments():
    summaries = summarize([*make_arm("none", NONE), *make_arm("l1", BETTER)])
    assert [(s.moment, s.arm) for s in summaries] == [
        ("last", "none"),
        ("last", "l1"),
        ("best", "none"),
        ("best", "l1"),
    ]


def test_summarize_means_and_intervals_are_over_seeds():
    summary = summarize(make_arm("none", NONE))[0]
    assert summary.n_seeds == 5
    assert summary.test_accuracy.mean == pytest.approx(np.mean(NONE))
    interval = (summary.test_accuracy.low, summary.test_accuracy.high)
    assert interval == pytest.approx(plain.t_interval(NONE))
    gaps = [0.95 - accuracy - 0.02 for accuracy in NONE]
    assert summary.gap.mean == pytest.approx(np.mean(gaps))
    assert (summary.gap.low, summary.gap.high) == pytest.approx(plain.t_interval(gaps))


def test_summarize_test_sampling_is_over_images():
    records = make_arm("none", NONE)
    summary = summarize(records)[0]
    per_image = np.mean([record.last.test_correct for record in records], axis=0)
    assert summary.test_images == 1000
    interval = (summary.test_sampling.low, summary.test_sampling.high)
    assert interval == pytest.approx(plain.t_interval(per_image.tolist()))


def test_summarize_intervals_of_shares_end_at_one():
    summary = summarize(make_arm("none", (1.0, 0.9)))[0]
    assert summary.test_accuracy.high == 1.0
    assert 0.0 <= summary.test_accuracy.low < 0.95


def test_summarize_one_seed_has_no_interval():
    summary = summarize(make_arm("none", NONE[:1]))[0]
    assert summary.test_accuracy.mean == 0.8
    assert (summary.test_accuracy.low, summary.test_accuracy.high) == (None, None)
    assert summary.rise_after_it.low is None
    assert summary.test_sampling.low is not None


def test_summarize_without_validation_images_leaves_it_out():
    summary = summarize(make_arm("none", NONE, validation=None))[0]
    for name in (
        "validation_accuracy",
        "validation_loss",
        "optimism",
        "early_stopping",
        "p_early_stopping",
        "epoch_of_least_validation_loss",
        "rise_after_it",
        "wobble",
        "overfits",
    ):
        assert getattr(summary, name) is None
    assert summary.gap.mean == pytest.approx(0.95 - np.mean(NONE))  # to the test accuracy


def test_summarize_optimism_is_validation_minus_test():
    summary = summarize(make_arm("none", NONE, best=BETTER, validation=0.03))[2 - 1]
    assert summary.moment == "best"
    assert summary.optimism.mean == pytest.approx(0.03)


def test_summarize_intervals_of_differences_end_at_one():
    (last, best) = summarize(make_arm("none", (1.0, 0.1), best=(0.2, 0.9), train_accuracy=1.0))
    assert (best.early_stopping.low, best.early_stopping.high) == (-1.0, 1.0)
    assert last.gap.high == 1.0
    assert compare([*make_arm("none", (0.9, 0.1)), *make_arm("l1", (0.1, 0.9))])[0].low == -1.0


def test_summarize_early_stopping_is_paired_by_seed():
    summaries = summarize(make_arm("none", NONE, best=BETTER))
    changes = [b - a for a, b in zip(NONE, BETTER, strict=True)]
    for summary in summaries:
        assert summary.early_stopping.mean == pytest.approx(np.mean(changes))
        interval = (summary.early_stopping.low, summary.early_stopping.high)
        assert interval == pytest.approx(plain.t_interval(changes))
        assert summary.p_early_stopping < 0.001


def test_summarize_weights_are_means_over_seeds():
    summary = summarize(make_arm("l1", NONE, zeros=0.38, l1_norm=476.0))[0]
    assert summary.exact_zeros == pytest.approx(0.38)
    assert summary.l1_norm == pytest.approx(476.0)
    assert summary.penalty == pytest.approx(0.1)


def test_summarize_over_fitting_has_epoch_rise_and_judgment():
    summary = summarize(make_arm("none", NONE))[0]
    epoch = summary.epoch_of_least_validation_loss
    assert (epoch.median, epoch.low, epoch.high) == (11, 10, 12)
    assert summary.epochs == EPOCHS
    assert summary.rise_after_it.mean == pytest.approx(0.02 * (EPOCHS - 2 - 11), abs=0.02)
    assert summary.overfits is True
    assert summarize(make_arm("l2", NONE, overfits=False))[0].overfits is False


def test_summarize_broken_runs_are_counted_and_named():
    records = make_arm("l1", (0.8, 0.1, 0.79), broken={1: "collapsed", 2: "diverged"})
    summary = summarize(records)[0]
    assert (summary.collapsed, summary.diverged, summary.n_seeds) == ((1,), (2,), 3)
    assert summary.test_accuracy.mean == pytest.approx(np.mean([0.8, 0.1, 0.79]))


def test_summarize_infinite_loss_is_not_averaged_away():
    records = make_arm("l1", NONE)
    last = dataclasses.replace(records[0].last, test_loss=math.inf)
    records[0] = dataclasses.replace(records[0], last=last, status="diverged")
    summary = summarize(records)[0]
    assert summary.test_loss.mean == math.inf
    assert summary.test_loss.low is None


def test_summaries_and_comparisons_are_json_able():
    records = [*make_arm("none", NONE), *make_arm("l1", BETTER)]
    for item in (*summarize(records), *compare(records)):
        stored = json.loads(json.dumps(dataclasses.asdict(item), allow_nan=False))
        assert stored["moment"] == item.moment
