"""Executes one notebook with papermill, from its own folder, as JupyterLab would.

    python pipeline/site/execute.py book/papers/jgr_p2o.ipynb out.ipynb --threads 1
    python pipeline/site/execute.py book/training/train_jgr_p2o.ipynb out.ipynb \\
        --training -p profile smoke

If a cell fails, the command fails, and the notebook up to this cell is left beside the output as
`….unfinished.ipynb`. Only a complete notebook is written to the output.

The output depends on the notebook, not on the machine. Whatever libraries log or warn about goes to
the standard error of this command and not into the notebook; the user's settings of Python's
warnings, of text encodings and of IPython do not count.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

# By default malloc returns the memory of large tensors to the system and requests it again at every
# step. Keeping it makes training on a CPU 1.5 to 2 times faster, but may slow down inference. A
# process reads these variables when it starts, so they are set here, for the kernel.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**34)}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("notebook", type=Path, help="notebook to execute")
    parser.add_argument("output", type=Path, help="executed notebook to write")
    parser.add_argument(
        "-p",
        dest="parameters",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="value of a parameter of the notebook; may be repeated",
    )
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="processor threads (default: all)"
    )
    parser.add_argument(
        "--training", action="store_true", help="keep freed memory, which speeds up training"
    )
    options = parser.parse_args()

    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    # Threads that wait for others sleep: by default they spin, and slow down whatever else runs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # The kernel of this environment, not one of the user's; and no warning of the debugger.
    os.environ |= {"JUPYTER_PREFER_ENV_PATH": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    os.environ.pop("PYTHONWARNINGS", None)
    os.environ["PYTHONUTF8"] = "1"  # whatever the locale
    if options.training:
        os.environ.update(KEEP_MEMORY)

    unfinished = options.output.with_suffix(".unfinished.ipynb")
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    print(f"{options.notebook} ...", flush=True)
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as settings:
            os.environ["IPYTHONDIR"] = settings  # instead of the user's, which may run anything
            papermill.execute_notebook(
                str(options.notebook),
                str(unfinished),
                parameters={name: value(text) for name, text in options.parameters},
                cwd=str(options.notebook.parent),
                kernel_name="python3",
                progress_bar=False,
            )
    except PapermillExecutionError as error:
        print(
            f"{options.notebook}, cell {error.cell_index}: {error.ename}: {error.evalue}\n{error}\n"
            f"The notebook up to this cell: {unfinished}",
            file=sys.stderr,
        )
        return 1
    for cell, text in taken_out(unfinished):
        print(f"{options.notebook}, cell {cell!r}: {text}", end="", file=sys.stderr)
    os.replace(unfinished, options.output)
    print(f"{options.notebook} executed in {time.monotonic() - started:.0f} s", flush=True)
    return 0


def taken_out(notebook: Path) -> list[tuple[str, str]]:
    """Take what was written to the standard error out of an executed notebook, and return it.

    Returns (id of the cell, text), in the order of the cells. The notebook is rewritten.
    """
    content = nbformat.read(notebook, as_version=4)
    found = []
    for cell in content.cells:
        outputs = cell.get("outputs", [])
        found += [(cell.id, output.text) for output in outputs if to_stderr(output)]
        if outputs:
            cell.outputs = [output for output in outputs if not to_stderr(output)]
    nbformat.write(content, notebook)
    return found


def to_stderr(output: nbformat.NotebookNode) -> bool:
    """Return whether an output of a cell is text that was written to the standard error."""
    return output.output_type == "stream" and output.name == "stderr"


def value(text: str) -> int | float | str:
    """Return a parameter as a number if its text is one, like papermill's own `-p`."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


if __name__ == "__main__":
    sys.exit(main())
