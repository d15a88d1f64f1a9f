"""The page of the book on which one poses a hand, and networks answer at once: export and build.

`networks`, `detector` and `hand_model` export what the page computes with, `page/` is its source,
`toolchain` has the programs that check and bundle it, and `build` writes its files.
"""

from pathlib import Path

PAPERS = ("jgr_p2o", "densereg", "residual_attention", "structure_aware_hourglass", "v2v_posenet")
"""Papers whose networks the page offers, in its order, which puts the fast ones first."""
REAL = "real_hands"
"""Name of the network for real depth images, which is no paper's."""
NETWORKS = (*PAPERS, REAL)
"""The networks of the page, and their folders in the records."""
DETECTOR = "hand_detector"
"""What finds the hand in a depth image of the reader's own."""
MODELS = (*NETWORKS, DETECTOR)
"""Everything that the page runs, each in a script of its own."""

_HERE = Path(__file__).parent
EXPORT = [
    _HERE / name
    for name in ("__init__.py", "networks.py", "detector.py", "hand_model.py", "build.py")
]
"""The code that exports."""
SOURCES = [*EXPORT, _HERE / "toolchain.py", _HERE / "page"]
"""Everything from which the page's folder is made, apart from library and records."""
