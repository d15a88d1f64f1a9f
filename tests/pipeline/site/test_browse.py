"""The checks in a browser: a good page passes, and each planted fault is reported, once.

The pages are made up; their formulas and 3D figures are drawn by the MathJax and the plotly of the
site.
"""

import base64
import subprocess
import sys

import matplotlib.pyplot as plt
import pytest
import torch

from handpose_lib.teaching import widgets
from pipeline.site import axe, browse, browser, site_sources

PROGRAM = browser.find()
needs_chromium = pytest.mark.skipif(PROGRAM is None, reason=browser.MISSING)
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

PLAIN = """<!DOCTYPE html><html lang="en" data-content_root=""><head><meta charset="utf-8">
<title>A page</title><style>
body { color: #222; background: #fff; margin: 8px } a { color: #0645ad }
@media (prefers-color-scheme: dark) {
body { color: #ddd; background: #121212 } a { color: #8ab4f8 } }
</style></head>
<body><h1 id="top">A page</h1></body></html>"""
MATHS = '<script defer src="_static/mathjax/tex-svg-full.js"></script>'
GOOD = f"""
<p>Words, <span class="math">\\(a_1^2\\)</span>, and a <a href="other.html">link</a>.</p>{MATHS}
<img src="pixel.png" alt="one pixel">
<p><a href="#top">up</a> <a href="https://example.org">elsewhere, only on a click</a></p>
<div style="overflow-x: auto" tabindex="0"><pre>a long line that scrolls: {"x" * 300}</pre></div>
<p style="color: #999; visibility: hidden">pale, but hidden</p>
<p style="color: #888; font-size: 24px">large, so that a contrast of 3 is enough</p>"""


@pytest.fixture(scope="module")
def chromium():
    assert PROGRAM is not None
    with browser.opened(PROGRAM) as opened:
        yield opened


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A site of two pages with the scripts that the book's site has."""
    root = tmp_path_factory.mktemp("site")
    for package, name, target in site_sources.SCRIPTS:
        site_sources.copy(site_sources.installed(package, name), root / "_static" / target)
    (root / "pixel.png").write_bytes(PIXEL)
    (root / "broken.png").write_bytes(PIXEL[:40])
    (root / "other.html").write_text(
        '<!DOCTYPE html><html lang="en"><title>Other</title><p id="there">Other words.</p></html>',
        encoding="utf-8",
    )
    return root


def faults(chromium, site, added):
    (site / "page.html").write_text(PLAIN.replace("</body>", added + "</body>"), encoding="utf-8")
    return browse.browsed(chromium, site, ["page.html", "other.html"])


def bars(heights):
    for height in heights:
        figure, axes = plt.subplots(figsize=(2, 1))
        axes.bar([0], [height])
        axes.set_ylim(0, 3)
        yield figure


def flip_book(heights):
    labels = [str(height) for height in heights]
    return str(widgets.flip_book(bars(heights), labels, name="height").data)


def in_space(*reaches):
    """Two points in space behind plotly's slider, a place of it for each distance between them."""
    steps = [
        widgets.space(
            torch.tensor([[0.0, 0.0, 0.0], [reach, 50.0, 20.0]]), title="Two points", height=300
        )
        for reach in reaches
    ]
    return widgets.to_html(widgets.slider(steps, reaches))


@needs_chromium
def test_a_good_page_is_left_alone(chromium, site):
    assert faults(chromium, site, GOOD + flip_book([1, 2, 3]) + in_space(50.0, 100.0)) == []


@needs_chromium
@pytest.mark.parametrize(
    "planted, words",
    [
        (
            "<script>undefined.nothing</script>",
            "an error in the console: Cannot read properties of undefined",
        ),
        ("<script>console.error('a worry')</script>", "an error in the console: a worry"),
        (
            '<script src="https://cdn.example.org/x.js"></script>',
            "something from elsewhere: https://cdn.example.org/x.js",
        ),
        (
            "<script>fetch('http://example.org/x.json').catch(() => {})</script>",
            "something from elsewhere: http://example.org/x.json",
        ),
        ('<script src="gone.js"></script>', "it cannot load gone.js"),
        (MATHS + '<span class="math">\\(x^1^2\\)</span>', "a formula is in error: Double exponent"),
        (
            MATHS + '<span class="math mathjax_ignore">\\(b\\)</span>',
            "a formula is not typeset: \\(b\\)",
        ),
        ('<img src="broken.png" alt="a broken picture">', "a picture cannot be shown: broken.png"),
        ('<img src="gone.png" alt="a lost picture">', "a picture cannot be shown: gone.png"),
        ('<img src="pixel.png">', "a picture without alt text: pixel.png"),
        (
            (
                '<div><img src="pixel.png" alt="still"><label>size <input type="range" min="0"'
                ' max="3" value="1"></label></div>'
            ),
            "the slider 'size' does not change the picture",
        ),
        (
            (
                '<div><img src="pixel.png" alt="still"><input type="range" min="0" max="1"'
                " oninput=\"this.previousSibling.src = ['pixel.png',"
                " 'pixel.png?'][this.value]\"></div>"
            ),
            "a slider has no name",
        ),
        (
            '<p style="color: #999">grey</p>',
            "light: #999999 on #ffffff: contrast 2.85, needed is 4.5: 'grey' in p",
        ),
        ('<p style="opacity: 0.55">half gone</p>', "light: #858585 on #ffffff"),
        ('<p style="color: #333">for light pages only</p>', "dark: #333333 on #121212"),
        (
            '<details><summary>more</summary><p style="color: #333">folded</p></details>',
            "dark: #333333 on #121212",
        ),
        (
            '<p id="wide" style="width: 700px">wide</p>',
            "phone: the page is 708 pixels wide in a window of 390: p#wide",
        ),
        (
            f'<div class="cell"><pre style="overflow:auto" tabindex="0">{"no " * 600}</pre></div>',
            "a line is cut off",
        ),
        (f"<!-- {'x' * 3_000_000} -->", "the page weighs 3.0 MB"),
        (
            '<div style="overflow: auto"><table style="width: 700px"><tr><td>a</table></div>',
            "phone: only a mouse can scroll the box of table",
        ),
        (
            '<div id="box" style="overflow: hidden"><table style="width: 700px"><tr><td>a</table>',
            "phone: 326 pixels of table 'a' lie outside of div#box",
        ),
    ],
)
def test_a_planted_fault_is_named(chromium, site, planted, words):
    found = faults(chromium, site, planted)
    assert len(found) == 1 and found[0].startswith("page.html: ") and words in found[0], found


@needs_chromium
@pytest.mark.parametrize(
    "planted, words",
    [
        (
            '<div id="plotly-x" role="group" aria-label="a figure without its script"></div>',
            "plotly did not draw a figure: a figure without its script",
        ),
        (
            (
                '<div class="js-plotly-plot" role="group" aria-label="nothing"><canvas width="50"'
                ' height="50"></canvas></div>'
            ),
            "nothing is drawn in space: nothing",
        ),
        (in_space(50.0, 50.0), "a slider of plotly does not change the picture: Two points"),
    ],
    ids=["no script", "blank", "still"],
)
def test_a_figure_in_space_that_fails_is_named(chromium, site, monkeypatch, planted, words):
    monkeypatch.setattr(browse, "DRAWN_WITHIN_S", 2)
    found = faults(chromium, site, planted)
    assert len(found) == 1 and words in found[0], found


@needs_chromium
@pytest.mark.parametrize(
    "planted, rule",
    [
        ("<button></button>", "button-name, critical"),
        ('<p role="img" aria-label="x"><a href="#top">up</a></p>', "nested-interactive, serious"),
        ('<p aria-labelled="x">A misspelt attribute.</p>', "aria-valid-attr, critical"),
    ],
)
def test_a_fault_of_accessibility_is_named(chromium, site, planted, rule):
    if axe.find() is None:
        pytest.skip(axe.MISSING)
    found = faults(chromium, site, planted)
    assert len(found) == 1 and rule in found[0], found


@needs_chromium
def test_a_page_of_the_contents_that_was_not_built_is_named(chromium, site):
    assert browse.browsed(chromium, site, ["nowhere.html"]) == [
        "nowhere.html: the page is not there"
    ]


@needs_chromium
def test_the_front_door_and_the_search(chromium, tmp_path, monkeypatch):
    """On a small site that Sphinx built, with its own search."""
    monkeypatch.setattr(browse, "DRAWN_WITHIN_S", 5)
    (tmp_path / "index.rst").write_text(
        "Votes\n=====\n\nThe mean shift of the votes.\n", encoding="utf-8"
    )
    (tmp_path / "conf.py").write_text("", encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-b", "html", tmp_path, tmp_path / "html"],
        check=True,
    )
    assert list(browse.search(chromium, tmp_path / "html", "mean shift")) == []
    assert list(browse.search(chromium, tmp_path / "html", "median shift")) == [
        "search.html: it does not find 'median shift'"
    ]
    assert list(browse.front_door(chromium, tmp_path / "html", "index.html")) == []
    assert list(browse.front_door(chromium, tmp_path / "html", "book/index.html")) == [
        "index.html: it does not lead to book/index.html"
    ]


def test_without_a_browser_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(browser, "find", lambda: None)
    monkeypatch.setattr(
        sys, "argv", ["browse.py", str(tmp_path), "--report", str(tmp_path / "report.json")]
    )
    with pytest.raises(SystemExit, match="install chromium or google-chrome"):
        browse.main()
    assert list(tmp_path.iterdir()) == []
