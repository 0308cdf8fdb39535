from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from pellucid.reports.approximation import write_report, write_shapes_page
from pellucid.reports.approximation.report import render_report
from tests.reports.approximation import synthetic_approximation as synthetic
from tests.reports.test_page import Page

HOSTILE = "</script><script>alert(1)</script><img onerror=alert(1) src=x> & \u2028 \"'"
VIEWS = {
    "view-error",
    "view-build",
    "view-counts",
    "view-bump",
    "view-tower",
    "view-microscope",
    "view-cells",
    "view-soft",
}
MAKERS = {
    "one": synthetic.approximate_line,
    "two": synthetic.approximate_square,
    "three": synthetic.approximate_waves,
    "four": lambda: synthetic.approximate_solid(2, dimension=4),
    "huge": synthetic.approximate_huge,
}


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: render_report(make()) for name, make in MAKERS.items()}


each_page = pytest.mark.parametrize("name", MAKERS)


@each_page
def test_page_has_every_view(pages, name):
    assert set(Page(pages[name]).ids) >= VIEWS


@each_page
def test_page_loads_nothing(pages, name):
    page = Page(pages[name])
    loaded = [
        attributes[key]
        for _, attributes in page.tags
        for key in ("src", "href", "action", "poster", "data")
        if attributes.get(key)
    ]
    assert all(address.startswith("#") for address in loaded)
    script = re.findall(r"<script>(.*?)</script>", pages[name], re.DOTALL)[0]
    assert not re.search(r"fetch\(|XMLHttpRequest|WebSocket|import\(|eval\(|innerHTML", script)
    assert set(re.findall(r"url\(.", pages[name])) <= {"url(#"}


@each_page
def test_page_allows_only_its_own_script(pages, name):
    page = pages[name]
    policy = next(
        attributes["content"]
        for tag, attributes in Page(page).tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}';" in policy
    assert not re.search(r'\son[a-z]+="', page)


@each_page
def test_page_is_below_two_megabytes(pages, name):
    assert len(pages[name].encode()) < 2_000_000


@each_page
def test_page_names_each_part_once_and_links_reach(pages, name):
    page = Page(pages[name])
    assert len(page.ids) == len(set(page.ids))
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))


@each_page
def test_page_holds_data_that_is_json(pages, name):
    (data,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', pages[name], re.S)
    content = json.loads(data)
    assert (content["network"] is None) == (name == "huge")
    assert (content["frames"] is None) == (name != "huge")


def test_page_says_what_holds_and_how_to_check_it(pages):
    text = Page(pages["one"]).text
    assert "Everywhere on the box, this network of 8 neurons differs" in text
    assert "pellucid verify certificate.json" in text
    assert "Of the 3 constructions that met the tolerance it has the fewest neurons: 8." in text


def test_page_escapes_what_the_user_typed():
    approximation = synthetic.approximate_line()
    target = replace(approximation.target, text=HOSTILE)
    candidates = (replace(approximation.candidates[0], scheme=HOSTILE, remark=HOSTILE),)
    text = render_report(replace(approximation, target=target, candidates=candidates))
    page = Page(text)
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert not any(tag == "img" for tag, _ in page.tags)
    assert text.count("</script>") == 2
    assert "alert(1)" in page.text


def test_page_escapes_roles_in_the_data():
    approximation = synthetic.approximate_line()
    layer = approximation.network.hidden[0]
    group = replace(layer.groups[0], role=HOSTILE)
    network = replace(approximation.network, hidden=(replace(layer, groups=(group,)),))
    text = render_report(replace(approximation, network=network))
    assert text.count("</script>") == 2
    (data,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.S)
    assert json.loads(data)["network"]["layers"][0]["groups"][0]["role"] == HOSTILE


@pytest.mark.parametrize("status", ["proved", "conditional", "pac", "heuristic"])
def test_page_of_each_status_says_how_sure_it_is(status):
    approximation = synthetic.approximate_line()
    certificate = replace(approximation.certificate, status=status)
    text = Page(render_report(replace(approximation, certificate=certificate))).text
    assert ("no proof that holds at every point" in text) == (status in ("pac", "heuristic"))


def test_page_without_a_bound_says_so():
    approximation = synthetic.approximate_square()
    certificate = replace(approximation.certificate, bound=np.inf, status="heuristic")
    text = Page(render_report(replace(approximation, certificate=certificate))).text
    assert "No bound on the error" in text
    assert "was not reached: no bound was." in text


def test_page_of_a_jump_names_what_is_left_out():
    approximation = synthetic.approximate_line()
    certificate = replace(approximation.certificate, excluded_measure=0.0012345)
    text = Page(render_report(replace(approximation, certificate=certificate))).text
    assert "measure 0.00124" in text


def test_page_of_a_constant_has_no_hidden_layer():
    page = render_report(synthetic.approximate_constant())
    assert "This network has no hidden layer" in page
    assert set(Page(page).ids) >= VIEWS


def test_write_report_writes_the_file(tmp_path):
    path = write_report(synthetic.approximate_line(), tmp_path / "new" / "report.html")
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_write_shapes_page_has_the_shapes_alone(tmp_path):
    page = Page(write_shapes_page(tmp_path / "shapes.html").read_text(encoding="utf-8"))
    views = {name for name in page.ids if name.startswith("view-")}
    assert views == {"view-bump", "view-tower", "view-microscope"}
