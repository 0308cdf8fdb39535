from __future__ import annotations

import dataclasses
import itertools
import re
from xml.etree import ElementTree as ET

import pytest

from pellucid.regularization.statistics.comparison import compare
from pellucid.regularization.statistics.summaries import summarize
from pellucid.reports.study.report import render_study, write_study_report
from tests.reports.synthetic_study import LAYERS, make_study
from tests.reports.test_page import HOSTILE, Page

SHAPES = {
    "3 arms": {},
    "2 arms one seed": {"arms": 2, "seeds": 1, "path": False},
    "no validation": {"validation": False, "path": False},
    "broken reference": {"arms": 4, "broken": True, "preset": "reference"},
    "one arm": {"arms": 1, "seeds": 2, "path": False},
}


@pytest.fixture(scope="module", params=SHAPES, ids=lambda name: name.replace(" ", "-"))
def rendered(request):
    result = make_study(**SHAPES[request.param])
    text = render_study(result)
    return result, text, Page(text)


@pytest.fixture(scope="module")
def usual():
    result = make_study()
    return result, Page(render_study(result))


def plain(page: Page) -> str:
    return page.text.replace("\N{NO-BREAK SPACE}", " ")


def test_render_study_loads_nothing_and_runs_nothing(rendered):
    _, text, page = rendered
    without_namespaces = re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert re.findall(r"https?://|//\w+\.\w+/", without_namespaces) == []
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "iframe", "object", "embed", "form", "base", "img"}
    assert not [name for _, a in page.tags for name in a if name.startswith("on")]


def test_render_study_every_link_and_use_leads_somewhere(rendered):
    _, text, page = rendered
    ids = set(page.ids)
    assert len(ids) == len(page.ids)
    assert [link for link in page.links if link[1:] not in ids] == []
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= ids
    assert set(re.findall(r'xlink:href="#([^"]*)"', text)) <= ids


def test_render_study_headings_descend_one_level_at_a_time(rendered):
    _, _, page = rendered
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


def test_render_study_every_figure_has_a_label(rendered):
    _, _, page = rendered
    figures = [a for tag, a in page.tags if tag == "svg" and a.get("role") == "img"]
    assert len(figures) > 10
    assert all(figure.get("aria-label") for figure in figures)
    others = [a for tag, a in page.tags if tag == "svg" and a.get("role") != "img"]
    assert all(other.get("aria-hidden") == "true" for other in others)


def test_render_study_writes_no_missing_number(rendered):
    _, _, page = rendered
    assert not re.search(r"\b(nan|inf|None)\b", page.text)


def test_render_study_same_result_twice_gives_the_same_text():
    assert render_study(make_study(arms=2)) == render_study(make_study(arms=2))


def test_render_study_verdict_comes_before_all_sections(usual):
    result, page = usual
    shown = page.text
    start = shown.index(result.verdict[0].split("(")[0].strip())
    assert start < shown.index("An arm is one way to train")
    assert all(sentence in shown for sentence in result.verdict[1:])


def test_render_study_table_shows_both_moments_apart(usual):
    result, page = usual
    shown = plain(page)
    for moment in ("last", "best"):
        assert f"arms-{moment}" in page.ids
        for one in result.summaries:
            if one.moment == moment:
                assert f"{100 * one.test_accuracy.mean:.1f} %" in shown
                assert f"{100 * one.gap.mean:.1f} points" in shown


def test_render_study_every_seed_is_a_dot(usual):
    result, page = usual
    dots = [a for tag, a in page.tags if tag == "use" and a.get("class") == "seed"]
    compared = sum(one.n_seeds for one in result.comparisons)
    # Accuracy and gap of every run, at both moments.
    assert len(dots) == compared + 2 * 2 * len(result.records)


def test_render_study_a_decided_difference_is_tagged_and_others_are_not(usual):
    result, page = usual
    for one in result.comparisons:
        titles = {arm.name: arm.title for arm in result.arms}
        better = titles[one.a if one.difference > 0 else one.b]
        if one.p_holm is not None and one.p_holm < 0.05:
            assert f"{better} is better" in page.text
    assert page.text.count("undecided") >= 1


def test_render_study_every_layer_and_arm_has_a_histogram_with_its_zeros(usual):
    result, page = usual
    labels = [a.get("aria-label") or "" for tag, a in page.tags if tag == "svg"]
    for layer in LAYERS:
        for arm in result.arms:
            found = [label for label in labels if f"weights of {layer} in {arm.title}:" in label]
            assert len(found) == 1
    for one in result.histograms:
        if one.zeros:
            share = 100 * one.zeros / one.total
            assert f"{share:.{0 if share >= 10 else 1}f} % zero" in plain(page)


def test_render_study_says_wrong_labels_loudly_and_twice(usual):
    _, page = usual
    assert "20 % of the training labels were made wrong" in plain(page)
    assert "80 of the 400 training labels were made wrong" in plain(page)
    assert [a for _, a in page.tags if "loud" in (a.get("class") or "").split()]


def test_render_study_clean_labels_are_not_warned_of():
    result = make_study(arms=2, path=False)
    data = dataclasses.replace(result.data, wrong_labels=0.0, note="")
    page = Page(render_study(dataclasses.replace(result, data=data)))
    assert "made wrong" not in page.text
    assert "warnings" not in page.ids


def test_render_study_reference_preset_lists_its_faults(rendered):
    result, _, page = rendered
    assert ("half of the official test images" in page.text) == (result.preset == "reference")
    assert ("reference" in page.ids) == (result.preset == "reference")


def test_render_study_broken_run_is_an_arrowhead_and_an_alarm():
    page = Page(render_study(make_study(broken=True)))
    uses = [a.get("href") for tag, a in page.tags if tag == "use"]
    assert "#beyond-left" in uses
    assert "1 collapsed" in page.text
    assert "An arrowhead at the edge" in page.text


def test_render_study_protocol_shows_objectives_command_and_folder(usual):
    result, page = usual
    for arm in result.arms:
        assert arm.objective in page.text
    for shown in (result.command, str(result.folder), "learning_rate", result.remarks[0]):
        assert shown in page.text


def test_render_study_without_optional_parts_leaves_sections_out():
    result = dataclasses.replace(
        make_study(arms=1, seeds=1, path=False),
        comparisons=(),
        compaction=(),
        tuning=(),
        power=None,
        histograms=(),
        remarks=(),
        verdict=(),
        environment={},
        command="",
    )
    page = Page(render_study(result))
    absent = {"differences", "compaction", "tuning", "power", "path", "histograms", "remarks"}
    assert not absent & set(page.ids)
    assert all(link[1:] in page.ids for link in page.links)


def test_render_study_hostile_names_show_as_text():
    names = (HOSTILE, '"><script>alert(1)</script>', "_{{ 7 * 7 }} $x_1$ & \u202eabc")
    result = make_study(titles=names)
    result = dataclasses.replace(
        result,
        title=HOSTILE,
        data=dataclasses.replace(result.data, name=HOSTILE, note=HOSTILE),
        remarks=(HOSTILE,),
        command=HOSTILE,
        environment={HOSTILE: {HOSTILE: HOSTILE}},
        histograms=tuple(
            dataclasses.replace(one, layer=f"{HOSTILE}{one.layer}") for one in result.histograms
        ),
    )
    text = render_study(result)
    page = Page(text)
    assert not {"img", "script"} & {tag for tag, _ in page.tags}
    assert "49" not in re.findall(r"_(\d+) \$", page.text)
    for name in names[:2]:
        assert name in page.text
    assert "\u202e" not in text
    assert "\\u202eabc" in page.text


def test_render_study_figures_are_well_formed_and_take_their_colors_from_the_page(usual):
    result, _ = usual
    text = render_study(result)
    curves = re.findall(r'<svg class="curve".*?</svg>', text, re.DOTALL)
    assert len(curves) == 2 * 3 + 4 + 3
    for curve in curves:
        ET.fromstring(curve)
        assert not re.search(r"(fill|stroke): #", curve)
    assert "var(--a0)" in "".join(curves)


def test_write_study_report_large_study_stays_below_two_megabytes(tmp_path):
    path = write_study_report(make_study(arms=8, seeds=20, epochs=100), tmp_path / "report.html")
    assert path.stat().st_size <= 2_000_000


def test_render_study_long_training_is_thinned_out():
    short = len(render_study(make_study(arms=2, seeds=2, epochs=200, path=False)))
    long = len(render_study(make_study(arms=2, seeds=2, epochs=2000, path=False)))
    assert long < 1.1 * short


def test_render_study_arms_with_different_seeds_are_shown():
    result = make_study(arms=2, seeds=4, path=False)
    records = tuple(r for r in result.records if (r.arm, r.seed) != ("l1", 3))
    result = dataclasses.replace(
        result, records=records, summaries=summarize(records), comparisons=compare(records)
    )
    assert "0 to 3" in Page(render_study(result)).text
