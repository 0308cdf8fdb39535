from __future__ import annotations

import math

import numpy as np
import pytest

from pellucid import DataError, PellucidError, UsageError
from pellucid._checks import check_choice, check_integer, check_number, did_you_mean


@pytest.mark.parametrize("value", [1, 12, np.int64(5)])
def test_check_integer_inside_returns_a_plain_int(value):
    assert check_integer("depth", value, low=1, high=12) == value
    assert type(check_integer("depth", value, low=1, high=12)) is int


@pytest.mark.parametrize("value", [0, 13, 2.0, True, "3", None, math.nan])
def test_check_integer_outside_raises(value):
    with pytest.raises(UsageError, match=r"depth must be an integer in \[1, 12\], got "):
        check_integer("depth", value, low=1, high=12)


def test_check_integer_message_ends_with_value_and_remedy():
    with pytest.raises(UsageError, match=r"^depth must be an integer >= 1, got '0'\. Use 5\.$"):
        check_integer("depth", "0", low=1, remedy="Use 5.")


@pytest.mark.parametrize("value", [0.0, 1, np.float32(0.5)])
def test_check_number_inside_returns_a_plain_float(value):
    assert type(check_number("rate", value, low=0, high=1)) is float


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf, "0.5", None, False])
def test_check_number_outside_raises(value):
    with pytest.raises(UsageError, match=r"rate must be a number in \[0, 1\], got "):
        check_number("rate", value, low=0, high=1)


def test_check_number_open_ends_are_excluded_and_shown():
    for value in (0, 1):
        with pytest.raises(UsageError, match=r"rate must be a number in \(0, 1\), got"):
            check_number("rate", value, low=0, high=1, open_low=True, open_high=True)


def test_check_number_without_bounds_refuses_infinity():
    with pytest.raises(UsageError, match=r"rate must be a number in \(-inf, inf\), got inf"):
        check_number("rate", math.inf)


def test_check_choice_one_of_them_is_returned():
    assert check_choice("mode", "soft", ["soft", "hard"]) == "soft"


def test_check_choice_unknown_raises_with_choices_guess_and_remedy():
    message = r"mode must be one of 'soft', 'hard', got 'sotf'\. Did you mean 'soft'\? See the docs"
    with pytest.raises(UsageError, match=message):
        check_choice("mode", "sotf", ["soft", "hard"], remedy="See the docs.")


def test_check_choice_nothing_close_makes_no_guess():
    with pytest.raises(UsageError, match=r"got 3\.$"):
        check_choice("mode", 3, ["soft", "hard"])


def test_did_you_mean_nothing_close_is_empty():
    assert did_you_mean("zzz", ["soft"]) == ""


@pytest.mark.parametrize(("error", "code"), [(UsageError, 2), (DataError, 3)])
def test_errors_have_exit_codes_and_are_value_errors(error, code):
    assert error.exit_code == code
    assert issubclass(error, PellucidError)
    assert issubclass(error, ValueError)
