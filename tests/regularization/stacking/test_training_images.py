from __future__ import annotations

import pytest
import torch

from pellucid.data import Augmentation, Normalization, batches, measure_channels
from pellucid.regularization.stacking import training_images
from pellucid.regularization.stacking.training_images import TrainingImages
from pellucid.runs import generator
from tests.regularization.small_studies import random_pictures

DATA = random_pictures(train=13, validation=3, side=6)


def hold(augmentation=None, mixup=0.0):
    return TrainingImages(
        DATA,
        device=torch.device("cpu"),
        dtype=torch.float32,
        augmentation=augmentation or Augmentation(),
        mixup=mixup,
    )


def epoch_of(images, seeds=(0,), batch_size=4, drop=False):
    return list(images.epoch(seeds, 2, batch_size=batch_size, drop_last_of_one=drop))


def test_epoch_has_the_order_of_batches_of_the_seed():
    normalization = Normalization(*measure_channels(DATA.images, DATA.splits.train))
    expected = batches(
        DATA.images,
        DATA.splits.train,
        batch_size=4,
        generator=generator(7, "epoch", 2, "order"),
    )
    for (pixels, labels, _, _), (raw, wanted, _) in zip(
        epoch_of(hold(), seeds=(7,)), expected, strict=True
    ):
        assert torch.equal(labels[0], wanted)
        assert torch.equal(pixels, normalization(raw))


def test_epoch_of_two_seeds_lays_their_images_side_by_side():
    images = hold()
    both, first, second = (epoch_of(images, seeds) for seeds in ((1, 2), (1,), (2,)))
    for together, left, right in zip(both, first, second, strict=True):
        assert torch.equal(together[0], torch.cat([left[0], right[0]], 1))
        assert torch.equal(together[1], torch.cat([left[1], right[1]]))


@pytest.mark.parametrize(("drop", "sizes"), [(False, [4, 4, 4, 1]), (True, [4, 4, 4])])
def test_epoch_leaves_out_a_last_batch_of_one_only_when_asked(drop, sizes):
    assert [labels.shape[1] for _, labels, _, _ in epoch_of(hold(), drop=drop)] == sizes


def test_images_too_many_to_keep_normalized_are_the_same(monkeypatch):
    kept = hold()
    monkeypatch.setattr(training_images, "_KEPT_BYTES", 0)
    converted = hold()
    for left, right in zip(epoch_of(kept), epoch_of(converted), strict=True):
        assert torch.equal(left[0], right[0])
    for left, right in zip(
        kept.in_order("validation", batch_size=2),
        converted.in_order("validation", batch_size=2),
        strict=True,
    ):
        assert torch.equal(left[0], right[0])


def test_in_order_gives_each_split_once():
    images = hold(augmentation=Augmentation(flip=True))
    for name in ("train", "validation"):
        labels = torch.cat([labels for _, labels in images.in_order(name, batch_size=5)])
        assert torch.equal(labels, DATA.images.labels[getattr(DATA.splits, name)])


def test_mixup_mixes_images_as_it_says():
    plain, mixed = epoch_of(hold())[0], epoch_of(hold(mixup=1.0))[0]
    (share,) = mixed[3]
    assert 0 <= share <= 1
    assert torch.equal(plain[1], mixed[1])
    partner = (mixed[0] - share * plain[0]) / (1 - share)
    for image, label in zip(partner, mixed[2][0], strict=True):
        distances = (plain[0] - image).flatten(1).abs().amax(1)
        assert distances.min() < 1e-3
        assert plain[1][0][distances.argmin()] == label
