"""Everything by keyboard, and nothing serious that axe-core finds."""

from __future__ import annotations

import pytest

from pellucid.reports.page import render_report, write_page

# A group of radio buttons is one stop: Tab leads to the one that is chosen.
_STOPS = """() => [...document.querySelectorAll(
  "a[href], button, select, input, summary, [tabindex='0']")]
  .filter((e) => !e.disabled && !e.closest(":disabled") && e.getClientRects().length
    && (e.type !== "radio" || e.checked))
  .map((e) => (e.dataset.stop = String(Math.random()), e.dataset.stop))"""
_FOCUS = """() => {
  const e = document.activeElement;
  const looks = [e, e.nextElementSibling, e.querySelector?.("rect")].filter(Boolean)
    .map((x) => getComputedStyle(x));
  return { stop: e.dataset.stop ?? "", label: e.outerHTML.slice(0, 80),
    seen: looks.some((s) => (s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0)
      || parseFloat(s.strokeWidth) >= 3) };
}"""


def test_tab_reaches_every_control_and_focus_is_seen(open_page, report_file):
    page = open_page(report_file, "#branch=1&image=0").page
    wanted = set(page.evaluate(_STOPS))
    reached = set()
    for _ in range(len(wanted) + 8):
        page.keyboard.press("Tab")
        focus = page.evaluate(_FOCUS)
        if focus["stop"]:
            assert focus["seen"], focus["label"]
        reached.add(focus["stop"])
    assert wanted <= reached


def test_tour_by_keyboard_alone(open_page, report_file, report):
    page = open_page(report_file).page
    focused = "Number(document.activeElement.dataset.node ?? NaN)"
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type === 'radio'"):
            break
    page.keyboard.press("ArrowRight")  # from none to the first image
    assert "image=0" in page.evaluate("location.hash")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('role') === 'treeitem'"):
            break
    assert page.evaluate(focused) == 0
    right, left = int(report.right_child[0]), int(report.left_child[0])
    steps = (("ArrowRight", right), ("ArrowDown", left), ("ArrowUp", right), ("ArrowLeft", 0))
    for key, expected in steps:
        page.keyboard.press(key)
        assert page.evaluate(focused) == expected
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator(".panel h3").inner_text() == f"Branch {right}"
    assert page.evaluate(focused) == right
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('.panel').contains(document.activeElement)")
    page.keyboard.press("Escape")
    assert page.locator(".panel h3").inner_text() == "How to read it"
    assert page.evaluate(focused) == right


@pytest.mark.parametrize(
    ("scheme", "fragment"),
    [
        ("light", ""),
        ("light", "#branch=1&image=0&compare=1&runner-up=1"),
        ("dark", "#branch=1&image=0&compare=1&runner-up=1"),
        ("dark", "#leaf=0&image=1&mode=soft&class=2"),
    ],
)
def test_axe_finds_nothing_serious(open_page, report_file, axe, scheme, fragment):
    page = open_page(report_file, fragment, color_scheme=scheme, bypass_csp=True).page
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    serious = [
        (one["id"], [node["html"][:150] for node in one["nodes"][:4]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_axe_finds_nothing_serious_on_the_live_page(open_page, report, axe, tmp_path):
    live = write_page(render_report(report, live=True), tmp_path / "live.html")
    page = open_page(live, bypass_csp=True).page
    page.evaluate(axe)
    found = page.evaluate("axe.run('.drop', { resultTypes: ['violations'] })")["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
