"""Reads a notebook from a student in a process of its own, within limits.

The grader runs the text of this file as a program, behind walls where there are any. The notebook
comes as standard input. The answer on standard output is JSON: the chapter in the metadata, and id,
type and source of each cell, or `problem`, the reason why there are none. Nothing of the project is
imported here.
"""

import json
import sys

LARGEST = 50 * 2**20
"""Bytes of a notebook."""
CELLS = 2000
"""Cells of a notebook."""
LONGEST = 100_000
"""Characters of a cell; a longer one is not read."""
TOGETHER = 2_000_000
"""Characters of all cells together."""
SECONDS, MEMORY = 20, 2 * 2**30
"""What reading may take: of computing, and bytes of memory."""


def main() -> None:
    limit()
    try:
        found = read(sys.stdin.buffer.read(LARGEST + 1))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        found = {"problem": f"it is no notebook ({type(error).__name__})"}
    except RecursionError:
        found = {"problem": "it is nested too deeply"}
    except MemoryError:
        found = {"problem": "it needs too much memory"}
    sys.stdout.buffer.write(json.dumps(found).encode("ascii"))


def limit() -> None:
    """Set the limits of the operating system for this process; Windows has none."""
    try:
        import resource
    except ImportError:
        return
    wanted = {"RLIMIT_CPU": SECONDS, "RLIMIT_AS": MEMORY, "RLIMIT_FSIZE": 0, "RLIMIT_CORE": 0}
    for name, value in wanted.items():
        try:
            resource.setrlimit(getattr(resource, name), (value, value))
        except (ValueError, OSError):  # macOS refuses to limit memory; a lower limit holds already
            pass


def read(content: bytes) -> dict:
    """Return the chapter and the cells of a notebook, or the problem with it.

    Errors: several kinds, for what is no notebook.
    """
    if len(content) > LARGEST:
        return {"problem": f"it is larger than {LARGEST // 2**20} MB, the limit"}
    notebook = json.loads(content.decode("utf-8-sig"))
    if len(notebook["cells"]) > CELLS:
        return {"problem": f"it has {len(notebook['cells']):,} cells; accepted are {CELLS:,}"}
    cells, together = [], 0
    for cell in notebook["cells"]:
        source = "".join(part for part in cell["source"])
        together += min(len(source), LONGEST)
        marks = cell.get("metadata", {}).get("nbgrader", {})
        name = marks.get("grade_id") or cell.get("id", "")
        cells.append(
            {
                "id": well_formed(str(name))[:200],
                "cell_type": well_formed(str(cell["cell_type"]))[:20],
                "source": well_formed(source) if len(source) <= LONGEST else "",
                "too_long": len(source) > LONGEST,
            }
        )
    if together > TOGETHER:
        return {"problem": f"its cells have {together:,} characters; accepted are {TOGETHER:,}"}
    said = notebook.get("metadata", {}).get("handpose_book", {}).get("chapter")
    return {"chapter": said if isinstance(said, str) else "", "cells": cells}


def well_formed(text: str) -> str:
    """Return text that can be written as UTF-8: halves of surrogate pairs become '?'."""
    return text.encode("utf-8", errors="replace").decode("utf-8").replace("\0", "")


if __name__ == "__main__":
    main()
