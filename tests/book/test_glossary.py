"""The glossary defines every term that a page links, once, and in alphabetical order."""

import re

import pytest

from tests.support.pages import BOOK, PAGES, name, prose

LINK = re.compile(r"\{term\}`(?:[^`<>]*<([^>`]+)>|([^`<>]+))`")


def linked(text):
    """Return the terms that a text links, in lower case, each once."""
    return {(first or second).strip().lower() for first, second in LINK.findall(text)}


def defined():
    """Return the terms of the glossary, in lower case and in their order."""
    body = re.search(r"```\{glossary\}\n(.*?)```", prose(BOOK / "notation.ipynb"), re.DOTALL)
    assert body
    return re.findall(r"^(\S.*)$", body[1].lower(), re.MULTILINE)


def test_terms_are_in_order_and_each_is_defined_once():
    terms = defined()
    assert terms and terms == sorted(set(terms))


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_linked_terms_are_defined(path):
    missing = linked(prose(path)) - set(defined())
    assert not missing, f"not in the glossary of book/notation.ipynb: {sorted(missing)}"


def test_both_forms_of_a_link_are_read():
    assert linked("{term}`Stacks <stack>` and {term}`heat map`") == {"stack", "heat map"}
