from __future__ import annotations

import torch

from pellucid.evaluation.pixel_boxes import draw_places, fill_boxes, move_boxes, windows_around
from tests.reference import explanation_measures as reference

SIZE = (14, 21)


def random_boxes(count: int = 50) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    start = torch.stack([torch.randint(side, (count,), generator=generator) for side in SIZE], 1)
    room = torch.tensor(SIZE) - start
    return torch.cat(
        [start, start + 1 + (torch.rand(count, 2, generator=generator) * room).long()], 1
    )


def test_fill_boxes_marks_the_pixels_inside():
    boxes = random_boxes()
    for (top, left, bottom, right), mask in zip(
        boxes.tolist(), fill_boxes(boxes, SIZE), strict=True
    ):
        expected = torch.zeros(SIZE, dtype=torch.bool)
        expected[top:bottom, left:right] = True
        assert (mask == expected).all()


def test_move_boxes_keeps_sizes_and_stays_inside():
    boxes = random_boxes()
    moved = move_boxes(boxes, SIZE, generator=torch.Generator().manual_seed(1))
    assert (moved[:, 2:] - moved[:, :2] == boxes[:, 2:] - boxes[:, :2]).all()
    assert (moved[:, :2] >= 0).all()
    assert (moved[:, 2:] <= torch.tensor(SIZE)).all()


def test_move_boxes_reaches_every_place():
    boxes = torch.tensor([[0, 0, 13, 20]]).expand(200, 4)
    moved = move_boxes(boxes, SIZE, generator=torch.Generator().manual_seed(1))
    assert {(row, column) for row, column, *_ in moved.tolist()} == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_windows_around_equals_plain_loops():
    centers = torch.rand(100, 2, generator=torch.Generator().manual_seed(2)) * torch.tensor(SIZE)
    for share in (1 / 7, 0.3, 1.0):
        masks = fill_boxes(windows_around(centers, SIZE, share=share), SIZE)
        for center, mask in zip(centers.tolist(), masks, strict=True):
            pixels = {tuple(place) for place in mask.nonzero().tolist()}
            assert pixels == set(reference.window(center, SIZE, share))


def test_windows_around_a_place_beyond_the_edge_is_not_empty():
    found = windows_around(torch.tensor([[99.0, 99.0], [-50.0, 3.0]]), SIZE, share=0.1)
    assert fill_boxes(found, SIZE).flatten(1).any(1).all()


def test_draw_places_fills_the_image():
    places = draw_places(2000, SIZE, generator=torch.Generator().manual_seed(0))
    assert (places >= 0).all()
    assert (places < torch.tensor(SIZE)).all()
    assert (places.mean(0) - torch.tensor(SIZE) / 2).abs().max() < 0.5
