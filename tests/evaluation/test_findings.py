from __future__ import annotations

import pytest

from pellucid.evaluation.findings import list_findings
from pellucid.evaluation.measure import Definition, Measure

WELL = {
    "accuracy": 0.95,
    "fidelity": 0.99,
    "background_changes_answer": 0.01,
    "prototypes_on_background": 0.1,
    "single_deletion": 0.85,
    "projection_drop": 0.001,
    "box_size": 0.1,
    "local_perturbation_outside": 0.01,
    "local_perturbation_inside": 0.6,
    "purity_top_10": 0.9,
}


CHANCE = {"accuracy": 0.05, "single_deletion": 0.36}


def measures(**changes: float | None) -> dict[str, Measure]:
    return {
        name: Definition(name, name, "higher", "share", "").of(
            value, value, value, total=20, chance=None if value is None else CHANCE.get(name)
        )
        for name, value in {**WELL, **changes}.items()
    }


def test_list_findings_where_all_is_well_only_reassures():
    found = list_findings(measures(), is_tree=True)
    assert len(found) == 3
    assert "This tree does not depend on the background" in found[0]
    assert (
        "changes the similarity by 1.0 % on average, replacing the inside lowers it by 60 %"
        in (found[1])
    )
    assert "rank correlation of 0.85 (1 would be perfect; a blind map gets 0.36)" in found[2]


def test_list_findings_shortcut_comes_first_with_its_figures():
    found = list_findings(
        measures(background_changes_answer=0.83, prototypes_on_background=0.6), is_tree=True
    )
    assert found[0].startswith(
        "This tree looks at the background: another background changes 83 % of its answers"
    )
    assert "12 of 20 prototypes lie on it" in found[0]
    assert found[0].endswith("12 of 20 prototypes lie on it.")
    assert not any("does not depend" in finding for finding in found)


def test_list_findings_some_changed_answers_are_said_more_gently():
    found = list_findings(measures(background_changes_answer=0.15), is_tree=True)
    assert found[0].startswith("The background has a say in this tree")


def test_list_findings_model_without_prototypes_is_called_a_model():
    found = list_findings(
        measures(background_changes_answer=0.5, prototypes_on_background=None), is_tree=False
    )
    assert found[0].startswith("This model looks at the background")
    assert "prototypes" not in found[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"box_size": 0.6}, "The boxes are large: 60 % of the image"),
        ({"local_perturbation_outside": 0.2}, "The boxes do not hold all that counts"),
        ({"local_perturbation_inside": 0.1}, "found elsewhere too"),
        ({"purity_top_10": 0.3}, "do not stand for one part each"),
        ({"single_deletion": 0.2}, "a weak guide to what matters"),
        ({"accuracy": 0.2}, "Only 20 % of the answers (of all leaves together) are right"),
        ({"projection_drop": 0.1}, "Projection cost 10 % of the answers"),
        ({"fidelity": 0.9}, "for 10 % of the images the whole tree"),
        ({"prototypes_on_background": 0.4}, "Many prototypes show background: 8 of 20"),
        ({"accuracy": 0.05}, "not shown to do better than guessing: 5.0 % of the answers (of all"),
        ({"background_changes_answer": None}, "could not be measured"),
    ],
)
def test_list_findings_says_what_is_not_well(changes, said):
    found = list_findings(measures(**changes), is_tree=True)
    assert sum(said in finding for finding in found) == 1
    assert not any(said in finding for finding in list_findings(measures(), is_tree=True))


def test_list_findings_importance_no_better_than_a_blind_map_is_not_praised():
    worse = Definition("", "", "higher", "correlation", "").of(0.6, 0.5, 0.7, total=20, chance=0.55)
    found = list_findings({**measures(), "single_deletion": worse}, is_tree=True)
    assert "weak guide" in found[0]
    assert not any("does matter" in finding for finding in found)


def test_list_findings_of_a_model_that_guesses_praise_nothing():
    found = list_findings(measures(accuracy=0.04), is_tree=True)
    assert len(found) == 1


def test_list_findings_of_few_images_say_so_first():
    few = Definition("", "", "higher", "share", "").of(1.0, 0.8, 1.0, total=19, chance=0.05)
    found = list_findings({**measures(), "accuracy": few}, is_tree=True)
    assert found[0].startswith("Only 19 test images could be measured")


def test_list_findings_of_values_without_an_interval_praise_nothing():
    few = Definition("", "", "higher", "correlation", "")
    found = list_findings(
        {
            **measures(),
            "single_deletion": few.of(0.9, None, None, total=2, chance=0.3),
            "background_changes_answer": few.of(0.0, None, None, total=2),
        },
        is_tree=True,
    )
    assert "Too few images were measured to tell whether this tree looks at the" in found[0]
    assert "changes 0 % of its answers." in found[0]
    assert not any("does matter" in finding or "not depend" in finding for finding in found)


def test_list_findings_wide_interval_leaves_the_background_open():
    wide = Definition("", "", "lower", "share", "").of(0.05, 0.01, 0.24, total=20)
    found = list_findings({**measures(), "background_changes_answer": wide}, is_tree=True)
    assert found[0].startswith("Too few images were measured to tell")
    assert "5.0 % of its answers (95 % interval 1.0 % to 24 %)." in found[0]


def test_list_findings_projection_within_chance_is_no_finding():
    drop = Definition("", "", "lower", "share", "").of(0.05, -0.07, 0.2, total=40)
    found = list_findings({**measures(), "projection_drop": drop}, is_tree=True)
    assert not any("Projection" in finding for finding in found)


def test_list_findings_without_interval_shows_none():
    few = Definition("", "", "lower", "share", "").of(0.5, None, None, total=2)
    found = list_findings({**measures(), "background_changes_answer": few}, is_tree=True)
    assert "50 % of its answers, and 2 of 20" in found[0]


def test_list_findings_names_some_of_the_classes_that_are_never_answered():
    names = [f"class {number}" for number in range(12)]
    found = list_findings(measures(), is_tree=True, unanswered=names)
    assert "answered none of the images measured with class 0, class 1," in found[0]
    assert found[0].endswith("class 7, ....")


def test_list_findings_without_any_figure_still_speaks():
    nothing = dict.fromkeys(WELL)
    assert len(list_findings(measures(**nothing), is_tree=True)) == 1
