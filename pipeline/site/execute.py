"""Executes one notebook with papermill, from its own folder, as JupyterLab would.

    python pipeline/site/execute.py book/papers/jgr_p2o.ipynb _build/executed/papers/jgr_p2o.ipynb
    --threads 1 python pipeline/site/execute.py book/training/train_jgr_p2o.ipynb out.ipynb
    --training -p profile smoke

A failing cell fails the command. The result takes its name only when the notebook is complete; what
there is of a failed one stays beside it as `….unfinished.ipynb`, for a look.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import papermill
from papermill.exceptions import PapermillExecutionError

# malloc hands large tensors back to the system and fetches them again at every step, unless told to
# keep them: 1.5 to 2 times faster training on a CPU. Read when a process starts, so set it here for
# the kernel. Inference may become slower, hence for training notebooks only.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**34)}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("notebook", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument(
        "-p", dest="parameters", nargs=2, action="append", default=[], metavar=("NAME", "VALUE")
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--training", action="store_true", help="set malloc up for training")
    options = parser.parse_args()

    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ["JUPYTER_PREFER_ENV_PATH"] = (
        "1"  # the kernel of this environment, not one of the user's
    )
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = (
        "1"  # a warning of the debugger in every notebook
    )
    if options.training:
        os.environ.update(KEEP_MEMORY)

    unfinished = options.output.with_suffix(".unfinished.ipynb")
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    print(f"{options.notebook} ...", flush=True)
    started = time.monotonic()
    try:
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
            f"As far as it came: {unfinished}",
            file=sys.stderr,
        )
        return 1
    os.replace(unfinished, options.output)
    print(f"{options.notebook} executed in {time.monotonic() - started:.0f} s", flush=True)
    return 0


def value(text: str) -> int | float | str:
    """A parameter as a number where it is one, like papermill's own `-p`."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


if __name__ == "__main__":
    sys.exit(main())
