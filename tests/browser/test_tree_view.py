"""The view of a tree in a browser: branches, images, paths, modes, addresses, files."""

from __future__ import annotations

import dataclasses
import json
import math
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch

from pellucid.backbones import Box
from pellucid.prototree import Topology
from pellucid.prototree.explanation import Turn, list_cautions
from pellucid.prototree.routing import distributed, greedy_leaf, path_log_probabilities
from pellucid.reports.embedded_script import join_scripts
from pellucid.reports.interactive import describe_image, describe_tree
from pellucid.reports.page import write_report
from pellucid.reports.picture_svg import PictureStore
from tests.reports.synthetic_report import make_report, random_tree

HOSTILE = """<img src=x onerror="window.hacked=1">'"</script><script>window.hacked=1</script>"""
ROUTING = join_scripts("pellucid.reports.interactive", ["routing"])
WORDING = join_scripts("pellucid.reports.interactive", ["wording"])


def node(page, number: int):
    return page.locator(f'[data-node="{number}"]')


def panel(page):
    return page.locator(".panel")


def state_of(page) -> dict[str, str]:
    text = page.evaluate("location.hash.slice(1)")
    return dict(part.split("=") for part in text.split("&")) if text else {}


def test_view_asks_the_network_for_nothing_and_breaks_no_policy(open_page, report_file):
    opened = open_page(report_file, "#branch=2&image=0&compare=1&runner-up=1")
    opened.page.get_by_label("all paths, mixed").check()
    assert opened.requests == [report_file.as_uri()]
    assert opened.complaints == []
    assert opened.violations() == []


@pytest.mark.parametrize(
    "attempt",
    [
        "document.body.innerHTML += '<b>x</b>'",
        "document.body.append(Object.assign(document.createElement('script'), {text: 'ran = 1'}))",
        "document.body.append(Object.assign(new Image(), {src: 'https://example.org/x.png'}))",
        "fetch('https://example.org/')",
    ],
)
def test_view_policy_stops_what_a_page_could_be_made_to_do(open_page, report_file, attempt):
    opened = open_page(report_file)
    opened.page.evaluate(f"async () => {{ try {{ await ({attempt}); }} catch {{}} }}")
    opened.page.wait_for_function("window.violations.length > 0")
    assert opened.page.evaluate("window.ran") is None


def test_click_on_a_branch_opens_its_prototype(open_page, report_file, report):
    page = open_page(report_file).page
    node(page, 2).click()
    prototype = report.prototypes[2]
    text = panel(page).inner_text()
    assert "Branch 2" in text
    assert prototype.image_name in text
    assert f"class {prototype.class_name}" in text
    found_in, neighbors = (panel(page).locator(".neighbors").nth(place) for place in range(2))
    assert neighbors.locator("li").count() == len(prototype.neighbors)
    assert found_in.locator(".note").all_inner_texts() == [
        "similarity 1.000",
        "similarity 0.905",
        "similarity 0.819",
    ]
    count = sum(prototype.histogram.passing[10:])
    assert f"3 of {count} test images that go “present” here" in panel(page).inner_text()
    total, passing = sum(prototype.histogram.everywhere), sum(prototype.histogram.passing)
    assert f"Of {total} test images, {passing} come by" in text
    box = panel(page).locator(".boxed .box-over").first
    assert box.get_attribute("x") == str(prototype.box.left)
    assert box.get_attribute("height") == str(prototype.box.height)
    assert panel(page).get_by_role("img", name="prototype of branch 2 boxed").count() == 1
    assert state_of(page) == {"branch": "2"}


def test_click_on_a_leaf_opens_its_classes_and_the_way_there(open_page, report_file, report):
    page = open_page(report_file).page
    node(page, ~3).click()
    text = panel(page).inner_text().replace("\N{NO-BREAK SPACE}", " ")
    best = int(np.argmax(report.leaf_distributions[3]))
    assert f"{report.class_names[best]}" in text
    assert f"{100 * report.leaf_distributions[3][best]:.1f} %" in text
    assert "12 test images end here; 11 of them are answered right." in text
    assert "Reached by branch 0 absent" in text


def test_chosen_image_shows_its_path_and_every_turn(open_page, report_file, report):
    page = open_page(report_file).page
    page.locator(".thumbnail").nth(2).click()
    image = report.explained[1]
    marked = page.locator(".node.on-first [data-node]").evaluate_all(
        "nodes => nodes.map((node) => Number(node.dataset.node))"
    )
    assert set(marked) == {*(step.branch for step in image.steps), ~image.leaf}
    items = page.locator(".steps > li")
    assert items.count() == len(image.steps)
    for place, step in enumerate(image.steps):
        text = items.nth(place).inner_text().replace("\N{NO-BREAK SPACE}", " ")
        assert f"Branch {step.branch}" in text
        assert f"similarity {step.similarity:.3f}" in text
        assert ("present ↗" if step.went_right else "absent ↘") in text
        shares = (
            f"present {100 * step.similarity:.1f} %, absent {100 - 100 * step.similarity:.1f} %"
        )
        assert shares in text
        assert f"margin {step.margin:.3f}" in text
        box = items.nth(place).locator(".boxed .box-over").first
        assert box.get_attribute("y") == str(step.box.top)


def test_soft_mode_weighs_edges_and_mixes_leaves(open_page, report_file, report):
    page = open_page(report_file, "#image=0").page
    assert page.locator(".edge.weighed").count() == 0
    page.get_by_label("all paths, mixed").check()
    widths = page.locator(".edge.weighed").evaluate_all(
        "edges => edges.map((edge) => parseFloat(edge.style.strokeWidth))"
    )
    assert len(widths) == 2 * len(report.left_child)
    assert max(widths) > 3 * min(widths)
    topology = Topology(tuple(report.left_child), tuple(report.right_child))
    distances = torch.tensor([[turn.distance for turn in report.explained[0].turns]]).double()
    leaves = torch.from_numpy(report.leaf_distributions).log()
    mixed = distributed(path_log_probabilities(distances, topology), leaves).exp()[0]
    shown = page.locator(".answers .bars").first.locator(".figure").first.inner_text()
    assert shown.replace("\N{NO-BREAK SPACE}", " ") == f"{100 * float(mixed.max()):.1f} %"
    assert state_of(page) == {"image": "0", "mode": "soft"}
    page.get_by_label("one path", exact=True).check()
    assert page.locator(".edge.weighed").count() == 0


@pytest.mark.parametrize("seed", range(3))
def test_numbers_of_the_script_are_those_of_python(chromium, seed):
    generator = np.random.default_rng(seed)
    report = make_report(branches=40, size_px=8, neighbors=0, explained=6, seed=seed)
    left, right = random_tree(40, generator)
    report = dataclasses.replace(report, explained=(), left_child=left, right_child=right)
    topology = Topology(tuple(left), tuple(right))
    distances = torch.from_numpy(generator.gamma(1.2, 0.7, (20, 40)))
    distances[0, :5] = torch.tensor([0.0, 1e-14, 700.0, math.log(2), 1e-6])
    paths = path_log_probabilities(distances, topology)
    leaves = torch.from_numpy(report.leaf_distributions).log()
    mixed, greedy = distributed(paths, leaves).exp().numpy(), greedy_leaf(distances, topology)
    page = chromium.new_page()
    answers = page.evaluate(
        "([tree, images]) => {" + ROUTING + "prepareTree(tree); return images.map((similarities) =>"
        "{ const a = answerImage(tree, similarities); return { ...a, reach: tree.leaves.map((_, j) "
        "=> a.reach(~j)) }; }); }",
        [describe_tree(report, PictureStore()), torch.exp(-distances).tolist()],
    )
    page.close()
    majority = report.leaf_distributions.argmax(1)
    for row, answer in enumerate(answers):
        leaf = int(greedy[row])
        np.testing.assert_allclose(answer["reach"], paths[row].exp(), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(answer["mixture"], mixed[row], rtol=1e-5, atol=1e-6)
        assert answer["leaf"] == leaf
        assert answer["prediction"] == majority[leaf]
        turns = [(turn["branch"], turn["present"]) for turn in answer["path"]]
        assert turns == [(branch, bool(side)) for branch, side in topology.paths[leaf]]
        on_path = [branch for branch, _ in topology.paths[leaf]]
        margins = (distances[row, on_path] - math.log(2)).abs()
        assert answer["margin"] == pytest.approx(float(margins.min()), abs=1e-6)
        others = np.where(np.arange(10) == majority[leaf], -1, mixed[row])
        second = int(others.argmax())
        assert answer["runnerUp"] == second
        has_class = torch.from_numpy(majority == second)
        expected = int(paths[row].masked_fill(~has_class, -torch.inf).argmax())
        assert answer["runnerUpLeaf"] == (expected if has_class.any() else None)


def test_cautions_of_the_script_are_those_of_python(chromium):
    turn = Turn(0, 0.0, 0.0, False, 0.0, 0, 0, Box(0, 0, 1, 1))
    walk = tuple(
        dataclasses.replace(turn, similarity=value, went_right=value >= 0.5)
        for value in (0.1, 0.4501, 0.4499, 0.48)
    )
    paths = [
        (),
        walk[:1],
        walk,
        (*walk, dataclasses.replace(turn, similarity=0.51, went_right=True)),
    ]
    page = chromium.new_page()
    found = page.evaluate(
        "paths => {" + WORDING + "return paths.map((path) => listCautions({ path })); }",
        [
            [{"similarity": step.similarity, "present": step.went_right} for step in path]
            for path in paths
        ],
    )
    page.close()
    assert found == [list_cautions(path) for path in paths]
    assert [len(cautions) for cautions in found] == [0, 1, 3, 3]


def test_runner_up_names_where_its_path_splits_off(open_page, report_file):
    page = open_page(report_file, "#image=1").page
    page.get_by_label("runner-up's path").check()
    assert page.locator(".way.runner-up").count() > 0
    text = page.locator(".runner-up").last.inner_text()
    assert "splits off at branch" in text


def test_two_images_stand_side_by_side_and_say_where_they_part(open_page, report_file):
    page = open_page(report_file, "#image=0").page
    page.get_by_label("Compare with").select_option("1")
    boxes = [page.locator(".answers article").nth(i).bounding_box() for i in range(2)]
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[1]["x"] > boxes[0]["x"] + boxes[0]["width"] - 1
    text = page.locator(".parting").inner_text()
    assert "They go together until" in text or "take the same path" in text
    assert state_of(page) == {"image": "0", "compare": "1"}


def test_class_filter_marks_leaves_and_prototypes_and_offers_its_images(
    open_page, report_file, report
):
    page = open_page(report_file).page
    chosen = int(report.leaf_distributions[0].argmax())
    page.get_by_label("Class", exact=True).select_option(str(chosen))
    name = report.class_names[chosen]
    hits = set(
        page.locator(".node.hit [data-node]").evaluate_all(
            "nodes => nodes.map((n) => Number(n.dataset.node))"
        )
    )
    leaves = {~i for i, leaf in enumerate(report.leaf_distributions) if leaf.argmax() == chosen}
    assert hits == leaves | {p.branch for p in report.prototypes if p.class_name == name}
    offered = [i for i in report.explained if name in (i.true_class, i.predicted_class)]
    assert page.locator(".thumbnail").count() == 1 + len(offered)


def test_fold_hides_what_is_below_and_unfold_all_shows_it(open_page, report_file, report):
    page = open_page(report_file).page
    everything = page.locator("[data-node]").count()
    assert everything == 2 * len(report.left_child) + 1
    node(page, 1).focus()
    page.keyboard.press("Space")
    assert page.locator("[data-node]").count() == everything - 6
    assert node(page, 1).get_attribute("aria-expanded") == "false"
    page.get_by_role("button", name="Unfold all").click()
    assert page.locator("[data-node]").count() == everything


def test_zoom_changes_the_size_and_whole_tree_fits_the_frame(open_page, report_file):
    page = open_page(report_file).page
    width = "document.querySelector('.forest').getBoundingClientRect().width"
    before = page.evaluate(width)
    page.get_by_role("button", name="Zoom in").click()
    assert page.evaluate(width) == pytest.approx(1.25 * before, rel=0.01)
    page.get_by_role("button", name="Whole tree").click()
    assert page.evaluate(
        "(() => { const f = document.querySelector('.sheet'); return f.scrollWidth <= f.clientWidth"
        " && f.scrollHeight <= f.clientHeight + 1; })()"
    )


def test_drag_moves_the_drawing_and_opens_nothing(open_page, report_file):
    page = open_page(report_file).page
    for _ in range(5):
        page.get_by_role("button", name="Zoom in").click()
    frame = page.locator(".sheet")
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = page.evaluate("document.querySelector('.sheet').scrollTop")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 80, steps=4)
    page.mouse.up()
    assert page.evaluate("document.querySelector('.sheet').scrollTop") > before
    assert state_of(page) == {}


def test_permalink_opens_the_same_view_again(open_page, report_file):
    page = open_page(report_file).page
    page.locator(".thumbnail").nth(3).click()
    node(page, 4).click()
    page.get_by_label("all paths, mixed").check()
    assert state_of(page) == {"branch": "4", "image": "2", "mode": "soft"}
    before = [panel(page).inner_text(), page.locator(".answers").inner_text()]
    page.reload()
    page.wait_for_function("document.documentElement.dataset.ready === 'true'")
    assert [panel(page).inner_text(), page.locator(".answers").inner_text()] == before
    page.evaluate("location.hash = '#leaf=2'")
    page.wait_for_function("document.querySelector('.panel h3').textContent === 'Leaf 2'")


@pytest.mark.parametrize("fragment", ["#branch=99&image=-1&mode=x", "#image=9e9&leaf=8", "#=&&="])
def test_permalink_out_of_range_opens_nothing(open_page, report_file, fragment):
    opened = open_page(report_file, fragment)
    assert "How to read it" in panel(opened.page).inner_text()
    assert opened.complaints == []


def test_hostile_names_show_as_text(open_page, tmp_path):
    names = (HOSTILE, "</script>", "{{ 7 * 7 }}")
    report = make_report(depth=2, class_names=names, explained=3, neighbors=2)
    report = dataclasses.replace(
        report,
        title=HOSTILE,
        explained=tuple(dataclasses.replace(i, name=HOSTILE) for i in report.explained),
        prototypes=tuple(dataclasses.replace(p, image_name=HOSTILE) for p in report.prototypes),
    )
    opened = open_page(write_report(report, tmp_path / "hostile.html"), "#branch=0&image=0")
    page = opened.page
    for mode in ("all paths, mixed", "one path"):
        page.get_by_label(mode, exact=True).check()
        assert HOSTILE in page.locator(".answers").inner_text()
        assert HOSTILE in panel(page).inner_text()
    page.get_by_label("Compare with").select_option("1")
    page.get_by_label("Class", exact=True).select_option("0")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2
    assert opened.complaints == []
    assert opened.violations() == []


def test_save_svg_stands_alone(open_page, report_file):
    page = open_page(report_file, "#image=0").page
    with page.expect_download() as download:
        page.get_by_role("button", name="Save SVG").click()
    assert download.value.suggested_filename == "tree.svg"
    root = ET.fromstring(download.value.path().read_text(encoding="utf-8"))
    ids = {element.get("id") for element in root.iter() if element.get("id")}
    uses = [e.get("href") for e in root.iter("{http://www.w3.org/2000/svg}use")]
    assert uses
    assert {use[1:] for use in uses} <= ids
    style = next(root.iter("{http://www.w3.org/2000/svg}style")).text or ""
    assert ".edge" in style
    assert "var(" not in style


def test_save_png_is_a_picture_of_the_drawing(open_page, report_file):
    from PIL import Image

    opened = open_page(report_file, "#image=0")
    with opened.page.expect_download() as download:
        opened.page.get_by_role("button", name="Save PNG").click()
    with Image.open(download.value.path()) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 100
    assert opened.violations() == []


def test_dark_mode_follows_the_system_and_the_switch(open_page, report_file):
    page = open_page(report_file, color_scheme="dark").page
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.get_by_label("Colors").select_option("light")
    light = page.evaluate(background)
    assert (dark, light) == ("rgb(20, 23, 27)", "rgb(255, 255, 255)")
    page.reload()
    assert page.evaluate(background) == light
    page.emulate_media(color_scheme="light")
    page.get_by_label("Colors").select_option("dark")
    assert page.evaluate(background) == dark


def test_page_without_scripts_shows_tree_prototypes_and_paths(open_page, report_file, report):
    page = open_page(report_file, java_script_enabled=False).page
    assert page.locator("#node-0").is_visible()
    assert page.locator(".card").count() == len(report.prototypes)
    assert page.locator(".explained").count() == len(report.explained)
    assert not page.locator("#view").is_visible()


def test_large_tree_starts_folded_and_stays_below_twelve_megabytes(open_page, tmp_path):
    report = make_report(depth=9, size_px=32, neighbors=0, explained=1)
    page = open_page(write_report(report, tmp_path / "large.html")).page
    assert page.locator("[data-node]").count() < 64
    page.get_by_role("button", name="Whole tree").click()
    assert page.locator("[data-node]").count() == 1023
    page.goto((tmp_path / "large.html").as_uri() + "#image=0")
    page.reload()
    on_path = {*(step.branch for step in report.explained[0].steps), ~report.explained[0].leaf}
    for number in on_path:
        assert node(page, number).count() == 1


def test_live_page_sends_an_image_and_follows_the_answer(open_page, report, tmp_path):
    page_file = tmp_path / "live.html"
    from pellucid.reports.page import render_report

    page_file.write_text(render_report(report, live=True), encoding="utf-8")
    opened = open_page(page_file)
    page = opened.page
    answer = describe_image(dataclasses.replace(report.explained[0], name="mine", true_class=None))
    # A file may fetch nothing, so the answer of the server is put in its place.
    page.evaluate(
        "(answer) => { window.fetch = async (path, options) => { window.sent = [path, "
        "options.method, options.body.get('image').name]; return { ok: true, json: async () => "
        "answer }; }; }",
        answer,
    )
    picture = {"name": "mine.png", "mimeType": "image/png", "buffer": b"x"}
    page.get_by_label("Your image").set_input_files(picture)
    page.wait_for_function("location.hash === '#image=6'")
    assert page.evaluate("window.sent") == ["explain", "POST", "mine.png"]
    assert "mine: answered" in page.locator(".answers").inner_text()
    page.evaluate(
        "() => { window.fetch = async () => ({ ok: false, status: 415, json: async () => "
        "({ error: 'not a picture' }) }); }"
    )
    page.get_by_label("Your image").set_input_files(picture)
    page.wait_for_selector("text=Not possible: not a picture")
    assert json.dumps(answer)
    assert opened.violations() == []
