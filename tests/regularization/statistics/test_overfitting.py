from __future__ import annotations

import dataclasses
import math

import pytest

from pellucid.regularization.statistics.overfitting import is_overfitting, read_validation_curve
from pellucid.regularization.statistics.summaries import summarize
from tests.regularization.made_records import NONE, flat_history, make_arm


def run_with(losses, train_losses=None):
    train = train_losses or [1 / (epoch + 1) for epoch in range(len(losses))]
    history = [
        {"epoch": epoch, "train_loss": t, "validation_loss": v}
        for epoch, (v, t) in enumerate(zip(losses, train, strict=True))
    ]
    return dataclasses.replace(make_arm("none", NONE[:1])[0], history=tuple(history))


def test_read_validation_curve_least_rise_and_wobble():
    curve = read_validation_curve(run_with([1.0, 0.5, 0.4, 0.6, 0.9]))
    assert curve.least_epoch == 2
    assert curve.rise == pytest.approx(0.5)
    assert curve.wobble == pytest.approx(0.25)  # of 0.5, 0.1, 0.2, 0.3
    assert curve.learned_on


def test_read_validation_curve_passes_over_losses_that_are_not_finite():
    curve = read_validation_curve(run_with([1.0, 0.5, 0.7, math.nan]))
    assert (curve.least_epoch, curve.rise) == (1, pytest.approx(0.2))


def test_read_validation_curve_without_validation_is_none():
    assert read_validation_curve(run_with([None, None])) is None
    assert read_validation_curve(run_with([])) is None


def test_read_validation_curve_of_one_epoch_has_no_wobble():
    curve = read_validation_curve(run_with([0.7]))
    assert (curve.rise, curve.wobble, curve.learned_on) == (0.0, 0.0, False)


def test_is_overfitting_flat_noise_is_not_a_rise():
    found = 0
    for seed in range(200):
        run = dataclasses.replace(
            make_arm("none", NONE[:1])[0], history=tuple(flat_history(seed=seed))
        )
        curve = read_validation_curve(run)
        found += is_overfitting([curve], curve.rise)
    assert found <= 0.2 * 200  # single runs; the lower end of an interval over seeds is stricter


def test_is_overfitting_flat_noise_over_five_seeds_is_no_rise():
    base = make_arm("none", NONE)
    for study in range(40):
        records = [
            dataclasses.replace(run, history=tuple(flat_history(seed=10 * study + run.seed)))
            for run in base
        ]
        assert summarize(records)[0].overfits is False


def test_is_overfitting_worse_on_both_is_not_over_fitting():
    curve = read_validation_curve(
        run_with([1.0, 0.5, 0.51, 0.52, 0.53, 2.0], [1.0, 0.5, 0.6, 0.7, 0.8, 2.0])
    )
    assert not is_overfitting([curve] * 3, curve.rise)


def test_is_overfitting_clear_rise_is():
    curve = read_validation_curve(run_with([1.0, 0.5, 0.51, 0.52, 0.53, 0.54, 0.55, 0.56]))
    assert is_overfitting([curve] * 3, curve.rise)
