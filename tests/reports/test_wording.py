from __future__ import annotations

import dataclasses
import math

import pytest

from pellucid.reports.wording import (
    flatten_configuration,
    percent,
    plain_number,
    write_distance,
    write_verdict,
)
from tests.reports.synthetic_report import make_report


def test_write_verdict_projected_tree_says_what_its_pictures_are():
    verdict = write_verdict(make_report(depth=3)).replace("\N{NO-BREAK SPACE}", " ")
    assert verdict.startswith(
        "The hard tree answers 356 of 360 test images right (98.9 %; 95 % interval 97.2 to 99.6 %);"
    )
    assert "each of its 7 pictures is a real training patch and lies within" in verdict


def test_write_verdict_unprojected_tree_admits_the_distance():
    report = make_report(depth=2)
    far = tuple(dataclasses.replace(near, distance=0.4) for near in report.prototypes)
    verdict = write_verdict(dataclasses.replace(report, prototypes=far))
    assert "only resemble the prototypes: up to 0.4 away" in verdict


@pytest.mark.parametrize(
    ("distance", "said"),
    [
        (0.0, "its one picture is a real training patch and lies exactly on the prototype"),
        (0.4, "its one picture is a real training patch that only resembles the prototype: 0.4"),
    ],
)
def test_write_verdict_one_picture_is_not_counted(distance, said):
    report = make_report(depth=1)
    only = dataclasses.replace(report.prototypes[0], distance=distance)
    assert said in write_verdict(dataclasses.replace(report, prototypes=(only,)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.977777, "97.8\N{NO-BREAK SPACE}%"),
        (-1e-5, "0.0\N{NO-BREAK SPACE}%"),
        (None, "not measured"),
        (float("nan"), "not measured"),
    ],
)
def test_percent_value_is_written_as_people_do(value, text):
    assert percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "yes"), (3.0, "3"), (0.34123, "0.3412"), (None, "none"), ([1, 0.5], "1, 0.5")],
)
def test_plain_number_value_is_written_as_people_do(value, text):
    assert plain_number(value) == text


def test_flatten_configuration_nested_gives_dotted_keys():
    nested = {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
    assert list(flatten_configuration(nested)) == [("a.b", 1), ("a.c.d", 2), ("e", 3)]


@pytest.mark.parametrize(
    ("value", "text"), [(0.35671, "0.357"), (math.inf, "unbounded"), (0.0, "<\N{NO-BREAK SPACE}1e")]
)
def test_write_distance_value_is_written_as_people_do(value, text):
    assert write_distance(value).startswith(text)
