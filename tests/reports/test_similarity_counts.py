from __future__ import annotations

import pytest
import torch

from pellucid._checks import UsageError
from pellucid.prototree import explain
from pellucid.reports.contents import SimilarityHistogram
from pellucid.reports.similarity_counts import BINS, count_similarities
from tests.reports.fitted_squares import fit_squares, make_data


@pytest.fixture(scope="module")
def data():
    return make_data()


@pytest.fixture(scope="module")
def fitted(data):
    return fit_squares(data)


def test_count_similarities_agrees_with_explaining_each_image(fitted, data):
    test = data.splits.test
    counts = count_similarities(fitted, data.images, test)
    everywhere = [[0] * BINS for _ in fitted.sources]
    passing = [[0] * BINS for _ in fitted.sources]
    visits = [[0, 0] for _ in range(fitted.tree.topology.leaves)]
    for index in test.tolist():
        pixels = fitted.normalization(data.images.read(torch.tensor([index])))
        one = explain(fitted, pixels)[0]
        for turn in one.turns:
            place = min(int(turn.similarity * BINS), BINS - 1)
            everywhere[turn.branch][place] += 1
            if turn.branch in [step.branch for step in one.path]:
                passing[turn.branch][place] += 1
        visits[one.leaf][0] += 1
        visits[one.leaf][1] += one.prediction == int(data.images.labels[index])
    assert [list(h.everywhere) for h in counts.histograms] == everywhere
    assert [list(h.passing) for h in counts.histograms] == passing
    assert [[leaf.images, leaf.right] for leaf in counts.leaf_visits] == visits


def test_count_similarities_finds_patches_where_paths_go_right(fitted, data):
    test = data.splits.test
    counts = count_similarities(fitted, data.images, test)
    for branch, patches in enumerate(counts.found_in):
        there = []
        for index in test.tolist():
            pixels = fitted.normalization(data.images.read(torch.tensor([index])))
            for turn in explain(fitted, pixels)[0].path:
                if turn.branch == branch and turn.went_right:
                    there.append((turn.distance, index, turn.row, turn.column))
        there.sort()
        wanted = [there[round(k * (len(there) - 1) / 4)] for k in range(5)] if there else []
        if len(there) < 5:
            wanted = there
        assert [(one.image, one.row, one.column) for one in patches] == [one[1:] for one in wanted]
        assert [one.distance for one in patches] == pytest.approx(
            [one[0] for one in wanted], abs=1e-5
        )
        assert all(one.label == int(data.images.labels[one.image]) for one in patches)
    assert any(len(patches) == 5 for patches in counts.found_in)


def test_count_similarities_without_images_counts_nothing(fitted, data):
    counts = count_similarities(fitted, data.images, data.splits.test[:0])
    assert sum(map(sum, (h.everywhere for h in counts.histograms))) == 0
    assert {leaf.images for leaf in counts.leaf_visits} == {0}


def test_similarity_histogram_with_more_passing_than_there_are_is_refused():
    with pytest.raises(UsageError, match="passing no more images"):
        SimilarityHistogram(everywhere=(1, 2), passing=(1, 3))
