"""A link from a page to another one leads to a file, in the book and in JupyterLab."""

import re

import pytest

from tests.support.pages import BOOK, PAGES, name, prose

TARGET = re.compile(r"\]\(([^)\s]+)\)")


def lead_nowhere(path, text):
    """Return the targets of `text` that name no file, seen from the folder of `path`.

    A page of Markdown is read in the book only, where a page is also found without its suffix.
    """
    suffixes = ["", ".ipynb", ".md"] if path.suffix == ".md" else [""]
    targets = {target.partition("#")[0] for target in TARGET.findall(text)}
    return sorted(
        target
        for target in targets
        if target
        and ":" not in target
        and not any((path.parent / (target + suffix)).is_file() for suffix in suffixes)
    )


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_lead_to_files(path):
    nowhere = lead_nowhere(path, prose(path))
    assert not nowhere, f"no such file beside {name(path)}: {nowhere}"


def test_a_link_that_leads_nowhere_is_found():
    text = "[a](../foundations/voxels.ipynb#part) [b](../foundations/none.ipynb) [c](#here)"
    text += " [d](https://example.org) [e](../foundations/voxels)"
    page = BOOK / "results" / "transfer.ipynb"
    assert lead_nowhere(page, text) == ["../foundations/none.ipynb", "../foundations/voxels"]
    assert lead_nowhere(page.with_suffix(".md"), text) == ["../foundations/none.ipynb"]
