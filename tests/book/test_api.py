"""The API reference: every module of the library on one page, docstrings read as they are meant."""

import re

import pytest

from handpose_lib import paths
from pipeline.site import docstrings

PROJECT = paths.project()
LIBRARY = PROJECT / "handpose_lib"


def test_every_module_is_on_one_page():
    modules = []
    for path in LIBRARY.rglob("*.py"):
        name = path.relative_to(PROJECT).with_suffix("").as_posix().replace("/", ".")
        name = name.removesuffix(".__init__")
        # The checks of the exercises are asked for by name and have no interface of their own.
        if name not in ("handpose_lib", "handpose_lib.__main__") and ".checks." not in name:
            modules.append(name)
    pages = [path.read_text(encoding="utf-8") for path in (PROJECT / "book" / "api").glob("*.md")]
    listed = re.findall(r"^\.\. automodule:: (\S+)$", "\n".join(pages), re.MULTILINE)
    assert sorted(listed) == sorted(modules), "book/api/<package>.md lists the modules of a package"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("x_ and *y* are `a_b`.", "x\\_ and \\*y\\* are ``a_b``."),
        ("`joint`s", "``joint``\\ s"),
        ("* an item with *stars*", "* an item with \\*stars\\*"),
        ("    indented | text", "    indented \\| text"),
    ],
)
def test_only_code_is_markup(line, wanted):
    assert docstrings.escaped(line) == wanted


def test_indented_text_is_literal_and_lists_stay_lists():
    text: str = (
        "Words:\n\n    f(x) *= 2\n    g(y)\n\nMore words:\n* one\n  more of it\n* two\nThe end."
    )
    assert docstrings.converted(list(text.splitlines())) == [
        *("Words:", "", "", docstrings.LITERAL, "", "    f(x) *= 2", "    g(y)", ""),
        *("More words:", "", "* one", "  more of it", "* two", "", "The end."),
    ]


def test_a_table_and_a_session_are_left_alone():
    table = ["===  ===", "a_   b*", "===  ==="]
    assert docstrings.converted(table) == table
    session = [">>> f(a_)", "3"]
    assert docstrings.converted(session) == ["", docstrings.LITERAL, "", "    >>> f(a_)", "    3"]
