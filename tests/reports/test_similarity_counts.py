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


def test_count_similarities_without_images_counts_nothing(fitted, data):
    counts = count_similarities(fitted, data.images, data.splits.test[:0])
    assert sum(map(sum, (h.everywhere for h in counts.histograms))) == 0
    assert {leaf.images for leaf in counts.leaf_visits} == {0}


def test_similarity_histogram_with_more_passing_than_there_are_is_refused():
    with pytest.raises(UsageError, match="passing no more images"):
        SimilarityHistogram(everywhere=(1, 2), passing=(1, 3))
