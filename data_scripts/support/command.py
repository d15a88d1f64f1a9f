"""The end of a script: an error or an interruption is one line, and an exit status."""

import sys
from collections.abc import Callable

from handpose_lib.errors import HandPoseError

INTERRUPTED = 130
"""Exit status after Ctrl-C."""


def ended(main: Callable[[], int]) -> int:
    """Run `main` and return its exit status, 1 after an error, `INTERRUPTED` after Ctrl-C."""
    try:
        return main()
    except HandPoseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command continues or starts again", file=sys.stderr)
        return INTERRUPTED
