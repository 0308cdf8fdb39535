from __future__ import annotations

import pytest
import torch

from pellucid import UsageError
from pellucid.data import InMemoryImages, StreamedImages, batches


def counted_images(count=10):
    pixels = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 4, 6)
    return InMemoryImages(
        pixels.contiguous(),
        labels=torch.arange(count) % 2,
        class_names=["even", "odd"],
        names=[str(index) for index in range(count)],
        digest="",
    )


def streamed(images):
    return StreamedImages(
        images.original,
        labels=images.labels,
        class_names=images.class_names,
        names=images.names,
        image_size=images.image_size,
        digest="",
    )


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_batches_without_generator_keep_the_order():
    indices = torch.tensor([7, 1, 4])
    pixels, labels, given = zip(*batches(counted_images(), indices, batch_size=2), strict=True)
    assert torch.cat(given).tolist() == [7, 1, 4]
    assert torch.cat(labels).tolist() == [1, 1, 0]
    assert torch.cat(pixels)[:, 0, 0, 0].tolist() == [7, 1, 4]


def test_batches_with_generator_visit_each_image_once_in_another_order():
    order = [
        index
        for *_, i in batches(
            counted_images(), torch.arange(10), batch_size=3, generator=generator()
        )
        for index in i.tolist()
    ]
    assert sorted(order) == list(range(10))
    assert order != list(range(10))


def test_batches_same_generator_state_repeats_bit_for_bit():
    runs = [
        torch.cat(
            [
                x
                for x, *_ in batches(
                    counted_images(), torch.arange(10), batch_size=4, generator=generator(5)
                )
            ]
        )
        for _ in range(2)
    ]
    assert torch.equal(*runs)


def test_batches_draw_the_order_before_the_first_batch():
    source = generator()
    before = source.get_state()
    batches(counted_images(), torch.arange(10), batch_size=4, generator=source)
    assert not torch.equal(before, source.get_state())


def test_batches_drop_last_leaves_the_short_batch_out():
    images = counted_images()
    sizes = [len(y) for _, y, _ in batches(images, torch.arange(10), batch_size=4, drop_last=True)]
    assert sizes == [4, 4]
    sizes = [len(y) for _, y, _ in batches(images, torch.arange(10), batch_size=5, drop_last=True)]
    assert sizes == [5, 5]


def test_batches_of_no_indices_are_none():
    empty = torch.empty(0, dtype=torch.int64)
    assert list(batches(counted_images(), empty, batch_size=4)) == []


def test_batches_streamed_equal_those_from_memory():
    held = counted_images(50)
    for seed in (None, 3):
        pairs = zip(
            batches(held, torch.arange(50), batch_size=7, generator=seed and generator(seed)),
            batches(
                streamed(held), torch.arange(50), batch_size=7, generator=seed and generator(seed)
            ),
            strict=True,
        )
        for first, second in pairs:
            assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_batches_streamed_and_left_early_stop_reading():
    source = batches(streamed(counted_images(50)), torch.arange(50), batch_size=2)
    next(source)
    source.close()
    with pytest.raises(StopIteration):
        next(source)


def test_batches_streamed_read_error_reaches_the_reader():
    images = streamed(counted_images(20))
    images._read_picture = lambda index: 1 / 0
    with pytest.raises(ZeroDivisionError, match="division"):
        list(batches(images, torch.arange(20), batch_size=4))


def test_batches_zero_batch_size_is_refused():
    with pytest.raises(UsageError, match="batch_size must be an integer >= 1, got 0"):
        batches(counted_images(), torch.arange(10), batch_size=0)


def test_batches_float_indices_are_refused():
    with pytest.raises(UsageError, match=r"indices must be int64 \(n,\), got torch.float32"):
        batches(counted_images(), torch.zeros(3), batch_size=2)
