"""The book as one page and on paper: links stay in it, nothing is lost or doubled or moves."""

import matplotlib.pyplot as plt
import pytest
import torch
from bs4 import BeautifulSoup

from handpose_lib.teaching import widgets
from pipeline.site import browser, pdf, site_sources

PROGRAM = browser.find()
FRAME = """<!DOCTYPE html><html lang="en" data-content_root="{root}">
<head><title>Book</title><link rel="stylesheet" href="{root}_static/a.css?v=1">{head}</head>
<body><nav class="search-button__wrapper"><a href="{root}search.html">search</a></nav>
<div class="bd-sidebar"><a href="{root}book/one/first.html">First</a></div>
<article class="bd-article">{article}</article>
<div class="prev-next-footer"><a href="{root}book/index.html">on</a></div></body></html>"""
NAMES = ["book/index.html", "book/one/first.html", "book/two.html"]


@pytest.fixture
def site(tmp_path):
    """Three pages: two have a section of the same name, and each loads MathJax."""
    maths = '<script defer src="{}_static/mathjax/tex-svg-full.js?v=2"></script>'
    figure = widgets.to_html(
        widgets.space(
            torch.tensor([[0.0, 0.0, 0.0], [100.0, 50.0, 20.0]]),
            title="Two points",
            alt="two points",
            height=300,
        )
    )
    write(
        tmp_path,
        NAMES[0],
        "../",
        maths.format("../"),
        '<section id="start"><a href="one/first.html#start">go</a> <a'
        ' href="two.html">two</a></section>',
    )
    write(
        tmp_path,
        NAMES[1],
        "../../",
        maths.format("../../"),
        '<section id="start"><a href="#start">here</a> <a href="../index.html#start">back</a> <span'
        ' class="math">\\(a\\)</span><img src="../../_images/a%20b.png" alt="a"> <a'
        ' href="https://example.org/x#y">away</a></section>',
    )
    write(
        tmp_path,
        NAMES[2],
        "../",
        maths.format("../"),
        f'<div class="toggle-hidden" style="display: none">a solution</div>{figure}',
    )
    for package, name, target in site_sources.SCRIPTS:
        site_sources.copy(site_sources.installed(package, name), tmp_path / "_static" / target)
    return tmp_path


def write(root, name, to_root, head, article):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(
        FRAME.format(root=to_root, head=head, article=article), encoding="utf-8"
    )


def test_links_lead_within_the_one_page(site):
    page = BeautifulSoup(pdf.one_page(site, NAMES), "html.parser")
    assert [link["href"] for link in page.select("a")] == [
        "#book-one-first",
        "#book-one-first-start",
        "#book-two",
        "#book-one-first-start",
        "#book-index-start",
        "https://example.org/x#y",
    ]
    places = [element["id"] for element in page.select("[id]")]
    assert len(set(places)) == len(places) and {
        str(link["href"])[1:] for link in page.select("a[href^='#']")
    } <= set(places)


def test_files_are_found_from_where_the_one_page_lies(site):
    page = BeautifulSoup(pdf.one_page(site, NAMES), "html.parser")
    assert [picture["src"] for picture in page.select("img")] == ["../_images/a b.png"]
    assert [link["href"] for link in page.select("link")] == ["../_static/a.css?v=1"]
    assert [script["src"] for script in page.select("script[src]")] == [
        "../_static/mathjax/tex-svg-full.js?v=2"
    ]


def test_the_frame_appears_once_and_each_chapter_in_its_order(site):
    page = BeautifulSoup(pdf.one_page(site, NAMES), "html.parser")
    assert [article["id"] for article in page.select("article")] == [
        "book-index",
        "book-one-first",
        "book-two",
    ]
    assert len(page.select(".bd-sidebar")) == 1 and not page.select(
        ".search-button__wrapper, .prev-next-footer"
    )


@pytest.mark.skipif(PROGRAM is None, reason=browser.MISSING)
def test_on_paper_nothing_moves_and_nothing_is_folded(site):
    (site / "_images").mkdir()
    (site / "_images" / "a b.png").write_bytes(widgets.png(plt.figure(figsize=(1, 1))))
    (site / NAMES[0]).write_text(pdf.one_page(site, NAMES), encoding="utf-8")
    assert PROGRAM is not None
    with browser.opened(PROGRAM) as chromium:
        page = chromium.new_page()
        page.goto((site / NAMES[0]).as_uri())
        pdf.stand_still(page)
        assert page.locator(".js-plotly-plot, canvas, .toggle-hidden").count() == 0
        assert page.get_by_alt_text("two points").evaluate(
            "picture => [picture.naturalWidth, picture.naturalHeight]"
        ) == [1440, 600]
        assert page.locator("mjx-container").count() == 1
        paper = pdf.printed(chromium, site / NAMES[0])
    assert paper.startswith(b"%PDF") and b"/StructTreeRoot" in paper
