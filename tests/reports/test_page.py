from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from pellucid.reports import page
from pellucid.reports.page import render_explanation, render_report, write_page, write_report
from pellucid.reports.wording import plain_number, write_distance
from tests.reports.synthetic_report import make_report

VOID = {"meta", "br", "img", "link", "input", "hr"}
HOSTILE = "<img onerror=alert(1) src=x>"


class Page(HTMLParser):
    """Collects tags with attributes and the text, and checks that tags nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._data: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if not self._open or self._open[-1] != "style":
            self._data.append(data)

    @property
    def text(self) -> str:
        return "".join(self._data)

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.tags if attributes.get("id")]

    @property
    def links(self) -> list[str]:
        return [attributes["href"] for _, attributes in self.tags if attributes.get("href")]


SHAPES = {
    "depth 5": {"depth": 5},
    "depth 9 in parts": {"depth": 9, "neighbors": 1, "size_px": 16},
    "pruned": {"branches": 23},
    "large and irregular": {"branches": 90, "neighbors": 1},
    "one branch": {"depth": 1},
    "one leaf": {"depth": 0},
}


@pytest.fixture(scope="module", params=SHAPES, ids=lambda name: name.replace(" ", "-"))
def rendered(request):
    report = make_report(**SHAPES[request.param])
    text = render_report(report)
    return report, text, Page(text)


def test_render_report_every_branch_has_a_picture_a_place_and_a_card(rendered):
    report, text, parsed = rendered
    ids = set(parsed.ids)
    for branch in range(len(report.left_child)):
        node = re.search(rf'<a id="node-{branch}".*?</a>', text, re.DOTALL)
        assert node is not None
        assert f'href="#branch-{branch}"' in node[0]
        uses = [use.get("href") for use in ET.fromstring(node[0]).iter("use")]
        assert len(uses) == 2
        assert uses[0][1:] in ids
        assert f"branch-{branch}" in ids


def test_render_report_every_leaf_shows_its_most_probable_class(rendered):
    report, text, _ = rendered
    for leaf, distribution in enumerate(report.leaf_distributions):
        node = re.search(rf'<g id="leaf-{leaf}" .*?</g>', text, re.DOTALL)
        assert node is not None
        best = report.class_names[int(np.argmax(distribution))]
        assert best in [element.text for element in ET.fromstring(node[0]).iter("text")]


def test_render_report_every_link_leads_somewhere_on_the_page(rendered):
    _, _, parsed = rendered
    ids = set(parsed.ids)
    assert len(ids) == len(parsed.ids)
    assert [x for x in parsed.links if x[:11] != "data:image/" and x[1:] not in ids] == []


def test_render_report_loads_nothing_and_runs_one_script_known_by_its_hash(rendered):
    _, text, parsed = rendered
    without_namespaces = re.sub(r'xmlns(:\w+)?="[^"]*"|"http://www.w3.org/2000/svg"', "", text)
    assert re.findall(r"https?://|//\w+\.\w+/", without_namespaces) == []
    tags = {tag for tag, _ in parsed.tags}
    assert not tags & {"link", "iframe", "object", "embed", "form", "base", "img"}
    scripts = [attributes for tag, attributes in parsed.tags if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "view-data"}, {}]
    names = {name for _, attributes in parsed.tags for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    policy = next(a["content"] for _, a in parsed.tags if a.get("http-equiv"))
    script = text[text.rindex("<script>") + len("<script>") : text.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{digest}'; require-trusted-types-for 'script'; "
        "trusted-types 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def test_render_report_live_may_ask_only_its_own_server():
    text = render_report(make_report(depth=2), live=True)
    policy = next(a["content"] for _, a in Page(text).tags if a.get("http-equiv"))
    assert "connect-src 'self'; " in policy
    assert "img-src data: blob:;" in policy
    assert "function addUpload" in text
    assert "function addUpload" not in render_report(make_report(depth=2))


def test_render_report_headings_descend_one_level_at_a_time(rendered):
    _, _, parsed = rendered
    levels = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


def test_render_report_pictures_have_a_label(rendered):
    _, _, parsed = rendered
    for tag, attributes in parsed.tags:
        if tag == "svg" and attributes.get("role") == "img":
            assert attributes.get("aria-label")


def test_render_report_same_contents_twice_gives_the_same_text():
    assert render_report(make_report(depth=2)) == render_report(make_report(depth=2))


def test_render_report_shows_every_accuracy_with_its_interval():
    parsed = Page(render_report(make_report(depth=2)))
    text = parsed.text.replace("\N{NO-BREAK SPACE}", " ")
    for shown in ("distributed (soft)", "99.2 %", "97.6 to 99.7 %", "360", "greedy (hard tree)"):
        assert shown in text


def test_render_report_shows_facts_warnings_curves_and_configuration():
    report = make_report(depth=2)
    parsed = Page(render_report(report))
    for key, value in report.facts:
        assert key in parsed.text
        assert plain_number(value) in parsed.text
    assert report.warnings[0] in parsed.text
    assert "optimizer.learning_rate" in parsed.text
    assert sum(a.get("class") == "curve" for _, a in parsed.tags) == 2


def test_render_report_says_how_far_to_trust_the_pictures_findings_first():
    report = make_report(depth=2)
    text = Page(render_report(report)).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "How far to trust the pictures" in text
    assert text.index(report.trust.findings[0]) < text.index("single deletion")
    assert "98.0 % to 100.0 %" in text
    assert "Not measured (there are no parts to point at): pointing game; purity." in text


def test_render_report_says_the_gravest_finding_at_the_top():
    report = make_report(depth=2)
    text = Page(render_report(report)).text.replace("\N{NO-BREAK SPACE}", " ")
    assert text.index(report.trust.findings[0]) < text.index("Accuracy")


def test_render_report_without_measures_says_how_to_get_them():
    report = dataclasses.replace(make_report(depth=2), trust=None)
    text = Page(render_report(report)).text
    assert "How far to trust" not in text
    assert "pellucid evaluate RUN --explanations" in text


def test_render_report_warnings_come_before_all_sections():
    text = render_report(make_report(depth=2))
    assert 0 < text.index('id="warnings"') < text.index('id="accuracy"') < text.index('id="tree"')


def test_render_report_bare_contents_leave_sections_out():
    report = dataclasses.replace(
        make_report(depth=2, explained=0),
        accuracy=(),
        facts=(),
        metrics=(),
        warnings=(),
        configuration={},
        prototypes=(),
        trust=None,
    )
    parsed = Page(render_report(report))
    assert "tree" in parsed.ids
    assert not {"accuracy", "prototypes", "paths", "facts", "training"} & set(parsed.ids)
    assert all(link[1:] in parsed.ids for link in parsed.links)


def test_render_report_hostile_names_show_as_text():
    names = (HOSTILE, '"><script>alert(1)</script>', "a&b", "{{ 7 * 7 }}", "javascript:alert(1)")
    report = make_report(depth=3, class_names=names)
    report = dataclasses.replace(
        report,
        title=HOSTILE,
        subtitle=HOSTILE,
        warnings=(HOSTILE,),
        facts=((HOSTILE, HOSTILE),),
        configuration={HOSTILE: {HOSTILE: HOSTILE}},
        explained=tuple(
            dataclasses.replace(image, name=HOSTILE, true_class=HOSTILE)
            for image in report.explained
        ),
        prototypes=tuple(
            dataclasses.replace(prototype, image_name=HOSTILE) for prototype in report.prototypes
        ),
        accuracy=tuple(
            dataclasses.replace(row, label=HOSTILE, note=HOSTILE) for row in report.accuracy
        ),
    )
    parsed = Page(render_report(report))
    tags = {tag for tag, _ in parsed.tags}
    assert "img" not in tags
    assert [tag for tag, _ in parsed.tags].count("script") == 2
    assert not [name for _, a in parsed.tags for name in a if name.startswith("on")]
    assert HOSTILE in parsed.text
    assert "{{ 7 * 7 }}" in parsed.text


def test_render_report_long_class_name_is_cut_in_the_tree_and_whole_in_its_title():
    name = "a very long class name " * 8
    names = tuple(f"{name}{i}" for i in range(3))
    text = render_report(make_report(depth=2, class_names=names, explained=0))
    leaf = ET.fromstring(re.search(r'<g id="leaf-0" .*?</g>', text, re.DOTALL)[0])
    shown = [element.text for element in leaf.iter("text")]
    assert [t for t in shown if t.endswith("…")]
    assert max(len(t) for t in shown) <= 20
    assert name.strip() in leaf.find("title").text


def test_render_report_many_classes_share_one_color():
    names = tuple(f"class {i}" for i in range(40))
    text = render_report(make_report(depth=2, class_names=names))
    assert 'class="kx"' in text
    assert 'class="k3"' not in text


def test_render_report_depth_nine_with_large_sources_stays_below_twelve_megabytes():
    report = make_report(depth=9, size_px=224, colored=True, explained=26)
    assert len(render_report(report).encode()) < 12e6


def test_render_report_deep_chain_is_drawn_in_parts():
    branches = 60
    nodes = np.arange(branches)
    report = dataclasses.replace(
        make_report(branches=branches, neighbors=0, explained=0),
        left_child=np.where(nodes + 1 < branches, nodes + 1, ~nodes - 1),
        right_child=~nodes,
    )
    assert render_report(report).count('<details class="part"') == 12


def test_render_explanation_shows_each_step_and_its_prototype():
    report = make_report(depth=4)
    image = report.explained[0]
    parsed = Page(render_explanation(image, report.prototypes, class_names=report.class_names))
    for step in image.steps:
        assert f"branch-{step.branch}" in parsed.ids
        assert f"{step.similarity:.3f}" in parsed.text
        assert write_distance(step.margin) in parsed.text
    assert all(link.startswith("data:") or link[1:] in parsed.ids for link in parsed.links)
    shown = [i for i in parsed.ids if i.startswith("branch-")]
    assert len(shown) == len(image.steps)


def test_render_explanation_unknown_label_claims_nothing_about_it():
    report = make_report(depth=2)
    image = dataclasses.replace(report.explained[0], true_class=None, correct=None)
    text = render_explanation(image, report.prototypes, class_names=report.class_names)
    parsed = Page(text)
    assert "labelled" not in parsed.text
    assert "✓" not in parsed.text


def test_render_explanation_hostile_name_shows_as_text():
    report = make_report(depth=2)
    image = dataclasses.replace(report.explained[0], name=HOSTILE)
    text = render_explanation(image, (), class_names=report.class_names, subtitle=HOSTILE)
    parsed = Page(text)
    assert "img" not in {tag for tag, _ in parsed.tags}
    assert HOSTILE in parsed.text


def test_write_report_replaces_the_file_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "new folder" / "report.html"
    for depth in (1, 2):
        assert write_report(make_report(depth=depth), target) == target
    assert target.read_text(encoding="utf-8") == render_report(make_report(depth=2))
    assert [path.name for path in target.parent.iterdir()] == ["report.html"]


def test_write_page_interrupted_keeps_the_old_file(tmp_path, monkeypatch):
    target = write_page("old", tmp_path / "report.html")

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(page.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_page("new", target)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_write_page_name_that_is_not_unicode_is_written(tmp_path):
    target = write_page("class \udcff", tmp_path / "report.html")
    assert target.read_text(encoding="utf-8") == r"class \udcff"


def test_reports_import_without_torch():
    code = "import sys, pellucid.reports.page; sys.exit('torch' in sys.modules)"
    root = Path(__file__).parents[2] / "src"
    result = subprocess.run(
        [sys.executable, "-c", code], check=False, env={"PYTHONPATH": str(root)}
    )
    assert result.returncode == 0
