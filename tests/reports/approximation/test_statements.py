from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import given

from pellucid.reports.approximation.statements import (
    explain_choice,
    list_cautions,
    tabulate_candidates,
    write_bound,
    write_verdict,
)
from pellucid.reports.approximation.weight_tables import tabulate_layers
from tests.reports.approximation import synthetic_approximation as synthetic


@given(st.floats(1e-300, 1e12))
def test_write_bound_is_never_below_the_bound(bound):
    assert float(write_bound(bound).replace("\N{MINUS SIGN}", "-")) >= bound


@pytest.mark.parametrize(
    ("bound", "text"),
    [
        (0.0095011, "0.00951"),
        (0.01, "0.01"),
        (0.0999999, "0.1"),
        (0.5, "0.5"),
        (2.85e-7, "2.85e−7"),
        (0.0, "0"),
    ],
)
def test_write_bound_rounds_up(bound, text):
    assert write_bound(bound) == text


def test_write_verdict_of_samples_does_not_speak_of_everywhere():
    approximation = synthetic.approximate_line()
    certificate = replace(approximation.certificate, status="pac")
    verdict = write_verdict(replace(approximation, certificate=certificate))
    assert verdict.startswith("On random samples")
    assert "verywhere" not in verdict


def test_list_cautions_of_a_proved_network_within_tolerance_is_empty():
    assert list_cautions(synthetic.approximate_line()) == []


def test_list_cautions_names_a_tolerance_that_was_not_reached():
    approximation = replace(synthetic.approximate_line(), tolerance=1e-6)
    assert "was not reached" in list_cautions(approximation)[0]


def test_tabulate_candidates_marks_the_chosen_one_once():
    rows = tabulate_candidates(synthetic.approximate_line())
    assert [row.is_chosen for row in rows] == [False, False, True, False]


def test_explain_choice_says_when_none_met_the_tolerance():
    approximation = replace(synthetic.approximate_line(), tolerance=1e-9)
    assert explain_choice(approximation).startswith("No construction met the tolerance")


def test_explain_choice_says_when_a_larger_one_was_taken():
    approximation = synthetic.approximate_line()
    smaller = replace(approximation.candidates[1], hidden_neurons=3)
    candidates = (smaller, *approximation.candidates[2:])
    assert "chosen by name" in explain_choice(replace(approximation, candidates=candidates))


def test_tabulate_layers_says_where_each_step_is():
    table = tabulate_layers(synthetic.approximate_line().network, ("x",))[0]
    assert table.rows[0].step == "up at x = −0.35"
    assert table.has_steps
    assert table.left_out == 0


def test_tabulate_layers_of_a_huge_network_are_capped():
    tables = tabulate_layers(synthetic.approximate_huge().network, ("x", "y"))
    assert len(tables[1].rows) == 120
    assert tables[1].left_out == 14_400 - 120
    assert tables[1].groups[0].neurons == "14\N{NO-BREAK SPACE}400"
