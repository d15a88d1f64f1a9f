"""3D hand pose estimation from a single depth image: the library behind the book.

Modules are imported by name (``from handpose_lib import camera, papers``); importing the package
itself loads nothing, so that a chapter depends on what it uses and on nothing else.
"""

import os
import sys

if "torch" not in sys.modules:
    # Threads that wait for others sleep: by default they spin, and slow down whatever else runs.
    # OpenMP reads the variable when torch is loaded. See `openmp`.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
