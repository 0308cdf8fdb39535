from __future__ import annotations

import pytest

from pellucid._checks import UsageError
from pellucid.regularization.named_penalties import PENALTY_NAMES, default_strength, named_penalty
from pellucid.regularization.penalties import Penalty


def test_named_penalty_none_is_no_penalty():
    assert named_penalty("none") == Penalty()
    assert default_strength("none") is None


@pytest.mark.parametrize("name", PENALTY_NAMES[1:])
def test_named_penalty_without_a_strength_takes_the_default(name):
    assert named_penalty(name) == named_penalty(name, default_strength(name))
    assert named_penalty(name).title.lower().replace(" ", "_").replace("-", "_").startswith(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("l1", Penalty(l1=0.3)),
        ("l2", Penalty(l2=0.3)),
        ("elastic_net", Penalty(l1=0.3, l2=12.0)),
        ("group_lasso", Penalty(group=0.3)),
        ("sparse_group_lasso", Penalty(l1=0.3, group=0.3)),
        ("max_norm", Penalty(max_norm=0.3)),
    ],
)
def test_named_penalty_with_a_strength_sets_its_terms(name, expected):
    assert named_penalty(name, 0.3) == expected


def test_named_penalty_of_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UsageError, match=r"penalty must be one of .*Did you mean 'group_lasso'\?"):
        named_penalty("grouplasso")


def test_named_penalty_of_strength_zero_raises():
    with pytest.raises(UsageError, match=r"strength of l1 must be a number in \(0, 10000\], got 0"):
        named_penalty("l1", 0)


def test_named_penalty_none_with_a_strength_raises():
    with pytest.raises(UsageError, match=r"strength must be left out for the penalty 'none'"):
        named_penalty("none", 0.1)
