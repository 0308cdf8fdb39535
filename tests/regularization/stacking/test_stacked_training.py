from __future__ import annotations

import dataclasses
import signal

import pytest
import torch
from torch import nn

from pellucid._checks import DataError, UsageError
from pellucid.data import Augmentation
from pellucid.regularization.penalties import Penalty
from pellucid.regularization.recipe import NetworkRecipe
from pellucid.regularization.small_networks import create_network
from pellucid.regularization.stacking import stacked_training
from pellucid.regularization.stacking.stacked_training import stack_key, train_stack
from pellucid.runs import Run
from pellucid.training import Interrupted, stopping_when
from tests.reference.plain_study_loop import train_plainly
from tests.regularization.small_studies import ResidualNet, ScaledNet, random_pictures

ARMS = (
    Penalty(),
    Penalty(l1=1e-3, method="subgradient"),
    Penalty(l2=1e-2),
)
MLP = NetworkRecipe(network="small_mlp", epochs=3, batch_size=16)
TINY = random_pictures(side=8, classes=3)


def arms(recipe, seeds=(0, 1), penalties=ARMS):
    return [
        (dataclasses.replace(recipe, penalty=penalty), seed)
        for penalty in penalties
        for seed in seeds
    ]


def same_weights(left, right):
    return all(
        torch.equal(a.weights[name], b.weights[name])
        for a, b in ((left.last, right.last), (left.best, right.best))
        for name in a.weights
    )


def without_time(outcome):
    return [
        {name: value for name, value in row.items() if name != "seconds"} for row in outcome.history
    ]


@pytest.mark.parametrize(
    ("network", "side", "optimizer"),
    [
        ("small_cnn", 12, "sgd"),
        ("small_cnn", 12, "adam"),
        ("small_mlp", 8, "sgd"),
        ("small_mlp", 8, "adam"),
        (ResidualNet, 9, "sgd"),
        (ResidualNet, 9, "adam"),
        (ScaledNet, 8, "sgd"),
    ],
)
def test_train_stack_in_float64_equals_plain_loops(network, side, optimizer):
    data = random_pictures(train=95, side=side)
    # Steps so short that the training itself does not enlarge differences in rounding.
    rate = 0.002 if network is ResidualNet else 0.003 if optimizer == "adam" else 0.01
    recipe = NetworkRecipe(
        network=network,
        epochs=43,
        batch_size=14,
        optimizer=optimizer,
        learning_rate=rate,
        precision="float64",
    )
    runs = arms(recipe, seeds=(3, 4) if (network, optimizer) == ("small_mlp", "sgd") else (3,))
    outcomes = train_stack(runs, data)
    for (one, seed), outcome in zip(runs, outcomes, strict=True):
        twin, rows = train_plainly(one, seed, data)
        # The sign of a weight near 0 turns a difference in rounding into one of a whole step.
        tolerance = 1e-9 if one.penalty.l1 and optimizer == "adam" else 1e-12
        for name, value in twin.state_dict().items():
            assert (outcome.last.weights[name] - value).abs().max() <= tolerance, name
        for row, expected in zip(outcome.history, rows, strict=True):
            found = [
                row[f"{split}_{measure}"]
                for split in ("train", "validation")
                for measure in ("loss", "accuracy")
            ]
            assert found == pytest.approx(expected, abs=tolerance)


def test_train_stack_gives_what_each_run_alone_gives():
    recipe = dataclasses.replace(
        MLP,
        augmentation=Augmentation(shift_fraction=0.2),
        mixup=0.4,
        dropout=0.3,
        schedule="cosine",
        decoupled_weight_decay=0.1,
        precision="float64",
    )
    penalties = (Penalty(l1=1e-2, ramp=0.5, polish_steps=2), Penalty(group=1e-2), Penalty())
    runs = arms(recipe, penalties=penalties)
    runs[0] = (dataclasses.replace(runs[0][0], label_smoothing=0.2), runs[0][1])
    together = train_stack(runs, TINY)
    for run, outcome in zip(runs, together, strict=True):
        alone = train_stack([run], TINY)[0]
        for name, value in alone.last.weights.items():
            assert (outcome.last.weights[name] - value).abs().max() <= 1e-12
        assert outcome.history[-1]["objective"] == pytest.approx(alone.history[-1]["objective"])


def test_train_stack_returns_outcomes_in_the_order_of_the_runs():
    runs = arms(MLP, seeds=(1, 0), penalties=(Penalty(), Penalty(l2=1.0)))
    outcomes = train_stack(runs, TINY)
    assert [outcome.history[0]["penalty"] > 0 for outcome in outcomes] == [False, False, True, True]
    assert not torch.equal(
        outcomes[0].last.weights["fc3.bias"], outcomes[1].last.weights["fc3.bias"]
    )


def test_train_stack_same_seed_starts_and_orders_the_same_in_every_arm():
    first, second = train_stack(arms(MLP, seeds=(5,), penalties=(Penalty(), Penalty())), TINY)
    assert same_weights(first, second)


def test_train_stack_proximal_l1_leaves_exact_zeros():
    recipe = dataclasses.replace(MLP, epochs=10, penalty=Penalty(l1=0.02))
    (outcome,) = train_stack([(recipe, 0)], TINY)
    assert (outcome.last.weights["fc1.weight"] == 0).double().mean() > 0.3
    assert (outcome.last.weights["fc1.bias"] != 0).all()


def test_train_stack_proximal_steps_and_polish_equal_a_plain_loop():
    network = dataclasses.replace(MLP, epochs=2, precision="float64")
    penalties = (Penalty(l1=4e-3), Penalty(l1=4e-3, l2=1e-2, polish_steps=2))
    runs = arms(network, seeds=(0,), penalties=penalties)
    for (recipe, seed), outcome in zip(runs, train_stack(runs, TINY), strict=True):
        plain, _ = train_plainly(recipe, seed, TINY)
        for name, value in plain.state_dict().items():
            ours = outcome.last.weights[name]
            assert (ours - value).abs().max() <= 1e-12, name
            assert torch.equal(ours == 0, value == 0)
        assert (outcome.last.weights["fc1.weight"] == 0).any()


def test_train_stack_polish_adds_zeros_and_is_measured():
    plain, polished = train_stack(
        arms(MLP, seeds=(0,), penalties=(Penalty(l1=0.003), Penalty(l1=0.003, polish_steps=20))),
        TINY,
    )
    zeros = [(o.last.weights["fc1.weight"] == 0).sum() for o in (plain, polished)]
    assert zeros[1] > zeros[0]
    assert plain.history[:-1] != ()
    assert without_time(plain)[:-1] == without_time(polished)[:-1]
    assert plain.history[-1]["penalty"] > polished.history[-1]["penalty"]


def test_train_stack_history_describes_each_epoch():
    seen = []
    (outcome,) = train_stack(
        arms(MLP, seeds=(0,), penalties=(Penalty(l2=0.1),)),
        TINY,
        on_epoch=lambda done, rows: seen.append((done, rows[0])),
    )
    assert seen == [(row["epoch"] + 1, row) for row in outcome.history]
    row = outcome.history[-1]
    norm = sum(v.double().square().sum() for n, v in outcome.last.weights.items() if "weight" in n)
    assert row["penalty"] == pytest.approx(0.05 * float(norm))
    assert row["objective"] == pytest.approx(row["train_loss"] + row["penalty"])
    assert outcome.status == "finished"
    assert outcome.seconds == pytest.approx(sum(row["seconds"] for row in outcome.history))


def test_train_stack_keeps_the_first_best_epoch():
    (outcome,) = train_stack([(dataclasses.replace(MLP, epochs=6), 0)], TINY)
    accuracies = [row["validation_accuracy"] for row in outcome.history]
    assert outcome.best.epoch == accuracies.index(max(accuracies))
    assert outcome.last.epoch == 5


def test_train_stack_without_validation_keeps_the_last_epoch():
    (outcome,) = train_stack([(MLP, 0)], random_pictures(validation=0, side=8, classes=3))
    assert outcome.best.epoch == 2
    assert outcome.history[-1]["validation_accuracy"] is None


def test_snapshot_predicts_uint8_images_as_measured():
    (outcome,) = train_stack([(MLP, 0)], TINY)
    indices = TINY.splits.validation
    answers = outcome.last.predict(TINY.images.read(indices))
    assert answers.exp().sum(1).allclose(torch.ones(len(indices)))
    hits = (answers.argmax(1) == TINY.images.labels[indices]).double().mean()
    assert float(hits) == outcome.history[-1]["validation_accuracy"]


def test_train_stack_divergence_harms_no_other_network():
    steep = dataclasses.replace(MLP, penalty=Penalty(l2=1e6))
    good, broken = train_stack([(MLP, 0), (steep, 0)], TINY)
    alone = train_stack([(MLP, 0), (MLP, 0)], TINY)[0]
    assert (good.status, broken.status) == ("finished", "diverged")
    assert same_weights(good, alone)
    assert all(value.isfinite().all() for value in broken.last.weights.values())
    assert len(broken.history) == broken.last.epoch + 1 < 3


def test_train_stack_of_what_cannot_be_stacked_says_why():
    runs = arms(dataclasses.replace(MLP, network=ScaledNet), seeds=(0,))
    outcomes = train_stack(runs, TINY)
    assert {o.details["alone"] for o in outcomes} == {
        "scale: a parameter is used outside of a layer"
    }
    assert outcomes[0].details["stacked"] == 1


def equals_plain_loops(runs, data):
    outcomes = train_stack(runs, data)
    for (one, seed), outcome in zip(runs, outcomes, strict=True):
        twin, rows = train_plainly(one, seed, data)
        for name, value in twin.state_dict().items():
            assert (outcome.last.weights[name] - value).abs().max() <= 1e-12, name
        found = [row["train_loss"] for row in outcome.history]
        assert found == pytest.approx([row[0] for row in rows], abs=1e-12)
    return outcomes


class PreActivationNet(nn.Module):
    """Its skip connection gets what the in-place ReLU has left of its input."""

    def __init__(self, classes, image_size):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.last = nn.Linear(6, classes)

    def forward(self, x):
        x = self.first(x)
        x = x + self.second(self.relu(x))
        return self.last(x.mean((2, 3)))


class HookedNet(nn.Sequential):
    """A hook of a layer is not traced."""

    def __init__(self, classes, image_size):
        super().__init__(nn.Flatten(), nn.Linear(3 * 64, 6), nn.ReLU(), nn.Linear(6, classes))
        self[1].register_forward_hook(lambda module, inputs, output: output.abs())


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (PreActivationNet, "changes in place what add may use afterwards"),
        (HookedNet, "does not answer as by itself"),
    ],
)
def test_train_stack_of_what_stacked_is_another_function_trains_alone(network, reason):
    recipe = dataclasses.replace(MLP, network=network, learning_rate=0.01, precision="float64")
    for outcome in equals_plain_loops(arms(recipe, seeds=(3,)), TINY):
        assert outcome.details["stacked"] == 1
        assert reason in outcome.details["alone"]


class FrozenNet(ResidualNet):
    """Of each kind of layer something is frozen."""

    def __init__(self, classes, image_size):
        super().__init__(classes, image_size)
        frozen = (self.first.weight, self.second_norm.weight, self.hidden.weight, self.last.bias)
        for parameter in (*frozen, *self.hidden_norm.parameters(), self.down.bias):
            parameter.requires_grad_(False)


class FrozenScaledNet(ScaledNet):
    def __init__(self, classes, image_size):
        super().__init__(classes, image_size)
        self.scale.requires_grad_(False)


FROZEN = [(FrozenNet, True), (FrozenScaledNet, False)]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize(("network", "is_stacked"), FROZEN)
def test_train_stack_of_frozen_parameters_equals_plain_loops(network, is_stacked, optimizer):
    recipe = dataclasses.replace(
        MLP, network=network, optimizer=optimizer, learning_rate=0.002, precision="float64"
    )
    penalties = (Penalty(), Penalty(l2=1e-2))
    for outcome in equals_plain_loops(arms(recipe, seeds=(3,), penalties=penalties), TINY):
        assert ("alone" not in outcome.details) == is_stacked


@pytest.mark.parametrize("precision", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize(("network", "is_stacked"), FROZEN)
def test_train_stack_leaves_frozen_parameters_bit_for_bit(network, is_stacked, precision):
    everything = Penalty(
        l1=1e-2, l2=0.1, max_norm=0.5, include_biases=True, include_norms=True, polish_steps=2
    )
    recipe = dataclasses.replace(
        MLP, network=network, decoupled_weight_decay=0.1, precision=precision
    )
    runs = arms(recipe, penalties=(everything, Penalty()))
    for (_, seed), outcome in zip(runs, train_stack(runs, TINY), strict=True):
        start = create_network(network, classes=3, image_size=(8, 8), seed=seed)
        for name, parameter in start.named_parameters():
            for found in (outcome.last, outcome.best):
                is_same = torch.equal(found.weights[name], parameter.to(found.weights[name].dtype))
                assert is_same == (not parameter.requires_grad), name


def test_train_stack_does_not_penalize_frozen_parameters():
    recipe = dataclasses.replace(MLP, network=FrozenNet, penalty=Penalty(l2=2.0))
    (outcome,) = train_stack([(recipe, 0)], TINY)
    trained = ("second.weight", "down.weight", "last.weight")
    expected = sum(outcome.last.weights[name].double().square().sum() for name in trained)
    assert outcome.history[-1]["penalty"] == pytest.approx(float(expected))


class AllFrozenNet(ScaledNet):
    def __init__(self, classes, image_size):
        super().__init__(classes, image_size)
        self.requires_grad_(False)


def test_train_stack_without_a_parameter_to_train_raises():
    with pytest.raises(UsageError, match="must have a parameter to train, got AllFrozenNet"):
        train_stack([(dataclasses.replace(MLP, network=AllFrozenNet), 0)], TINY)


@pytest.mark.parametrize("network", ["small_mlp", ResidualNet, ScaledNet])
def test_train_stack_in_bfloat16_keeps_float32_weights_and_learns(network):
    recipe = dataclasses.replace(MLP, network=network, epochs=15, precision="bfloat16")
    (outcome,) = train_stack([(recipe, 0)], TINY)
    assert {v.dtype for n, v in outcome.last.weights.items() if "tracked" not in n} == {
        torch.float32
    }
    assert outcome.history[-1]["train_loss"] < 0.8 * outcome.history[0]["train_loss"]


def test_train_stack_running_metrics_need_no_pass_of_their_own():
    running = train_stack([(MLP, 0)], TINY, train_metrics="running")[0]
    fixed = train_stack([(MLP, 0)], TINY)[0]
    assert same_weights(running, fixed)
    assert running.history[0]["train_loss"] > fixed.history[0]["train_loss"]


def test_train_stack_starts_from_given_weights():
    (first,) = train_stack([(MLP, 0)], TINY)
    still = dataclasses.replace(MLP, learning_rate=1e-30, epochs=1)
    (second,) = train_stack([(still, 0)], TINY, initial=[first.last.weights])
    assert torch.equal(first.last.weights["fc2.weight"], second.last.weights["fc2.weight"])


class Stopped(Exception):
    """Raised in the middle of a training."""


def stop_after(epochs):
    def on_epoch(done, rows):
        if done == epochs:
            raise Stopped

    return on_epoch


@pytest.mark.parametrize("network", ["small_mlp", ResidualNet])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_train_stack_resumed_equals_uninterrupted(tmp_path, network, optimizer):
    recipe = dataclasses.replace(
        MLP, network=network, optimizer=optimizer, epochs=4, dropout=0.2, mixup=0.2
    )
    runs = arms(recipe, penalties=(Penalty(l1=1e-3, ramp=0.5, polish_steps=1), Penalty(l2=1e-2)))
    whole = train_stack(runs, TINY)
    run = Run.create(tmp_path / "run", command="study", config={})
    settings = {"run": run, "checkpoint_seconds": 0.0}
    with pytest.raises(Stopped):
        train_stack(runs, TINY, on_epoch=stop_after(2), **settings)
    epochs = []
    resumed = train_stack(
        runs, TINY, resume=True, on_epoch=lambda done, _: epochs.append(done), **settings
    )
    assert epochs == [3, 4]
    for left, right in zip(whole, resumed, strict=True):
        assert same_weights(left, right)
        assert without_time(left) == without_time(right)
        assert left.best.epoch == right.best.epoch
    again = train_stack(runs, TINY, resume=True, on_epoch=stop_after(4), **settings)
    assert all(same_weights(*pair) for pair in zip(whole, again, strict=True))


def test_train_stack_that_is_short_writes_no_checkpoint(tmp_path):
    run = Run.create(tmp_path / "run", command="study", config={})
    train_stack([(MLP, 0)], TINY, run=run)
    assert not run.has_checkpoint("stack")


def test_train_stack_refuses_the_checkpoint_of_other_runs(tmp_path):
    run = Run.create(tmp_path / "run", command="study", config={})
    train_stack([(MLP, 0)], TINY, run=run, checkpoint_seconds=0.0)
    with pytest.raises(DataError, match="of other recipes, seeds or stacks"):
        train_stack([(MLP, 1)], TINY, run=run, resume=True)


def test_train_stack_stops_between_steps_when_asked():
    def interrupt(done, rows):
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted, match="SIGTERM") as caught:
        train_stack([(MLP, 0)], TINY, on_epoch=interrupt)
    assert caught.value.exit_code == 143


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("questions", [0, 1, 7, 12, 16, 24, 31])
def test_train_stack_interrupted_in_an_epoch_keeps_the_epochs_before(
    tmp_path, monkeypatch, questions, optimizer
):
    monkeypatch.setattr(stacked_training, "_STACK_BYTES", 1)  # a stack a seed, one after another
    polished = Penalty(l1=1e-3, ramp=0.5, polish_steps=2)
    recipe = dataclasses.replace(
        MLP, network=ResidualNet, optimizer=optimizer, dropout=0.2, mixup=0.2
    )
    runs = arms(recipe, penalties=(polished, Penalty(l2=1e-2)))
    whole = train_stack(runs, TINY)
    run = Run.create(tmp_path / "run", command="study", config={})
    asked = iter(range(questions))
    with (
        stopping_when(lambda: next(asked, None) is None),
        pytest.raises(Interrupted, match="SIGTERM"),
    ):
        train_stack(runs, TINY, run=run)
    epochs = []
    resumed = train_stack(
        runs, TINY, run=run, resume=True, on_epoch=lambda done, rows: epochs.append((done, rows))
    )
    per_epoch = 2 * (3 + 1 + 1)  # of either stack: batches to train on, to measure on, to validate
    assert epochs[0][0] == min(3, 1 + questions // per_epoch)
    assert all(row["epoch"] == epochs[0][0] - 1 for row in epochs[0][1])
    for left, right in zip(whole, resumed, strict=True):
        assert same_weights(left, right)
        assert without_time(left) == without_time(right)


def test_train_stack_interrupted_in_its_last_step_keeps_all(tmp_path):
    run = Run.create(tmp_path / "run", command="study", config={})

    def interrupt(done, rows):
        if done == MLP.epochs:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match="SIGINT"):
        train_stack([(MLP, 0)], TINY, run=run, on_epoch=interrupt)
    [outcome] = train_stack([(MLP, 0)], TINY, run=run, resume=True, on_epoch=stop_after(3))
    assert same_weights(outcome, train_stack([(MLP, 0)], TINY)[0])


def test_train_stack_second_signal_in_the_middle_of_an_epoch_keeps_no_half_of_it(
    tmp_path, monkeypatch
):
    run = Run.create(tmp_path / "run", command="study", config={})

    def stop_at_once(*_):
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(stacked_training, "copy_model", stop_at_once)
    with pytest.raises(Interrupted, match="SIGINT"):
        train_stack([(MLP, 0)], TINY, run=run)
    assert not run.has_checkpoint("stack")


def test_train_stack_of_different_recipes_raises():
    with pytest.raises(UsageError, match=r"may differ in seed, penalty and label_smoothing only"):
        train_stack([(MLP, 0), (dataclasses.replace(MLP, epochs=2), 0)], TINY)


def test_train_stack_without_images_raises():
    with pytest.raises(DataError, match="at least one image"):
        train_stack([(MLP, 0)], random_pictures(train=0, side=8))


def test_stack_key_ignores_penalty_and_smoothing_alone():
    assert stack_key(MLP) == stack_key(
        dataclasses.replace(MLP, penalty=Penalty(l1=1.0), label_smoothing=0.1)
    )
    assert stack_key(MLP) != stack_key(dataclasses.replace(MLP, dropout=0.1))


def test_recipe_describe_is_printable():
    described = dataclasses.replace(MLP, network=ResidualNet, penalty=ARMS[1]).describe()
    assert described["network"].endswith("small_studies.ResidualNet")
    assert described["penalty"]["l1"] == 1e-3
    assert described["augmentation"]["flip"] is False
