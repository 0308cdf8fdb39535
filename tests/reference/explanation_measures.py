"""The measures of explanations in plain loops, one image and one pixel at a time."""

from __future__ import annotations

import math
from itertools import pairwise


def ranks(values):
    """Return average ranks, counted by comparing each with each."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


def correlation(first, second):
    """Return Pearson's correlation."""
    mean_1, mean_2 = sum(first) / len(first), sum(second) / len(second)
    both = sum((a - mean_1) * (b - mean_2) for a, b in zip(first, second, strict=True))
    return both / math.sqrt(
        sum((a - mean_1) ** 2 for a in first) * sum((b - mean_2) ** 2 for b in second)
    )


def single_deletion(importance, drops, visible):
    """Return Spearman's correlation over the visible parts, None where it says nothing."""
    there = [part for part in range(len(visible)) if visible[part]]
    said, lost = [importance[part] for part in there], [drops[part] for part in there]
    if len(there) < 3 or len(set(lost)) == 1:
        return None
    if len(set(said)) == 1:
        return 0.0
    return correlation(ranks(said), ranks(lost))


def important(importance, total, visible, threshold):
    """Return the set of columns called important."""
    return {k for k, value in enumerate(importance) if visible[k] and value > threshold * total}


def part_checks(importance, total, visible, drops, answer, answer_of, parts, threshold):
    """Return the three scores of one image; ``answer_of`` takes the set of kept parts."""
    chosen = important(importance, total, visible, threshold)
    chosen_parts = {part for part in chosen if part < parts}
    preserved = answer_of(frozenset(chosen_parts)) == answer
    changed = answer_of(frozenset(range(parts)) - chosen_parts) != answer
    irrelevant = {k for k in range(len(visible)) if visible[k] and drops[k] < 0.05}
    spared = 1 - len(chosen & irrelevant) / len(irrelevant) if irrelevant else None
    return float(preserved), float(changed), spared


def best_thresholds(rows, thresholds):
    """Return for each image the scores at the threshold best for images of the other parity.

    ``rows[image][threshold]`` holds what `part_checks` gave.
    """

    def mean(values):
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else 0.0

    found = []
    for image in range(len(rows)):
        others = [rows[k] for k in range(len(rows)) if (k - image) % 2] or [rows[image]]
        merits = [
            mean([row[t][0] for row in others]) / 2
            + mean([row[t][1] for row in others]) / 2
            + mean([row[t][2] for row in others])
            for t in range(len(thresholds))
        ]
        found.append(rows[image][merits.index(max(merits))])
    return found


def rival_pairs(class_parts, label):
    """Return every pair of classes that share equally many, but different, parts with ``label``."""
    own = class_parts[label]
    shared = {
        other: {part for part in range(len(own)) if class_parts[other][part] == own[part]}
        for other in range(len(class_parts))
        if other != label
    }
    for count in (2, 1):
        pairs = [
            (a, b)
            for a in shared
            for b in shared
            if a < b and len(shared[a]) == len(shared[b]) == count and not shared[a] & shared[b]
        ]
        if pairs:
            return pairs
    return []


def window(center, image_size, share):
    """Return the pixels (row, column) of a window around a place."""
    sides = [max(1, round(share * side)) for side in image_size]
    first = [math.floor(center[k] - sides[k] / 2 + 0.5) for k in range(2)]
    return [
        (row, column)
        for row in range(first[0], first[0] + sides[0])
        for column in range(first[1], first[1] + sides[1])
        if 0 <= row < image_size[0] and 0 <= column < image_size[1]
    ]


def shown_part(masks, center, share):
    """Return the part with most pixels in the window, the first of several, or -1."""
    size = (len(masks[0]), len(masks[0][0]))
    pixels = window(center, size, share)
    counts = [sum(mask[row][column] for row, column in pixels) for mask in masks]
    return counts.index(max(counts)) if max(counts) else -1


def purity(shown):
    """Return the share of the commonest part."""
    parts = {part for part in shown if part != -1}
    return max((shown.count(part) for part in parts), default=0) / len(shown)


def held_parts(masks, center, share, least):
    """Return which parts have at least ``least`` of their pixels in the window."""
    size = (len(masks[0]), len(masks[0][0]))
    pixels = window(center, size, share)
    found = []
    for mask in masks:
        inside = sum(mask[row][column] for row, column in pixels)
        found.append(inside > 0 and inside >= least * sum(map(sum, mask)))
    return found


def curve_area(answer, first, last, importance, steps):
    """Return the trapezoids under ``answer`` while pixels of ``first`` become those of ``last``.

    Args:
        answer: Of one image as nested lists [channel][row][column].
        first: Where it starts.
        last: Where it ends.
        importance: [row][column]; the greatest goes first, on a tie the upper left one.
        steps: Number of trapezoids.
    """
    height, width = len(importance), len(importance[0])
    order = sorted(
        ((row, column) for row in range(height) for column in range(width)),
        key=lambda place: -importance[place[0]][place[1]],
    )
    values = []
    for step in range(steps + 1):
        image = [[list(line) for line in channel] for channel in first]
        for row, column in order[: round(step / steps * height * width)]:
            for channel in range(3):
                image[channel][row][column] = last[channel][row][column]
        values.append(answer(image))
    return sum((a + b) / 2 for a, b in pairwise(values)) / steps
