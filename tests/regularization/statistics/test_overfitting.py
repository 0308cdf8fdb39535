from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from pellucid.regularization.statistics.overfitting import is_overfitting, read_validation_curve
from pellucid.regularization.statistics.paired_differences import t_interval
from pellucid.regularization.statistics.summaries import summarize
from tests.regularization.made_records import NONE, make_arm


def run_with(losses, train_losses=None):
    train = train_losses or [1 / (epoch + 1) for epoch in range(len(losses))]
    history = [
        {"epoch": epoch, "train_loss": t, "validation_loss": v}
        for epoch, (v, t) in enumerate(zip(losses, train, strict=True))
    ]
    return dataclasses.replace(make_arm("none", NONE[:1])[0], history=tuple(history))


def test_read_validation_curve_least_rise_and_wobble():
    curve = read_validation_curve(run_with([1.0, 0.5, 0.4, 0.6, 0.9]))
    assert curve.least_epoch == 2  # middle of the three averaged epochs
    assert curve.rise == pytest.approx((0.4 + 0.6 + 0.9) / 3 - 0.5)
    assert curve.wobble == pytest.approx(0.25)  # of 0.5, 0.1, 0.2, 0.3
    assert curve.learned_on


def test_read_validation_curve_averages_a_twelfth_of_the_epochs():
    losses = np.random.default_rng(0).uniform(0.5, 1.0, 60)
    means = [losses[i : i + 5].mean() for i in range(56)]
    curve = read_validation_curve(run_with(losses.tolist()))
    assert curve.least_epoch == int(np.argmin(means)) + 2
    assert curve.rise == pytest.approx(means[-1] - min(means))


def test_read_validation_curve_passes_over_losses_that_are_not_finite():
    curve = read_validation_curve(run_with([1.0, 0.5, 0.5, 0.5, 0.8, math.nan]))
    assert (curve.least_epoch, curve.rise) == (2, pytest.approx(0.1))


def test_read_validation_curve_without_validation_is_none():
    assert read_validation_curve(run_with([None, None])) is None
    assert read_validation_curve(run_with([])) is None


def test_read_validation_curve_of_one_epoch_has_no_wobble():
    curve = read_validation_curve(run_with([0.7]))
    assert (curve.rise, curve.wobble, curve.learned_on) == (0.0, 0.0, False)


def flat_noise(run, seed, *, epochs, start=2.0):
    """Return the run with a loss that falls (by ``start``) and then stays, up to noise."""
    random = np.random.default_rng([seed, run.seed, epochs])
    losses = 0.6 + start * np.exp(-np.arange(epochs) / 2) + 0.03 * random.standard_normal(epochs)
    history = run_with(losses.tolist()).history
    return dataclasses.replace(run, history=history)


@pytest.mark.parametrize("start", [0.0, 2.0])
@pytest.mark.parametrize("epochs", [12, 40, 60])
def test_is_overfitting_flat_noise_of_one_run_is_rarely_a_rise(epochs, start):
    (run,) = make_arm("none", NONE[:1])
    curves = [
        read_validation_curve(flat_noise(run, seed, epochs=epochs, start=start))
        for seed in range(400)
    ]
    found = sum(is_overfitting([curve], curve.rise, gap=0.1) for curve in curves)
    assert found <= 0.06 * 400  # at most 5 %, and the simulation's error


@pytest.mark.parametrize("start", [0.0, 2.0])
@pytest.mark.parametrize("epochs", [12, 40, 60])
def test_is_overfitting_flat_noise_over_five_seeds_is_hardly_ever_a_rise(epochs, start):
    found = 0
    for study in range(100):
        runs = [flat_noise(run, study, epochs=epochs, start=start) for run in make_arm("l1", NONE)]
        curves = [read_validation_curve(run) for run in runs]
        low, _ = t_interval([curve.rise for curve in curves]) or (0.0, 0.0)
        found += is_overfitting(curves, low, gap=0.1)
    assert found <= 2


def test_is_overfitting_worse_on_both_is_not_over_fitting():
    curve = read_validation_curve(
        run_with([1.0, 0.5, 0.51, 0.52, 0.53, 2.0], [1.0, 0.5, 0.6, 0.7, 0.8, 2.0])
    )
    assert not is_overfitting([curve] * 3, curve.rise, gap=0.1)


RISING = [1.0, 0.5, 0.51, 0.52, 0.53, 0.54, 0.55, 0.56]


def test_is_overfitting_clear_rise_is():
    curve = read_validation_curve(run_with(RISING))
    assert is_overfitting([curve] * 3, curve.rise, gap=0.1)


def test_is_overfitting_without_a_gap_is_not_over_fitting():
    curve = read_validation_curve(run_with(RISING))
    assert not is_overfitting([curve] * 3, curve.rise, gap=0.0)


def test_is_overfitting_noisy_but_plain_turn_over_five_seeds_is():
    """A loss that turns up from .55 to .8 with a wobble of .07 from epoch to epoch."""
    trend = 0.55 + 0.25 * np.clip((np.arange(60) - 25) / 34, 0, 1)
    records = []
    for run in make_arm("none", NONE):
        noise = 0.07 * np.random.default_rng(run.seed).standard_normal(60)
        records.append(dataclasses.replace(run, history=run_with((trend + noise).tolist()).history))
    summary = summarize(records)[0]
    assert summary.overfits
    assert summary.rise_after_it.mean == pytest.approx(0.25, abs=0.1)
