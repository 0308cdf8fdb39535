from __future__ import annotations

import argparse
import re

import pytest

from pellucid._checks import UsageError
from pellucid.cli.arguments import (
    Parser,
    augmentation_amounts,
    errors_in_flags,
    given_options,
    size,
)
from pellucid.cli.fit import build_parser
from pellucid.prototree import TreeRecipe


@pytest.mark.parametrize(
    ("text", "expected"), [("64", 64), ("64x96", (64, 96)), ("64×96", (64, 96)), ("-3", -3)]
)
def test_size_reads_one_side_or_height_and_width(text, expected):
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "x", "64x", "64x96x3", "6.5"])
def test_size_other_text_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="HEIGHTxWIDTH"):
        size(text)


def test_augmentation_amounts_reads_names_and_values():
    amounts = augmentation_amounts("shift=0.1, rotate=5,flip,contrast=0")
    assert amounts == {"shift_fraction": 0.1, "rotate_degrees": 5.0, "flip": True, "contrast": 0.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shfit=1", "Did you mean 'shift'"),
        ("gentel", "Did you mean 'gentle'"),
        ("shift", "needs an amount"),
        ("shift=a", "must be a number"),
        ("flip=3", "flip=yes"),
    ],
)
def test_augmentation_amounts_other_text_is_refused(text, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        augmentation_amounts(text)


def test_errors_in_flags_names_arguments_as_the_user_typed_them():
    with (
        pytest.raises(UsageError, match=r"^--warm-up-epochs must be less than --epochs 2, got 3\."),
        errors_in_flags(build_parser()),
    ):
        raise UsageError("warm_up_epochs must be less than epochs=2, got 3.")


def test_errors_in_flags_writes_sizes_with_a_cross():
    with (
        pytest.raises(UsageError, match=r"^--size must be .* Use --size 64 or --size 64x96\."),
        errors_in_flags(build_parser()),
    ):
        raise UsageError("image_size must be x. Use image_size=64 or image_size=(64, 96).")


def test_parser_abbreviated_option_is_refused():
    with pytest.raises(UsageError, match=r"has no option '--dep'\. Did you mean '--depth'"):
        build_parser().parse(["--dep", "3"])


def test_given_options_lists_what_was_typed_even_where_it_is_the_default():
    parser = build_parser()
    values = parser.parse(["photos", "--seed", "0", "--strict"])
    assert given_options(parser, values) == ["DATA", "--seed", "--strict"]


@pytest.mark.parametrize(
    ("flag", "default"),
    [
        ("depth", TreeRecipe.depth),
        ("backbone", TreeRecipe.backbone),
        ("latent-channels", TreeRecipe.latent_channels),
        ("top-k", TreeRecipe.top_k),
        ("pruning-tolerance", TreeRecipe.pruning_tolerance),
        ("epochs", TreeRecipe.epochs),
        ("prototype-initialization", TreeRecipe.prototype_initialization),
        ("interim-projections", TreeRecipe.interim_projections),
        ("routing-steepness", TreeRecipe.routing_steepness),
        ("batch-size", TreeRecipe.batch_size),
        ("learning-rate", TreeRecipe.learning_rate),
        ("decoupled-weight-decay", TreeRecipe.decoupled_weight_decay),
    ],
)
def test_fit_help_states_the_recipe_s_default(flag, default):
    actions = {text: action for action in build_parser()._actions for text in action.option_strings}
    said = str(actions[f"--{flag}"].help)
    shown = f"{default:g}" if isinstance(default, float) else str(default)
    assert re.search(rf"(\({shown}[,)]|^{shown} \(default)", said), said


def test_parser_epilog_lists_the_examples():
    assert Parser("x", "d", ["pellucid x 1"]).format_help().endswith("examples:\n  pellucid x 1\n")
