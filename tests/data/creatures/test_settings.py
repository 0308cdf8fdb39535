from __future__ import annotations

import json

import pytest

from pellucid import UsageError
from pellucid.data import CreatureSettings, Difficulty


@pytest.mark.parametrize("name", ["pose", "occlusion", "clutter", "shortcut"])
@pytest.mark.parametrize("amount", [-0.1, 1.1, float("nan"), "0.5", True])
def test_difficulty_amount_out_of_range_is_refused(name, amount):
    with pytest.raises(UsageError, match=rf"{name} must be a number in \[0, 1\]"):
        Difficulty(**{name: amount})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes", 1),
        ("classes", 257),
        ("train_per_class", 0),
        ("validation_per_class", -1),
        ("test_per_class", 2.0),
        ("seed", -1),
        ("seed", 2**32),
    ],
)
def test_settings_number_out_of_range_is_refused(name, value):
    with pytest.raises(UsageError, match=f"{name} must be an integer in"):
        CreatureSettings(**{name: value})


def test_settings_other_difficulty_is_refused():
    with pytest.raises(UsageError, match=r"difficulty must be a Difficulty, got 0\.5"):
        CreatureSettings(difficulty=0.5)


def test_settings_to_dict_can_be_written_as_json():
    stored = json.loads(json.dumps(CreatureSettings(seed=3).to_dict()))
    assert stored["seed"] == 3
    assert Difficulty(**stored.pop("difficulty")) == Difficulty()
    assert CreatureSettings(**stored) == CreatureSettings(seed=3)
