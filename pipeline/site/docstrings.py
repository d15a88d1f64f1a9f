"""A Sphinx extension for the pages in `book/api`: docstrings as reStructuredText.

The docstrings of the library are plain text with code between backticks, lists, and indented
examples. Read as reStructuredText, an asterisk or an underscore in them would be markup, and an
indented example a quotation.
"""

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx_codeautolink.extension.block import CodeBlockAnalyser

LITERAL = ".. code-block:: text"  # not Python: examples name things that only a chapter has
ITEM = re.compile(r"(?:[*-]|\d+\.) ")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the conversion with Sphinx, and let sphinx-codeautolink accept exercises."""
    app.connect("autodoc-process-docstring", process)
    app.connect("html-collect-pages", forget_modules_without_source, priority=400)
    # An exercise is a section without a title, at whose end sphinx-codeautolink would pop one.
    pop = CodeBlockAnalyser.depart_section
    CodeBlockAnalyser.depart_section = lambda self, node: (
        pop(self, node) if any(isinstance(child, nodes.title) for child in node) else None
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def forget_modules_without_source(app: Sphinx) -> list:
    """Let the list of sources name no module that has none, such as `builtins`; add no page.

    It runs before `sphinx.ext.viewcode`, which writes that list.
    """
    modules = getattr(app.env, "_viewcode_modules", {})
    for name in [name for name, source in modules.items() if not source]:
        del modules[name]
    return []


def process(app: object, what: str, name: str, obj: object, options: object, lines: list[str]):
    """Replace the lines of a docstring, as Sphinx asks for it, in place."""
    lines[:] = converted(lines)


def converted(lines: list[str]) -> list[str]:
    """Return the lines of a docstring as reStructuredText.

    A list stays a list, a table between lines of = stays a table, and any other indented block
    becomes a literal block, as does a session of the interpreter.
    """
    out: list[str] = []
    inside = ""  # "item", "literal", "table", "session" or, in a paragraph, nothing
    for line in lines:
        text = line.strip()
        indented = len(line) > len(line.lstrip())
        if not text:
            inside = "" if inside in ("item", "table", "session") else inside
            out.append("")
        elif inside == "literal" and indented:
            out.append(line)
        elif inside == "table" or text.startswith("==="):
            inside = "table"
            out.append(line)
        elif inside == "session" or text.startswith(">>> "):
            if inside != "session":
                inside, out = "session", [*out, "", LITERAL, ""]
            out.append("    " + line)
        elif ITEM.match(text) and not (indented and inside == ""):
            if inside != "item" and out and out[-1]:
                out.append("")
            inside = "item"
            out.append(escaped(line))
        elif indented and inside == "item":
            out.append(escaped(line))
        elif indented:
            inside = "literal"
            out += ["", LITERAL, "", line]
        else:
            if inside and out and out[-1]:
                out.append("")
            inside = ""
            out.append(escaped(line))
    return out


def escaped(line: str) -> str:
    """Return a line whose only markup is code: what stands between backticks."""
    parts = re.split(r"(`[^`]+`)", line)
    indent = line[: len(line) - len(line.lstrip())]
    marker = found[0] if (found := ITEM.match(line.lstrip())) else ""
    for n, part in enumerate(parts):
        if n % 2:
            # A space within the markup keeps it from joining the word behind it.
            parts[n] = f"`{part}`" + ("\\ " if re.match(r"\w", parts[n + 1]) else "")
        else:
            head = indent + marker if n == 0 else ""
            parts[n] = head + re.sub(r"([*|`\\_])", r"\\\1", part[len(head) :])
    return "".join(parts)
